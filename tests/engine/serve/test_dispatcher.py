"""The queue with processes that say what a test lets them say, without painting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ortist import ModelError
from ortist.serve import dispatcher
from ortist.serve.dispatcher import Dispatcher
from ortist.serve.folders import JobFolder
from ortist.serve.job import Job, Work
from ortist.serve.order import Order
from ortist.serve.own import Own

OWN = Own(1, None, 1000)
READY = {"type": "ready", "provider": "none", "model": {}}
DONE = {"type": "done", "size": [1, 1]}
FULL = {"type": "failed", "status": 507, "detail": "cannot write"}
STARTED = {"type": "started", "iteration": -1}
Script = list[Any]


class Scripted:
    """A process that answers each job with the next of its scripts; None is its death."""

    def __init__(self, first: dict[str, Any], scripts: list[Script]) -> None:
        self.pid, self.sent = 1, list[dict[str, Any]]()
        self._scripts = scripts
        self._messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._messages.put_nowait(dict(first))

    def listen(self) -> None:
        """Nothing: it speaks for itself."""

    async def message(self) -> dict[str, Any] | None:
        """The next message."""
        return await self._messages.get()

    def send(self, message: dict[str, Any]) -> None:
        """Takes what it is told; a job begins its next script."""
        self.sent.append(message)
        if message["type"] == "paint":
            for answer in self._scripts.pop(0):
                self._messages.put_nowait(None if answer is None else dict(answer))
        elif message["type"] == "park":
            self._messages.put_nowait({"type": "stopped"})

    def kill(self) -> None:
        """Dies."""
        self._messages.put_nowait(None)

    def close(self) -> None:
        """Nothing is left of it."""


class Kept:
    """A keeper that notes what it is told."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str]] = []

    async def ended(self, job: Job, state: str) -> None:
        """Notes the end."""
        self.ends.append((job.id, state))

    async def remember(self, job: Job) -> None:
        """Notes nothing."""


def job_called(name: str, tmp_path: Path) -> Job:
    order = Order("transfer", {}, None, "png", None, (), (), None)
    return Job(name, order, JobFolder(tmp_path / name), Work((64, 48), ((48, 10),)), 0.0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a test's coroutine with a dispatcher whose processes follow the scripts."""

    def run(
        scripts: list[Script], test: Callable[[Dispatcher, Kept], Any], first: Any = READY
    ) -> Any:
        monkeypatch.setattr(dispatcher, "_FULL_DISK_SECONDS", 0.01)
        monkeypatch.setattr(dispatcher, "_MERCY", 0.05)

        async def all_of_it() -> Any:
            kept = Kept()
            made = Dispatcher(1, lambda: Scripted(first, scripts), kept)
            try:
                async with asyncio.timeout(10):
                    await made.start()
                    return await test(made, kept)
            finally:
                await made.stop(0.1)

        return asyncio.run(all_of_it())

    return run


def test_jobs_are_painted_in_their_order(run: Callable[..., Any], tmp_path: Path) -> None:
    async def test(made: Dispatcher, kept: Kept) -> None:
        jobs = [job_called(name, tmp_path) for name in "abc"]
        for job in jobs:
            await made.add(job)
        for job in jobs:
            assert await job.ended_within(5)
        assert kept.ends == [("a", "done"), ("b", "done"), ("c", "done")]

    run([[DONE]] * 3, test)


def test_a_job_waits_for_room_on_the_disk(run: Callable[..., Any], tmp_path: Path) -> None:
    async def test(made: Dispatcher, kept: Kept) -> None:
        job = job_called("a", tmp_path)
        await made.add(job)
        assert await job.ended_within(5)
        assert kept.ends == [("a", "done")]

    run([[FULL], [FULL], [DONE]], test)


def test_a_caller_who_waits_is_told_of_the_full_disk(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    async def test(made: Dispatcher, kept: Kept) -> None:
        job = job_called("a", tmp_path)
        job.direct = True
        await made.add(job)
        assert await job.ended_within(5)
        assert job.state == "failed"
        assert job.outcome["error"]["status"] == 507

    run([[FULL]], test)


def test_two_deaths_without_a_step_between_fail_a_job(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    async def test(made: Dispatcher, kept: Kept) -> None:
        first, second = job_called("a", tmp_path), job_called("b", tmp_path)
        await made.add(first)
        await made.add(second)
        assert await first.ended_within(5)
        assert await second.ended_within(5)
        assert kept.ends == [("a", "failed"), ("b", "done")]

    run([[STARTED, None], [STARTED, None], [DONE]], test)


def test_deaths_of_a_job_that_gets_further_do_not_count(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    async def test(made: Dispatcher, kept: Kept) -> None:
        job = job_called("a", tmp_path)
        await made.add(job)
        assert await job.ended_within(5)
        assert kept.ends == [("a", "done")]

    steps = [[{"type": "kept", "iteration": step}, None] for step in (1, 2, 3, 4)]
    run([*steps, [DONE]], test)


def test_a_process_that_does_not_heed_a_cancel_is_killed(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    async def test(made: Dispatcher, kept: Kept) -> None:
        deaf, next_one = job_called("a", tmp_path), job_called("b", tmp_path)
        await made.add(deaf)
        await made.add(next_one)
        while deaf.state != "running":
            await asyncio.sleep(0)
        await made.cancel(deaf)
        await made.cancel(deaf)  # once more does nothing
        assert await deaf.ended_within(5)
        assert await next_one.ended_within(5)
        assert kept.ends == [("a", "cancelled"), ("b", "done")]

    run([[STARTED], [DONE]], test)


def test_the_end_of_the_server_leaves_jobs_in_the_queue(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    async def test(made: Dispatcher, kept: Kept) -> list[Job]:
        jobs = [job_called(name, tmp_path) for name in "ab"]
        for job in jobs:
            await made.add(job)
        while jobs[0].state != "running":
            await asyncio.sleep(0)
        await made.stop(1)
        assert [job.id for job in made.waiting] == ["a", "b"]
        assert kept.ends == []
        return jobs

    assert [job.state for job in run([[STARTED]], test)] == ["queued", "queued"]


def test_a_process_that_cannot_paint_ends_the_start(run: Callable[..., Any]) -> None:
    async def test(made: Dispatcher, kept: Kept) -> None:
        raise AssertionError("it started")

    unfit = {"type": "unfit", "detail": "the model is not there.", "code": 3}
    with pytest.raises(ModelError, match="the model is not there"):
        run([], test, unfit)


def test_who_comes_back_has_the_events_that_came_meanwhile(tmp_path: Path) -> None:
    async def test() -> None:
        job, stop = job_called("a", tmp_path), asyncio.Event()
        job.tell("state", {"state": "running"})
        for step in range(1000):
            job.tell("progress", {"iteration": step})
            if step % 10 == 0:
                job.tell("preview", {"iteration": step})
        job.state = "done"
        job.tell("state", {"state": "done"})
        seen = [event async for event in job.events(0, stop) if event]
        numbers = [event.number for event in seen]
        assert numbers == sorted(set(numbers))
        assert len(seen) <= 401  # what is kept is bounded
        assert [event.name for event in seen].count("preview") == 1
        assert seen[-1].data == {"state": "done"}
        again = [event async for event in job.events(seen[-3].number, stop) if event]
        assert again == seen[-2:]

    asyncio.run(test())
