"""The work on the bands of one picture: what threads run, and the arrays that they fill.

What is kept from segment to segment lies in arrays that are made at the first step and serve all
others. Of one band they are filled in the same order in every step, so that what nothing later in
a step reads can be overwritten by what is made later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..network.bundle import Model
from ..network.sessions import load_onnxruntime, own_cpu
from .band_routes import Routes, Segment, source_of
from .schedule import Mix, Schedule, StoppedError
from .targets import Losses, Targets
from .weights import Weights

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, IOBinding

__all__ = ["Band", "BandedPicture"]

_WASTE = 1.5
"""How much larger than what it takes up memory may be that is used again."""


class Band:
    """Rows [begin, end) of the picture; its features see [begin, seen)."""

    def __init__(self, index: int, begin: int, end: int, height: int, reach: int) -> None:
        self.index, self.begin, self.end = index, begin, end
        self.seen = min(height, end + reach)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.values: dict[str, Any] = {}
        self.bindings: dict[tuple[int, int], Any] = {}
        """By segment and thread."""
        self._buffers: dict[str, NDArray[np.uint8]] = {}
        self._free: list[NDArray[np.uint8]] = []

    def keep(self, name: str, array: NDArray[Any]) -> None:
        """What is in ``array`` when a segment is run is its input or output of that name."""
        self.arrays[name] = array
        self.values[name] = load_onnxruntime().OrtValue.ortvalue_from_numpy(array)

    def keep_copy(self, name: str, found: NDArray[Any]) -> None:
        """The same with a copy, in memory that ``dismiss`` left if some of its size is there."""
        size = found.nbytes
        fitting = [b for b in self._free if size <= len(b) <= _WASTE * size]
        if fitting:
            buffer = min(fitting, key=len)
            self._free = [other for other in self._free if other is not buffer]
        else:
            buffer = np.empty(size, np.uint8)
        array = buffer[:size].view(found.dtype).reshape(found.shape)
        array[...] = found
        self._buffers[name] = buffer
        self.keep(name, array)

    def dismiss(self, names: Iterable[str]) -> None:
        """Of copies that nothing later in a step reads; what is kept next may overwrite them."""
        self._free += [self._buffers.pop(name) for name in names if name in self._buffers]


@dataclass
class BandedPicture:
    """The ``bands`` of images of one shape, with all that is kept for them."""

    shape: tuple[int, ...]
    style: frozenset[int]
    content: frozenset[int]
    model: Model
    segments: Sequence[Segment]
    routes: Routes
    bands: Sequence[Band]
    _shared: Band = field(default_factory=lambda: Band(-1, 0, 0, 0, 0))
    _losses: dict[int, float] = field(default_factory=dict)
    _targets: Targets = field(default_factory=Targets)
    _weights: Weights = field(default_factory=lambda: Weights({}, {}, 0.0))

    def __post_init__(self) -> None:
        for tap in self.model.taps:
            t, size = tap.index, tap.channels if tap.index in self.style else 0
            self._shared.keep(f"content_weight_{t}", np.zeros((), np.float32))
            self._shared.keep(f"mixing_{t}", np.zeros((size, size), np.float32))
            self._shared.keep(f"features_{t}", np.zeros((0, tap.channels, 1, 1), np.float32))
        self._shared.keep("tv_weight", np.zeros((), np.float32))
        for band in self.bands:
            band.keep("image", np.empty((1, 3, band.seen - band.begin, self.shape[3]), np.float32))
            band.keep(
                "rows", np.empty((1, 3, band.end - band.begin + 2, self.shape[3]), np.float32)
            )

    def aim(
        self, content: Mapping[int, tuple[Array, ...]], targets: Targets, weights: Weights
    ) -> None:
        """Sets what the next run compares with; ``content`` has features by tap and band."""
        self._targets, self._weights = targets, weights
        self._shared.arrays["tv_weight"][...] = weights.tv
        for tap, parts in content.items():
            name = f"features_{tap}"
            self._shared.arrays[f"content_weight_{tap}"][...] = weights.content.get(tap, 0)
            for band, part in zip(self.bands, parts, strict=True):
                if band.arrays.get(name) is part:
                    continue
                band.keep(name, part)
                for (index, _), binding in band.bindings.items():
                    if name in self.segments[index].inputs:
                        binding.bind_ortvalue_input(name, band.values[name])

    def run(self, image: Array, gradient: Array, pool: ThreadPoolExecutor, threads: int) -> None:
        """Writes the ``gradient``; the ``threads`` are this one and some of ``pool``."""
        self._share(len(self.segments), image, gradient, pool, threads)
        for band in self.bands[:-1]:  # rows that are seen by two
            own = band.end - band.begin
            gradient[:, :, band.end : band.seen] += band.arrays["gradient"][:, :, own:]

    def look(
        self, image: Array, taps: Iterable[int], pool: ThreadPoolExecutor, threads: int
    ) -> dict[int, tuple[Array, ...]] | None:
        """The features of these taps, band by band; None where not all are among what is kept."""
        names = {tap: f"tap_{tap}" for tap in taps}
        if not {*names.values()} <= self.routes.made.keys():
            return None
        count = 1 + max(self.routes.made[name] for name in names.values())
        self._share(count, image, None, pool, threads)
        return {
            tap: tuple(band.arrays[name].copy() for band in self.bands)
            for tap, name in names.items()
        }

    def _share(
        self,
        segments: int,
        image: Array,
        gradient: Array | None,
        pool: ThreadPoolExecutor,
        threads: int,
    ) -> None:
        """Has all threads run the first ``segments``; raises what one of them raises."""
        count = min(threads, len(self.bands))
        sums = {tap: self.routes.sums[tap] for tap in sorted(self.style)}
        schedule = Schedule(len(self.bands), segments, count, self.routes.waits, sums)

        def work(number: int) -> None:
            with own_cpu(number, count):
                self._work(schedule, number, image, gradient)

        others = [pool.submit(work, number) for number in range(1, count)]
        failed: list[BaseException] = []
        try:
            work(0)
        except StoppedError as error:
            failed.append(error)
        finally:
            failed = [f for f in (other.exception() for other in others) if f is not None] + failed
        if failed:
            raise next((f for f in failed if not isinstance(f, StoppedError)), failed[0])

    def losses(self) -> Losses:
        """Those of the last run."""

        def total(name: str) -> float:
            return float(sum(float(band.arrays[name]) for band in self.bands))

        return Losses(
            {tap: total(f"content_loss_{tap}") for tap in sorted(self.content)},
            {tap: self._losses[tap] for tap in sorted(self.style)},
            total("tv_loss"),
        )

    def _work(self, schedule: Schedule, thread: int, image: Array, gradient: Array | None) -> None:
        """What one thread does in a step."""
        try:
            while (work := schedule.take(thread)) is not None:
                if isinstance(work, Mix):
                    self._mix(work.tap)
                else:
                    index, band = work.segment, self.bands[work.band]
                    if index == 0:
                        self._look_at(image, band)
                    self._run(index, band, thread)
                    if gradient is not None and index == len(self.segments) - 1:
                        own = band.end - band.begin
                        gradient[:, :, band.begin : band.end] = band.arrays["gradient"][:, :, :own]
                schedule.finish(work)
        except BaseException:
            schedule.fail()
            raise

    def _look_at(self, image: Array, band: Band) -> None:
        band.arrays["image"][...] = image[:, :, band.begin : band.seen]
        rows, height = band.arrays["rows"], image.shape[2]
        rows[:, :, 1:-1] = image[:, :, band.begin : band.end]
        rows[:, :, 0] = image[:, :, max(0, band.begin - 1)]
        rows[:, :, -1] = image[:, :, min(height - 1, band.end)]

    def _run(self, index: int, band: Band, thread: int) -> None:
        """One segment of one band, after what its neighbours add to its gradients."""
        for name, row, source in self.routes.added[index]:
            neighbour = self._neighbour(band, 1 if row else -1)
            if neighbour is not None:
                band.arrays[name][:, :, row] += neighbour.arrays[source][:, :, 0]
        segment = self.segments[index]
        session = segment.sessions[thread % len(segment.sessions)]
        if (index, thread) in band.bindings:
            session.run_with_iobinding(band.bindings[index, thread])
            return
        binding = session.io_binding()
        for name in segment.inputs:
            binding.bind_ortvalue_input(name, self._value(band, name, segment))
        if band.values.keys() >= {*segment.outputs}:  # another thread's first run made them
            self._bind_outputs(index, band, binding)
            session.run_with_iobinding(binding)
        else:
            self._run_first(index, band, session, binding)
            self._bind_outputs(index, band, binding)
        band.bindings[index, thread] = binding

    def _bind_outputs(self, index: int, band: Band, binding: IOBinding) -> None:
        for name in self.segments[index].outputs:
            binding.bind_ortvalue_output(name, band.values[name])

    def _run_first(
        self, index: int, band: Band, session: InferenceSession, binding: IOBinding
    ) -> None:
        """Makes the arrays of a segment's outputs, whose shapes only a run can tell."""
        segment = self.segments[index]
        for name in segment.outputs:
            binding.bind_output(name, "cpu")
        session.run_with_iobinding(binding)
        for name, value in zip(segment.outputs, binding.get_outputs(), strict=True):
            band.keep_copy(name, value.numpy())
        binding.clear_binding_outputs()
        band.dismiss(self.routes.last_read[index])

    def _value(self, band: Band, name: str, segment: Segment) -> Any:
        """The input ``name`` of a band, made by itself, by another or by none."""
        if name.startswith("halo"):
            offset, source = source_of(name)
            neighbour = self._neighbour(band, offset)
            if neighbour is not None:
                return neighbour.values[source]
            edge = band.arrays[f"{source.partition('.')[0]}.first"]
            height = 1 if segment.heights[name] == 1 else 0
            band.keep(name, np.zeros((*edge.shape[:2], height, edge.shape[3]), np.float32))
        return band.values[name] if name in band.values else self._shared.values[name]

    def _neighbour(self, band: Band, offset: int) -> Band | None:
        index = band.index + offset
        return self.bands[index] if 0 <= index < len(self.bands) else None

    def _mix(self, tap: int) -> None:
        """The style loss of a tap, and M = 4 w / (C N) (G - A), from the moments S of all bands.

        G = S / (C N), and so G - A = D / (C N) with D = S - C N A.
        """
        weight = self._weights.style.get(tap, 0)
        size = sum(int(band.arrays[f"size_{tap}"]) for band in self.bands)
        mixing = self._shared.arrays[f"mixing_{tap}"]
        np.multiply(self._targets.style[tap], np.float32(-size), out=mixing)
        for band in self.bands:
            mixing += band.arrays[f"moments_{tap}"]
        self._losses[tap] = weight * float(np.square(mixing).sum()) / size**2
        mixing *= np.float32(4 * weight / size**2)
