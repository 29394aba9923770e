"""The queue, and the processes that it is handed out to.

Each process has a coroutine: it takes the next job, hands it over, listens to what becomes of it,
and starts another process where that one died. All of it runs in the server's event loop.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import ModelError, OrtistError, ProviderError, ResourceError
from .job import Job

__all__ = ["Dispatcher", "Keeper", "Worker"]

_MERCY = 0.7
"""Seconds that a process has to heed a cancel before it is killed; starting another takes one."""
_LIVES = 2
"""Processes that may die of one job without getting further in it."""
_FULL_DISK_SECONDS = 10.0
_log = logging.getLogger("ortist.serve")


class Keeper(Protocol):
    """Who writes down what becomes of jobs."""

    async def ended(self, job: Job, state: str) -> None:
        """Records that a job ended, and how, before anybody is told."""

    async def remember(self, job: Job) -> None:
        """Records how often processes died of a job that goes on."""


class Worker(Protocol):
    """Who paints one job after the other: a process (process.py), a cluster's worker (cluster.py).

    ``listen`` is called once, before anything else. Messages come through ``message``, None for the
    worker's end.
    """

    @property
    def pid(self) -> int:
        """The number of the process, 0 where it is not of this machine."""

    def listen(self) -> None:
        """Begins to hear what it says."""

    async def message(self) -> dict[str, Any] | None:
        """The next message."""

    def send(self, message: dict[str, Any]) -> None:
        """Says something to it."""

    def kill(self) -> None:
        """Ends it at once."""

    def close(self) -> None:
        """Ends it and lets go of it."""


class Dispatcher:
    """Jobs in the order of their acceptance, ``count`` at a time.

    ``start`` starts a worker; ``first`` is one that has been started already.

    ``facts`` are what the processes said of model and provider, None before one was ready;
    ``unfit`` is why none is, if that is so.
    """

    def __init__(
        self, count: int, start: Callable[[], Worker], keeper: Keeper, first: Worker | None = None
    ) -> None:
        self.count, self._start, self._keeper, self._first = count, start, keeper, first
        self.waiting: deque[Job] = deque()
        self.running: dict[Job, Worker] = {}
        self.workers: set[Worker] = set()
        self.facts: dict[str, Any] | None = None
        self.unfit: OrtistError | None = None
        self.stopping = asyncio.Event()
        self._pace = 0.0  # seconds for each pixel of a step, of late; 0 before any is known
        self._more = asyncio.Condition()
        self._slots: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts the processes; returns when one is ready, or raises why none will be."""
        known = asyncio.Event()
        self._slots = [asyncio.create_task(self._slot(known)) for _ in range(self.count)]
        await known.wait()
        if self.facts is None and self.unfit is not None:
            await self.stop(0)
            raise self.unfit

    async def add(self, job: Job) -> None:
        """Puts a job at the end of the queue."""
        self.waiting.append(job)
        self.tell_state(job)
        await self._wake()

    async def cancel(self, job: Job) -> None:
        """Ends a job early: at once where it waits, within a second where it is painted."""
        if job.is_over or job.cancelled:
            return
        job.cancelled = True
        worker = self.running.get(job)
        if worker is None:
            with contextlib.suppress(ValueError):
                self.waiting.remove(job)
            await self._end(job, "cancelled", {})
            return
        worker.send({"type": "cancel", "id": job.id})
        asyncio.get_running_loop().call_later(_MERCY, self._kill_if_painting, worker, job)

    async def stop(self, seconds: float) -> None:
        """Ends the processes; jobs that callers wait for may take so many seconds first.

        The others keep what was done of them in a checkpoint.
        """
        self.stopping.set()
        await self._wake()
        for job, worker in self.running.items():
            if not job.direct:
                worker.send({"type": "park", "id": job.id})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.running:
                    await asyncio.sleep(0.02)
        for slot in self._slots:
            slot.cancel()
        await asyncio.gather(*self._slots, return_exceptions=True)
        for worker in list(self.workers):
            await asyncio.to_thread(worker.close)

    def place(self, job: Job) -> int:
        """Its place in the queue, from 1 on; 0 where it does not wait."""
        return self.waiting.index(job) + 1 if job in self.waiting else 0

    def seconds_left(self, job: Job | None = None) -> float | None:
        """The time to the end of ``job``, or of all jobs without one; None before any is known."""
        if not self._pace:
            return None
        if job in self.running and job is not None:
            return self._pace * self._left(job)
        place = self.place(job) if job else len(self.waiting)
        before = [*self.running, *list(self.waiting)[:place]]
        return self._pace * sum(map(self._left, before)) / self.count

    def tell_state(self, job: Job) -> None:
        """Tells those who follow the job its state."""
        data: dict[str, Any] = {"state": job.state, **job.outcome}
        if job.state == "queued":
            data |= {"place": self.place(job), "eta": rounded(self.seconds_left(job))}
        job.tell("state", data)

    def _tell_places(self) -> None:
        """Tells all who wait how far they have come, in one pass: there may be many."""
        left = sum(map(self._left, self.running))
        for place, job in enumerate(self.waiting, 1):
            left += self._left(job)
            eta = rounded(self._pace * left / self.count) if self._pace else None
            job.tell("state", {"state": job.state, "place": place, "eta": eta})

    def _left(self, job: Job) -> float:
        done = job.progress.get("iteration", 0)
        return job.work.total if not done else max(0.0, job.work.total - job.work.done(done))

    async def _wake(self) -> None:
        async with self._more:
            self._more.notify_all()

    async def _next(self) -> Job:
        async with self._more:
            await self._more.wait_for(lambda: self.waiting and not self.stopping.is_set())
            return self.waiting.popleft()

    async def _slot(self, known: asyncio.Event) -> None:
        """One process after the other, as long as the server lives."""
        while not self.stopping.is_set():
            worker, self._first = self._first or self._start(), None
            worker.listen()
            self.workers.add(worker)
            try:
                first = await worker.message()
                if first is not None and first["type"] == "ready":
                    self.facts, self.unfit = first, None
                    known.set()
                    await self._feed(worker)
                else:
                    self.unfit = _unfit(first)
                    known.set()
                    _log.error("a process cannot paint: %s", self.unfit)
                    await asyncio.sleep(2)
            finally:
                self.workers.discard(worker)
                worker.kill()
            await asyncio.to_thread(worker.close)

    async def _feed(self, worker: Worker) -> None:
        """Hands jobs to the process until it dies."""
        while True:
            job = await self._next()
            self.running[job] = worker
            try:
                alive = await self._painted(worker, job)
            finally:
                del self.running[job]
            if not alive:
                return

    async def _painted(self, worker: Worker, job: Job) -> bool:
        """One job from its handing over to its end; False where the process died of it."""
        job.state, job.started, job.begun = "running", time.monotonic(), 0
        self.tell_state(job)
        self._tell_places()
        worker.send(
            {
                "type": "paint",
                "id": job.id,
                "folder": str(job.folder.path),
                "order": job.order.as_json(),
                "watched": not job.direct,
            }
        )
        while (message := await worker.message()) is not None:
            if message["type"] in ("done", "failed", "stopped"):
                await self._answered(job, message)
                return True
            self._heard(job, message)
        await self._died(job)
        return False

    def _heard(self, job: Job, message: dict[str, Any]) -> None:
        """What a process says of a job that goes on."""
        kind = message.pop("type")
        if kind == "started":
            job.begun = max(0, message["iteration"])
        elif kind == "kept":
            job.kept = message["iteration"]
        elif kind == "preview":
            job.preview = base64.b64decode(message["jpeg"])
            image = "data:image/jpeg;base64," + message["jpeg"]
            job.tell("preview", {"iteration": message["iteration"], "image": image})
        else:
            self._learn(job, message["iteration"])
            job.progress = {**message, "eta": rounded(self.seconds_left(job) or 0)}
            job.tell("progress", job.progress)

    def _learn(self, job: Job, iteration: int) -> None:
        """The pace of the work, from a job that is under way."""
        done = job.work.done(iteration) - job.work.done(job.begun)
        if done > 0 and job.started is not None:
            pace = (time.monotonic() - job.started) / done
            self._pace = pace if not self._pace else 0.9 * self._pace + 0.1 * pace

    async def _answered(self, job: Job, message: dict[str, Any]) -> None:
        kind = message.pop("type")
        if job.cancelled:
            await self._end(job, "cancelled", {})
        elif kind == "stopped":  # for the server's end: it goes on when that is started again
            self._back(job)
        elif kind == "done":
            await self._end(job, "done", message)
        elif message["status"] == 507 and not job.direct:
            _log.warning("job %s waits for room on the disk", job.id)
            self._back(job)
            await asyncio.sleep(_FULL_DISK_SECONDS)
        else:
            await self._end(job, "failed", {"error": message})

    async def _died(self, job: Job) -> None:
        """What becomes of the job of a process that ended."""
        if job.cancelled:
            await self._end(job, "cancelled", {})
            return
        if self.stopping.is_set():
            self._back(job)
            return
        _log.error("the process that painted job %s died", job.id)
        job.deaths = 1 if job.kept > job.furthest else job.deaths + 1
        job.furthest = max(job.furthest, job.kept)
        if job.deaths >= _LIVES:
            said = (
                "the process that painted was ended twice, perhaps for want of memory; give a "
                "smaller size."
            )
            await self._end(job, "failed", {"error": {"status": 503, "detail": said}})
            return
        await self._keeper.remember(job)
        self._back(job)
        await self._wake()

    def _back(self, job: Job) -> None:
        job.state, job.started = "queued", None
        self.waiting.appendleft(job)
        self.tell_state(job)

    async def _end(self, job: Job, state: Any, outcome: dict[str, Any]) -> None:
        if job.ended is not None:  # it was cancelled while its end was written down
            return
        job.outcome, job.ended = outcome, time.time()
        await self._keeper.ended(job, state)
        job.state = state
        self.tell_state(job)

    def _kill_if_painting(self, worker: Worker, job: Job) -> None:
        if self.running.get(job) is worker:
            worker.kill()


def rounded(seconds: float | None) -> float | None:
    """Seconds as they are told: to tenths."""
    return None if seconds is None else round(seconds, 1)


def _unfit(message: dict[str, Any] | None) -> OrtistError:
    """Why a process cannot paint, as the error that it was there."""
    if message is None:
        return ResourceError("the process that paints ended at its start; see the log.")
    kinds = {3: ModelError, 4: ProviderError}
    return kinds.get(message["code"], OrtistError)(message["detail"])
