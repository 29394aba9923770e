"""``--init``, on the command line: any start, recorded, repeated, and gone on with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Ortist, refused

QUICK = ("--size", 48, "--iterations", 6)


@pytest.fixture(autouse=True)
def _folder(
    content_file: Path, style_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder, with copies that a test may change."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(content_file, "photo.jpg")
    shutil.copy(style_file, "style.jpg")
    with Image.open("style.jpg") as image:
        image.rotate(90).resize((50, 50)).save("start.png")


def test_any_start_repeats_itself(ortist: Ortist) -> None:
    paint = ("transfer", "photo.jpg", "style.jpg", "-o", "out.png", "--init-noise", 0.2, *QUICK)
    seen = set()
    for init in ("start.png", "style", "gray"):
        done = ortist(*paint, "--init", init, "--snapshots", 0)
        assert (done.returncode, done.stderr) == (0, "")
        done = ortist("transfer", "--from", "out.png", "-o", "again.png")
        assert (done.returncode, done.stderr) == (0, "")
        assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
        seen.add(Path("out-0000.png").read_bytes())
    assert len(seen) == 3
    done = ortist(*paint, "--init", "start.png")
    done = ortist("transfer", "--from", "out.png", "--print-config")
    assert 'init = "start.png"\n' in done.stdout
    Path("c.toml").write_text(done.stdout)
    done = ortist("transfer", "photo.jpg", "style.jpg", "--config", "c.toml", "-o", "again.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    done = ortist("transfer", "--from", "out.png", "--init", "gray", "-o", "again.png")
    assert (done.returncode, done.stderr) == (0, "")
    shutil.copy("style.jpg", "start.png")
    said = "the init image 'start.png' has changed since 'out.png' was made"
    refused(ortist, 3, said, "transfer", "--from", "out.png", "-o", "x.png")


def test_batches_know_the_start_by_its_hash(ortist: Ortist) -> None:
    words = ("batch", "photo.jpg", "--style", "style.jpg", "-o", "out", "--init", "start.png")
    done = ortist(*words, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    done = ortist(
        "transfer", "photo.jpg", "style.jpg", "--init", "start.png", "-o", "a.png", *QUICK
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open("a.png") as one, Image.open("out/photo-style.png") as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    os.rename("start.png", "moved.png")
    moved = (*words[:-1], "moved.png", *QUICK)
    assert "1 kept" in ortist(*moved).stderr
    shutil.copy("photo.jpg", "moved.png")
    done = ortist(*moved)
    assert (done.returncode, done.stderr) == (0, "")
    shutil.copytree("out", "old")
    refused(ortist, 3, "no init 'start.png'", *words, *QUICK)
    replaced = (*words[:-1], "old/photo-style.png", *QUICK)
    said = "is a file that the run needs"
    refused(ortist, 2, said, *(word if word != "out" else "old" for word in replaced))


def test_what_is_off_is_one_sentence(ortist: Ortist) -> None:
    paint = ("transfer", "photo.jpg", "style.jpg", "-o", "x.png", *QUICK, "--init")
    said = "there is no init 'nosie'; give content, noise, gray, style or the path of a picture."
    refused(ortist, 3, said, *paint, "nosie")
    refused(ortist, 2, "there is no init ''", *paint, "")
    refused(ortist, 2, "init 'image' stands for a picture, and none was given", *paint, "image")
    refused(ortist, 3, "the init image '.' is not a regular file", *paint, ".")
    refused(ortist, 2, "init_noise 2.0 is out of range", *paint, "gray", "--init-noise", 2)
    refused(ortist, 2, "should be a number, not 'x'", *paint, "gray", "--init-noise", "x")
    refused(ortist, 2, "no style to start", "invert", "photo.jpg", "-o", "x.png", "--init", "style")
    refused(
        *(ortist, 2, "no content image to start from"),
        *("texture", "style.jpg", "-o", "x.png", "--init", "content"),
    )
    checkpoint = ("--checkpoint", "start.png")
    refused(ortist, 2, "is a file that the run needs", *paint, "start.png", *checkpoint)
