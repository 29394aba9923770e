"""A sweep: all segments of a program over the bands of one piece, by threads side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..arrays import Array
from ..network.bundle import Model, Tap
from ..network.program import Part
from ..network.sessions import pinned_cpu
from ..style.guides import Guides
from ..style.moments import Double, Moments
from .bands import Band, Buffers, Features, plan_bands
from .bound import CPU, Bound, Value
from .opened import OpenProgram
from .piece import Content, Piece, Positions, Pull, Sums
from .schedule import Mix, Schedule, StoppedError

__all__ = ["Shape", "Sweep"]

Decide = Callable[[int, Sums], Pull]
"""From the sums of a tap over all that there is: how it pulls."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a sweep's arrays depend on: height and width in pixels, whether the first row follows
    the last one, about how many pixels a band has, and the switches that are on.
    """

    height: int
    width: int
    wraps: bool
    band_pixels: int
    on: frozenset[str]


class Sweep:
    """The arrays for pieces of one shape; ``layouts`` are those of earlier sweeps, by shape."""

    def __init__(
        self,
        model: Model,
        program: OpenProgram,
        shape: Shape,
        threads: int,
        buffers: Buffers,
        layouts: dict[Any, Any],
    ) -> None:
        self._model, self._shape = model, shape
        self._sessions, self._wiring = program.sessions(shape.on), program.wiring
        self._device = CPU if program.provider.startswith("CPU") else "cuda"
        self._layouts = layouts.setdefault(shape, {})
        unit, reach = model.program.unit, model.program.reach
        rows = [(0, shape.height)]
        if program.in_bands:
            size = (shape.height, shape.width)
            rows = plan_bands(*size, threads, unit, model.smallest_side, shape.band_pixels)
        limit = shape.height + reach if shape.wraps else shape.height
        self.bands = [
            Band(index, begin, end, min(limit, end + reach), buffers, self._device)
            for index, (begin, end) in enumerate(rows)
        ]
        self._threads = min(threads, len(rows)) if program.in_bands else 1
        self._shared: dict[str, Value] = {}
        self._sums: dict[int, Sums] = {}
        self._content: Content | None = None
        self._regions: _Regions | None = None
        self._own: Mapping[int, Positions] | None = None
        self._by_region: dict[str, tuple[int, int]] = {}
        """By output, the tap, and how many rows it has for each region that a band shows."""
        for tap in model.taps:
            self._by_region[f"moments_{tap.index}"] = tap.index, tap.channels
            self._by_region[f"sums_{tap.index}"] = tap.index, 1
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
        for band in self.bands:
            for name, height in (
                ("image", band.seen - band.begin),
                ("rows", band.end - band.begin + 2),
            ):
                band.keep(name, np.empty((1, 3, height, shape.width), np.float32))

    def close(self) -> None:
        """Gives the arrays' memory back to the buffers."""
        for band in self.bands:
            band.close()
        self.bands = []

    # What the next runs see.

    def set_piece(self, piece: Piece, tv_weight: float) -> None:
        """Positions that count, content and regions of the piece; its pixels come with a run."""
        self._write(self._shared["tv_weight"], tv_weight)
        if piece.content is not self._content:
            self._content = piece.content
            for layer, by_band in piece.content.features.items():
                for band, parts in zip(self.bands, by_band, strict=True):
                    for index, array in enumerate(parts):
                        self._bind(band, f"content_{layer}_{index}", array)
        if piece.own is not self._own:
            self._own = piece.own
            for layer, positions in (piece.own or {}).items():
                self._set_own(layer, positions)
            self._regions = None  # their masses count these positions
        if self._regions is None or self._regions.guides is not piece.guides:
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
            for band in self.bands:
                shown = self._shown(tap, band)
                if shown not in filled:
                    filled[shown] = self._filled(f"{name}_{tap}", matrices, shown)
                if band.values.get(f"{name}_{tap}") is not filled[shown]:
                    self._rebind(band, f"{name}_{tap}", filled[shown])

    # Runs.

    def run(
        self,
        image: Any,
        gradient: Any,
        pool: ThreadPoolExecutor,
        segments: int | None = None,
        decide: Decide | None = None,
        taps: Sequence[int] = (),
    ) -> None:
        """Has all threads run the ``segments`` (None: all), on pixels ``image`` [1, 3, h, w].

        The pixels' gradient is written to ``gradient``, unless that is None. With ``decide`` the
        ``taps`` wait for what it says of their sums. Raises what one of the threads raises.
        """
        wiring = self._wiring
        count = len(wiring.inputs) if segments is None else segments
        sums = {tap: wiring.sums[tap] for tap in taps} if decide else {}
        schedule = Schedule(
            len(self.bands), count, self._threads, wiring.waits, sums, self._shape.wraps
        )

        def work(number: int) -> None:
            with pinned_cpu(number, self._threads):
                try:
                    while (item := schedule.take(number)) is not None:
                        if isinstance(item, Mix):
                            assert decide is not None
                            self.set_pull(item.tap, decide(item.tap, self.sums([item.tap])))
                        else:
                            self._run(item.segment, self.bands[item.band], number, image, gradient)
                        schedule.finish(item)
                except BaseException:
                    schedule.fail()
                    raise

        others = [pool.submit(work, number) for number in range(1, self._threads)]
        failed: list[BaseException] = []
        try:
            work(0)
        except StoppedError as error:
            failed.append(error)
        finally:
            failed = [f for f in (other.exception() for other in others) if f is not None] + failed
        if failed:
            raise next((f for f in failed if not isinstance(f, StoppedError)), failed[0])
        if gradient is not None:
            self._add_seams(gradient)

    def sums(self, taps: Sequence[int]) -> Sums:
        """The sums over all bands of these taps, in the bands' order; of the last run."""
        total = Sums()
        for tap in taps:
            total.errors[tap] = sum(float(b.array(f"content_error_{tap}")) for b in self.bands)
            total.positions[tap] = self._positions(self._model.tap(tap))
            if f"with_moments_{tap}" in self._shape.on:
                total.moments[tap] = self._moments(self._model.tap(tap))
        return total

    def variation(self) -> float:
        """x^T K x of the pixels that count; of the last run."""
        return sum(float(band.array("variation")) for band in self.bands)

    def features(self, taps: Sequence[int]) -> Features:
        """Copies of the features of these taps; of the last run."""
        parts = self._model.program.taps
        return {
            tap: [[band.array(part.value).copy() for part in parts[tap]] for band in self.bands]
            for tap in taps
        }

    def _run(self, index: int, band: Band, thread: int, image: Any, gradient: Any) -> None:
        """One segment of one band, after what its neighbours add to its inputs."""
        if index == 0:
            self._look_at(image, band)
        for added in self._wiring.added[index]:
            neighbour = self._neighbour(band, added.offset)
            if neighbour is not None:
                value = band.values[added.into]
                value.fetch()[:, :, added.row] += neighbour.array(added.source)[:, :, 0]
                value.publish()
        outputs = self._wiring.outputs[index]
        bound = band.bound.get((index, thread))
        if bound is not None:
            bound.run()
        else:
            sessions = self._sessions[index]
            inputs = {name: self._input(band, name) for name in self._wiring.inputs[index]}
            bound = Bound(sessions[thread % len(sessions)], inputs, self._device)
            if not band.values.keys() >= {*outputs}:  # else another thread's first run made them
                self._make_outputs(index, band, bound)
            else:
                bound.bind_outputs({name: band.values[name] for name in outputs})
                bound.run()
            band.bound[index, thread] = bound
        if gradient is not None and index == len(self._sessions) - 1:
            own = band.end - band.begin
            gradient[:, :, band.begin : band.end] = band.array("gradient")[:, :, :own]

    def _make_outputs(self, index: int, band: Band, bound: Bound) -> None:
        """Runs a segment for the first time, and makes the arrays of its outputs."""
        outputs = self._wiring.outputs[index]
        layout = self._layouts.get((band.index, index))
        if layout is None:
            first = bound.run_first(list(outputs))
            layout = {name: (array.shape, array.dtype) for name, array in first.items()}
            self._layouts[band.index, index] = layout
            for name in outputs:
                band.keep_new(name, *layout[name])[...] = first[name]
            bound.bind_outputs({name: band.values[name] for name in outputs})
        else:
            for name in outputs:
                shape, kind = layout[name]
                band.keep_new(name, self._fitted(name, shape, band), kind)
            bound.bind_outputs({name: band.values[name] for name in outputs})
            bound.run()
        band.dismiss(self._wiring.last_read[index])

    def _look_at(self, image: Any, band: Band) -> None:
        """The band's pixels, and its own rows with the one above and the one below."""
        height = self._shape.height
        seen, rows = band.values["image"], band.values["rows"]
        inside = min(band.seen, height) - band.begin
        seen.array[:, :, :inside] = image[:, :, band.begin : band.begin + inside]
        seen.array[:, :, inside:] = image[:, :, : band.seen - band.begin - inside]
        rows.array[:, :, 1:-1] = image[:, :, band.begin : band.end]
        above, below = band.begin - 1, band.end
        if self._shape.wraps:
            above, below = above % height, below % height
        rows.array[:, :, 0] = image[:, :, max(0, above)]
        rows.array[:, :, -1] = image[:, :, min(height - 1, below)]
        seen.publish()
        rows.publish()

    def _add_seams(self, gradient: Any) -> None:
        """Rows that two bands' features see: what the upper one found is added."""
        for band in self.bands:
            own, height = band.end - band.begin, self._shape.height
            beyond = band.seen - band.end
            if beyond:
                begin = band.end % height
                part = band.values["gradient"].array[:, :, own:]
                gradient[:, :, begin : begin + beyond] += part

    def _input(self, band: Band, name: str) -> Value:
        """The input of that name of a band, made by itself, by a neighbour or by none."""
        exchange = self._wiring.halos.get(name)
        if exchange is None:
            return band.values.get(name) or self._shared[name]
        neighbour = self._neighbour(band, exchange.neighbour)
        if neighbour is not None:
            return neighbour.values[exchange.row]
        if name not in band.values:  # beyond the border; once, as bindings point at it
            row = self._any_row(band, exchange.into)
            band.keep(name, np.zeros((*row[:2], exchange.beyond, row[3]), np.float32))
        return band.values[name]

    def _any_row(self, band: Band, into: str) -> tuple[int, ...]:
        """The shape of the edges of the value whose gradient is ``into``."""
        rows = (e.row for e in self._wiring.halos.values() if e.into == into)
        return next(band.values[row].array.shape for row in rows if row in band.values)

    def _neighbour(self, band: Band, offset: int) -> Band | None:
        index, count = band.index + offset, len(self.bands)
        if self._shape.wraps:
            return self.bands[index % count]
        return self.bands[index] if 0 <= index < count else None

    # Positions that count.

    def _map(self, tap: Tap) -> tuple[int, int]:
        """Rows and columns of a tap's map over the piece."""
        height, width = self._shape.height, self._shape.width
        rows = height // tap.stride if self._shape.wraps else tap.length(height)
        return rows, tap.length(width)

    def _rows(self, tap: Tap, band: Band) -> range:
        begin, end = band.begin // tap.stride, band.end // tap.stride
        return range(begin, self._map(tap)[0] if band is self.bands[-1] else end)

    def _counted(self, tap: Tap) -> tuple[range, range]:
        """Rows and columns of the map that count."""
        rows, columns = self._map(tap)
        own = (self._own or {}).get(tap.index, (slice(None), slice(None)))
        return range(rows)[own[0]], range(columns)[own[1]]

    def _positions(self, tap: Tap) -> int:
        rows, columns = self._counted(tap)
        return len(rows) * len(columns)

    def _set_own(self, tap: int, positions: Positions) -> None:
        if tap == 0:
            height, width = self._shape.height, self._shape.width
            rows, columns = range(height)[positions[0]], range(width)[positions[1]]
            for band in self.bands:
                within = _within(rows, range(band.begin, band.end))
                self._set_bounds(band, "pixels", (within, columns), None)
            return
        own = self._model.tap(tap)
        rows, columns = self._counted(own)
        for band in self.bands:
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

    # Regions.

    def _set_guides(self, tap: Tap, guides: Guides) -> None:
        """Every band's guides of the regions that it shows; none where that is one, everywhere."""
        regions = self._regions
        assert regions is not None
        rows, columns = self._map(tap)
        whole = guides.over(tap, slice(0, rows), slice(0, columns))
        counted = [slice(axis.start, axis.stop) for axis in self._counted(tap)]
        regions.masses[tap.index] = [
            float(one[counted[0], counted[1]].sum(dtype=np.float64)) for one in whole
        ]
        for band in self.bands:
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
            for name in (f"moments_{tap.index}", f"sums_{tap.index}"):
                self._fit(name, band)

    def _fitted(self, name: str, shape: tuple[int, ...], band: Band) -> tuple[int, ...]:
        """The shape of an output that had this one when a band showed other regions, perhaps."""
        if name not in self._by_region or shape[0] == 0:
            return shape
        tap, rows = self._by_region[name]
        return rows * max(1, len(self._shown(tap, band))), *shape[1:]

    def _fit(self, name: str, band: Band) -> None:
        """Has an output that was made for other regions be written to another array.

        That has memory of its own: what a band has dismissed is still written to in every step.
        """
        made = band.values.get(name)
        if (
            made is None
            or (shape := self._fitted(name, made.array.shape, band)) == made.array.shape
        ):
            return
        band.keep(name, np.empty(shape, made.array.dtype))
        for key in [key for key in band.bound if key[0] == self._wiring.made[name]]:
            del band.bound[key]

    def _shown(self, tap: int, band: Band) -> tuple[int, ...]:
        """The regions that a band shows."""
        assert self._regions is not None
        return self._regions.shown.get((tap, band.index), (0,))

    def _moments(self, tap: Tap) -> list[Moments]:
        """Of each region: S and m in float64 over all bands, and the mass."""
        assert self._regions is not None
        channels, masses = tap.channels, self._regions.masses.get(tap.index)
        masses = [float(self._positions(tap))] if masses is None else masses
        second: list[Double | None] = [None] * len(masses)
        first = [np.zeros(channels) for _ in masses]
        for band in self.bands:
            shown = self._shown(tap.index, band)
            parts = band.array(f"moments_{tap.index}").reshape(-1, channels, channels)
            sums = band.array(f"sums_{tap.index}")
            for place, region in enumerate(shown):
                before = second[region]
                if before is None:
                    second[region] = parts[place].astype(np.float64)
                else:
                    np.add(before, parts[place], out=before)
                if len(sums):
                    first[region] += sums[place]
        return [
            Moments(np.zeros((channels, channels)) if s is None else s, m, mass)
            for s, m, mass in zip(second, first, masses, strict=True)
        ]

    # Values.

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
        assert self._regions is not None
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
    """Those ``positions`` that lie in ``part``, counted from its beginning."""
    first = min(max(positions.start, part.start), part.stop)
    end = max(first, min(positions.stop, part.stop))
    return range(first - part.start, end - part.start)
