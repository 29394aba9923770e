"""The page: its files, and the whole way through it in a real Chromium."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, SAMPLES, Ortist
from tests.engine.serve.serving import Server

PAGE = ROOT / "engine" / "ortist" / "serve" / "page"


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|<script(?![^>]*src=)|\son\w+=|\sstyle=", html)
    for path in PAGE.iterdir():
        text = path.read_text(encoding="utf-8")
        outside = set(re.findall(r"https?://[^\s\"'<>]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not outside, path
        assert "innerHTML" not in text, path


def test_every_file_of_the_page_is_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir())
    named = set(re.findall(r"(?:/page/|from \"\./)([\w.]+)", text))
    assert named | {"index.html"} == {path.name for path in PAGE.iterdir()}


def test_every_control_has_a_label() -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    labelled = set(re.findall(r"<label[^>]* for=\"([\w-]+)\"", html))
    for tag in re.findall(r"<(?:input|select|progress)[^>]*>", html):
        name = re.search(r' id="([\w-]+)"', tag)
        assert " hidden" in tag or (name is not None and name[1] in labelled), tag
    ids = re.findall(r' id="([\w-]+)"', html)
    assert len(ids) == len(set(ids))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("serve") / "state") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; without it the test is skipped, but not in CI."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        message = "needs a chromium on the PATH, and playwright"
        required = os.environ.get("ORTIST_REQUIRE_ALL") == "1"
        if required and os.environ.get("ORTIST_TEST_BROWSER") != "no":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as driver:
        # Without a sandbox: in containers there is none to be had.
        running = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def page(server: Server, browser: Any) -> Iterator[Any]:
    """The page, in a window of its own; whatever it complains of fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    window = context.new_page()
    window.set_default_timeout(60_000)
    complaints: list[str] = []
    window.on("pageerror", lambda error: complaints.append(str(error)))

    def heard(message: Any) -> None:
        # An answer of 422 is the browser's error too, and what a test wants to see.
        if message.type == "error" and "status of 422" not in message.text:
            complaints.append(message.text)

    window.on("console", heard)
    window.goto(server.base)
    window.wait_for_selector("#gallery button")
    yield window
    context.close()
    assert complaints == []


def put_pictures(page: Any, size: str = "128", quality: str = "draft") -> None:
    """Drops a photo on the page and takes a style of the gallery."""
    data = (SAMPLES / "harbour.jpg").read_bytes()
    dropped = page.evaluate_handle(
        """bytes => {
            const files = new DataTransfer();
            files.items.add(new File([new Uint8Array(bytes)], "photo.jpg", {type: "image/jpeg"}));
            return files;
        }""",
        list(data),
    )
    page.dispatch_event("#photo-drop", "drop", {"dataTransfer": dropped})
    page.click("#gallery button:has-text('swirls')")
    page.select_option("#size", size)
    page.select_option("#quality", quality)


def assert_accessible(page: Any) -> None:
    """No violation of WCAG that axe-core calls serious or worse."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], [node["html"] for node in v["nodes"]]) for v in serious]


def test_from_the_drop_to_the_download(
    page: Any, ortist: Ortist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page.is_disabled("#paint")
    put_pictures(page, quality="best")
    page.click("#more summary")
    page.fill("#option-iterations", "100000")
    assert "photo.jpg" in page.text_content("#photo-name")
    page.click("#paint")
    page.wait_for_selector("#stage:not([hidden])")  # the first preview
    assert page.get_attribute("#after", "src").startswith("data:image/jpeg")
    assert re.match(r"Step \d+ of 100000", page.text_content("#told"))
    page.click("#cancel")
    page.wait_for_selector("#working", state="hidden")
    assert page.text_content("#status") == "Cancelled."

    page.fill("#option-iterations", "")
    page.select_option("#quality", "draft")
    page.click("#paint")
    page.wait_for_selector("#finished:not([hidden])")
    page.fill("#slider", "50")
    assert (
        page.eval_on_selector("#before", "image => image.style.clipPath")
        == "inset(0px 50% 0px 0px)"
    )
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "photo-painted.png"
    page.click("#again summary")
    command = page.text_content("#command")
    assert command == (
        "ortist transfer photo.jpg swirls -o photo-painted.png --size 128 --quality draft"
    )
    python = page.text_content("#python")
    assert '"photo.jpg", "swirls", size=128, quality="draft")' in python
    assert_accessible(page)

    # The command that the page shows makes the very same file.
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / "harbour.jpg", "photo.jpg")
    done = ortist(*command.split()[1:])
    assert done.returncode == 0, done.stderr
    assert Path("photo-painted.png").read_bytes() == Path(waiting.value.path()).read_bytes()
    assert page.locator("#earlier-list button").count() == 1


def test_several_styles_have_weights_and_more_has_every_option(page: Any) -> None:
    put_pictures(page)
    page.set_input_files("#style-file", SAMPLES / "shards.jpg")
    weights = page.locator("#chosen input")
    assert weights.count() == 2
    weights.nth(0).fill("2")
    page.click("#more summary")
    told = page.evaluate("fetch('/v1/options').then(answer => answer.json())")
    for option in told["options"]:
        plain = option["name"] in ("size", "strength", "quality", "colors", "style_weights")
        assert page.locator(f"#option-{option['name']}").count() == (0 if plain else 1)
    page.check("#option-rescale")
    page.fill("#option-seed", "7")
    page.click("#paint")
    page.wait_for_selector("#finished:not([hidden])")
    page.click("#again summary")
    command = page.text_content("#command")
    assert "swirls shards.jpg" in command
    assert "--style-weights 2,1" in command
    assert "--rescale" in command
    assert "--seed 7" in command
    assert_accessible(page)


def test_what_the_service_refuses_is_said_on_the_page(page: Any, server: Server) -> None:
    put_pictures(page)
    page.click("#more summary")
    page.fill("#option-learning_rate", "fast")
    page.click("#paint")
    page.wait_for_selector("#problem:not([hidden])")
    assert "learning_rate should be a number" in page.text_content("#problem")
    page.fill("#option-learning_rate", "")
    page.click("#paint")
    page.wait_for_selector("#finished:not([hidden])")
    assert page.is_hidden("#problem")


def test_the_page_asks_for_the_token_and_paints_with_it(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("a-token-of-24-characters\n")
    with Server(tmp_path / "state", "--token-file", str(file)) as server:
        context = browser.new_context()
        window = context.new_page()
        window.set_default_timeout(60_000)
        window.goto(server.base)
        window.wait_for_selector("#token-form:not([hidden])")
        window.fill("#token", "a-token-of-24-characters")
        window.click("#token-form button")
        window.wait_for_selector("#gallery button")
        assert window.is_hidden("#token-form")
        put_pictures(window)
        window.click("#paint")
        window.wait_for_selector("#finished:not([hidden])")
        context.close()


def test_two_tabs_do_not_disturb_each_other(page: Any, server: Server) -> None:
    other = page.context.new_page()
    other.set_default_timeout(60_000)
    other.goto(server.base)
    other.wait_for_selector("#gallery button")
    for tab, size in ((page, "128"), (other, "256")):
        put_pictures(tab, size)
        tab.click("#paint")
    for tab, size in ((page, "128"), (other, "256")):
        tab.wait_for_selector("#finished:not([hidden])")
        assert f" {size} pixels" in tab.text_content("#facts")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(browser: Any, server: Server, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    window = context.new_page()
    window.goto(server.base)
    window.wait_for_selector("#gallery button")
    assert window.evaluate("document.documentElement.scrollWidth") <= 360
    assert_accessible(window)
    context.close()


def test_the_keyboard_is_enough(page: Any) -> None:
    put_pictures(page)
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert {"photo-file", "style-file", "strength", "size", "quality", "paint", "More"} <= seen
