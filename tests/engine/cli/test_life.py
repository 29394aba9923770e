"""A run's life: checkpoints and kills, limits of time, previews, traces and reports."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import SHIPPED_STYLE_TAPS, Ortist
from tests.kills import killed_and_gone_on

ENDLESS = ("--size", 64, "--smallest-size", 32, "--iterations", 1_000_000)
QUICK = ("--size", 48, "--iterations", 6)


@pytest.fixture
def line(content_file: Path, style_file: Path) -> tuple[object, ...]:
    return "transfer", content_file, style_file


def interrupted(words: tuple[object, ...], watched: Path, lines: int = 0) -> int:
    """Starts the command, waits for a file of so many lines, presses Ctrl-C: the exit code."""
    process = subprocess.Popen([sys.executable, "-m", "ortist", *map(str, words)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if watched.exists() and (not lines or watched.read_bytes().count(b"\n") >= lines):
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    return process.wait(timeout=60)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_killed_run_goes_on_to_the_same_bytes(optimizer: str, tmp_path: Path) -> None:
    words = ("--optimizer", optimizer, "--size", "96", "--smallest-size", "48")
    kills = killed_and_gone_on(tmp_path, 2, 100, *words)
    assert kills


def test_a_stopped_run_goes_on(ortist: Ortist, line: tuple[object, ...], tmp_path: Path) -> None:
    """Ctrl-C writes picture, checkpoint and trace; the same command ends where one run ends."""
    out, checkpoint, trace = (tmp_path / name for name in ("o.png", "c", "t.jsonl"))
    words = (*line, "-o", out, "--size", 64, "--iterations", 50, "--snapshots", "0,20")
    assert ortist(*words).returncode == 0
    whole = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    assert sorted(whole) == ["o-0000.png", "o-0020.png", "o.png"]
    for name in whole:
        (tmp_path / name).unlink()
    words = (*words, "--checkpoint", checkpoint, "--trace", trace)
    assert interrupted(words, trace, 5) == 130
    assert out.exists()
    assert checkpoint.exists()
    done = ortist(*words)
    assert done.returncode == 0
    assert re.fullmatch(r"ortist: going on from iteration \d+ of .*\n", done.stderr)
    assert not checkpoint.exists()
    assert {name: (tmp_path / name).read_bytes() for name in whole} == whole
    steps = [json.loads(text) for text in trace.read_text().splitlines()]
    assert [step["iteration"] for step in steps] == list(range(51))
    assert set(steps[9]) == {"iteration", "scale", "losses", "seconds"}
    assert set(steps[9]["losses"]["style_by_layer"]) == SHIPPED_STYLE_TAPS
    assert steps[9]["losses"]["content_by_layer"] == {"3": steps[9]["losses"]["content"]}
    seconds = [step["seconds"] for step in steps]
    assert seconds == sorted(seconds)


@pytest.mark.long
def test_a_time_limit(ortist: Ortist, line: tuple[object, ...], tmp_path: Path) -> None:
    """The last scale is reached, and a longer limit goes on from the checkpoint."""
    out, checkpoint, trace = (tmp_path / name for name in ("o.png", "c", "t.jsonl"))
    words = (*line, *ENDLESS, "-o", out, "--json", "--checkpoint", checkpoint, "--trace", trace)
    done = ortist(*words, "--time-limit", "6s")
    assert (done.returncode, done.stderr) == (0, "")
    first = json.loads(done.stdout)
    assert (first["stopped"], first["size"]) == ("time limit", [85, 64])
    steps = [json.loads(text) for text in trace.read_text().splitlines()]
    assert steps[-1]["scale"] == 64
    longest = max(b["seconds"] - a["seconds"] for a, b in itertools.pairwise(steps))
    assert 0.3 < first["seconds"] <= 6 + longest
    done = ortist(*words, "--time-limit", "12s")
    second = json.loads(done.stdout)
    assert second["iterations"] > first["iterations"]
    assert checkpoint.exists()
    with Image.open(out) as image:
        assert image.size == (85, 64)


def test_what_a_time_limit_left_is_repeated(
    ortist: Ortist, line: tuple[object, ...], tmp_path: Path
) -> None:
    """Byte for byte; with another size the plan is made anew."""
    out, again, other = (tmp_path / name for name in ("o.png", "a.png", "b.png"))
    words = ("--size", 64, "--smallest-size", 32, "--iterations", 1000)
    assert ortist(*line, *words, "-o", out, "--time-limit", "3s").returncode == 0
    done = ortist("transfer", "--from", out, "-o", again)
    assert (done.returncode, done.stderr) == (0, "")
    assert again.read_bytes() == out.read_bytes()
    more = ("--from", out, "-o", other, "--iterations", 12, "--json")
    done = ortist("transfer", *more)
    assert json.loads(done.stdout)["iterations"] == 12


def test_previews_have_the_full_size(line: tuple[object, ...], tmp_path: Path) -> None:
    """And so has the picture that an early Ctrl-C leaves."""
    out, preview = tmp_path / "o.png", tmp_path / "p.jpg"
    words = (*line, *ENDLESS, "-o", out, "--preview", preview, "--preview-every", 3)
    assert interrupted(words, preview) == 130
    for path in (out, preview):
        with Image.open(path) as image:
            assert image.size == (85, 64)
            assert np.asarray(image).std() > 10
    assert sorted(os.listdir(tmp_path)) == ["o.png", "p.jpg"]


def test_without_a_name_the_preview_is_the_output(
    ortist: Ortist, line: tuple[object, ...], tmp_path: Path
) -> None:
    words = ("-o", tmp_path / "o.png", "--preview-every", 4)
    assert ortist(*line, *QUICK, *words).returncode == 0
    assert os.listdir(tmp_path) == ["o.png"]


def test_a_diverging_run_keeps_its_picture(
    ortist: Ortist, line: tuple[object, ...], tmp_path: Path
) -> None:
    layers = ",".join(f"{tap}:1e12" for tap in range(1, 8))
    wild: tuple[object, ...] = ("--free-iterations", 40, "--learning-rate", 1000)
    wild += ("--style-layers", layers, "--content-weight", 1e12, "--tv-weight", 1e12)
    out = tmp_path / "o.png"
    done = ortist(*line, "--size", 48, "--iterations", 40, *wild, "-o", out, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["stopped"]) == (5, "diverged")
    assert 0 <= found["iterations"] < 40
    assert re.fullmatch(
        r"ortist: the (gradient left float32|loss became \S+) at iteration \d+; lower "
        rf"learning_rate \(it is 1000.0\) or the weights. What is written is of iteration "
        rf"{found['iterations']}.\n",
        done.stderr,
    )
    with Image.open(out) as image:
        assert image.size == (64, 48)


class Page(HTMLParser):
    """What a page consists of; raises AssertionError where a tag is not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_harmless_file(
    ortist: Ortist, content_file: Path, style_file: Path, tmp_path: Path
) -> None:
    hostile = tmp_path / "\"><script>alert(1)<&script>'.jpg"
    hostile.write_bytes(content_file.read_bytes())
    words = ("--report", tmp_path / "r.html", "--learning-rate", 0.04, "--content-layers", "3,4")
    done = ortist("transfer", hostile, style_file, *QUICK, *words)
    assert (done.returncode, done.stderr) == (0, "")
    page = Page()
    page.feed((tmp_path / "r.html").read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    kinds = {tag for tag, _ in page.tags}
    assert not kinds & {"script", "iframe", "link", "object", "embed", "base", "form", "a"}
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action"):
                assert value is not None
                assert value.startswith("data:image/jpeg;base64,")
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["alt"] for image in images] == [
        "the picture",
        f"content: {hostile}",
        f"style: {style_file}",
        "iteration 0",
        "iteration 3",
    ]
    curves = [attributes for tag, attributes in page.tags if tag == "polyline"]
    # total, content, style, tv; the layers of style, and two of content
    assert len(curves) == 4 + len(SHIPPED_STYLE_TAPS) + 2
    assert all(len((curve["points"] or "").split()) == 7 for curve in curves)
    for word in ("learning_rate", "0.04", "ms a step", "sha256", "layer 7"):
        assert word in page.text


def test_checkpoints_of_others_are_left_alone(
    ortist: Ortist, line: tuple[object, ...], tmp_path: Path
) -> None:
    checkpoint, out, trace = (tmp_path / name for name in ("c", "o.png", "t.jsonl"))
    words = (*line, *ENDLESS, "-o", out, "--checkpoint", checkpoint, "--trace", trace)
    assert interrupted(words, trace, 3) == 130
    data = checkpoint.read_bytes()
    out.write_bytes(b"the picture of before")
    for changed, said in (
        (("--size", 80), "is of another run: size was 64 and is now 80; start as that run"),
        (("--seed", 1), "is of another run: seed was 0 and is now 1;"),
    ):
        done = ortist(*words, *changed)
        assert (done.returncode, done.stdout) == (3, "")
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
        assert checkpoint.read_bytes() == data
    checkpoint.write_bytes(data[:-7])
    done = ortist(*words)
    assert done.returncode == 3
    assert "is cut short or damaged; remove it to start anew." in done.stderr
    assert checkpoint.read_bytes() == data[:-7]
    assert out.read_bytes() == b"the picture of before"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-o", "o.png", "--checkpoint", "text"], 3, "'text' is not a checkpoint of this version"),
        (["-o", "o.png", "--checkpoint", "no/c"], 2, "there is no folder 'no'"),
        (["-o", "o.png", "--checkpoint", "o.png"], 2, "two outputs would both be written to"),
        (["-o", "o.png", "--checkpoint", "c", "--checkpoint-every", "0"], 2, "--checkpoint-every"),
        (["-o", "o.png", "--trace", "photo.jpg"], 2, "is a file that the run needs"),
        (["-o", "photo.jpg", "--preview-every", "2"], 2, "is a file that the run needs"),
        (["-o", "photo.jpg"], 2, "'photo.jpg' is the content; name another file, or give --overw"),
        (["-o", "photo.jpg", "--checkpoint", "c"], 2, "is the content; name another file"),
        (
            ["-o", "photo.jpg", "--overwrite", "--checkpoint", "c"],
            2,
            "which the checkpoint's run needs again",
        ),
        (["-o", "o.png", "--checkpoint-every", "9"], 2, "name one with --checkpoint FILE"),
        (["-o", "o.png", "--preview", "p.png"], 2, "--preview FILE needs --preview-every N"),
        (["--json", "--preview-every", "2"], 2, "name one with --preview FILE"),
        (["-o", "o.png", "--preview", "p.x", "--preview-every", "2"], 2, "end it in one of .jpg"),
        (["-o", "o.png", "--report", "."], 2, "it is a folder"),
        (["-o", "o.png", "--time-limit", "soon"], 2, "cannot read the time 'soon'; write seconds"),
    ],
)
def test_what_is_off_is_one_sentence(
    words: list[str],
    code: int,
    said: str,
    ortist: Ortist,
    content_file: Path,
    style_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(content_file.read_bytes())
    (tmp_path / "text").write_text("no checkpoint")
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    done = ortist("transfer", "photo.jpg", style_file, *QUICK, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert done.stderr.startswith("ortist: ")
    assert done.stderr.count("\n") == 1
    assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before


def test_an_interruption_leaves_no_lock_behind() -> None:
    """It comes in the line of Python's own that has just taken the lock of a condition."""
    script = """
import functools, signal, threading, time
from ortist.signals import end_at_once, end_in_order
end_at_once()
end_in_order()
class Lock:
    acquire = release = print
    __enter__ = functools.partial(signal.raise_signal, signal.SIGTERM)
    def __exit__(self, *error):
        print("given back")
try:
    with threading.Condition(Lock()):
        print("taken")
        time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
began = time.monotonic()
signal.setitimer(signal.ITIMER_REAL, 0.1)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
try:
    threading.Event().wait(5)
except KeyboardInterrupt:
    print(time.monotonic() - began < 2)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("taken\ngiven back\ninterrupted\nTrue\n", "")


def test_an_interruption_within_a_callback_comes_again() -> None:
    """As in a weak reference's, where Python prints the exception and goes on."""
    script = """
import os, signal, time, weakref
from ortist.signals import end_at_once, end_in_order
end_at_once()
end_in_order()
class One: pass
one = One()
kept = weakref.ref(one, lambda gone: os.kill(os.getpid(), signal.SIGTERM))
try:
    del one
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
