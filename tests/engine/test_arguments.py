"""What is handed to the library and is of the wrong kind: an error that names the argument."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from ortist.errors import OptionError, PictureError
from ortist.network.sessions import available_cpus
from PIL import Image

from tests.conftest import small_pictures

CONTENT, STYLE = small_pictures()
ANY: Any = 5
NONE: Any = None
QUICK: dict[str, Any] = {"size": 48, "iterations": 1}


def cut_off() -> Image.Image:
    """A picture whose file, cut short, was opened and not decoded yet."""
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    return Image.open(io.BytesIO(stream.getvalue()[:3000]))


@pytest.mark.parametrize(
    "picture",
    [
        lambda: np.zeros((0, 5, 3), np.uint8),
        lambda: np.zeros((5, 0), np.float32),
        lambda: Image.new("RGB", (0, 5)),
        lambda: Image.new("L", (5, 0)),
        cut_off,
    ],
)
def test_pictures_of_nothing_are_picture_errors(picture: Callable[[], Any]) -> None:
    for given in ((picture(), STYLE), (CONTENT, picture())):
        with pytest.raises(PictureError, match="image"):
            ortist.transfer(*given, **QUICK)
    with pytest.raises(PictureError, match="init image"):
        ortist.transfer(CONTENT, STYLE, init=picture(), **QUICK)
    with pytest.raises(PictureError, match="mask"):
        ortist.transfer(CONTENT, STYLE, masks=[(picture(), None)], **QUICK)


def test_the_argument_is_named() -> None:
    with pytest.raises(OptionError, match=r"executor should be .* not 5"):
        ortist.transfer(CONTENT, STYLE, executor=ANY, **QUICK)
    with pytest.raises(OptionError, match="on_progress should be a function, not 5"):
        ortist.transfer(CONTENT, STYLE, on_progress=ANY, **QUICK)
    with pytest.raises(OptionError, match="there is no provider None"):
        ortist.Engine(provider=NONE)
    with pytest.raises(OptionError, match="pictures should be paths, one or several, not 5"):
        ortist.batch(ANY, ["style.png"], "out")
    with pytest.raises(OptionError, match="a picture should be a path, not 5"):
        ortist.batch([ANY], ["style.png"], "out")
    run = ortist.iterate(CONTENT, STYLE, **QUICK)
    next(run)
    for call in (run.save_checkpoint, run.resume, run.result().save):
        with pytest.raises(OptionError, match="path should be a path, not None"):
            call(NONE)


def test_processes_that_cannot_be_started_are_told_why(tmp_path: Path) -> None:
    for name, pixels in (("photo.png", CONTENT), ("style.png", STYLE)):
        Image.fromarray(pixels).save(tmp_path / name)
    call = 'ortist.batch("photo.png", "style.png", "out", jobs=2, threads=2, size=48)\n'
    code = "import multiprocessing, ortist\n"
    if available_cpus() < 2:
        pytest.skip("one CPU")
    daemonic = code + "multiprocessing.current_process()._config['daemon'] = True\n" + call
    for program, said in ((code + call, "comes from <stdin>"), (daemonic, "is daemonic")):
        done = subprocess.run(
            [sys.executable, "-"], input=program, capture_output=True, text=True, cwd=tmp_path
        )
        assert said in done.stderr
