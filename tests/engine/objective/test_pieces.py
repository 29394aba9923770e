"""Pieces: they cover a picture once, and what each sees suffices."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ortist.network.bundle import Model, Tap
from ortist.objective.pieces import Span, Tile, plan_tiles

FIRST, POOL, FLAT = (3, 2, 0, False), (3, 2, 0, True), (1, 1, 0, False)
TAPS = [
    Tap(1, "conv1", 64, 2, 3, 0, (FIRST,)),
    Tap(3, "fire2", 128, 4, 15, -4, (FIRST, POOL, FLAT)),
    Tap(7, "fire5", 256, 8, 63, -24, (FIRST, POOL, FLAT, POOL, FLAT)),
    Tap(12, "fire9", 512, 16, 223, -96, (FIRST, POOL, FLAT, POOL, FLAT, POOL, FLAT)),
]
SMALLEST = 9


@dataclass(frozen=True)
class Plan:
    height: int
    width: int
    side: int | None
    taps: list[Tap]
    wraps: tuple[bool, bool]
    observing: bool

    def tiles(self) -> list[Tile]:
        return plan_tiles(
            *(self.height, self.width, self.side, self.taps, SMALLEST, self.wraps, self.observing)
        )

    def rows(self) -> list[Span]:
        return sorted({tile.rows for tile in self.tiles()}, key=lambda span: span.begin)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    taps = draw(st.lists(st.sampled_from(TAPS), min_size=1, unique=True))
    height, width = (draw(st.integers(SMALLEST, 700)) for _ in range(2))
    wraps, observing = (draw(st.booleans()), draw(st.booleans())), draw(st.booleans())
    stride = max(tap.stride for tap in taps)
    # One that wraps has sides that are multiples of the strides, unless it is only looked at.
    height, width = (
        max(stride, length // stride * stride) if around and not observing else length
        for length, around in zip((height, width), wraps, strict=True)
    )
    side = draw(st.one_of(st.none(), st.integers(16, 400)))
    return Plan(height, width, side, taps, wraps, observing)


SEES_ALL = Plan(72, 88, 40, TAPS[:3], (False, False), False)
"""Every tile's halo reaches all borders."""


@given(plans())
@example(SEES_ALL)
def test_insides_cover_every_pixel_once(plan: Plan) -> None:
    height, width, side = plan.height, plan.width, plan.side
    tiles = plan.tiles()
    if side is None:
        assert len(tiles) == 1
    seen: Counter[tuple[int, int]] = Counter()
    for tile in tiles:
        rows, columns = tile.inside
        seen.update((r, c) for r in (rows.start, rows.stop - 1) for c in (columns.start,))
        assert rows.stop > rows.start
        assert columns.stop > columns.start
        for axis, length, around in zip(tile.seen, (height, width), plan.wraps, strict=True):
            assert around or (axis.start >= 0 and axis.stop <= length)
    area = sum((t.rows.end - t.rows.begin) * (t.columns.end - t.columns.begin) for t in tiles)
    assert area == height * width
    assert plan.rows()[-1].end == height


@given(plans())
@example(SEES_ALL)
def test_all_tiles_see_as_much_and_no_more_than_they_need(plan: Plan) -> None:
    """So that the arrays of one serve all."""
    sizes = {tuple(axis.stop - axis.start for axis in tile.seen) for tile in plan.tiles()}
    assert len(sizes) == 1
    stride = max(tap.stride for tap in plan.taps)
    halo = max(2 * (tap.receptive_field - 1) for tap in plan.taps)
    for seen, length in zip(*sizes, (plan.height, plan.width), strict=True):
        assert seen >= min(SMALLEST, length)
        side = (plan.side or length) * 17 / 16
        assert seen <= max(side + halo, SMALLEST) + 3 * stride


@given(plans())
@example(SEES_ALL)
def test_a_tile_is_the_whole_where_it_is_the_only_one_and_has_no_halo(plan: Plan) -> None:
    tiles = plan.tiles()
    for tile in tiles:
        everything = (slice(0, plan.height), slice(0, plan.width))
        assert tile.whole == (tile.inside == tile.seen == everything)
        assert not tile.whole or len(tiles) == 1


@given(plans())
@example(SEES_ALL)
def test_each_feature_is_counted_once_where_it_is_true(plan: Plan) -> None:
    """And the gradient of a tile's own pixel sees only true features."""
    spans, around = plan.rows(), plan.wraps[0]
    low, high = (-(10**6), 10**6) if around else (0, plan.height)
    for tap in plan.taps:
        expected = 0
        for span in spans:
            assert span.first % tap.stride == 0
            own = span.own(tap)
            before = span.first // tap.stride
            assert own.start >= 0
            assert own.start + before == expected
            assert span.first <= max(low, expected * tap.stride + tap.receptive_start)
            if own.stop is None:  # all that there are
                assert span is spans[-1]
                assert span.last == plan.height
                assert not around
                continue
            expected = own.stop + before
            needed = (expected - 1) * tap.stride + tap.receptive_start + tap.receptive_field
            assert span.last >= min(needed, high)
        if around:
            assert expected == plan.height // tap.stride
        for span in spans if not plan.observing else []:
            seeing = features_that_see(tap, span)
            begin = seeing[0] * tap.stride + tap.receptive_start
            end = seeing[-1] * tap.stride + tap.receptive_start + tap.receptive_field
            assert span.first <= max(low, begin)
            assert span.last >= min(high, end)


def features_that_see(tap: Tap, span: Span) -> list[int]:
    """By the definition of a field: those that see a pixel of the span's inside."""
    near = tap.receptive_field + tap.stride
    places = range((span.begin - near) // tap.stride, (span.end + near) // tap.stride + 1)
    begins = {i: i * tap.stride + tap.receptive_start for i in places}
    return [
        i
        for i, begin in begins.items()
        if begin < span.end and begin + tap.receptive_field > span.begin
    ]


@given(plans())
def test_the_own_positions_are_those_of_both_axes(plan: Plan) -> None:
    for tile in plan.tiles():
        own = tile.own(plan.taps)
        if own is None:
            assert tile.whole
            continue
        assert own.keys() == {0, *(tap.index for tap in plan.taps)}
        for tap in plan.taps:
            assert own[tap.index] == (tile.rows.own(tap), tile.columns.own(tap))
        for positions, seen, inside in zip(own[0], tile.seen, tile.inside, strict=True):
            assert positions.start + seen.start == inside.start
            assert positions.stop in (inside.stop - seen.start, None)  # None: up to the border
            assert positions.stop or inside.stop == seen.stop


@given(st.integers(17, 2000), st.sampled_from(range(7)))
def test_observing_needs_less_of_a_halo(length: int, index: int) -> None:
    taps = TAPS[: 1 + index % len(TAPS)]
    pulled, observed = (plan_tiles(length, length, 64, taps, 1, observing=o) for o in (False, True))
    assert len(observed) >= len(pulled)  # one that sees all serves for all
    for wide, narrow in zip(pulled[0].seen, observed[0].seen, strict=True):
        assert narrow.stop - narrow.start <= wide.stop - wide.start


@given(pixels=st.integers(9, 700))
def test_a_taps_length_is_that_of_its_map(procedural: Model, pixels: int) -> None:
    """By the rule of each layer: windows that begin within the picture."""
    for tap in procedural.taps:
        expected = pixels
        for kernel, stride, _, ceil in tap.path:
            last = expected - (1 if ceil else kernel)
            starts = [s for s in range(0, last + 1, stride) if ceil or s + kernel <= expected]
            # With ceil the first window that reaches the border is the last.
            while ceil and len(starts) > 1 and starts[-2] + kernel >= expected:
                starts.pop()
            expected = len(starts)
        assert tap.length(pixels) == max(0, expected)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (1, 4), (3, 3), (-2, 1)])
def test_positions_of_a_map_lie_in_its_parts(procedural: Model, start: int, stop: int) -> None:
    (part, *_), whole = procedural.program.taps[1], range(start, stop)
    for other in procedural.program.taps[1]:
        for axis in (0, 1):
            first, end = other.within(whole, axis)
            held = [place for place in whole if place >= 0 and place % 2 == other.phase[axis]]
            assert [other.phase[axis] + 2 * i for i in range(first, end)] == held
    assert part.step == 2
