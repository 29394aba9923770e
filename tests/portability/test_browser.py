"""The shipped model in Chromium, on WebAssembly, and the page of examples/browser."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, SAMPLES

from .case import FOLDER, asked, compare, packages, programs

EXAMPLE = ROOT / "examples" / "browser"
PAGE = "/examples/browser/index.html"


class Site(SimpleHTTPRequestHandler):
    """The repository, where the example has a model and npm's packages beside it."""

    def __init__(self, *given: Any, node_modules: Path, asked_for: list[str], **named: Any) -> None:
        self.placed = {"node_modules": node_modules, "model": FOLDER}
        self.asked_for = asked_for
        super().__init__(*given, directory=str(ROOT), **named)

    def translate_path(self, path: str) -> str:
        for name, folder in self.placed.items():
            before, found, within = path.partition(f"/examples/browser/{name}/")
            if found and not before:
                return str(folder / within)
        return super().translate_path(path)

    def log_message(self, *_: Any) -> None:
        self.asked_for.append(f"{self.command} {self.path}")


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, list[str]]]:
    """Where the site is, and what it was asked for."""
    asked_for: list[str] = []
    handler = partial(Site, node_modules=packages("onnxruntime-web"), asked_for=asked_for)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked_for
        server.shutdown()
        thread.join()


@pytest.fixture
def window(site: tuple[str, list[str]]) -> Iterator[Any]:
    """A window of Chromium with the example's page; complaints fail the test."""
    programs("chromium")
    driving = pytest.importorskip("playwright.sync_api")
    fakes = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with driving.sync_playwright() as driver:
        chromium = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", *fakes]
        )
        opened = chromium.new_context(permissions=["camera"]).new_page()
        opened.set_default_timeout(120_000)
        complaints: list[str] = []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda m: complaints.extend([m.text] if m.type == "error" else []))
        opened.goto(site[0] + PAGE)
        yield opened
        chromium.close()
        assert complaints == []


def test_webassembly_gives_the_same_features_and_picture(window: Any) -> None:
    """Where two values of a pooling's window are as good as equal, rounding decides which is the
    larger, and another kernel's rounding sends the gradient another way: a few components differ
    by more than rounding. So they are counted.
    """
    answer = window.evaluate(
        "asked => import('/tests/portability/browser.mjs').then(({ run }) => run(asked))", asked()
    )
    found = compare(answer)
    assert found.features <= 1e-5, found
    assert found.share <= 0.002, found
    assert found.loss <= 1e-5, found
    assert found.levels <= 0.5, found


def put_pictures(window: Any, steps: int) -> None:
    window.set_input_files("#content-file", SAMPLES / "harbour.jpg")
    window.set_input_files("#style-file", SAMPLES / "swirls.jpg")
    window.fill("#side", "64")
    window.fill("#steps", str(steps))
    window.wait_for_selector("#paint:enabled")
    window.click("#paint")


def wait_until(window: Any, expression: str, seconds: float = 120) -> None:
    """Until it is true there; Playwright's own way is what the page's policy forbids."""
    end = time.monotonic() + seconds
    while not window.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def pixels(window: Any, name: str, folder: Path) -> np.ndarray[Any, Any]:
    window.locator(name).screenshot(path=folder / "shown.png")
    with Image.open(folder / "shown.png") as image:
        return np.asarray(image.convert("RGB"), np.float32)


def test_the_page_paints_here_and_uploads_nothing(
    window: Any, site: tuple[str, list[str]], tmp_path: Path
) -> None:
    base, asked_for = site
    reached: list[str] = []
    window.on("request", lambda request: reached.append(f"{request.method} {request.url}"))
    put_pictures(window, 12)
    window.wait_for_selector("#said:has-text('Step 12 of 12')")
    assert window.evaluate("[painted.width, painted.height]") == [85, 64]
    assert window.input_value("#side") == "64"
    assert float(window.evaluate("progress.value / progress.max")) == 1
    assert window.is_visible("#paint")
    assert not window.is_visible("#cancel")
    painted = pixels(window, "#painted", tmp_path)
    assert painted.std() > 20
    local = [a for a in reached if not a.startswith(("GET blob:", "GET data:"))]
    assert all(request.startswith(f"GET {base}/") for request in local)
    assert all(line.startswith("GET /") and "?" not in line for line in asked_for)


def test_painting_is_cancelled_and_the_camera_gives_the_photo(window: Any, tmp_path: Path) -> None:
    window.click("#camera")
    window.wait_for_selector("#camera:has-text('Take')")
    wait_until(window, "video.videoWidth > 0")
    window.click("#camera")
    wait_until(window, "content.width > 1")
    assert pixels(window, "#content", tmp_path).std() > 5
    window.set_input_files("#style-file", SAMPLES / "swirls.jpg")
    window.fill("#side", "64")
    window.fill("#steps", "1000")
    window.wait_for_selector("#paint:enabled")
    window.click("#paint")
    wait_until(window, "said.textContent.startsWith('Step')")
    window.click("#cancel")
    assert window.text_content("#said").startswith("Cancelled")
    assert window.is_visible("#paint")


def test_what_is_no_picture_and_a_missing_model_are_said(window: Any, tmp_path: Path) -> None:
    odd = tmp_path / "odd.jpg"
    odd.write_bytes(b"no picture")
    window.set_input_files("#content-file", odd)
    window.wait_for_selector("#said:has-text('odd.jpg is no picture')")
    window.route("**/model/manifest.json", lambda route: route.fulfill(status=404))
    put_pictures(window, 3)
    window.wait_for_selector("#said:has-text('there is no model/manifest.json')")


def test_the_example_is_small_and_holds_nothing_of_others() -> None:
    """One static page and 200 lines of JavaScript, with comments and empty ones."""
    brought = {EXAMPLE / "node_modules", EXAMPLE / "model"}
    own = [p for p in EXAMPLE.rglob("*") if p.is_file() and not brought & {*p.parents}]
    scripts = [path for path in own if path.suffix not in (".md", ".html", ".json")]
    assert {path.suffix for path in scripts} == {".js"}
    assert [path.name for path in own if path.suffix == ".html"] == ["index.html"]
    lines = [line for path in scripts for line in path.read_text(encoding="utf-8").splitlines()]
    assert 100 < len(lines) <= 200
    assert max(map(len, lines)) <= 100
    names = {"README.md", "index.html", "package.json", *(path.name for path in scripts)}
    assert {path.name for path in EXAMPLE.iterdir()} - {"node_modules", "model"} - {
        "package-lock.json"
    } == names
    html = (EXAMPLE / "index.html").read_text(encoding="utf-8")
    assert re.findall("<script.*", html) == ['<script type="module" src="page.js"></script>']
    assert not re.search(r"https?://", html + "".join(lines))
