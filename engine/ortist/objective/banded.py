"""The objective of a picture in bands of rows, which threads work on side by side.

The graph of a band is written by ortist_export/bands.py, in segments between which bands exchange
rows. Threads take one segment of one band after the other, and wait for the bands next to it only;
sums over all bands are made once, between the way there and the way back. ONNX Runtime has one
thread for each run, and values of a band's size, which stay in the caches.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..arrays import Array
from ..network.bundle import Bands, Model
from ..network.sessions import open_session, own_pool, shrinking
from .band_routes import Routes, Segment
from .band_work import Band, BandedPicture
from .feature_maps import explain
from .targets import Losses, Targets
from .weights import Weights

__all__ = ["BANDED_FROM", "BAND_PIXELS", "BandedObjective", "plan_bands"]

BANDED_FROM = 45_000
"""Pixels from which on a picture is faster in bands than whole."""
BAND_PIXELS = 45_000
"""Pixels of a band, about: fewer mean more runs, more do not fit the caches."""
_POOLS = 8
"""At most, of memory and of the sessions that use them: to open those of one takes 30 ms."""


def plan_bands(
    height: int, width: int, threads: int, unit: int, smallest_side: int
) -> list[tuple[int, int]]:
    """The rows [begin, end) of bands of about equal size, if it can be as many for each thread.

    So no thread waits long for another, or has to take one whose values its caches do not hold. All
    begin at multiples of ``unit``; the last has ``smallest_side`` rows at least.
    """
    count = threads * max(1, round(height * width / BAND_PIXELS / threads))
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
        self._picture: BandedPicture | None = None
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
        """Gives back the arrays of the last size, and what memory its runs have left."""
        self._picture = None
        if not self._segments:
            return
        side = self._model.smallest_side
        heights = {"image": side, "rows": side + 2}
        small = {name: np.zeros((1, 3, rows, side), np.float32) for name, rows in heights.items()}
        for session in self._segments[0].sessions:
            session.run(None, small, shrinking())

    def __call__(self, image: Array, into: Array | None = None) -> tuple[Losses, Array]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is ``into``, if given. Raises ResourceError when memory runs out, and ModelError where
        the segments are not such as the manifest says.
        """
        gradient = np.empty(image.shape, np.float32) if into is None else into
        with self._explained(image):
            style, content = frozenset(self._targets.style), frozenset(self._targets.content)
            picture = self._prepared(image.shape, style, content)
            if not self._aimed:
                picture.aim(self._content_of(image.shape), self._targets, self._weights)
                self._aimed = True
            picture.run(image, gradient, self._pool, self._threads)
        return picture.losses(), gradient

    def look(
        self, image: Array, taps: Collection[int], style: Collection[int]
    ) -> dict[int, tuple[Array, ...]] | None:
        """The features of these taps, band by band, for targets that have a style at those.

        None where a tap's are not to be had. Raises as a call does.
        """
        with self._explained(image):
            picture = self._prepared(image.shape, frozenset(style), frozenset(taps))
            return picture.look(image, taps, self._pool, self._threads)

    @contextlib.contextmanager
    def _explained(self, image: Array) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._picture = None
            explain(error, image)
            raise

    def end_profiling(self) -> list[str]:
        """The paths of the records of the calls so far, where ``profile`` asked for them."""
        return [
            str(session.end_profiling())
            for segment in self._segments
            for session in segment.sessions
        ]

    def _plan(self, shape: Sequence[int]) -> list[tuple[int, int]]:
        unit, least = self._bands.unit, self._model.smallest_side
        return plan_bands(shape[2], shape[3], self._threads, unit, least)

    def _prepared(
        self, shape: tuple[int, ...], style: frozenset[int], content: frozenset[int]
    ) -> BandedPicture:
        """The arrays for images of that shape and terms of these taps."""
        if self._terms != (style, content):
            self._terms = self._picture = None
            segments = self._opened(style, content)
            self._routes = Routes(self._model, segments)  # refuses those of another kind
            self._segments = segments
            self._terms = style, content
        if self._picture is None or self._picture.shape != shape:
            if self._picture is not None:
                self.release()  # before the new one is made
            bands = [
                Band(index, begin, end, shape[2], self._bands.reach)
                for index, (begin, end) in enumerate(self._plan(shape))
            ]
            self._picture = BandedPicture(
                shape, style, content, self._model, self._segments, self._routes, bands
            )
            self._aimed = False
        return self._picture

    def _content_of(self, shape: Sequence[int]) -> dict[int, tuple[Array, ...]]:
        return {
            tap: found if isinstance(found, tuple) else self.in_bands(tap, found, shape)
            for tap, found in self._targets.content.items()
        }

    def _opened(self, style: Collection[int], content: Collection[int]) -> list[Segment]:
        """The segments with the terms of these taps, and no others.

        Each thread has sessions of its own, since it is a session that has a pool of memory; beyond
        eight they share them.
        """
        on = {f"style_{tap}" for tap in style} | {f"content_{tap}" for tap in content}
        by_thread = []
        for thread in range(min(self._threads, _POOLS)):
            with own_pool():
                sessions = []
                for index, (file, names) in enumerate(self._bands.segments.items()):
                    profile = self._profile and f"{self._profile}-{index}-{thread}"
                    switches = {name: name in on for name in names}
                    data = self._model.read(file)
                    sessions.append(open_session(data, "cpu", 1, profile, switches=switches))
                by_thread.append(sessions)
        return [Segment(sessions) for sessions in zip(*by_thread, strict=True)]
