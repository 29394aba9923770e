"""The objective of a picture in bands of rows, which threads work on side by side.

The graph of a band is written by ortist_export/bands.py, in segments between which bands exchange
rows. Threads take one segment of one band after the other, and wait for the bands next to it only;
sums over all bands are made once, between the way there and the way back. ONNX Runtime has one
thread for each run, and values of a band's size, which stay in the caches.

What is kept from segment to segment lies in arrays that are made at the first step of a size and
serve all others.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .balance import Weights
from .band_routes import Routes, Segment, source_of
from .feature_maps import explain
from .images import Array
from .models import Bands, Model
from .runtime import load_onnxruntime, open_session
from .targets import Losses, Targets

__all__ = ["BANDED_FROM", "BandedObjective", "plan_bands"]

BANDED_FROM = 45_000
"""Pixels from which on a picture is faster in bands than whole."""
_BAND = 50_000
"""Pixels of a band, about: fewer mean more runs, more do not fit the caches."""


def plan_bands(
    height: int, width: int, threads: int, unit: int, smallest_side: int
) -> list[tuple[int, int]]:
    """The rows [begin, end) of bands of about equal size, if it can be one for each thread.

    All begin at multiples of ``unit``, and the last has ``smallest_side`` rows at least.
    """
    count = max(threads, round(height * width / _BAND))
    starts = {round(height * i / count / unit) * unit for i in range(1, count)}
    inner = sorted(start for start in starts if 0 < start <= height - smallest_side)
    return list(itertools.pairwise([0, *inner, height]))


class BandedObjective:
    """One model on the CPU, with so many ``threads``."""

    def __init__(self, model: Model, bands: Bands, threads: int, profile: str | None) -> None:
        self._model, self._bands, self._threads = model, bands, threads
        self._profile = profile
        self._pool = ThreadPoolExecutor(max(1, threads - 1))
        self._targets, self._weights = Targets(), Weights({}, {}, 0.0)
        self._terms: tuple[frozenset[int], frozenset[int]] | None = None
        self._segments: list[Segment] = []
        self._picture: _Picture | None = None
        self._aimed = False

    def in_bands(self, tap: int, features: Array, shape: Sequence[int]) -> tuple[Array, ...]:
        """Copies of the ``features`` of ``tap`` of an image of that ``shape``, band by band."""
        stride = self._model.tap(tap).stride
        rows = [(begin // stride, end // stride) for begin, end in self._plan(shape)]
        last = features.shape[2]
        ends = [*(end for _, end in rows[:-1]), last]
        return tuple(
            np.ascontiguousarray(features[:, :, begin:end])
            for (begin, _), end in zip(rows, ends, strict=True)
        )

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        self._targets, self._weights, self._aimed = targets, weights, False

    def release(self) -> None:
        """Gives back the arrays of the last size."""
        self._picture = None

    def __call__(self, image: Array, into: Array | None = None) -> tuple[Losses, Array]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is ``into``, if given. Raises ResourceError when memory runs out, and ModelError where
        the segments are not such as the manifest says.
        """
        gradient = np.empty(image.shape, np.float32) if into is None else into
        try:
            picture = self._prepared(image.shape)
            picture.run(image, gradient, self._pool, self._threads)
        except Exception as error:
            self._picture = None
            explain(error, image)
            raise
        return picture.losses(), gradient

    def end_profiling(self) -> list[str]:
        """The paths of the records of the calls so far, where ``profile`` asked for them."""
        return [str(segment.session.end_profiling()) for segment in self._segments]

    def _plan(self, shape: Sequence[int]) -> list[tuple[int, int]]:
        unit, least = self._bands.unit, self._model.smallest_side
        return plan_bands(shape[2], shape[3], self._threads, unit, least)

    def _prepared(self, shape: tuple[int, ...]) -> _Picture:
        """The arrays for images of that shape and terms of these layers, aimed."""
        terms = frozenset(self._targets.style), frozenset(self._targets.content)
        if self._terms != terms:
            self._terms = self._picture = None
            self._segments = self._opened(*terms)
            self._routes = Routes(self._model, self._segments)
            self._terms = terms
        if self._picture is None or self._picture.shape != shape:
            self._picture = None  # before the new one is made
            bands = [
                _Band(index, begin, end, shape[2], self._bands.reach)
                for index, (begin, end) in enumerate(self._plan(shape))
            ]
            self._picture = _Picture(
                shape, *terms, self._model, self._segments, self._routes, bands
            )
            self._aimed = False
        if not self._aimed:
            content = {
                tap: features
                if isinstance(features, tuple)
                else self.in_bands(tap, features, shape)
                for tap, features in self._targets.content.items()
            }
            self._picture.aim(content, self._targets, self._weights)
            self._aimed = True
        return self._picture

    def _opened(self, style: Collection[int], content: Collection[int]) -> list[Segment]:
        """The segments with the terms of these taps, and no others."""
        on = {f"style_{tap}" for tap in style} | {f"content_{tap}" for tap in content}
        found = []
        for index, (file, names) in enumerate(self._bands.segments.items()):
            profile = self._profile and f"{self._profile}-{index}"
            switches = {name: name in on for name in names}
            data = self._model.read(file)
            session = open_session(data, "cpu", 1, profile, switches=switches)
            found.append(Segment(session))
        return found


class _Band:
    """Rows [begin, end) of the picture; its features see [begin, seen)."""

    def __init__(self, index: int, begin: int, end: int, height: int, reach: int) -> None:
        self.index, self.begin, self.end = index, begin, end
        self.seen = min(height, end + reach)
        self.arrays: dict[str, NDArray[Any]] = {}
        self.values: dict[str, Any] = {}
        self.bindings: dict[int, Any] = {}

    def keep(self, name: str, array: NDArray[Any]) -> None:
        """What is in ``array`` when a segment is run is its input or output of that name."""
        self.arrays[name] = array
        self.values[name] = load_onnxruntime().OrtValue.ortvalue_from_numpy(array)


class _StoppedError(Exception):
    """Another thread of the step failed."""


class _Progress:
    """What threads of one step have taken on and what is done.

    Tasks are taken in their order, and need nothing but tasks before them.
    """

    def __init__(self, tasks: int, bands: int) -> None:
        self._tasks = iter(range(tasks))
        self._changed = threading.Condition()
        self.done = [0] * bands
        """By band, how many segments."""
        self.mixed = 0
        """Taps."""
        self._failed = False

    def take(self) -> int | None:
        with self._changed:
            return next(self._tasks, None)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failed or ready())
            if self._failed:
                raise _StoppedError

    def finish(self, band: int | None) -> None:
        """A segment of that band, or a tap's sums, are done."""
        with self._changed:
            if band is None:
                self.mixed += 1
            else:
                self.done[band] += 1
            self._changed.notify_all()

    def fail(self) -> None:
        with self._changed:
            self._failed = True
            self._changed.notify_all()


@dataclass
class _Picture:
    """The ``bands`` of images of one shape, with all that is kept for them."""

    shape: tuple[int, ...]
    style: frozenset[int]
    content: frozenset[int]
    model: Model
    segments: Sequence[Segment]
    routes: Routes
    bands: Sequence[_Band]
    _shared: _Band = field(default_factory=lambda: _Band(-1, 0, 0, 0, 0))
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
                for index, binding in band.bindings.items():
                    if name in self.segments[index].inputs:
                        binding.bind_ortvalue_input(name, band.values[name])

    def run(self, image: Array, gradient: Array, pool: ThreadPoolExecutor, threads: int) -> None:
        """Writes the ``gradient``; the ``threads`` are this one and some of ``pool``."""
        tasks = [(index, band) for index in range(len(self.segments)) for band in self.bands]
        style = sorted(self.style)
        at = self.routes.mixing * len(self.bands)
        every: list[tuple[int, _Band | int]] = [*tasks[:at]]
        every += [(-1, tap) for tap in style]
        every += tasks[at:]
        progress = _Progress(len(every), len(self.bands))
        work = functools.partial(self._work, progress, every, image, gradient)
        others = [pool.submit(work) for _ in range(min(threads, len(self.bands)) - 1)]
        failed: list[BaseException] = []
        try:
            work()
        except _StoppedError as error:
            failed.append(error)
        finally:
            failed = [f for f in (other.exception() for other in others) if f is not None] + failed
        if failed:
            raise next((f for f in failed if not isinstance(f, _StoppedError)), failed[0])
        for band in self.bands[:-1]:  # rows that are seen by two
            own = band.end - band.begin
            gradient[:, :, band.end : band.seen] += band.arrays["gradient"][:, :, own:]

    def losses(self) -> Losses:
        """Those of the last run."""

        def total(name: str) -> float:
            return float(sum(float(band.arrays[name]) for band in self.bands))

        return Losses(
            {tap: total(f"content_loss_{tap}") for tap in sorted(self.content)},
            {tap: self._losses[tap] for tap in sorted(self.style)},
            total("tv_loss"),
        )

    def _work(
        self,
        progress: _Progress,
        tasks: Sequence[tuple[int, _Band | int]],
        image: Array,
        gradient: Array,
    ) -> None:
        """What one thread does in a step."""
        done = progress.done
        try:
            while (number := progress.take()) is not None:
                index, band = tasks[number]
                if not isinstance(band, _Band):
                    progress.wait_until(lambda: min(done) >= self.routes.mixing)
                    self._mix(band)
                    progress.finish(None)
                    continue
                if index == 0:
                    self._look_at(image, band)
                elif index == self.routes.mixing:
                    progress.wait_until(lambda: progress.mixed == len(self.style))
                progress.wait_until(functools.partial(self._ready, index, band, done))
                self._run(index, band)
                if index == len(self.segments) - 1:
                    own = band.end - band.begin
                    gradient[:, :, band.begin : band.end] = band.arrays["gradient"][:, :, :own]
                progress.finish(band.index)
        except BaseException:
            progress.fail()
            raise

    def _ready(self, index: int, band: _Band, done: Sequence[int]) -> bool:
        """Whether all that a segment of a band needs is there."""
        if done[band.index] < index:
            return False
        for offset, segment in self.routes.waits[index].items():
            neighbour = self._neighbour(band, offset)
            if neighbour is not None and done[neighbour.index] <= segment:
                return False
        return True

    def _look_at(self, image: Array, band: _Band) -> None:
        band.arrays["image"][...] = image[:, :, band.begin : band.seen]
        rows, height = band.arrays["rows"], image.shape[2]
        rows[:, :, 1:-1] = image[:, :, band.begin : band.end]
        rows[:, :, 0] = image[:, :, max(0, band.begin - 1)]
        rows[:, :, -1] = image[:, :, min(height - 1, band.end)]

    def _run(self, index: int, band: _Band) -> None:
        """One segment of one band, after what its neighbours add to its gradients."""
        for name, row, source in self.routes.added[index]:
            neighbour = self._neighbour(band, 1 if row else -1)
            if neighbour is not None:
                band.arrays[name][:, :, row] += neighbour.arrays[source][:, :, 0]
        segment = self.segments[index]
        if index in band.bindings:
            segment.session.run_with_iobinding(band.bindings[index])
            return
        binding = segment.session.io_binding()
        for name in segment.inputs:
            binding.bind_ortvalue_input(name, self._value(band, name, segment))
        for name in segment.outputs:
            binding.bind_output(name, "cpu")
        segment.session.run_with_iobinding(binding)
        # From now on the outputs are written to arrays of our own.
        for name, value in zip(segment.outputs, binding.get_outputs(), strict=True):
            band.keep(name, value.numpy())
        binding.clear_binding_outputs()
        for name in segment.outputs:
            binding.bind_ortvalue_output(name, band.values[name])
        band.bindings[index] = binding

    def _value(self, band: _Band, name: str, segment: Segment) -> Any:
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

    def _neighbour(self, band: _Band, offset: int) -> _Band | None:
        index = band.index + offset
        return self.bands[index] if 0 <= index < len(self.bands) else None

    def _mix(self, tap: int) -> None:
        """The style loss of a tap, and M = 4 w / (C N) (G - A), from the moments of all bands."""
        weight = self._weights.style.get(tap, 0)
        size = sum(int(band.arrays[f"size_{tap}"]) for band in self.bands)
        first, *others = (band.arrays[f"moments_{tap}"] for band in self.bands)
        difference = first.copy()
        for moments in others:
            difference += moments
        difference /= np.float32(size)
        difference -= self._targets.style[tap]
        self._losses[tap] = weight * float(np.square(difference).sum())
        np.multiply(
            difference, np.float32(4 * weight / size), out=self._shared.arrays[f"mixing_{tap}"]
        )
