"""Where a batch's pictures are painted: in this process, in new ones, or through any executor."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from multiprocessing.connection import Connection

from ..errors import ResourceError
from .painting import Outcome, Task, Worker, failed, paint

__all__ = ["Outcomes", "outcomes_of", "processes"]

Outcomes = Generator[Outcome, None, None]


def outcomes_of(tasks: Sequence[Task], executor: Executor | None) -> Outcomes:
    """The tasks' outcomes as they come, in order where there is no ``executor``.

    Closed, it stops the work at once. Raises ResourceError where a worker was killed.
    """
    if executor is None:
        with contextlib.closing(Worker()) as worker:
            yield from map(worker.paint, tasks)
        return
    futures: dict[Future[Outcome], Task] = {}
    try:
        with _interrupts_wait():
            for task in tasks:
                futures[executor.submit(paint, task)] = task
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenExecutor as error:
                raise ResourceError(
                    "a process that painted was ended from outside, perhaps for want of memory; "
                    "start again with fewer --jobs or a smaller --size: what is painted is kept."
                ) from error
            except Exception as error:  # the executor's own: a task could not be sent, say
                yield failed(futures[future], error)
    finally:
        for future in futures:
            future.cancel()


@contextlib.contextmanager
def processes(count: int) -> Iterator[Executor]:
    """New processes on a leash: they end at once when the block is left by an exception.

    And also when this process is killed, which no handler would see: the leash is a pipe whose
    other end closes then. (An executor's processes would otherwise finish their picture, or wait
    for the next one forever.)
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit ONNX Runtime's threads
    theirs, ours = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(count, context, initializer=_leashed, initargs=(theirs,))
    try:
        yield executor
    except BaseException:
        ours.close()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
        ours.close()
        theirs.close()


def _leashed(leash: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides

    def wait() -> None:
        with contextlib.suppress(EOFError, OSError):
            leash.recv_bytes()
        os._exit(130)  # files are whole or absent at any moment

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, and processes started in it do not see it at all."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
