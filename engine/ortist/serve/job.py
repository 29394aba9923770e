"""One job while the server knows of it: its state, what it has come to, its events.

Lives in the server's event loop; nothing here may be called from another thread.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .folders import JobFolder
from .order import Order
from .store import ENDED

__all__ = ["Event", "Job", "Work"]

_KEPT_EVENTS = 400
"""Events of one job that a caller who comes back can still have; the oldest go first."""


@dataclass(frozen=True)
class Event:
    """One of a job's events: "state", "progress" or "preview". Numbers rise, also by a restart."""

    number: int
    name: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What a run takes: its picture's (width, height), its scales (shorter side, steps)."""

    size: tuple[int, int]
    scales: tuple[tuple[int, int], ...]

    def done(self, iterations: int) -> float:
        """Pixels that so many first steps go over, which is what their time is in proportion to."""
        ratio = max(self.size) / max(1, min(self.size))
        total = 0.0
        for side, steps in self.scales:
            total += side**2 * ratio * min(steps, iterations)
            iterations = max(0, iterations - steps)
        return total

    @functools.cached_property
    def total(self) -> float:
        """Pixels that all steps go over; setting a run up counts as two steps more."""
        return self.done(sum(steps for _, steps in self.scales)) + 2 * self.size[0] * self.size[1]

    def as_json(self) -> dict[str, Any]:
        """The work as JSON can hold it."""
        return {"size": self.size, "scales": self.scales}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Work:
        """What ``as_json`` made."""
        scales = tuple((side, steps) for side, steps in values["scales"])
        return cls((values["size"][0], values["size"][1]), scales)


@dataclass(eq=False)
class Job:
    """A job; ``direct`` where its caller waits for the picture, so that it goes with the caller.

    ``deaths`` counts the processes that died painting it since it last got further than
    ``furthest``, a step; ``kept`` is the step of its checkpoint. Since ``started`` (of
    time.monotonic) it went on from step ``begun``. ``caller`` is an address, "" after a restart.
    ``outcome`` is what is known at the end: the error with its HTTP status, or the picture's facts.
    """

    id: str
    order: Order
    folder: JobFolder
    work: Work
    created: float
    direct: bool = False
    caller: str = ""
    state: Literal["queued", "running", "done", "failed", "cancelled"] = "queued"
    deaths: int = 0
    furthest: int = -1
    outcome: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    kept: int = -1
    begun: int = 0
    started: float | None = None
    ended: float | None = None
    cancelled: bool = False
    preview: bytes | None = None
    _events: deque[Event] = field(default_factory=lambda: deque(maxlen=_KEPT_EVENTS))
    _shown: Event | None = None
    _last: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self.state in ENDED

    def tell(self, name: str, data: dict[str, Any]) -> None:
        """Adds an event, and wakes those who follow. Of previews only the last is kept."""
        # By the clock, so that numbers go on rising when the server is started again.
        self._last = max(self._last + 1, int(time.time() * 1000))
        event = Event(self._last, name, data)
        if name == "preview":
            self._shown = event
        else:
            self._events.append(event)
        self.wake()

    async def ended_within(self, seconds: float) -> bool:
        """Waits for its end, but no longer than that; whether it has come."""
        try:
            async with asyncio.timeout(seconds):
                while not self.is_over:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.is_over

    async def events(self, after: int, stop: asyncio.Event) -> AsyncIterator[Event | None]:
        """The events after that number as they come, to the end of the job or ``stop``.

        None stands for fifteen seconds in which nothing came.
        """
        while True:
            changed = self._changed
            there = [event for event in self._events if event.number > after]
            if self._shown is not None and self._shown.number > after:
                there.append(self._shown)
            for event in sorted(there, key=lambda event: event.number):
                after = event.number
                yield event
            if self.is_over or stop.is_set():
                return
            if changed is not self._changed:
                continue
            try:
                async with asyncio.timeout(15):
                    await changed.wait()
            except TimeoutError:
                yield None

    def wake(self) -> None:
        """Lets those who follow look again: at an event, or at the server's end."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
