"""The examples of docs/service.md that need processes of their own: tasks, spawned and forked."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT

from .serving import small_jpeg

_PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
_POOL = """
import multiprocessing
import sys
import warnings
import tasks

warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the subject

if __name__ == "__main__":
    method, before = sys.argv[1:]
    if before == "painted":
        tasks.paint("photo.jpg", "painting.jpg", "before.png")
    with multiprocessing.get_context(method).Pool(2) as pool:
        words = [("photo.jpg", "painting.jpg", f"{number}.png") for number in range(3)]
        pool.starmap(tasks.paint, words)
"""


@pytest.fixture(autouse=True)
def _examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder has the page's files, and the pictures that they name."""
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", _PAGE, re.M | re.S):
        Path(name).write_text(text)
    Path("pool.py").write_text(_POOL)
    for name, sample in (("photo.jpg", "harbour"), ("painting.jpg", "swirls")):
        Path(name).write_bytes(small_jpeg(sample))


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "before"), [("spawn", "idle"), ("spawn", "painted"), ("fork", "idle")]
)
def test_tasks_are_done_in_spawned_workers_and_in_forked_ones(method: str, before: str) -> None:
    done = _pool(method, before)
    assert (done.returncode, done.stderr) == (0, "")
    pictures = {Path(f"{number}.png").read_bytes() for number in range(3)}
    assert len(pictures) == 1


def test_workers_forked_from_a_process_that_painted_say_so() -> None:
    done = _pool("fork", "painted")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ortist.errors.ResourceError: ONNX Runtime was at work before")


def test_gunicorn_preloads_the_application() -> None:
    pytest.importorskip("gunicorn")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    line = re.search(r"^gunicorn (.+)$", _PAGE, re.MULTILINE)
    assert line
    command = [sys.executable, "-m", "gunicorn", *line[1].split(), "--bind", f"127.0.0.1:{port}"]
    with Path("gunicorn.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        answers = [_asked(port) for _ in range(3)]
    finally:
        server.terminate()
        server.wait(20)
    assert [answer.status_code for answer in answers] == [200] * 3, Path("gunicorn.log").read_text()
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].content.startswith(b"\x89PNG")


def _pool(method: str, before: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "pool.py", method, before]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env)


def _asked(port: int, seconds: float = 30) -> httpx.Response:
    """The answer, once the server listens."""
    end = time.monotonic() + seconds
    while True:
        try:
            photo = Path("photo.jpg").read_bytes()
            return httpx.post(f"http://127.0.0.1:{port}/", content=photo, timeout=60)
        except httpx.ConnectError:
            assert time.monotonic() < end
            time.sleep(0.1)
