"""Patches laid where they match: a picture of its own patches is itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ortist.network.bundle import Model
from ortist.style.descriptors import Grid
from ortist.style.matching import Matches, Pool
from ortist.style.patchwork import Canvas, Patchwork

Array = NDArray[np.float32]


def own_patches(picture: Array, grid: Grid, seed: int = 0) -> Patchwork:
    """``picture`` as the only style, each place matched with itself."""
    shape = grid.shape
    pool = Pool.of([np.zeros((*shape, 1), np.float32)], [[np.ones(shape, np.float32)]])
    row, column = (part.astype(np.int32) for part in np.indices(shape))
    matches = Matches(row, column, np.zeros((1, *shape), np.float32))
    return Patchwork(matches, pool, Canvas.of([picture], grid.stride), grid, seed)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([2, 4, 8]), st.integers(0, 9))
def test_its_own_patches_make_the_picture(h: int, w: int, stride: int, seed: int) -> None:
    picture = np.random.default_rng(seed).random((h, w, 3), np.float32)
    grid = Grid(stride, stride - 1, (-(-h // stride), -(-w // stride)))
    laid = own_patches(picture, grid, seed).rows(slice(0, h), w)
    np.testing.assert_allclose(laid[0], picture.transpose(2, 0, 1), atol=1e-5)


def test_rows_are_the_same_bytes_however_they_are_cut() -> None:
    rng = np.random.default_rng(1)
    picture, grid = rng.random((90, 70, 3), np.float32), Grid(4, 3, (23, 18))
    pool = Pool.of([np.zeros((23, 18, 1), np.float32)], [[np.ones((23, 18), np.float32)]])
    row, column = (rng.integers(0, n, (23, 18)).astype(np.int32) for n in (23, 18))
    matches = Matches(row, column, np.zeros((1, 23, 18), np.float32))
    work = Patchwork(matches, pool, Canvas.of([picture], 4), grid, 0)
    whole = work.rows(slice(0, 90), 70)
    for cut in (1, 7, 40):
        parts = [work.rows(slice(t, min(90, t + cut)), 70) for t in range(0, 90, cut)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=2), whole)


@pytest.mark.parametrize(("height", "width"), [(64, 80), (61, 83)])
def test_places_are_where_the_features_are(procedural: Model, height: int, width: int) -> None:
    taps = [tap for tap in procedural.taps if tap.index in (1, 3, 6)]
    grid = Grid.of(taps, height, width)
    assert (grid.stride, grid.first) == (4, 3)
    assert grid.shape == (-(-height // 4), -(-width // 4))
    assert grid.centres(0)[-1] < height + 4
