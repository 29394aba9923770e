"""A sweep: all segments of a program over the bands of one piece, by threads side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..network.bundle import Tap
from ..network.sessions import pinned_cpu
from ..style.moments import Moments
from .agenda import Agenda, StoppedError, Task
from .bands import Band, Bound, Buffers, Features, Value, copied, plan_bands
from .idle import find_idle, keep_zeros
from .inputs import Inputs, Shape
from .opened import OpenProgram, is_heavy
from .pieces import Piece, Pull, Sums

__all__ = ["CancelledError", "Decide", "Sweep"]

Decide = Callable[[int, Sums], Pull]
"""From the sums of a tap over all that there is: how it pulls."""


class CancelledError(Exception):
    """Whoever wanted a sweep wants it no more; it ended between two segments of a band."""


class Sweep:
    """The arrays for pieces of one shape.

    ``layouts`` are the shapes and types of the values that segments make, by band and segment, as
    earlier sweeps of that shape have found them.
    """

    def __init__(
        self, program: OpenProgram, shape: Shape, buffers: Buffers, layouts: dict[Any, Any]
    ) -> None:
        self._model, self._shape, self._layouts = program.model, shape, layouts
        self._pool = program.pool
        self._sparing = program.in_bands and is_heavy(program.model)
        self.cancelled: Callable[[], bool] = bool
        self._sessions, self._wiring = program.sessions(shape.on), program.wiring
        self._idle = find_idle(self._wiring, shape.on)
        rows, reach = [(0, shape.height)], self._model.program.reach
        self._threads = 1
        if program.in_bands:
            unit, least = self._model.program.unit, self._model.smallest_side
            size = shape.height, shape.width
            rows = plan_bands(*size, program.threads, unit, least, shape.band_pixels)
            self._threads = min(program.threads, len(rows))
        limit = shape.height + reach if shape.wraps else shape.height
        self.bands = [
            Band(index, begin, end, min(limit, end + reach), buffers, program.device)
            for index, (begin, end) in enumerate(rows)
        ]
        self.inputs = Inputs(program, shape, self.bands)
        self._exact = "with_shifts" in shape.on  # such losses take roots, and blow rounding up
        taps = self._model.taps
        self._by_region = {f"moments_{tap.index}": (tap.index, tap.channels) for tap in taps}
        self._by_region |= {f"sums_{tap.index}": (tap.index, 1) for tap in taps}
        """By output, the tap, and how many rows it has for each region that a band shows."""
        for band in self.bands:
            heights = {"image": band.seen - band.begin, "rows": band.end - band.begin + 2}
            for name, height in heights.items():
                band.keep(name, np.empty((1, 3, height, shape.width), np.float32))

    def set_piece(self, piece: Piece, tv_weight: float) -> None:
        """What the next runs see of the piece, besides its pixels."""
        self.inputs.set_piece(piece, tv_weight)
        if piece.guides is not None:
            for band in self.bands:
                for name in self._by_region:
                    self._fit(name, band)

    @property
    def nbytes(self) -> int:
        """What its bands have taken so far."""
        return sum(band.nbytes for band in self.bands)

    def close(self) -> None:
        """Gives the arrays' memory back to the buffers."""
        for band in self.bands:
            band.close()
        self.bands = []

    def run(
        self,
        image: Any,
        gradient: Any,
        taps: Sequence[int],
        decide: Decide | None = None,
        segments: int | None = None,
        skip_idle: bool = True,
    ) -> Sums:
        """Has all threads run the ``segments`` (None: all), on pixels ``image`` [1, 3, h, w].

        Those that no tap of the switches needs are left out (``skip_idle``). Returns the sums of
        ``taps``, which wait for what ``decide``, if given, makes of them. The pixels' gradient is
        written to ``gradient``, unless that is None. Raises what one of the threads raises.
        """
        wiring, total = self._wiring, Sums()
        count = len(wiring.inputs) if segments is None else segments
        idle = frozenset[int]()
        on_the_way_there = count <= wiring.forward
        if skip_idle and (on_the_way_there or keep_zeros(self._idle, self.bands, self._layouts)):
            idle = self._idle.segments
        needed = {tap: wiring.sums[tap] for tap in taps} if decide else {}
        agenda = Agenda(
            len(self.bands), count, self._threads, wiring.waits, needed, self._shape.wraps
        )

        def work(number: int) -> None:
            with pinned_cpu(number, self._threads):
                try:
                    while (item := agenda.take(number)) is not None:
                        if self.cancelled():
                            raise CancelledError
                        if isinstance(item, Task):
                            if item.segment not in idle:
                                band = self.bands[item.band]
                                self._run(item.segment, band, number, image, gradient)
                        elif decide is not None:
                            sums = self._sums([item.tap], self._exact)
                            total.include(sums)
                            self.inputs.set_pull(item.tap, decide(item.tap, sums))
                        agenda.finish(item)
                except BaseException:
                    agenda.fail()
                    raise

        others = [self._pool.submit(work, number) for number in range(1, self._threads)]
        try:
            with contextlib.suppress(StoppedError):
                work(0)
        finally:
            failed = [other.exception() for other in others]
        for error in failed:
            if error is not None and not isinstance(error, StoppedError):
                raise error
        if decide is None:
            total = self._sums(taps, self._exact or "with_inside" in self._shape.on)
        if gradient is not None:
            _add_seams(self.bands, gradient, self._shape.height)
            total.variation = sum(float(band.array("variation")) for band in self.bands)
        return total

    def _sums(self, taps: Sequence[int], exact: bool) -> Sums:
        """The sums over all bands of these taps, in the bands' order; of the last run.

        Second moments are in float32, as each band's are, unless they shall be ``exact``, as in
        tiles: few bands are added up, and what is decided from them is rounded to float32 again.
        """
        total = Sums()
        for tap in taps:
            total.errors[tap] = sum(float(b.array(f"content_error_{tap}")) for b in self.bands)
            total.positions[tap] = self.inputs.positions(self._model.tap(tap))
            if f"with_moments_{tap}" in self._shape.on:
                total.moments[tap] = self._moments(self._model.tap(tap), exact)
        return total

    def features(self, taps: Sequence[int]) -> Features:
        """Copies of the features of these taps; of the last run."""
        parts = self._model.program.taps
        return {
            tap: [[copied(band.array(part.value)) for part in parts[tap]] for band in self.bands]
            for tap in taps
        }

    def _run(self, index: int, band: Band, thread: int, image: Any, gradient: Any) -> None:
        """One segment of one band, after what its neighbours add to its inputs."""
        if index == 0:
            _show_pixels(band, image, self._shape)
        for exchange in self._wiring.added[index]:
            neighbour = self._neighbour(band, -exchange.neighbour)
            if neighbour is not None:
                value, row = band.values[exchange.into], min(exchange.neighbour, 0)
                value.fetch()[:, :, row] += neighbour.array(exchange.gradient)[:, :, 0]
                value.publish()
        by_thread = band.bound.setdefault(index, {})
        if thread in by_thread:
            by_thread[thread].run()
        else:
            sessions = self._sessions[index]
            inputs = {name: self._input(band, name) for name in self._wiring.inputs[index]}
            bound = Bound(sessions[thread % len(sessions)], inputs)
            self._run_first(index, band, bound)
            by_thread[thread] = bound
        if gradient is not None and index == len(self._sessions) - 1:
            own = band.end - band.begin
            gradient[:, :, band.begin : band.end] = band.array("gradient")[:, :, :own]

    def _run_first(self, index: int, band: Band, bound: Bound) -> None:
        """Runs a segment whose outputs are not bound yet, and perhaps have no arrays yet."""
        outputs, first = self._wiring.outputs[index], {}
        making = not band.values.keys() >= {*outputs}  # else another thread's first run made them
        if making:
            layout = self._layouts.get((band.index, index))
            if layout is None:
                first = bound.run_first(outputs, self._sparing)
                layout = {name: (array.shape, array.dtype) for name, array in first.items()}
                self._layouts[band.index, index] = layout
            for name, (shape, kind) in layout.items():
                if name in self._idle.zeros:  # what shares memory is written to in every step
                    band.keep(name, np.empty(shape, kind))
                else:
                    band.keep_new(name, self._fitted(name, shape, band), kind)
        bound.bind_outputs({name: band.values[name] for name in outputs})
        for name, array in first.items():
            band.values[name].array[...] = array
            band.values[name].publish()
        if not first:
            bound.run(self._sparing)
        if making:
            band.dismiss(self._wiring.last_read[index])

    def _fitted(self, name: str, shape: tuple[int, ...], band: Band) -> tuple[int, ...]:
        """The shape of an output that had this one when a band showed other regions, perhaps."""
        if name not in self._by_region or shape[0] == 0:
            return shape
        tap, rows = self._by_region[name]
        return rows * max(1, len(self.inputs.shown(tap, band))), *shape[1:]

    def _fit(self, name: str, band: Band) -> None:
        """Has an output that was made for other regions be written to another array.

        That has memory of its own: what a band has dismissed is still written to in every step.
        """
        made = band.values.get(name)
        if made is None:
            return
        shape = self._fitted(name, made.array.shape, band)
        if shape != made.array.shape:
            band.keep(name, np.empty(shape, made.array.dtype))
            band.bound.pop(self._wiring.made[name], None)

    def _input(self, band: Band, name: str) -> Value:
        """The input of that name of a band, made by itself, by a neighbour or by none."""
        exchange = self._wiring.halos.get(name)
        if exchange is None:
            return self.inputs.value(band, name)
        neighbour = self._neighbour(band, exchange.neighbour)
        if neighbour is not None:
            return neighbour.values[exchange.row]
        if name not in band.values:  # beyond the border; once, as bindings point at it
            row = band.values[exchange.row].array.shape
            band.keep(name, np.zeros((*row[:2], exchange.beyond, row[3]), np.float32))
        return band.values[name]

    def _neighbour(self, band: Band, offset: int) -> Band | None:
        index, count = band.index + offset, len(self.bands)
        there = self._shape.wraps or 0 <= index < count
        return self.bands[index % count] if there else None

    def _moments(self, tap: Tap, exact: bool) -> list[Moments]:
        """S and m of each region over all bands, and its mass; in float64 if ``exact``.

        A band without a position that counts is left out: ONNX Runtime 1.24's batched product over
        no columns is what was in its memory before.
        """
        channels, masses = tap.channels, self.inputs.masses(tap)
        kind = np.float64 if exact else np.float32
        second: dict[int, Any] = {}
        first = np.zeros((len(masses), channels))
        for band in self.bands:
            if not self.inputs.counts(tap, band):
                continue
            parts = band.array(f"moments_{tap.index}").reshape(-1, channels, channels)
            sums = band.array(f"sums_{tap.index}")
            for place, region in enumerate(self.inputs.shown(tap.index, band)):
                if region in second:
                    second[region] += parts[place]
                else:
                    second[region] = parts[place].astype(kind)
                if len(sums):
                    first[region] += sums[place]
        none = np.zeros((channels, channels), kind)
        return [Moments(second.get(r, none), first[r], mass) for r, mass in enumerate(masses)]


def _show_pixels(band: Band, image: Any, shape: Shape) -> None:
    """Copies the band's pixels, and its own rows with the one above and the one below."""
    height = shape.height
    seen, rows = band.values["image"], band.values["rows"]
    inside = min(band.seen, height) - band.begin
    seen.array[:, :, :inside] = image[:, :, band.begin : band.begin + inside]
    seen.array[:, :, inside:] = image[:, :, : band.seen - band.begin - inside]
    rows.array[:, :, 1:-1] = image[:, :, band.begin : band.end]
    above, below = band.begin - 1, band.end
    if shape.wraps:
        above, below = above % height, below % height
    rows.array[:, :, 0] = image[:, :, max(0, above)]
    rows.array[:, :, -1] = image[:, :, min(height - 1, below)]
    seen.publish()
    rows.publish()


def _add_seams(bands: Sequence[Band], gradient: Any, height: int) -> None:
    """Adds, at rows that two bands' features see, what the upper one found."""
    for band in bands:
        beyond = band.seen - band.end
        if beyond:
            begin = band.end % height
            part = band.values["gradient"].array[:, :, band.end - band.begin :]
            gradient[:, :, begin : begin + beyond] += part
