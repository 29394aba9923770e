"""Pieces of a picture: how it is cut, what is asked of a piece, and what it answers.

A piece is made of arrays and numbers, so that whoever has the model can work on it. Those of a
picture, one after the other, give what the whole gives.

Feature i of a tap sees the pixels i * stride + start … + field - 1 of each axis (Tap). Two things
follow for pieces whose origins are multiples of every stride:

1. A feature whose pixels all lie within what a piece sees, or beyond the picture's own border, has
   its true value there. Position i belongs to the piece whose inside holds the pixel i * stride,
   and the last piece has those beyond. To observe its own features a piece must see -start pixels
   before its inside, and start + field - stride behind it.
2. The gradient of a pixel comes from the features that see it: for an inside that begins at c, from
   (c - start - field + 1) / stride on, rounded up; at its end it is alike. With all that
   those see (_halo) each is true; what is wrong at the rim of the halo, where the convolutions'
   padding stands for pixels that are elsewhere, sees no pixel of the inside.

All tiles of a picture see as much, so that the arrays of one serve all, and those at the border,
which have no halo there, have more of an inside.

At the border of the picture a piece ends where the picture ends, so that padding and the last,
incomplete windows of the poolings are those of the whole. A picture that wraps has no border: there
a piece is shown what lies on the other side. Its features repeat with it where its sides are
multiples of every stride, and it is then as if it had been laid side by side without end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..arrays import Array
from ..network.bundle import Tap
from ..style.guides import Guides
from ..style.moments import Moments
from .bands import Features

__all__ = ["PIXELS", "Piece", "Positions", "Pull", "Span", "Sums", "Terms", "Tile", "plan_tiles"]

PIXELS = Tap(0, "pixels", 3, 1, 1, 0, ())
"""The pixels themselves, as a tap."""
_SLACK = 1 / 16
"""How much longer than asked for an inside may be, of its length, where that saves tiles."""

Positions = tuple[slice, slice]
"""Rows and columns of a map, or of pixels."""


@dataclass(frozen=True, eq=False)
class Piece:
    """``pixels`` [1, 3, h, w], and what is known of the same place.

    ``own`` are the positions that count, for each tap and, at 0, for the pixels; None: all. Where a
    piece ``wraps``, its first row follows its last one. ``guides`` are the regions' masks over the
    pixels; None: one region, everywhere. ``content`` are the content's features, or else its pixels
    [1, 3, h, w], which are less to keep and to send.
    """

    pixels: Any
    own: Mapping[int, Positions] | None = None
    wraps: bool = False
    guides: Guides | None = None
    content: Features | Array | None = None


@dataclass(frozen=True)
class Terms:
    """What a piece is asked for: moments and errors (F - P) of these taps, first moments or not."""

    moments: frozenset[int] = frozenset()
    errors: frozenset[int] = frozenset()
    shifts: bool = False


@dataclass
class Sums:
    """What a piece, or several, gave; by tap.

    ``moments`` in each region, ``errors`` ||F - P||^2, the number of ``positions``, and the total
    ``variation`` of the pixels (sum of squared differences), all of those that count.
    """

    moments: dict[int, list[Moments]] = field(default_factory=dict)
    errors: dict[int, float] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    variation: float = 0.0

    def include(self, other: Sums) -> None:
        """Adds those of another piece."""
        for tap, regions in other.moments.items():
            before = self.moments.get(tap)
            if before is not None:
                regions = [a + b for a, b in zip(before, regions, strict=True)]
            self.moments[tap] = regions
        for tap, error in other.errors.items():
            self.errors[tap] = self.errors.get(tap, 0.0) + error
        for tap, count in other.positions.items():
            self.positions[tap] = self.positions.get(tap, 0) + count
        self.variation += other.variation


@dataclass(frozen=True)
class Pull:
    """What is decided for a tap: M [R, C, C], v [R, C] and w; None where it has no such term.

    dL/dF = sum_r T_r o (M_r F + v_r 1^T) + 2 w (F - P).
    """

    mixing: Array | None = None
    shift: Array | None = None
    content_weight: float | None = None


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in pixels: its inside [begin, end), and [first, last) with the halo.

    ``length`` is the whole picture's; of one that wraps, the halo may leave [0, length).
    """

    begin: int
    end: int
    first: int
    last: int
    length: int

    def own(self, tap: Tap) -> slice:
        """The features that belong to this span, among those of what the tile sees."""
        border = self.end == self.length == self.last
        before = self.first // tap.stride
        stop = None if border else self.end // tap.stride - before
        return slice(self.begin // tap.stride - before, stop)


@dataclass(frozen=True)
class Tile:
    """A piece's place in the picture."""

    rows: Span
    columns: Span

    @property
    def seen(self) -> Positions:
        """The pixels that the network is shown, counted on beyond edges that wrap."""
        return slice(self.rows.first, self.rows.last), slice(self.columns.first, self.columns.last)

    @property
    def inside(self) -> Positions:
        """The tile's own pixels; the insides of all tiles cover the picture once."""
        return slice(self.rows.begin, self.rows.end), slice(self.columns.begin, self.columns.end)

    @property
    def whole(self) -> bool:
        """Whether it is the picture, and sees no more."""
        return all(
            s.begin == s.first == 0 and s.end == s.last == s.length
            for s in (self.rows, self.columns)
        )

    def own(self, taps: Sequence[Tap]) -> dict[int, Positions] | None:
        """The positions that are its own among those that it sees, at 0 the pixels; None: all."""
        if self.whole:
            return None
        everything = (PIXELS, *taps)
        return {tap.index: (self.rows.own(tap), self.columns.own(tap)) for tap in everything}


def plan_tiles(
    height: int,
    width: int,
    side: int | None,
    taps: Sequence[Tap],
    least: int,
    wraps: tuple[bool, bool] = (False, False),
    observing: bool = False,
) -> list[Tile]:
    """Tiles that all see as many rows and as many columns, row by row.

    Besides the halo they see ``side`` pixels each way, or a little more (_SLACK) where that saves
    tiles; None is for one tile. At the border, where there is no halo, insides are larger instead.
    ``taps`` are those in use; a tile sees at least ``least`` pixels each way if the picture has
    them, and, when only its own features are wanted (``observing``), less of a halo.
    ``wraps`` says of rows and of columns whether opposite edges meet.
    """
    stride = max((tap.stride for tap in taps), default=1)
    before, after = _halo(taps, observing)
    halo = -(-before // stride) * stride, after
    rows, columns = (
        _spans_around(length, side or length, stride, halo, least)
        if around
        else _spans(length, side or length, stride, halo, least)
        for length, around in zip((height, width), wraps, strict=True)
    )
    return [Tile(down, across) for down in rows for across in columns]


def _halo(taps: Sequence[Tap], observing: bool) -> tuple[int, int]:
    """What must be seen before and behind an inside that begins and ends at multiples of strides.

    For gradients at least a pixel, which the total variation compares.
    """
    if observing:
        before = [-tap.receptive_start for tap in taps]
        after = [tap.receptive_start + tap.receptive_field - tap.stride for tap in taps]
        return max([*before, 0]), max([*after, 0])
    before, after = [1], [1]
    for tap in taps:
        begin, end = tap.receptive_start, tap.receptive_start + tap.receptive_field
        # The first feature that sees the inside's first pixel, and the last that sees its last one.
        before.append((end - 1) // tap.stride * tap.stride - begin)
        after.append((-begin - 1) // tap.stride * tap.stride + end)
    return max(before), max(after)


def _count(length: int, side: int) -> int:
    """How many insides of about ``side`` pixels cover a length."""
    return max(1, math.ceil(length / (side * (1 + _SLACK))))


def _spans(length: int, side: int, stride: int, halo: tuple[int, int], least: int) -> list[Span]:
    """Spans that see the same number of pixels, the first from 0 and the last to the end."""
    steps, rest = _count(length - sum(halo), side) - 1, length % stride
    if not steps:
        return [Span(0, length, 0, length, length)]
    seen = max(-(-least // stride) * stride, sum(halo)) // stride * stride + rest
    # The least that reaches over the picture: the next one begins where its halo lets it.
    while seen < length and steps * ((seen - sum(halo)) // stride) * stride < length - seen:
        seen += stride
    seen = min(seen, length)
    moves = (length - seen) // stride
    firsts = sorted({i * moves // steps * stride for i in range(steps + 1)})
    cuts = [0, *(first + halo[0] for first in firsts[1:]), length]
    return [
        Span(begin, end, first, first + seen, length)
        for first, (begin, end) in zip(firsts, itertools.pairwise(cuts), strict=True)
    ]


def _spans_around(
    length: int, side: int, stride: int, halo: tuple[int, int], least: int
) -> list[Span]:
    """Such spans of what has no border: each sees a halo on both sides of as large an inside."""
    count = _count(length, side)
    cuts = sorted({i * (length // stride) // count * stride for i in range(count)} | {length})
    inside = max(end - begin for begin, end in itertools.pairwise(cuts))
    behind = max(inside + halo[1], least - halo[0])
    return [
        Span(begin, end, begin - halo[0], begin + behind, length)
        for begin, end in itertools.pairwise(cuts)
    ]
