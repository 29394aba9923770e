"""Windows: what they show, the gradient of that, and flat pictures, which stay so to the edge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ortist.arrays import Stored
from ortist.run.window import Folded, Shifted

from tests.conftest import kept

ALL = slice(None)


def parts(length: int) -> st.SearchStrategy[slice]:
    """Slices of at least one of so many places."""
    pairs = st.tuples(st.integers(0, length - 1), st.integers(1, length))
    return pairs.map(lambda pair: slice(min(pair), max(max(pair), min(pair) + 1)))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 12), st.integers(1, 12))
def test_a_window_repeats_edges_and_its_gradient_is_folded(
    data: st.DataObject, height: int, width: int
) -> None:
    """Also in parts, as files are read, and for windows that are moved past the picture."""
    down, right = data.draw(st.tuples(*[st.integers(-8, 8)] * 2))
    rng = np.random.default_rng(height * 13 + width)
    values = rng.integers(0, 99, (1, 3, height, width)).astype(np.float32)
    rows = (np.arange(height) + down).clip(0, height - 1)
    columns = (np.arange(width) + right).clip(0, width - 1)
    shifted = values[:, :, rows][..., columns]
    gradient = rng.integers(0, 99, values.shape).astype(np.float32)
    folded = np.zeros_like(values)
    for row in range(height):
        for column in range(width):
            folded[:, :, rows[row], columns[column]] += gradient[:, :, row, column]
    for key in ((..., ALL, ALL), (..., data.draw(parts(height)), data.draw(parts(width)))):
        np.testing.assert_array_equal(Shifted(values, down, right)[key], shifted[key])
        np.testing.assert_array_equal(Folded(gradient, down, right)[key], folded[key])


def test_arrays_in_files_are_seen_alike(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((1, 3, 20, 16), np.float32)
    stored = Stored(tmp_path, values.shape)
    stored[..., ALL, ALL] = values
    for kind in (Shifted, Folded):
        np.testing.assert_array_equal(
            kind(stored, -3, 4)[..., ALL, ALL], kind(values, -3, 4)[..., ALL, ALL]
        )


def deviation(pixels: NDArray[np.uint8], level: int) -> tuple[float, float, int]:
    """Mean deviation from a level in the outer four pixels and inside; the largest of all."""
    apart = np.abs(pixels.astype(int) - level)
    border = np.ones(apart.shape[:2], bool)
    border[4:-4, 4:-4] = False
    return float(apart[border].mean()), float(apart[~border].mean()), int(apart.max())


@pytest.mark.long
def test_flat_pictures_stay_flat_to_their_edges() -> None:
    flat = np.zeros((96, 96, 3), np.uint8)
    at_border, inside, largest = deviation(kept.texture(flat, size=96, iterations=300).pixels, 0)
    assert at_border < inside + 1
    assert largest < 12
    flat += 128
    pixels = kept.transfer(flat, flat, size=96, iterations=150).pixels
    at_border, inside, largest = deviation(pixels, 128)
    assert at_border < inside + 1.5
    assert largest < 16
