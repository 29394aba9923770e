"""Masks and guides: a mask at each tap lies where the features look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ortist.errors import PictureError
from ortist.network.bundle import Model, Tap
from ortist.style.guides import Guides, load_mask, mask_values
from PIL import Image

TAPS = [
    Tap(1, "conv1", 64, 2, 3, 0, ((3, 2, 0, False),)),
    Tap(4, "fire3", 128, 4, 23, -8, ()),
    Tap(7, "fire5", 256, 8, 63, -24, ()),
]


@pytest.mark.parametrize("tap", TAPS, ids=lambda tap: tap.name)
def test_a_white_mask_is_exactly_one(tap: Tap) -> None:
    guides = Guides(np.ones((2, 61, 75), np.float32))
    np.testing.assert_array_equal(guides.over(tap, slice(0, 7), slice(0, 9)), 1)


@given(
    tap=st.sampled_from(TAPS),
    height=st.integers(9, 40),
    width=st.integers(9, 40),
    first=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_cells_are_means_around_the_middle_of_what_a_feature_sees(
    tap: Tap, height: int, width: int, first: int, seed: int
) -> None:
    """Against a picture enlarged twice, on which cells have whole pixels."""
    mask = np.random.default_rng(seed).random((1, height, width), np.float32)
    guide = Guides(mask).over(tap, slice(first, first + 3), slice(0, 4))[0]
    margin = 100
    double = np.pad(mask[0], margin, mode="edge").repeat(2, 0).repeat(2, 1)
    middle = 2 * tap.receptive_start + tap.receptive_field  # of feature 0, in half pixels
    for i in range(3):
        for j in range(4):
            down, right = (
                2 * margin + middle + 2 * tap.stride * k - tap.stride for k in (first + i, j)
            )
            cell = double[down : down + 2 * tap.stride, right : right + 2 * tap.stride]
            assert guide[i, j] == pytest.approx(cell.mean(), abs=1e-5)


def test_a_guide_moves_with_its_mask(procedural: Model) -> None:
    """Shifted by its stride, the mask's guide is shifted by one position."""
    mask = np.zeros((1, 96, 96), np.float32)
    mask[:, 40:60, 30:71] = 1
    for tap in procedural.taps:
        s = tap.stride
        moved = np.roll(mask, (s, s), (1, 2))
        here = Guides(mask).over(tap, slice(0, 9), slice(0, 9))
        there = Guides(moved).over(tap, slice(1, 10), slice(1, 10))
        np.testing.assert_allclose(there, here, atol=1e-6)


def test_masks_are_gray_and_resized_by_area() -> None:
    pixels = np.zeros((300, 400), np.uint8)
    pixels[150, 200] = 255
    mask = load_mask(pixels, (800, 600), 10**6, "content mask")
    values = mask_values(mask, (40, 30))
    assert values.shape == (30, 40)
    assert values.min() == 0
    assert values.sum() == pytest.approx(0.01, rel=0.1)  # one pixel of a hundred
    half = mask_values(Image.new("L", (40, 30), 128), (400, 300))
    np.testing.assert_allclose(half, 128 / 255, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_clear_in_a_mask_does_not_count(dtype: Any) -> None:
    """A mask painted in white on a clear layer is the one painted on black."""
    levels = np.linspace(0, 255, 256).astype(np.uint8)
    top = int(np.iinfo(dtype).max)
    layer: Any = np.full((64, 256, 4), top, dtype)
    layer[..., 3] = levels.astype(dtype) * (top // 255)
    loaded = np.asarray(load_mask(layer, (256, 64), 10**6, "content mask"))
    np.testing.assert_array_equal(loaded, np.tile(levels, (64, 1)))
    layer[..., :3] = 0
    with pytest.raises(PictureError, match="is all black; paint white"):
        load_mask(layer, (256, 64), 10**6, "content mask")


def test_a_mask_may_be_an_array_of_bool() -> None:
    loaded = load_mask(np.eye(32, dtype=bool), (32, 32), 10**6, "content mask")
    np.testing.assert_array_equal(np.asarray(loaded), 255 * np.eye(32))


def test_masks_that_do_not_fit_are_refused() -> None:
    wide = np.full((100, 300), 255, np.uint8)
    with pytest.raises(PictureError, match="300 x 100 pixels, its picture 400 x 300; draw"):
        load_mask(wide, (400, 300), 10**6, "content mask")
    with pytest.raises(PictureError, match="the style mask is all black; paint white"):
        load_mask(np.zeros((30, 40), np.uint8), (400, 300), 10**6, "style mask")
    load_mask(np.full((300, 401), 255, np.uint8), (400, 300), 10**6, "content mask")
