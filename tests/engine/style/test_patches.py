"""Paintings in style files: they come back bit for bit, and a run matches them as it does files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.errors import StyleFileError
from ortist.pictures.raster import Raster
from ortist.style.files import has_patches
from ortist.style.patches import Patches, patches_of, read_patches, sizes_of

from tests.conftest import kept, small_pictures

CONTENT, STYLE = small_pictures()


def picture(width: int, height: int, bits: int, alpha: bool, seed: int = 0) -> Raster:
    """One with levels from a hat."""
    generator = np.random.default_rng(seed)
    kind = np.dtype(f"u{bits // 8}")
    levels = generator.integers(0, 2**bits, (height, width, 4), kind)
    return Raster(levels[..., :3], levels[..., 3] if alpha else None)


def same(one: Raster, other: Raster) -> None:
    assert one.pixels.dtype == other.pixels.dtype
    np.testing.assert_array_equal(one.pixels, other.pixels)
    assert (one.alpha is None) == (other.alpha is None)
    if one.alpha is not None:
        np.testing.assert_array_equal(one.alpha, other.alpha)


kinds = st.tuples(
    st.integers(1, 9), st.integers(1, 9), st.sampled_from([8, 16]), st.booleans(), st.integers(0, 9)
)


@settings(max_examples=50, deadline=None)
@given(st.lists(kinds, min_size=1, max_size=3))
def test_pictures_come_back_bit_for_bit(given_kinds: list[tuple[Any, ...]]) -> None:
    parts = [patches_of(picture(*kind), float(i)) for i, kind in enumerate(given_kinds)]
    headers, data = [part.header for part in parts], b"".join(part.data for part in parts)
    assert sum(sizes_of(headers)) == len(data)
    for part, read in zip(parts, read_patches(headers, data), strict=True):
        assert part.weight == read.weight
        same(part.picture, read.picture)


def test_a_very_large_painting_is_reduced() -> None:
    flat = Raster(np.full((2100, 4200, 3), 77, np.uint8), np.full((2100, 4200), 200, np.uint8))
    reduced = patches_of(flat, 1.0).picture
    width, height = reduced.size
    assert 3_900_000 < width * height <= 4_000_000
    assert abs(width / height - 2) < 0.01
    assert (reduced.pixels == 77).all()
    assert (reduced.alpha == 200).all()


@pytest.mark.parametrize(
    "header",
    [
        [1.0, 0, 4, 8, False],
        [1.0, 4, 10**9, 8, False],
        [1.0, 4, True, 8, False],
        [1.0, 4, 4, 12, False],
        [1.0, 4, 4, 8, 1],
        [-1.0, 4, 4, 8, False],
        [float("nan"), 4, 4, 8, False],
        ["1", 4, 4, 8, False],
        [1.0, 4, 4, 8],
        [],
        5,
    ],
)
def test_what_is_no_picture_is_refused(header: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        sizes_of([header])
    with pytest.raises(ValueError, match="1001 paintings"):
        sizes_of([[1.0, 1, 1, 8, False]] * 1001)


def test_a_style_file_is_matched_as_its_painting_is(tmp_path: Path) -> None:
    path = tmp_path / "style.ostyle"
    ortist.extract_style(STYLE, size=48).save(path)
    assert has_patches(path)
    by_painting = kept.transfer(CONTENT, STYLE, size=48, iterations=2)
    by_file = kept.transfer(CONTENT, path, size=48, iterations=2)
    assert by_file.options.quality == by_painting.options.quality == "standard"
    np.testing.assert_array_equal(by_file.pixels, by_painting.pixels)


def test_blended_paintings_are_matched_with_their_weights(tmp_path: Path) -> None:
    other = np.rot90(STYLE).copy()
    weights = (3.0, 1.0)
    style = ortist.extract_style([STYLE, other], size=48, style_weights=weights)
    assert [part.weight for part in style.patches] == [3.0, 1.0]
    by_paintings = kept.transfer(
        CONTENT, [STYLE, other], size=48, quality="draft", style_weights=weights
    )
    by_file = kept.transfer(CONTENT, style, size=48, quality="draft")
    np.testing.assert_array_equal(by_file.pixels, by_paintings.pixels)
    again = ortist.extract_style([style, STYLE], size=48)
    assert [part.weight for part in again.patches] == [0.75, 0.25, 1.0]


def test_a_file_of_format_1_is_painted_with_and_says_that_it_is_not_matched(tmp_path: Path) -> None:
    path = tmp_path / "old.ostyle"
    old = dataclasses.replace(ortist.extract_style(STYLE, size=48), patches=())
    old.save(path)
    assert path.read_bytes().startswith(b"ortist style 1\n")
    assert not has_patches(path)
    assert not has_patches(old)
    run = kept.iterate(CONTENT, [path, STYLE], size=48, iterations=1)
    assert run.options.quality == "paper"
    (said,) = [note for note in run.notes if "patches" in note]
    assert str(path) in said
    assert said.endswith("extract the style again.")
    with pytest.raises(ortist.OptionError, match="holds no patches to match; extract it again"):
        kept.transfer(CONTENT, path, size=48, quality="draft")


def test_a_number_of_format_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "style.ostyle"
    ortist.extract_style(STYLE, size=48).save(path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"ortist style 2\n", b"ortist style 1\n", 1))
    with pytest.raises(StyleFileError, match="paintings are what format 2 has"):
        ortist.read_style(path)


def test_patches_know_their_header() -> None:
    part = Patches(2.0, picture(3, 2, 16, True))
    assert part.header == (2.0, 3, 2, 16, True)
    assert len(part.data) == 3 * 2 * 4 * 2
