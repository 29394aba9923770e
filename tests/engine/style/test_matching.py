"""Which places match: all with all, around coarser matches, within regions, by any threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ortist.network.arithmetic import Arithmetic
from ortist.style.descriptors import Described
from ortist.style.matching import Matches, Pool, assign, enlarge, hold, refine, spread

ARITHMETIC = Arithmetic(1)
Array = NDArray[np.float32]


def places(shape: tuple[int, int], seed: int = 0, dimensions: int = 8) -> Array:
    """Descriptors of length 1, unlike each other."""
    values = np.random.default_rng(seed).standard_normal((*shape, dimensions), np.float32)
    return np.asarray(values / np.linalg.norm(values, axis=2, keepdims=True), np.float32)


def pool_of(*styles: Array) -> Pool:
    return Pool.of(styles, [[np.ones(style.shape[:2], np.float32) for style in styles]])


def everywhere(shape: tuple[int, int]) -> NDArray[np.int32]:
    return np.zeros(shape, np.int32)


def scores(matches: Matches, queries: Array, pool: Pool) -> Array:
    return np.asarray((queries * pool.descriptors[matches.row, matches.column]).sum(2))


def test_a_picture_matches_itself_place_by_place() -> None:
    own = places((6, 9))
    matches = assign(own, everywhere((6, 9)), pool_of(own), ARITHMETIC)
    np.testing.assert_array_equal(matches.row, np.arange(6)[:, None].repeat(9, 1))
    np.testing.assert_array_equal(matches.column, np.arange(9)[None].repeat(6, 0))


def test_coverage_makes_more_of_the_style_be_used() -> None:
    asked, style = places((20, 20), 1, 3), places((10, 10), 2, 3)
    used = [
        len(set(zip(found.row.flat, found.column.flat, strict=True)))
        for strength in (0.0, 1.0)
        for found in [assign(asked, everywhere((20, 20)), pool_of(style), ARITHMETIC, strength)]
    ]
    assert used[1] > used[0]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99)
)
def test_no_region_takes_what_is_not_its_own(h: int, w: int, sh: int, sw: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    styles = [places((sh, sw), seed), places((sw, sh), seed + 1)]
    weights = [
        [rng.integers(0, 2, style.shape[:2]).astype(np.float32) for style in styles]
        for _ in range(3)
    ]
    pool = Pool.of(styles, weights)
    regions = rng.integers(0, 3, (h, w)).astype(np.int32)
    queries = places((h, w), seed + 2)
    matches = assign(queries, regions, pool, ARITHMETIC)
    described = Described(queries, rng.random((h, w), np.float32))
    matches = spread(matches, described, regions, pool)
    assert (pool.shares[regions, matches.row, matches.column] > 0).all()
    matches = refine(matches, described, regions, pool, 2, 1)
    assert (pool.shares[regions, matches.row, matches.column] > 0).all()
    larger = Pool.of(
        [places((2 * sh, 3 * sw)), places((2 * sw, 3 * sh))],
        [[np.ones((2 * sh, 3 * sw), np.float32), np.ones((2 * sw, 3 * sh), np.float32)]] * 3,
    )
    taken = enlarge(matches, pool, (2 * h + 1, 2 * w), larger)
    assert (larger.top[taken.row] <= taken.row).all()
    assert (taken.row < larger.bottom[taken.row]).all()
    assert (taken.column < larger.width[taken.row]).all()
    # A place of the first style stays one of the first style.
    first = matches.row < sh
    np.testing.assert_array_equal((taken.row < 2 * sh)[1:-1:2, ::2], first[:, :][:h])


def test_refining_finds_what_is_more_alike() -> None:
    queries, pool = places((12, 17), 3), pool_of(places((15, 11), 4))
    row, column = (np.full((12, 17), 5, np.int32) for _ in range(2))
    before = Matches(row, column, np.zeros(pool.shares.shape, np.float32))
    described = Described(queries, np.full((12, 17), 1e6, np.float32))  # coherence counts nothing
    after = refine(before, described, everywhere((12, 17)), pool, 3, 1)
    assert (scores(after, queries, pool) >= scores(before, queries, pool)).all()
    assert scores(after, queries, pool).mean() > scores(before, queries, pool).mean() + 0.2


def test_flat_places_follow_their_neighbours() -> None:
    """Of places that are all alike, the one beside the neighbour's match is taken."""
    style = np.ones((9, 9, 1), np.float32)
    row, column = (np.full((5, 5), 4, np.int32) for _ in range(2))
    row += np.arange(-2, 3, dtype=np.int32)[:, None]
    column += np.arange(-2, 3, dtype=np.int32)[None]
    wrong = row.copy()
    wrong[2, 2] = 0
    pool = pool_of(style)
    before = Matches(wrong, column, np.zeros(pool.shares.shape, np.float32))
    queries = Described(np.ones((5, 5, 1), np.float32), np.zeros((5, 5), np.float32))
    after = refine(before, queries, everywhere((5, 5)), pool, 1, 1)
    np.testing.assert_array_equal(after.row, row)


def agreeing(matches: Matches) -> float:
    """The share of neighbours that are matched with neighbours."""
    down = (np.diff(matches.row, axis=0) == 1) & (np.diff(matches.column, axis=0) == 0)
    right = (np.diff(matches.row, axis=1) == 0) & (np.diff(matches.column, axis=1) == 1)
    return float(np.concatenate([down.ravel(), right.ravel()]).mean())


def test_a_flat_place_goes_on_with_a_stroke_instead_of_repeating_it() -> None:
    style = places((20, 20), 8, 12) + 3 * np.ones(12, np.float32)  # all are nearly alike
    style /= np.linalg.norm(style, axis=2, keepdims=True)
    flat = np.broadcast_to(style[7, 5], (16, 20, 12)).astype(np.float32)
    queries, pool = Described(flat, np.zeros((16, 20), np.float32)), pool_of(style)
    regions = everywhere((16, 20))
    start = assign(flat, regions, pool, ARITHMETIC)
    assert agreeing(start) == 0  # one patch over and over
    refined = refine(start, queries, regions, pool, 2, 1)
    assert agreeing(refined) < 0.2
    assert agreeing(spread(start, queries, regions, pool)) > 0.5


def test_spreading_keeps_what_is_there_to_be_seen() -> None:
    own = places((12, 17), 9)
    queries, pool = Described(own, np.full((12, 17), 2, np.float32)), pool_of(own)
    start = assign(own, everywhere((12, 17)), pool, ARITHMETIC, 0.0)
    after = spread(start, queries, everywhere((12, 17)), pool)
    np.testing.assert_array_equal(after.row, start.row)
    np.testing.assert_array_equal(after.column, start.column)


@pytest.mark.parametrize("threads", [2, 5])
def test_any_number_of_threads_finds_the_same(threads: int) -> None:
    queries, pool = places((50, 30), 5), pool_of(places((20, 20), 6), places((9, 31), 7))
    regions = everywhere((50, 30))
    start = assign(queries, regions, pool, ARITHMETIC)
    described = Described(queries, np.ones((50, 30), np.float32))
    one, more = (refine(start, described, regions, pool, 2, n) for n in (1, threads))
    np.testing.assert_array_equal(one.row, more.row)
    np.testing.assert_array_equal(one.column, more.column)


@pytest.mark.parametrize("threads", [1, 3])
def test_matches_are_held_until_another_is_clearly_better(threads: int) -> None:
    own = places((12, 9), dimensions=6)
    pool, regions = pool_of(own), everywhere((12, 9))
    after = assign(own, regions, pool, ARITHMETIC, 0)  # each place itself
    near = own.copy()
    near[3, 4] = own[8, 8] + np.float32(0.05) * own[3, 4]  # hardly better where it is now
    near[3, 4] /= np.linalg.norm(near[3, 4])
    rows, columns = after.row.copy(), after.column.copy()
    rows[3, 4], columns[3, 4] = 8, 8
    rows[6, 2], columns[6, 2] = 0, 0  # which is not like it at all
    before = Matches(rows, columns, after.bias)
    seen = Described(near, np.full((12, 9), 1e6, np.float32))  # so much contrast: likeness alone
    held = hold(before, after, seen, regions, pool, threads)
    assert (held.row[3, 4], held.column[3, 4]) == (8, 8)
    assert (held.row[6, 2], held.column[6, 2]) == (6, 2)
    rest = np.ones((12, 9), bool)
    rest[3, 4] = rest[6, 2] = False
    np.testing.assert_array_equal(held.row[rest], after.row[rest])
    same = hold(after, after, seen, regions, pool, threads)
    np.testing.assert_array_equal(same.column, after.column)
