"""What the bands of a sweep are shown besides pixels: positions that count, content, regions.

And what is decided for them: a band that shows some of the regions only gets their matrices alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ortist_models.program import Part

from ..arrays import Array
from ..network.bundle import Tap
from ..style.guides import Guides
from .bands import CPU, Band, Value
from .opened import OpenProgram
from .pieces import PIXELS, Piece, Positions, Pull

__all__ = ["Inputs", "Shape"]


@dataclass(frozen=True)
class Shape:
    """What a sweep's arrays depend on: height and width in pixels, whether the first row follows
    the last one, about how many pixels a band has, and the switches that are on.
    """

    height: int
    width: int
    wraps: bool
    band_pixels: int
    on: frozenset[str]


class Inputs:
    """The inputs of ``bands`` that are pieces of that shape; empty ones until they are set."""

    def __init__(self, program: OpenProgram, shape: Shape, bands: Sequence[Band]) -> None:
        self._model, self._wiring, self._shape = program.model, program.wiring, shape
        self._bands, self._device = bands, program.device
        unset = program.wiring.unset
        self._shared = {name: Value(array, self._device) for name, array in unset.items()}
        """The inputs that all bands have in common."""
        self._content: Any = None
        self._own: Mapping[int, Positions] | None = None
        self._regions = _Regions()

    def value(self, band: Band, name: str) -> Value:
        """A band's input of that name."""
        return band.values.get(name) or self._shared[name]

    def set_piece(self, piece: Piece, tv_weight: float) -> None:
        """Positions that count, content and regions of the piece; its pixels come with a run."""
        self._write("tv_weight", tv_weight)
        if piece.content is not self._content:
            self._content = piece.content
            for layer, by_band in (self._content or {}).items():
                for band, parts in zip(self._bands, by_band, strict=True):
                    for index, array in enumerate(parts):
                        self._bind(band, f"content_{layer}_{index}", array)
        if piece.own != self._own:
            self._own = piece.own
            self._set_own()
            self._regions = _Regions()  # the masses count these positions
        if self._regions.guides is not piece.guides:
            self._regions = _Regions(piece.guides)
            if piece.guides is not None:
                for tap in self._model.taps:
                    if self._shape.on & {f"with_moments_{tap.index}", f"with_style_{tap.index}"}:
                        self._set_guides(tap, piece.guides)

    def set_pull(self, tap: int, pull: Pull) -> None:
        """M, v and w of a tap, for every band those of the regions that it shows."""
        self._write(f"content_weight_{tap}", pull.content_weight or 0.0)
        for name, matrices in ((f"mixing_{tap}", pull.mixing), (f"shift_{tap}", pull.shift)):
            if matrices is None:
                continue
            shown = [self.shown(tap, band) for band in self._bands]
            filled = {regions: self._filled(name, matrices, regions) for regions in {*shown}}
            for band, regions in zip(self._bands, shown, strict=True):
                if band.values.get(name) is not filled[regions]:
                    band.bind(name, filled[regions], self._wiring.readers[name])

    def shown(self, tap: int, band: Band) -> tuple[int, ...]:
        """The regions that a band shows."""
        return self._regions.shown.get((tap, band.index), (0,))

    def masses(self, tap: Tap) -> list[float]:
        """The mass of each region at a tap, over the positions that count."""
        return self._regions.masses.get(tap.index) or [float(self.positions(tap))]

    def positions(self, tap: Tap) -> int:
        """The number of positions of a tap that count."""
        rows, columns = self._counted(tap)
        return len(rows) * len(columns)

    def counts(self, tap: Tap, band: Band) -> bool:
        """Whether any of a band's own positions of a tap count."""
        rows, columns = self._counted(tap)
        return len(_within(rows, self._rows(tap, band))) * len(columns) > 0

    def _map(self, tap: Tap) -> tuple[int, int]:
        """Rows and columns of a tap's map over the piece."""
        height, width = self._shape.height, self._shape.width
        rows = height // tap.stride if self._shape.wraps else tap.length(height)
        return rows, tap.length(width)

    def _rows(self, tap: Tap, band: Band) -> range:
        begin, end = band.begin // tap.stride, band.end // tap.stride
        return range(begin, self._map(tap)[0] if band is self._bands[-1] else end)

    def _counted(self, tap: Tap) -> tuple[range, range]:
        """Rows and columns of the map that count."""
        rows, columns = self._map(tap)
        own = (self._own or {}).get(tap.index, (slice(None), slice(None)))
        return range(rows)[own[0]], range(columns)[own[1]]

    def _parts(self, tap: Tap) -> dict[str, Part]:
        """The parts that hold a tap's map, by what their inputs' names end in."""
        if tap is PIXELS:
            return {"pixels": Part("image")}
        parts = self._model.program.taps[tap.index]
        return {f"{tap.index}_{index}": part for index, part in enumerate(parts)}

    def _set_own(self) -> None:
        """Where the positions that count begin and end, in every part of a band's own rows."""
        for tap in (PIXELS, *self._model.taps):
            if tap.index not in (self._own or {}):
                continue
            rows, columns = self._counted(tap)
            own = [_within(rows, self._rows(tap, band)) for band in self._bands]
            for name, part in self._parts(tap).items():
                left, right = part.within(columns, 1)
                for band, counted in zip(self._bands, own, strict=True):
                    top, bottom = part.within(counted, 0)
                    self._write_own(band, f"first_{name}", (top, left))
                    self._write_own(band, f"end_{name}", (bottom, right))

    def _set_guides(self, tap: Tap, guides: Guides) -> None:
        """Every band's guides of the regions that it shows; none where that is one, everywhere."""
        regions = self._regions
        rows, columns = self._map(tap)
        whole = guides.over(tap, slice(0, rows), slice(0, columns))
        counted = tuple(slice(axis.start, axis.stop) for axis in self._counted(tap))
        regions.masses[tap.index] = [float(one[counted].sum(dtype=np.float64)) for one in whole]
        for band in self._bands:
            own = self._rows(tap, band)
            part = whole[:, own.start : own.stop]
            shown = tuple(r for r, one in enumerate(part) if one.any())
            regions.shown[tap.index, band.index] = shown
            alone = len(shown) == 1 and bool((part[shown[0]] == 1).all())
            for name, place in self._parts(tap).items():
                (down, right), step = place.phase, place.step
                seen = part[list(shown)][:, None, down::step, right::step]
                if alone or not shown:
                    seen = np.zeros((0, 1, 0, 0), np.float32)
                self._bind(band, f"guides_{name}", np.ascontiguousarray(seen))

    def _write_own(self, band: Band, name: str, place: tuple[int, int]) -> None:
        """Writes to a band's input, which is one of its own.

        Binding takes longer: there are some thousand of these, and another piece in every tile. (On
        another device what is bound may be a copy.)
        """
        if name in band.values and self._device == CPU:
            band.values[name].array[...] = place
        else:
            self._bind(band, name, np.array(place, np.int64))

    def _write(self, name: str, number: float) -> None:
        value = self._shared[name]
        value.array[...] = number
        value.publish()

    def _bind(self, band: Band, name: str, array: Any) -> None:
        """``array`` is a band's input from now on."""
        band.bind(name, Value(array, self._device), self._wiring.readers[name])

    def _filled(self, name: str, matrices: Array, shown: tuple[int, ...]) -> Value:
        """The input ``name`` of bands that show these regions: their matrices side by side."""
        columns = matrices.reshape(*matrices.shape[:2], -1)
        value = self._regions.values.get((name, shown))
        if value is None:
            shape = (columns.shape[1], max(1, len(shown)) * columns.shape[2])
            value = Value(np.zeros(shape, np.float32), self._device)
            self._regions.values[name, shown] = value
        if shown:
            np.concatenate([columns[region] for region in shown], axis=1, out=value.array)
        value.publish()
        return value


@dataclass
class _Regions:
    """What is known of the regions of a piece, by tap, and by tap and band."""

    guides: Guides | None = None
    masses: dict[int, list[float]] = field(default_factory=dict)
    shown: dict[tuple[int, int], tuple[int, ...]] = field(default_factory=dict)
    values: dict[tuple[str, tuple[int, ...]], Value] = field(default_factory=dict)


def _within(positions: range, part: range) -> range:
    """The ``positions`` that lie in ``part``, counted from its beginning."""
    first = min(max(positions.start, part.start), part.stop)
    end = max(first, min(positions.stop, part.stop))
    return range(first - part.start, end - part.start)
