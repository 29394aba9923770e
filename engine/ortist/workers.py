"""Where the work of tiles is done: in this process, or wherever an executor runs things.

Tasks are made one ahead of those that are being done and results are taken in the tasks' order, so
that reading and writing go on beside the computing, and sums are the same whoever does the work.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from .errors import ResourceError
from .models import Model
from .options import Provider
from .tile_work import TileWorker

__all__ = ["Workers"]

_AHEAD = 2
"""Tasks that are under way in this process: one being done, one ready."""
_AHEAD_ELSEWHERE = 16

Setup = tuple[Model, Provider, int | None]
Result = TypeVar("Result")
Work = Callable[..., Result]
"""A method of TileWorker."""


class Workers:
    """Those that have one model on one provider with so many threads each.

    With ``executor`` they are wherever it runs things, and must have Ortist and the model there.
    """

    def __init__(
        self,
        model: Model,
        provider: Provider,
        threads: int | None,
        executor: Executor | None = None,
    ) -> None:
        self._setup: Setup = (model, provider, threads)
        self._own = TileWorker(*self._setup) if executor is None else None
        self._executor = ThreadPoolExecutor(1) if executor is None else executor
        self._ahead = _AHEAD if executor is None else _AHEAD_ELSEWHERE
        self.provider: str = self.ask(TileWorker.provider)

    def ask(self, work: Work[Result], *task: Any) -> Result:
        """What the method ``work`` of a TileWorker returns; raises what it raises.

        And ResourceError where a worker was ended from outside.
        """
        return self._result(self._submit(work, task))

    def each(self, work: Work[Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """The same for one task after the other, in their order."""
        under_way: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                under_way.append(self._submit(work, task))
                if len(under_way) == self._ahead:
                    yield self._result(under_way.popleft())
            while under_way:
                yield self._result(under_way.popleft())
        finally:
            for future in under_way:
                future.cancel()

    def release(self) -> None:
        """Has this process's worker give back what memory it does not use; others keep theirs."""
        if self._own is not None:
            self.ask(TileWorker.release)

    def _submit(self, work: Work[Result], task: tuple[Any, ...]) -> Future[Result]:
        if self._own is not None:
            return self._executor.submit(work, self._own, *task)
        return self._executor.submit(_elsewhere, self._setup, work, task)

    def _result(self, future: Future[Result]) -> Result:
        try:
            return future.result()
        except BrokenExecutor as error:
            raise ResourceError(
                "a process that worked on tiles was ended from outside, perhaps for want of "
                "memory; give fewer workers or a smaller tile."
            ) from error


_kept: dict[tuple[str, Provider, int | None], TileWorker] = {}


def _elsewhere(setup: Setup, work: Work[Result], task: tuple[Any, ...]) -> Result:
    """Done by a worker process, which keeps its sessions from task to task."""
    model, provider, threads = setup
    key = model.sha256, provider, threads
    if key not in _kept:
        _kept[key] = TileWorker(*setup)
    return work(_kept[key], *task)
