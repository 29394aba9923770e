"""Built-in styles: their names, what goes before them, and the program that draws them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.errors import PictureError
from ortist.options.fields import Options
from ortist.pictures.raster import Raster
from ortist.style.named import BUILT_IN, built_in, opened, shadow_note
from PIL import Image

from tests.conftest import ROOT, SAMPLES, kept

QUICK: dict[str, Any] = {"size": 48, "smallest_size": 32, "iterations": 4}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pixels(path: Path) -> NDArray[np.float32]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float32)


def test_they_are_small_and_all_there() -> None:
    paths = [style.path for style in BUILT_IN.values()]
    assert 8 <= len(paths) <= 12
    assert sorted(paths) == sorted(paths[0].parent.iterdir())
    assert sum(path.stat().st_size for path in paths) < 1_000_000
    assert list(BUILT_IN) == sorted(BUILT_IN)
    for style in BUILT_IN.values():
        assert pixels(style.path).shape == (480, 640, 3)
        assert 20 < len(style.description) < 70


def test_they_differ_in_colour_and_in_form() -> None:
    """No two have colours, or edges by direction, that are nearly the same."""
    told = {}
    for style in BUILT_IN.values():
        values = pixels(style.path)
        down, right = np.gradient(values.mean(2))
        told[style.name] = np.concatenate(
            [
                np.quantile(values, np.linspace(0.05, 0.95, 7), (0, 1)).ravel(),
                4 * np.quantile(np.hypot(down, right), np.linspace(0.1, 0.9, 7)),
            ]
        )
    for one, own in told.items():
        for other, others in told.items():
            assert one == other or np.abs(own - others).mean() > 8, (one, other)


@pytest.mark.long
def test_the_program_draws_what_is_shipped(tmp_path: Path) -> None:
    """To a mean of 1.5 of 255 levels: NumPy's and Pillow's roundings move single points."""
    command = [sys.executable, str(SAMPLES / "styles.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.stem for path in tmp_path.iterdir()) == list(BUILT_IN)
    for style in BUILT_IN.values():
        apart = np.abs(pixels(tmp_path / style.path.name) - pixels(style.path)).mean()
        assert apart < 1.5, style.name


def test_a_name_stands_for_its_picture() -> None:
    oil = BUILT_IN["oil"]
    assert built_in("oil") == oil
    picture = opened("oil")
    assert isinstance(picture, Raster)
    assert picture.source is not None
    assert (picture.source.path, picture.source.sha256) == ("oil", oil.sha256)
    named = kept.transfer(SAMPLES / "pencil.jpg", "oil", **QUICK)
    by_path = kept.transfer(SAMPLES / "pencil.jpg", oil.path, **QUICK)
    assert np.array_equal(named.pixels, by_path.pixels)
    both = kept.transfer(SAMPLES / "pencil.jpg", ["oil", "ink"], **QUICK)
    assert not np.array_equal(both.pixels, named.pixels)


@pytest.mark.parametrize("path", ["./oil", "oil.jpg", "", os.path.join("a", "oil")])
def test_paths_are_no_names(path: str) -> None:
    assert built_in(path) is None
    assert opened(path) == path


def test_what_is_no_text_is_no_name() -> None:
    for style in (Path("oil"), None, np.zeros((8, 8)), 3):
        assert built_in(style) is None


def test_a_file_of_that_name_goes_first_and_a_folder_does_not(tmp_path: Path) -> None:
    (tmp_path / "ink").mkdir()
    assert built_in("ink") == BUILT_IN["ink"]
    (tmp_path / "oil").write_bytes((SAMPLES / "shards.jpg").read_bytes())
    assert built_in("oil") is None
    run = kept.iterate(SAMPLES / "pencil.jpg", "oil", **QUICK)
    assert run.notes == [
        "the style is the file 'oil' here, not the built-in style of that name; rename the file to "
        "have that."
    ]
    assert shadow_note("oil", BUILT_IN["oil"].sha256) is None
    assert shadow_note("other", "") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("oli", "perhaps oil is meant"),
        ("watercolor", "perhaps watercolour is meant"),
        ("Mosaik", "perhaps mosaic is meant"),
        ("xyzzy", "name a file"),
    ],
)
def test_an_unknown_name_gets_those_close_to_it(name: str, said: str) -> None:
    with pytest.raises(PictureError, match=re.escape(said)) as caught:
        kept.transfer(SAMPLES / "pencil.jpg", name, **QUICK)
    message = str(caught.value)
    assert message.startswith(f"the style image {name!r} does not exist, and no built-in style")
    assert message.count(". ") == 0


def test_style_files_and_videos_take_names() -> None:
    extracted = ortist.extract_style("ink", **QUICK)
    assert [painting.name for painting in extracted.paintings] == ["ink"]
    frame = np.asarray(Image.open(SAMPLES / "pencil.jpg").convert("RGB").resize((64, 48)))
    painter = ortist.Painter("comic", Options.of(None, **QUICK))
    assert painter(frame).pixels.shape == (48, 64, 3)


def test_the_page_lists_them() -> None:
    page = (ROOT / "docs" / "styles.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.M)
    listed = {name: text for name, text in rows if name in BUILT_IN}
    assert listed == {style.name: style.description for style in BUILT_IN.values()}
