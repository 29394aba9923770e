"""The agenda of a step, what its threads do next: segments of bands, and the sums over all of them.

A thread has bands of its own, side by side in the picture, whose values its caches hold; it takes
one of another thread where none of its own is ready.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Agenda", "Mix", "StoppedError", "Task"]


class Task(NamedTuple):
    """A segment of a band."""

    segment: int
    band: int


class Mix(NamedTuple):
    """The sums of a tap over all bands."""

    tap: int


class StoppedError(Exception):
    """Another thread of the step failed."""


class Agenda:
    """One step: ``segments`` of so many ``bands``, in their order, by so many ``threads``.

    ``waits[i]`` says which segment the band above (-1) or below (1) must have done before segment i
    of a band is run; where the picture ``wraps``, the first is below the last. ``sums[tap]`` says
    which segment of all bands a tap's sums need, and which segment needs them.
    """

    def __init__(
        self,
        bands: int,
        segments: int,
        threads: int,
        waits: Sequence[Mapping[int, int]],
        sums: Mapping[int, tuple[int, int]],
        wraps: bool = False,
    ) -> None:
        self._segments, self._waits, self._wraps = segments, waits, wraps
        ends = [bands * thread // threads for thread in range(threads + 1)]
        self._own = [range(*pair) for pair in itertools.pairwise(ends)]
        self._turn = [0] * threads
        """By thread, which of its own bands is looked at first."""
        self._done = [0] * bands
        """By band, how many segments; and how many are done or being done."""
        self._begun = [0] * bands
        self._sums = {tap: made for tap, (made, needed) in sums.items() if needed < segments}
        """By tap, what the sums need that no thread has taken on."""
        self._missing = {tap: sums[tap][1] for tap in self._sums}
        """By tap, what needs the sums that are not made."""
        # Entered by itself: a condition is entered by lines of Python, and Ctrl-C between two of
        # them would leave it with the thread that is gone, and the others waiting for ever.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._failed = False

    def take(self, thread: int) -> Task | Mix | None:
        """The next piece of work for that thread, when there is one; None at the end of the step.

        Raises StoppedError when another thread has failed.
        """
        with self._lock:
            while True:
                if self._failed:
                    raise StoppedError
                if (found := self._next(thread)) is not None:
                    return found
                if min(self._begun) == self._segments:
                    return None
                self._changed.wait()

    def finish(self, work: Task | Mix) -> None:
        """Notes that what was taken is done."""
        with self._lock:
            if isinstance(work, Mix):
                del self._missing[work.tap]
            else:
                self._done[work.band] += 1
            self._changed.notify_all()

    def fail(self) -> None:
        """Ends the step for all threads."""
        with self._lock:
            self._failed = True
            self._changed.notify_all()

    def _next(self, thread: int) -> Task | Mix | None:
        own, turn = self._own[thread], self._turn[thread]
        for band in itertools.chain(own[turn:], own[:turn]):  # the first is ready as a rule
            if self._is_ready(band):
                self._turn[thread] = (band - own.start + 1) % len(own)
                return self._begin(band)
        # What would be waited for: there is time for it.
        done = min(self._done)
        for tap, made in self._sums.items():
            if done > made:
                del self._sums[tap]
                return Mix(tap)
        for band in range(len(self._done)):
            if self._is_ready(band):
                return self._begin(band)
        return None

    def _begin(self, band: int) -> Task:
        segment = self._begun[band]
        self._begun[band] += 1
        return Task(segment, band)

    def _is_ready(self, band: int) -> bool:
        """Whether all that the band's next segment needs is there."""
        segment = self._begun[band]
        if segment == self._segments or self._done[band] < segment:
            return False
        if segment in self._missing.values():
            return False
        count = len(self._done)
        return all(
            self._done[(band + offset) % count] > needed
            for offset, needed in self._waits[segment].items()
            if self._wraps or 0 <= band + offset < count
        )
