"""Where the work of tiles is done: in this process, or wherever an executor runs things.

Here two tiles are worked on at once, each with half the threads. Tasks are made one ahead of those
that are being done and results are taken in the tasks' order, so that reading and writing go on
beside the computing, and sums do not depend on who is done first.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import ResourceError
from ..network.bundle import Model
from ..network.sessions import available_cpus
from ..options.fields import Provider
from .tile_work import TileWorker

__all__ = ["Workers", "tiles_at_once"]

_AT_ONCE = 2
"""Tiles that are worked on at once in this process: where one is summed or copied on one thread,
the other one computes. More would take more memory for little."""
_AHEAD_ELSEWHERE = 16
"""Tasks that an executor has at once."""

Setup = tuple[Model, Provider, int | None]
Result = TypeVar("Result")
Work = Callable[..., Result]
"""A method of TileWorker."""


def tiles_at_once(threads: int | None) -> int:
    """How many tiles are worked on at once in this process, by so many threads in all."""
    return min(_AT_ONCE, threads or available_cpus())


class Workers:
    """Those that have one model on one provider, and ``threads`` (None: all there are) to share.

    With ``executor`` they are wherever it runs things, with so many threads each, and must have
    Ortist and the model there.
    """

    def __init__(
        self,
        model: Model,
        provider: Provider,
        threads: int | None,
        executor: Executor | None = None,
    ) -> None:
        self._setup: Setup = (model, provider, threads)
        self._elsewhere = executor is not None
        self._at_once = tiles_at_once(threads)
        self._executor = executor or ThreadPoolExecutor(self._at_once)
        self.provider: str = self.ask(TileWorker.provider)

    @functools.cached_property
    def _whole(self) -> TileWorker:
        """One with all threads, for a tile on its own."""
        return TileWorker(*self._setup)

    @functools.cached_property
    def _shared(self) -> TileWorker:
        """One with a part of the threads, which several tiles use at once."""
        model, provider, threads = self._setup
        return TileWorker(model, provider, (threads or available_cpus()) // self._at_once)

    def ask(self, work: Work[Result], *task: Any) -> Result:
        """What the method ``work`` of a TileWorker returns; raises what it raises.

        And ResourceError where a worker was ended from outside.
        """
        return self._result(self._submit(work, task, alone=True))

    def each(
        self, work: Work[Result], tasks: Iterable[tuple[Any, ...]], count: int
    ) -> Iterator[Result]:
        """The same for ``count`` tasks one after the other, in their order."""
        alone = count == 1 or self._at_once == 1
        ahead = _AHEAD_ELSEWHERE if self._elsewhere else self._at_once + 1
        under_way: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                under_way.append(self._submit(work, task, alone))
                if len(under_way) == ahead:
                    yield self._result(under_way.popleft())
            while under_way:
                yield self._result(under_way.popleft())
        finally:
            for future in under_way:
                future.cancel()

    def release(self) -> None:
        """Has this process's worker give back what memory it does not use; others keep theirs."""
        if not self._elsewhere:
            self.ask(TileWorker.release)

    def _submit(self, work: Work[Result], task: tuple[Any, ...], alone: bool) -> Future[Result]:
        if self._elsewhere:
            return self._executor.submit(_elsewhere, self._setup, work, task)
        return self._executor.submit(work, self._whole if alone else self._shared, *task)

    def _result(self, future: Future[Result]) -> Result:
        try:
            return future.result()
        except BrokenExecutor as error:
            raise ResourceError(
                "a process that worked on tiles was ended from outside, perhaps for want of "
                "memory; give fewer workers or a smaller tile."
            ) from error


_kept: dict[tuple[str, Provider, int | None], TileWorker] = {}
_opening = threading.Lock()


def _elsewhere(setup: Setup, work: Work[Result], task: tuple[Any, ...]) -> Result:
    """Done by a worker process or thread, whose process keeps its sessions from task to task."""
    model, provider, threads = setup
    key = model.sha256, provider, threads
    with _opening:
        if key not in _kept:
            _kept[key] = TileWorker(*setup)
    return work(_kept[key], *task)
