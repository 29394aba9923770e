"""The service itself: its parts, what is kept of jobs, what is known of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from .._version import __version__
from ..errors import OutputError
from .configuration import Configuration
from .dispatcher import Dispatcher, Worker
from .folders import JOB_ID, Folders, JobFolder, lock_state
from .gallery import Gallery
from .job import Job, Work
from .metrics import Metrics
from .order import Order
from .own import share_of
from .problems import Problem
from .starting import starter_of
from .store import ENDED, Row, Store

__all__ = ["Service", "facts_of"]

_REMEMBERED = 120.0
"""Seconds for which an ended job stays in memory, with its events."""
_log = logging.getLogger("ortist.serve")


class Service:
    """One service on one state folder; made in the event loop that it lives in.

    ``first`` is a worker that has been started already.

    Raises OptionError where the folder cannot be used, or another service has it.
    """

    def __init__(self, configuration: Configuration, first: Worker | None = None) -> None:
        self.configuration = configuration
        state = configuration.state
        self._lock = lock_state(state)
        self.store = Store(state / "jobs.sqlite")
        self.folders = Folders(state)
        self.gallery = Gallery(configuration.styles, configuration.max_pixels)
        self.own = share_of(configuration)
        self.dispatcher = Dispatcher(configuration.jobs, starter_of(configuration), self, first)
        self.jobs: dict[str, Job] = {}
        self.metrics = Metrics(self.dispatcher)
        self._dropping: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Takes up the jobs that had been accepted, and starts the processes.

        Raises ModelError, ProviderError or ResourceError where none can paint.
        """
        await asyncio.to_thread(self.folders.remove_others, self.store.ids())
        for row in self.store.queued():
            job = self.job_of(row)
            self.jobs[job.id] = job
            await self.dispatcher.add(job)
        await self.dispatcher.start()

    async def stop(self, seconds: float) -> None:
        """Ends it; what callers wait for may take so many seconds, what was accepted is kept."""
        await self.dispatcher.stop(seconds)
        for job in self.jobs.values():
            job.wake()
        if self._dropping:  # what of theirs is left goes at the next start
            await asyncio.wait(self._dropping, timeout=1)
        self.store.close()

    async def tidy(self) -> None:
        """Removes what is older than ``keep``, or too much; every so often, as long as it lives."""
        keep = self.configuration.keep
        while True:
            await asyncio.sleep(min(60.0, max(0.5, keep / 10)))
            await self.remove_outdated()

    async def remove_outdated(self) -> None:
        """Removes what is older than ``keep``, and the oldest where there is too much."""
        now = time.time()
        for job in list(self.jobs.values()):
            if job.ended is not None and job.ended < now - _REMEMBERED and not job.direct:
                self.jobs.pop(job.id, None)
        limit = now - self.configuration.keep
        most = self.configuration.max_disk
        for job_id in await asyncio.to_thread(self.store.outdated, limit, most):
            await asyncio.to_thread(self.forget, job_id)

    def forget(self, job_id: str) -> None:
        """Removes a job that has ended, with its files."""
        self.jobs.pop(job_id, None)
        self.store.remove(job_id)
        self.folders.of(job_id).remove()

    async def find(self, job_id: str) -> Job:
        """The job of that id, ended or not; raises Problem, 404, where there is none."""
        job = self.jobs.get(job_id)
        if job is not None and not job.direct:
            return job
        known = JOB_ID.fullmatch(job_id) is not None
        row = await asyncio.to_thread(self.store.row, job_id) if known else None
        if row is None:
            raise Problem(
                404, "there is no such job; it may have been removed, as results are after a time."
            )
        job = self.job_of(row)
        self.dispatcher.tell_state(job)
        return job

    def drop_soon(self, job: Job) -> None:
        """Ends a job whose caller waited for it, or is gone; its files go while others are served.

        The caller need not wait for that.
        """
        self._soon(self._drop(job))

    def remove_soon(self, folder: JobFolder) -> None:
        """Removes a folder that no job has, while others are served: disks can be slow."""
        if folder.path.exists():
            self._soon(asyncio.to_thread(folder.remove))

    def _soon(self, work: Coroutine[None, None, None]) -> None:
        dropping = asyncio.create_task(work)
        self._dropping.add(dropping)
        dropping.add_done_callback(self._dropping.discard)

    async def _drop(self, job: Job) -> None:
        await self.dispatcher.cancel(job)
        await job.ended_within(5)
        self.jobs.pop(job.id, None)
        await asyncio.to_thread(job.folder.remove)

    async def ended(self, job: Job, state: str) -> None:
        """Writes down the end of a job; the dispatcher calls it."""
        self.metrics.ended(job, state)
        if job.direct:
            return
        await asyncio.to_thread(self._write_end, job, state)
        await self.remove_outdated()

    async def remember(self, job: Job) -> None:
        """Writes down how often processes died of a job; the dispatcher calls it."""
        if not job.direct:
            await asyncio.to_thread(self.store.remember, job.id, facts_of(job))

    def describe(self, job: Job) -> dict[str, Any]:
        """What callers are told of a job."""
        eta = self.dispatcher.seconds_left(job) if not job.is_over else None
        told: dict[str, Any] = {
            "id": job.id,
            "state": job.state,
            "command": job.order.command,
            "format": job.order.format,
            "size": list(job.work.size),
            "created": job.created,
            "ended": job.ended,
            "place": self.dispatcher.place(job) or None,
            "eta": None if eta is None else round(eta, 1),
            "progress": job.progress or None,
            **job.outcome,
        }
        base = f"/v1/jobs/{job.id}"
        told["links"] = {"self": base, "events": f"{base}/events", "preview": f"{base}/preview"}
        if job.state == "done":
            told["links"] |= {"picture": f"{base}/picture", "report": f"{base}/report"}
        return told

    def _write_end(self, job: Job, state: str) -> None:
        job.folder.clear()
        with contextlib.suppress(OSError):
            if job.preview is not None and state == "done":
                job.folder.preview.write_bytes(job.preview)
        try:
            self.store.end(job.id, state, job.ended or time.time(), job.outcome, job.folder.size)
        except OutputError as error:  # it is painted again after a restart, to the same bytes
            _log.error("the end of job %s is not written down: %s", job.id, error)

    def job_of(self, row: Row) -> Job:
        """The job that a row of the store tells of."""
        facts = row.facts
        job = Job(
            row.id,
            Order.from_json(facts["order"]),
            self.folders.of(row.id),
            Work.from_json(facts["work"]),
            row.created,
            deaths=facts["deaths"],
            furthest=facts["furthest"],
            outcome=row.outcome,
            ended=row.ended,
        )
        if row.state in ENDED:
            job.state = row.state  # type: ignore[assignment]
            with contextlib.suppress(OSError):
                job.preview = job.folder.preview.read_bytes()
        return job


def facts_of(job: Job) -> dict[str, Any]:
    """What of a job must outlive the server, besides its state."""
    return {
        "order": job.order.as_json(),
        "work": job.work.as_json(),
        "deaths": job.deaths,
        "furthest": job.furthest,
        "ortist": __version__,
    }
