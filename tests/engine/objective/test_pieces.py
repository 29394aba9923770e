"""Tiles: they cover a picture once, and what each sees suffices."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from ortist.network.bundle import Tap
from ortist.objective.tiles import Span, plan_tiles

TAPS = [
    Tap(1, "conv1", 64, 2, 3, 0),
    Tap(3, "fire2", 128, 4, 15, -4),
    Tap(7, "fire5", 256, 8, 63, -24),
    Tap(12, "fire9", 512, 16, 223, -96),
]
SMALLEST = 9

plans = st.tuples(
    st.integers(SMALLEST, 700),
    st.integers(SMALLEST, 700),
    st.one_of(st.none(), st.integers(16, 400)),
    st.lists(st.sampled_from(TAPS), min_size=1, unique=True),
)


@given(plans)
def test_insides_cover_every_pixel_once(plan: tuple[int, int, int | None, list[Tap]]) -> None:
    height, width, side, taps = plan
    tiles = plan_tiles(height, width, side, taps, SMALLEST)
    if side is None:
        assert len(tiles) == 1
    seen: Counter[tuple[int, int]] = Counter()
    for tile in tiles:
        rows, columns = tile.inside
        seen.update((r, c) for r in (rows.start, rows.stop - 1) for c in (columns.start,))
        assert 0 < rows.stop - rows.start <= (side or height) + 16
        assert 0 < columns.stop - columns.start <= (side or width) + 16
        assert tile.seen[0].stop - tile.seen[0].start >= min(SMALLEST, height)
    area = sum((t.rows.end - t.rows.begin) * (t.columns.end - t.columns.begin) for t in tiles)
    assert area == height * width
    assert sorted({t.rows for t in tiles}, key=lambda s: s.begin)[-1].end == height


@given(plans)
def test_each_feature_is_counted_once_where_it_is_true(
    plan: tuple[int, int, int | None, list[Tap]],
) -> None:
    """And the gradient of a tile's own pixel sees only true features."""
    height, _, side, taps = plan
    spans: list[Span] = []
    for tile in plan_tiles(height, height, side, taps, SMALLEST):
        if tile.rows not in spans:
            spans.append(tile.rows)
    for tap in taps:
        expected = 0
        for span in spans:
            assert span.first % tap.stride == 0
            own = span.own(tap)
            assert own.start == expected
            local = span.own_of_seen(tap)
            assert local.start == own.start - span.first // tap.stride >= 0
            if own.stop is None:
                assert span is spans[-1]
                continue
            expected = own.stop
            needed = (own.stop - 1) * tap.stride + tap.receptive_start + tap.receptive_field
            assert span.last >= min(needed, span.length)
            begin = own.start * tap.stride + tap.receptive_start
            assert span.first <= max(0, begin)
        for span in spans:  # the features that see a pixel reach field - 1 to either side
            assert span.first <= max(0, span.begin - tap.receptive_field + 1)
            assert span.last >= min(span.length, span.end + tap.receptive_field - 1)
