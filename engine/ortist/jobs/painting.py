"""The pictures of a batch, painted wherever they go: in this process, new ones, or an executor's.

A worker keeps its engine, and with it the sessions and what is known of the styles, from one
picture to the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from ..engine import Engine, finished
from ..errors import (
    ModelError,
    OptionError,
    OrtistError,
    PictureError,
    ProviderError,
    ResourceError,
)
from ..objective.targets import Losses
from ..options.fields import Options
from ..pictures.outputs import output_depth, takes_rows
from ..pictures.raster import Source
from ..run.result import Result
from ..run.setup import Asked
from ..signals import ENDING
from ..style.named import shadow_note
from .ledger import file_sha256

__all__ = [
    "Outcome",
    "Outcomes",
    "Task",
    "Worker",
    "check_may_start",
    "outcomes_of",
    "paint_here",
    "processes",
]

_NO_SETTINGS = ("threads", "max_pixels", "max_memory", "scratch")
"""Options that do not make another picture (beyond rounding), so that it need not be made again."""
_Status = Literal["painted", "kept", "failed", "skipped"]


@dataclass(frozen=True)
class Task:
    """One picture to paint; paths are absolute, and so is that of an init image.

    ``names`` are those of content, style and init image, if there is one, as they were given,
    which the picture keeps.
    """

    content: str
    style: str
    output: str
    options: Options
    style_sha256: str
    model_sha256: str
    names: tuple[str, ...]
    init_sha256: str = ""

    def made_from(self, content_sha256: str) -> dict[str, str]:
        """What the ledger says of it; "settings" is a hash of all but content and style."""
        values = dataclasses.asdict(self.options)
        kept = {name: value for name, value in values.items() if name not in _NO_SETTINGS}
        if self.init_sha256:
            kept["init"] = self.init_sha256
        text = json.dumps([kept, self.model_sha256], sort_keys=True)
        settings = hashlib.sha256(text.encode()).hexdigest()
        return {"settings": settings, "content": content_sha256, "style": self.style_sha256}

    def outcome(self, status: _Status, **more: Any) -> Outcome:
        """What became of it; ``more`` are further fields of the outcome."""
        return Outcome(self.content, self.style, self.output, status, **more)

    def failed(self, error: BaseException) -> Outcome:
        """Says why. A bug, too, fails one picture and not the night's work, and says its type."""
        message = f"unexpected {type(error).__name__}: {error}"
        if isinstance(error, MemoryError):
            message = "there is not enough memory; give a smaller --size."
        elif isinstance(error, OrtistError):
            message = str(error)
        number = getattr(error.__cause__, "errno", None)
        return self.outcome("failed", error=message, errno=number)


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    "painted"; "kept", which was there already, made with the same settings from the same files;
    "failed", with the ``error`` in a sentence; or "skipped", as the disk was full before its turn.
    ``notes`` are the run's; ``sha256`` and ``content_sha256`` are of the files.
    """

    content: str
    style: str
    output: str
    status: _Status
    seconds: float = 0.0
    iterations: int = 0
    final: Losses | None = None
    error: str | None = None
    errno: int | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    sha256: str = field(default="", repr=False)
    content_sha256: str = field(default="", repr=False)


Outcomes = Generator[Outcome, None, None]


class Worker:
    """Paints one task after the other, with an engine that it keeps as long as it fits."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def paint(self, task: Task, asked: Task | None = None) -> Outcome:
        """The picture, written. What goes wrong with it is in the outcome, not raised.

        ``asked`` is the task of whoever gets the outcome, where paths and model are others here.
        But for a provider that cannot be had: raises ProviderError.
        """
        asked = asked or task
        content_sha256 = file_sha256(task.content)
        try:
            result, notes = self._painted(task)
            _as_given(result, asked).save(task.output)
        except ProviderError:  # which no other picture would have either
            raise
        except Exception as error:
            return asked.failed(error)
        return asked.outcome(
            "painted",
            seconds=round(result.seconds, 3),
            iterations=result.iterations,
            final=result.final,
            notes=notes,
            sha256=file_sha256(task.output),
            content_sha256=content_sha256,
        )

    def close(self) -> None:
        """Lets go of the engine."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None

    def _painted(self, task: Task) -> tuple[Result, tuple[str, ...]]:
        """The result, and what there is to say of it."""
        engine, options, output = self._engine_for(task), task.options, Path(task.output)
        asked = Asked(task.content, task.style)
        plan = engine.plan(asked, options, takes_rows(output))
        output_depth(output, options.depth, plan.size)
        if file_sha256(task.style) != task.style_sha256:
            raise PictureError(f"the style image {task.style!r} changed since the batch began.")
        if task.init_sha256 and file_sha256(str(options.init)) != task.init_sha256:
            raise PictureError(f"the init image {options.init!r} changed since then.")
        run = engine.set_up(asked, options, plan=plan)
        shadow = shadow_note(task.names[1], task.style_sha256)
        return finished(run), (*run.notes, *([shadow] if shadow else []))

    def _engine_for(self, task: Task) -> Engine:
        """The engine of the last task, where it has the model, provider and threads of this one."""
        options, engine = task.options, self._engine
        if engine is None or not engine.fits(options):
            self.close()  # before its successor comes
            self._engine = engine = Engine(options.model, options.provider, options.threads)
        if engine.model.sha256 != task.model_sha256:
            raise ModelError(
                f"the model {engine.model.name} is another one here than where the batch was "
                "started; copy its folder here, or name one with --model."
            )
        return engine


def _as_given(result: Result, task: Task) -> Result:
    """Without what is the worker's own: its paths, its share of the threads, where its model is."""
    named = zip(result.inputs.items(), task.names, strict=True)
    inputs = {role: source and Source(name, source.sha256) for (role, source), name in named}
    options = dataclasses.replace(result.options, threads=None, model=task.options.model)
    return dataclasses.replace(result, inputs=inputs, options=options)


_own = threading.local()
"""The worker of each thread: threads of an executor paint side by side."""


def paint_here(task: Task, asked: Task | None = None) -> Outcome:
    """One picture, by the worker of the thread in which this runs; as ``Worker.paint``."""
    worker: Worker = _own.__dict__.setdefault("worker", Worker())
    return worker.paint(task, asked)


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
                futures[executor.submit(paint_here, task)] = task
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenExecutor as error:
                raise _ended(executor) from error
            except ProviderError:
                raise
            except Exception as error:  # the executor's own: a task could not be sent, say
                yield futures[future].failed(error)
    finally:
        for future in futures:
            future.cancel()


def _ended(executor: Executor) -> ResourceError:
    """What to say of workers that are no more."""
    guard = 'the script that started it lacks if __name__ == "__main__":'
    if isinstance(executor, _Leashed) and not executor.any_began():
        return ResourceError(
            f"the first process that was to paint ended as it started: {guard}, or cannot be "
            "started twice; mend that, or give jobs=1."
        )
    also = "." if isinstance(executor, _Leashed) else f"; or as {guard}."
    return ResourceError(
        "a process that painted has ended: from outside, perhaps for want of memory, so start "
        f"again with fewer --jobs or a smaller --size (what is painted is kept){also}"
    )


class _Leashed(ProcessPoolExecutor):
    """New processes that end when this one closes the ``leash``, or is no more."""

    def __init__(self, count: int) -> None:
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork would inherit ONNX Runtime's threads
        self._theirs, self.leash = context.Pipe()
        super().__init__(count, context, initializer=_leashed, initargs=(self._theirs,))

    def any_began(self) -> bool:
        """Whether any of them came so far that it could have painted."""
        return self.leash.poll()

    def let_go(self) -> None:
        """Waits for them, and closes what is left."""
        self.shutdown(cancel_futures=True)
        self.leash.close()
        self._theirs.close()


@contextlib.contextmanager
def processes(count: int) -> Iterator[Executor]:
    """New processes on a leash: they end at once when the block is left by an exception.

    And also when this process is killed, which no handler would see: the leash is a pipe whose
    other end closes then. (An executor's processes would otherwise finish their picture, or wait
    for the next one forever.)
    """
    check_may_start()
    executor = _Leashed(count)
    try:
        yield executor
    except BaseException:
        executor.leash.close()
        raise
    finally:
        executor.let_go()


def check_may_start() -> None:
    """Raises OptionError in a process that can start no others, or none that could paint."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise OptionError(
            "this process is one of those that paint, and began the whole program anew; put what "
            'the program does under if __name__ == "__main__":.'
        )
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if multiprocessing.current_process().daemon:
        raise OptionError(
            "this process is daemonic and may start no others; give jobs=1, or an executor."
        )
    if getattr(main, "__spec__", None) is None and file and not os.path.exists(file):
        raise OptionError(
            f"the program comes from {file}, which new processes cannot read; give jobs=1, or put "
            "it into a file."
        )


def _leashed(leash: Connection) -> None:
    for number in ENDING:  # Ctrl-C and a closed terminal reach all; the parent decides
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        leash.send_bytes(b"began")

    def wait() -> None:
        with contextlib.suppress(EOFError, OSError):
            leash.recv_bytes()
        os._exit(130)  # files are whole or absent at any moment

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Signals to end wait for the end of the block; processes started in it do not see them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
