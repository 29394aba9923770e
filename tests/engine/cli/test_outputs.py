"""No option writes over a file that the command reads, whatever that file is called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ortist_models import SHIPPED
from PIL import Image

from tests.conftest import Ortist, refused, small_pictures

SAID = "is a file that the run needs; name another to write."
QUICK = ("--size", "48", "--iterations", "1")


@pytest.fixture(autouse=True)
def _pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo, a style and a mask, and the style's other names."""
    monkeypatch.chdir(tmp_path)
    for name, pixels in zip(("photo.png", "style.png"), small_pictures(), strict=True):
        Image.fromarray(pixels).save(name)
    Image.new("L", (64, 48), 255).save("mask.png")
    os.link("style.png", "hard.png")
    os.symlink("style.png", "soft.png")
    os.mkdir("folder")
    shutil.copytree(SHIPPED / "squeezenet1_1-procedural", "model")
    Path("options.toml").write_text("seed = 1\n")


@pytest.mark.parametrize("name", ["style.png", "hard.png", "soft.png", "folder/../style.png"])
@pytest.mark.parametrize("option", ["-o", "--sheet", "--report", "--trace", "--checkpoint"])
def test_a_style_is_never_written_over(option: str, name: str, ortist: Ortist) -> None:
    refused(ortist, 2, SAID, "transfer", "photo.png", "style.png", "--json", option, name)


def test_nothing_else_that_is_read_is_written_over(ortist: Ortist) -> None:
    paint = ("transfer", "photo.png", "style.png", "--json")
    refused(ortist, 2, SAID, *paint, "--sheet", "photo.png")
    refused(ortist, 2, SAID, *paint, "--mask", "mask.png", "-", "-o", "mask.png")
    refused(ortist, 2, SAID, *paint, "--config", "options.toml", "--trace", "options.toml")
    refused(ortist, 2, SAID, *paint, "--model", "model", "--trace", "model/manifest.json")
    refused(ortist, 2, SAID, *paint, "--init", "mask.png", "-o", "mask.png")
    os.link("style.png", "out-0001.png")
    refused(ortist, 2, SAID, *paint, "-o", "out.png", "--snapshots", "1")
    refused(ortist, 2, SAID, "texture", "style.png", "-o", "hard.png")
    refused(ortist, 2, SAID, "invert", "photo.png", "--json", "--trace", "photo.png")
    os.link("style.png", "hard.ostyle")
    refused(ortist, 2, SAID, "style", "extract", "style.png", "-o", "hard.ostyle")
    os.mkdir("out")
    os.link("style.png", "out/photo-style.png")
    refused(ortist, 2, SAID, "batch", "photo.png", "--style", "style.png", "-o", "out")


def test_the_content_is_replaced_where_that_is_asked_for(ortist: Ortist) -> None:
    before = Path("photo.png").read_bytes()
    paint = ("transfer", "photo.png", "style.png", *QUICK, "-o", "photo.png")
    refused(ortist, 2, "'photo.png' is the content; name another file, or give --over", *paint)
    assert Path("photo.png").read_bytes() == before
    done = ortist(*paint, "--overwrite")
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open("photo.png") as image:
        assert np.asarray(image).shape == (48, 64, 3)
    assert Path("photo.png").read_bytes() != before
