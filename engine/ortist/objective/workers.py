"""Where pieces are worked on: in this process, or wherever an executor runs things.

Tasks are made one ahead of the one that is being done and results are taken in the tasks' order, so
that reading and writing go on beside the computing, and sums do not depend on who is done first.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ..errors import ResourceError
from .sweeper import Setup, Sweeper

__all__ = ["Workers"]

_AHEAD, _AHEAD_ELSEWHERE = 2, 16
"""Tasks that are given out at once, here and to an executor."""

Result = TypeVar("Result")
Work = Callable[..., Result]
"""A method of Sweeper."""


class Workers:
    """``sweeper``, or such wherever ``executor`` runs things, which must have Ortist and the model.

    Those have as many threads each as ``sweeper`` was asked to have.
    """

    def __init__(self, sweeper: Sweeper, executor: Executor | None = None) -> None:
        self._sweeper = sweeper
        self.elsewhere = executor is not None
        """Whether it is an executor that runs things."""
        self._executor = executor or ThreadPoolExecutor(1)

    def each(self, work: Work[Result], tasks: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
        """What ``work`` returns for each of the tasks, in their order.

        Raises what it raises, and ResourceError where a worker was ended from outside.
        """
        under_way: deque[Future[Result]] = deque()
        ahead = _AHEAD_ELSEWHERE if self.elsewhere else _AHEAD
        try:
            for task in tasks:
                under_way.append(self._submit(work, task))
                if len(under_way) == ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenExecutor as error:
            raise ResourceError(
                "a process that worked on tiles was ended from outside, perhaps for want of "
                "memory; give fewer workers or a smaller tile."
            ) from error
        finally:
            for future in under_way:
                future.cancel()

    def _submit(self, work: Work[Result], task: tuple[Any, ...]) -> Future[Result]:
        if self.elsewhere:
            return self._executor.submit(_elsewhere, self._sweeper.setup, work, task)
        return self._executor.submit(work, self._sweeper, *task)


_kept = threading.local()
"""The sweepers of a worker, which keeps its sessions from task to task."""


def _elsewhere(setup: Setup, work: Work[Result], task: tuple[Any, ...]) -> Result:
    """Done by a worker process or thread."""
    model, provider, threads = setup
    key = model.sha256, provider, threads
    if getattr(_kept, "key", None) != key:
        _kept.sweeper, _kept.key = Sweeper(*setup), key
    return work(_kept.sweeper, *task)
