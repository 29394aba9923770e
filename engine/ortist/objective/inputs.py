"""What the bands of a sweep are shown besides pixels: positions that count, content, regions.

And what is decided for them: a band that shows some of the regions only gets their matrices alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..network.bundle import Model, Tap
from ..network.program import Part
from ..style.guides import Guides
from .bands import Band
from .bound import Value
from .opened import Wiring
from .piece import Content, Piece, Positions, Pull

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

    def __init__(
        self, model: Model, wiring: Wiring, shape: Shape, bands: Sequence[Band], device: str
    ) -> None:
        self._model, self._wiring, self._shape = model, wiring, shape
        self._bands, self._device = bands, device
        self._shared: dict[str, Value] = {}
        self._content: Content | None = None
        self._own: Mapping[int, Positions] | None = None
        self._regions = _Regions(None)
        for tap in model.taps:
            self._share(f"mixing_{tap.index}", np.zeros((tap.channels, 0), np.float32))
            self._share(f"shift_{tap.index}", np.zeros((tap.channels, 0), np.float32))
            self._share(f"content_weight_{tap.index}", np.zeros((), np.float32))
            for part in range(len(model.program.taps[tap.index])):
                name = f"{tap.index}_{part}"
                self._share(f"content_{name}", np.zeros((1, tap.channels, 0, 0), np.float32))
                self._share(f"guides_{name}", np.zeros((0, 1, 0, 0), np.float32))
                self._share(f"first_{name}", np.zeros(2, np.int64))
                self._share(f"end_{name}", np.zeros(2, np.int64))
        self._share("tv_weight", np.zeros((), np.float32))
        for name in ("first_pixels", "end_pixels"):
            self._share(name, np.zeros(2, np.int64))

    def value(self, band: Band, name: str) -> Value:
        """A band's input of that name."""
        return band.values.get(name) or self._shared[name]

    def set_piece(self, piece: Piece, tv_weight: float) -> None:
        """Positions that count, content and regions of the piece; its pixels come with a run."""
        self._write(self._shared["tv_weight"], tv_weight)
        if piece.content is not self._content:
            self._content = piece.content
            for layer, by_band in piece.content.features.items():
                for band, parts in zip(self._bands, by_band, strict=True):
                    for index, array in enumerate(parts):
                        self._bind(band, f"content_{layer}_{index}", array)
        if piece.own is not self._own:
            self._own = piece.own
            for layer, positions in (piece.own or {}).items():
                self._set_own(layer, positions)
            self._regions = _Regions(None)  # the masses count these positions
        if self._regions.guides is not piece.guides:
            self._regions = _Regions(piece.guides)
            if piece.guides is not None:
                for tap in self._model.taps:
                    self._set_guides(tap, piece.guides)

    def set_pull(self, tap: int, pull: Pull) -> None:
        """M, v and w of a tap, for every band those of the regions that it shows."""
        self._write(self._shared[f"content_weight_{tap}"], pull.content_weight)
        for name, matrices in (("mixing", pull.mixing), ("shift", pull.shift)):
            if matrices is None or not matrices.size:
                continue
            filled: dict[tuple[int, ...], Value] = {}
            for band in self._bands:
                shown = self.shown(tap, band)
                if shown not in filled:
                    filled[shown] = self._filled(f"{name}_{tap}", matrices, shown)
                if band.values.get(f"{name}_{tap}") is not filled[shown]:
                    self._rebind(band, f"{name}_{tap}", filled[shown])

    def shown(self, tap: int, band: Band) -> tuple[int, ...]:
        """The regions that a band shows."""
        return self._regions.shown.get((tap, band.index), (0,))

    def masses(self, tap: Tap) -> list[float]:
        """The mass of each region at a tap, over the positions that count."""
        return self._regions.masses.get(tap.index) or [float(self.positions(tap))]

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

    def positions(self, tap: Tap) -> int:
        """The number of positions of a tap that count."""
        rows, columns = self._counted(tap)
        return len(rows) * len(columns)

    def _set_own(self, tap: int, positions: Positions) -> None:
        if tap == 0:
            height, width = self._shape.height, self._shape.width
            rows, columns = range(height)[positions[0]], range(width)[positions[1]]
            for band in self._bands:
                within = _within(rows, range(band.begin, band.end))
                self._set_bounds(band, "pixels", (within, columns), None)
            return
        own = self._model.tap(tap)
        rows, columns = self._counted(own)
        for band in self._bands:
            within = _within(rows, self._rows(own, band))
            for index, part in enumerate(self._model.program.taps[tap]):
                self._set_bounds(band, f"{tap}_{index}", (within, columns), part)

    def _set_bounds(
        self, band: Band, name: str, own: tuple[range, range], part: Part | None
    ) -> None:
        bounds = [(axis.start, axis.stop) for axis in own]
        if part is not None:
            bounds = [part.within(axis, number) for number, axis in enumerate(own)]
        for word, numbers in zip(("first", "end"), zip(*bounds, strict=True), strict=True):
            self._bind(band, f"{word}_{name}", np.array(numbers, np.int64))

    def _set_guides(self, tap: Tap, guides: Guides) -> None:
        """Every band's guides of the regions that it shows; none where that is one, everywhere."""
        regions = self._regions
        rows, columns = self._map(tap)
        whole = guides.over(tap, slice(0, rows), slice(0, columns))
        counted = [slice(axis.start, axis.stop) for axis in self._counted(tap)]
        regions.masses[tap.index] = [
            float(one[counted[0], counted[1]].sum(dtype=np.float64)) for one in whole
        ]
        for band in self._bands:
            own = self._rows(tap, band)
            part = whole[:, own.start : own.stop]
            shown = tuple(r for r, one in enumerate(part) if one.any())
            regions.shown[tap.index, band.index] = shown
            alone = len(shown) == 1 and bool((part[shown[0]] == 1).all())
            for index, place in enumerate(self._model.program.taps[tap.index]):
                (down, right), step = place.phase, place.step
                seen = part[list(shown)][:, None, down::step, right::step]
                if alone or not shown:
                    seen = np.zeros((0, 1, 0, 0), np.float32)
                name = f"guides_{tap.index}_{index}"
                self._bind(band, name, np.ascontiguousarray(seen))

    def _share(self, name: str, array: Array) -> None:
        self._shared[name] = Value(array, self._device)

    def _write(self, value: Value, number: float) -> None:
        value.array[...] = number
        value.publish()

    def _bind(self, band: Band, name: str, array: Any) -> None:
        """``array`` is a band's input from now on."""
        self._rebind(band, name, Value(array, self._device))

    def _rebind(self, band: Band, name: str, value: Value) -> None:
        readers = [i for i, names in enumerate(self._wiring.inputs) if name in names]
        band.bind(name, value, readers)

    def _filled(self, name: str, matrices: Array, shown: tuple[int, ...]) -> Value:
        """The input ``name`` of bands that show these regions: their matrices side by side."""
        columns = matrices.reshape(*matrices.shape[:2], -1)
        shape = (columns.shape[1], max(1, len(shown)) * columns.shape[2])
        value = self._regions.values.get((name, shown))
        if value is None:
            value = Value(np.zeros(shape, np.float32), self._device)
            self._regions.values[name, shown] = value
        for place, region in enumerate(shown):
            width = columns.shape[2]
            value.array[:, place * width : (place + 1) * width] = columns[region]
        value.publish()
        return value


class _Regions:
    """What is known of the regions of a piece, by tap, and by tap and band."""

    def __init__(self, guides: Guides | None) -> None:
        self.guides = guides
        self.masses: dict[int, list[float]] = {}
        self.shown: dict[tuple[int, int], tuple[int, ...]] = {}
        self.values: dict[tuple[str, tuple[int, ...]], Value] = {}


def _within(positions: range, part: range) -> range:
    """The ``positions`` that lie in ``part``, counted from its beginning."""
    first = min(max(positions.start, part.start), part.stop)
    end = max(first, min(positions.stop, part.stop))
    return range(first - part.start, end - part.start)
