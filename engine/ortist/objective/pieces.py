"""Pieces: how a picture is cut so that its parts, one after the other, give what the whole gives.

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
from collections.abc import Sequence
from dataclasses import dataclass

from ..network.bundle import Tap
from .piece import Positions

__all__ = ["Span", "Tile", "plan_tiles"]


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
        rows, columns = self.rows, self.columns
        pixels = (
            slice(rows.begin - rows.first, rows.end - rows.first),
            slice(columns.begin - columns.first, columns.end - columns.first),
        )
        return {0: pixels, **{tap.index: (rows.own(tap), columns.own(tap)) for tap in taps}}


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
