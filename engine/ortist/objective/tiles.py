"""Tiles: how a picture is cut so that its parts, one after the other, give what the whole gives.

Feature i of a tap sees the pixels i * stride + start … + field - 1 of each axis (models.Tap). Two
things follow for tiles whose origins are multiples of every stride:

1. A feature whose pixels all lie within what a tile sees, or beyond the picture's own border, has
   its true value there. Position i belongs to the tile whose inside holds the pixel i * stride, and
   the last tile has those beyond; as start <= 0, a halo of field - 1 pixels shows it all.
2. The gradient of a pixel comes from the features that see it, which reach field - 1 pixels to
   either side. With that halo each of them is true; what is wrong at the rim of the halo, where
   the convolutions' padding stands for pixels that are elsewhere, sees no pixel of the inside.

At the border of the picture a tile ends where the picture ends, so that padding and the last,
incomplete windows of the poolings are those of the whole. A picture that wraps has no border: there
a tile is shown what lies on the other side. Its features repeat with it where its sides are
multiples of every stride, and it is then, tiles or none, as if it had been laid side by side
without end.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ..network.bundle import Tap

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
        """The features that belong to this span, among those of the whole picture."""
        border = self.end == self.length == self.last
        stop = None if border else self.end // tap.stride
        return slice(self.begin // tap.stride, stop)

    def own_of_seen(self, tap: Tap) -> slice:
        """The same, among the features of what the tile sees."""
        own, before = self.own(tap), self.first // tap.stride
        return slice(own.start - before, None if own.stop is None else own.stop - before)

    def covered(self, tap: Tap, count: int) -> slice:
        """Where the ``count`` features of what the tile sees lie in the whole picture's."""
        before = self.first // tap.stride
        return slice(before, before + count)


@dataclass(frozen=True)
class Tile:
    rows: Span
    columns: Span

    @property
    def wraps(self) -> bool:
        """Whether it sees beyond the picture's edges."""
        spans = (self.rows, self.columns)
        return any(span.first < 0 or span.last > span.length for span in spans)

    @property
    def seen(self) -> tuple[slice, slice]:
        """The pixels that the network is shown, counted on beyond the edges where it ``wraps``."""
        return slice(self.rows.first, self.rows.last), slice(self.columns.first, self.columns.last)

    @property
    def inside(self) -> tuple[slice, slice]:
        """The pixels that are the tile's own; the insides of all tiles cover the picture once."""
        return slice(self.rows.begin, self.rows.end), slice(self.columns.begin, self.columns.end)

    @property
    def inside_of_seen(self) -> tuple[slice, slice]:
        """The same pixels, counted within ``seen``."""
        rows, columns = self.rows, self.columns
        return (
            slice(rows.begin - rows.first, rows.end - rows.first),
            slice(columns.begin - columns.first, columns.end - columns.first),
        )


def plan_tiles(
    height: int,
    width: int,
    side: int | None,
    taps: Sequence[Tap],
    smallest_side: int,
    wraps: bool = False,
) -> list[Tile]:
    """Tiles of about equal size whose insides have at most ``side`` pixels a side, row by row.

    (At most but for rounding to the stride.) ``side`` None means one tile. ``taps`` are those in
    use; a tile sees at least ``smallest_side`` pixels each way if the picture has them. With
    ``wraps`` the picture's opposite edges meet.
    """
    stride = max((tap.stride for tap in taps), default=1)
    halo = max([tap.receptive_field - 1 for tap in taps] + [smallest_side])
    rows, columns = (
        _spans(length, side or length, stride, halo, wraps) for length in (height, width)
    )
    return [Tile(down, across) for down in rows for across in columns]


def _spans(length: int, side: int, stride: int, halo: int, wraps: bool) -> list[Span]:
    count = -(-length // side)
    cuts = {round(length * i / count / stride) * stride for i in range(1, count)}
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < length), length]
    spans = []
    for begin, end in itertools.pairwise(bounds):
        first, last = (begin - halo) // stride * stride, end + halo
        if not wraps:
            first, last = max(0, first), min(length, last)
        spans.append(Span(begin, end, first, last, length))
    return spans
