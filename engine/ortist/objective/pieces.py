"""Pieces of a picture: how it is cut, what is asked of a piece, and what it answers.

A piece is made of arrays and numbers, so that whoever has the model can work on it. Those of a
picture, one after the other, give what the whole gives.

Feature i of a tap sees the pixels i * stride + start … + field - 1 of each axis (Tap). Two things
follow for pieces whose origins are multiples of every stride:

1. A feature whose pixels all lie within what a piece sees, or beyond the picture's own border, has
   its true value there. Position i belongs to the piece whose inside holds the pixel i * stride,
   and the last piece has those beyond. To observe its own features a piece must see -start pixels
   before its inside, and start + field - stride behind it.
2. The gradient of a pixel comes from the features that see it, which reach field - 1 pixels to
   either side. With that halo each of them is true; what is wrong at the rim of the halo, where the
   convolutions' padding stands for pixels that are elsewhere, sees no pixel of the inside.

At the border of the picture a piece ends where the picture ends, so that padding and the last,
incomplete windows of the poolings are those of the whole. A picture that wraps has no border: there
a piece is shown what lies on the other side. Its features repeat with it where its sides are
multiples of every stride, and it is then as if it had been laid side by side without end.
"""

from __future__ import annotations

import itertools
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
    """Tiles of about equal size whose insides have at most ``side`` pixels a side, row by row.

    (At most but for rounding to the stride.) ``side`` None means one tile. ``taps`` are those in
    use; a tile sees at least ``least`` pixels each way if the picture has them, and, when only its
    own features are wanted (``observing``), less of a halo. ``wraps`` says of rows and of columns
    whether opposite edges meet.
    """
    stride = max((tap.stride for tap in taps), default=1)
    before = after = max([tap.receptive_field - 1 for tap in taps] + [least])
    if observing:
        before = max([-tap.receptive_start for tap in taps] + [0])
        after = max([t.receptive_start + t.receptive_field - t.stride for t in taps] + [least])
    rows, columns = (
        _spans(length, side or length, stride, (before, after), around)
        for length, around in zip((height, width), wraps, strict=True)
    )
    return [Tile(down, across) for down in rows for across in columns]


def _spans(length: int, side: int, stride: int, halo: tuple[int, int], wraps: bool) -> list[Span]:
    count = -(-length // side)
    cuts = {round(length * i / count / stride) * stride for i in range(1, count)}
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < length), length]
    spans = []
    for begin, end in itertools.pairwise(bounds):
        first, last = (begin - halo[0]) // stride * stride, end + halo[1]
        if not wraps:
            first, last = max(0, first), min(length, last)
        spans.append(Span(begin, end, first, last, length))
    return spans
