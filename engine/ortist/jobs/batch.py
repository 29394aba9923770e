"""Many pictures: contents x styles, painted by the processes of any executor.

(The module is not called batch, which is the name of the function in the package.)

What a worker gets is small: two paths in, one out, the options, and the hashes of style and model.
Each process (each thread, if the executor has threads) keeps its session and the Gram matrices of
its styles from one picture to the next. Only the caller writes the ledger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import Connection
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from ..api import load_init, make_plan, prepare
from ..errors import ModelError, OptionError, OrtistError, OutputError, PictureError, ResourceError
from ..network.bundle import Model, find_model
from ..network.machine import available_memory
from ..network.sessions import available_cpus
from ..objective.opening import Evaluator, open_objective
from ..objective.targets import Losses
from ..options.choice import choose_options
from ..options.fields import Options
from ..pictures.outputs import output_depth, picture_format, takes_rows
from ..pictures.raster import Source
from ..run.result import Result
from ..style.files import SUFFIX, ExtractedStyle, load_style
from ..style.styles import Styles
from .finding import Found, find_pictures
from .ledger import Ledger, file_sha256

__all__ = ["Batch", "Outcome", "Task", "batch", "paint", "plan_batch"]

_NO_SETTINGS = ("threads", "max_pixels", "max_memory", "scratch")
"""Options that do not make another picture (beyond rounding), so that it need not be made again."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What fails for one picture of a folder and will fail for all."""


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

    @property
    def settings(self) -> str:
        """A hash of all that makes the picture, besides content and style."""
        values = dataclasses.asdict(self.options)
        kept = {name: value for name, value in values.items() if name not in _NO_SETTINGS}
        if self.init_sha256:
            kept["init"] = self.init_sha256
        text = json.dumps([kept, self.model_sha256], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def made_from(self, content_sha256: str) -> dict[str, str]:
        """What the ledger says of it."""
        return {
            "settings": self.settings,
            "content": content_sha256,
            "style": self.style_sha256,
        }


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
    status: Literal["painted", "kept", "failed", "skipped"]
    seconds: float = 0.0
    iterations: int = 0
    final: Losses | None = None
    error: str | None = None
    errno: int | None = dataclasses.field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    sha256: str = dataclasses.field(default="", repr=False)
    content_sha256: str = dataclasses.field(default="", repr=False)


Outcomes = Generator[Outcome, None, None]


@dataclass(frozen=True)
class Batch:
    """What is to be painted into ``folder``, checked: iterate over ``run()``."""

    folder: str
    tasks: tuple[Task, ...]

    def run(self, executor: Executor | None = None, jobs: int = 1) -> Outcomes:
        """The outcomes, kept ones first, the others as they come.

        Runs in this process, or in ``jobs`` new ones among which the threads (all that this process
        may use, or the option) are divided, or wherever ``executor`` runs things; it must see the
        same files. A closed iterator stops the workers at once. Raises OptionError for more jobs
        than threads and while another batch has the folder, OutputError where nothing can be
        written, and ResourceError where a worker was killed.
        """
        threads = self._threads_each(jobs, executor)
        memory = self.tasks[0].options.max_memory
        if jobs > 1:  # they share it
            memory = (memory or int(0.9 * available_memory())) // jobs or None
        folders = {os.path.dirname(task.output) for task in self.tasks}
        with Ledger(self.folder, folders) as ledger, contextlib.ExitStack() as stack:
            missing: dict[str, Task] = {}
            for task in self.tasks:
                if ledger.holds(task.output, task.made_from(file_sha256(task.content))):
                    yield Outcome(task.content, task.style, task.output, "kept")
                else:
                    scratch = task.options.scratch or os.path.dirname(task.output)
                    options = dataclasses.replace(
                        task.options, threads=threads, max_memory=memory, scratch=scratch
                    )
                    missing[task.output] = dataclasses.replace(task, options=options)
            if executor is None and jobs > 1 and missing:
                executor = stack.enter_context(_processes(min(jobs, len(missing))))
            outcomes = stack.enter_context(
                contextlib.closing(_outcomes(list(missing.values()), executor))
            )
            for outcome in outcomes:
                task = missing.pop(outcome.output)
                if outcome.status == "painted":
                    outcome = _recorded(ledger, task, outcome)
                yield outcome
                if outcome.errno in _FULL:
                    break
            for task in missing.values():
                yield Outcome(task.content, task.style, task.output, "skipped")

    def _threads_each(self, jobs: int, executor: Executor | None) -> int | None:
        threads = self.tasks[0].options.threads
        if executor is not None:
            if jobs != 1:
                raise OptionError("give jobs or an executor, but not both.")
            return threads
        total = threads or available_cpus()
        if not 1 <= jobs <= total:
            raise OptionError(
                f"{jobs} jobs cannot share {total} threads; give --jobs from 1 to {total}."
            )
        return total // jobs


def plan_batch(
    contents: Iterable[str | PathLike[str]],
    styles: Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    options: Options,
    suffix: str = ".png",
) -> Batch:
    """Every content in every style, each to ``output``/its place-style``suffix``.

    Contents and styles are files, folders and glob patterns (gather.py). Refuses what cannot end
    well before anything is painted: raises OptionError where two pictures would have one name or
    an output would replace an input, PictureError or StyleFileError for a style that cannot be
    used, and as ``find_pictures``, ``find_model`` and ``Styles`` do. A content that cannot be read
    is found by its worker.
    """
    if options.snapshots:
        raise OptionError("a batch keeps no snapshots; leave them out.")
    if options.init == "image":
        raise OptionError(
            "init 'image' stands for a picture, and a batch was given none; give its path as init."
        )
    picture_format(Path(f"x{suffix}"))
    folder = os.path.abspath(output)
    found = find_pictures(contents, folder)
    painted = find_pictures(styles, folder, also=(SUFFIX,))
    model = find_model(options.model)
    for style in painted:
        read = load_style(style.path, options.max_pixels)
        if isinstance(read, ExtractedStyle):
            read.check(model)
        Styles([read], options)
    hashes = {style.path: file_sha256(style.path) for style in painted}
    starts: list[Found] = []
    init_sha256 = ""
    if load_init(options)[1] is not None:
        init = os.path.abspath(str(options.init))
        starts = [Found(init, os.path.basename(init), str(options.init))]
        init_sha256 = file_sha256(init)
        options = dataclasses.replace(options, init=init)
    tasks = []
    for style in painted:
        for content in found:
            place = f"{os.path.splitext(content.place)[0]}-{Path(style.path).stem}{suffix}"
            path = os.path.join(folder, place)
            tasks.append(
                Task(
                    content.path,
                    style.path,
                    path,
                    options,
                    hashes[style.path],
                    model.sha256,
                    (content.name, style.name, *(start.name for start in starts)),
                    init_sha256,
                )
            )
    _check_outputs(tasks, [*found, *painted, *starts])
    return Batch(folder, tuple(tasks))


def _check_outputs(tasks: Sequence[Task], inputs: Iterable[Found]) -> None:
    taken: dict[str, Task] = {}
    read = {os.path.realpath(found.path) for found in inputs}
    for task in tasks:
        other = taken.setdefault(task.output, task)
        if other is not task:
            both = [other.content, task.content]
            if other.content == task.content:
                both = [other.style, task.style]
            raise OptionError(
                f"{both[0]!r} and {both[1]!r} would both be painted to {task.output!r}; rename "
                "one, or give the folder around them, whose tree is kept."
            )
        if os.path.realpath(task.output) in read:
            raise OptionError(
                f"the painting {task.output!r} would replace one of the pictures that are read; "
                "name another output folder."
            )


def batch(
    contents: str | PathLike[str] | Iterable[str | PathLike[str]],
    styles: str | PathLike[str] | Iterable[str | PathLike[str]],
    output: str | PathLike[str],
    options: Options | None = None,
    *,
    preset: str | None = None,
    suffix: str = ".png",
    jobs: int = 1,
    executor: Executor | None = None,
    on_outcome: Callable[[Outcome], object] | None = None,
    **overrides: Any,
) -> list[Outcome]:
    """Paints every content in every style into the folder ``output``; what is there is kept.

    >>> outcomes = batch("*.jpg", ["painting.jpg"], "painted", size=48, iterations=4)
    >>> [outcome.status for outcome in outcomes]
    ['painted', 'painted']

    Contents and styles are files, folders or glob patterns, one or several, among the styles style
    files too; a folder's tree is kept. ``jobs`` processes share the CPUs, or the work goes through
    ``executor``, whose workers must have Ortist, the same model and the same files. A picture that
    fails does not stop the others: its outcome says why. ``on_outcome`` is called with each as it
    comes. As with every use of processes, the script that calls this with ``jobs`` needs
    ``if __name__ == "__main__":``.
    Raises as ``plan_batch`` and ``Batch.run`` do.
    """
    options = choose_options(options, preset, overrides)
    contents, styles = (
        [names] if isinstance(names, (str, PathLike)) else names for names in (contents, styles)
    )
    plan = plan_batch(contents, styles, output, options, suffix)
    outcomes = []
    with contextlib.closing(plan.run(executor, jobs)) as run:
        for outcome in run:
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return outcomes


def paint(task: Task) -> Outcome:
    """One picture, wherever this runs. What goes wrong with it is in the outcome, not raised."""
    content_sha256 = file_sha256(task.content)
    try:
        model = _model(task)
        plan = make_plan(
            model, task.content, task.style, task.options, by_rows=takes_rows(Path(task.output))
        )
        output_depth(Path(task.output), task.options.depth, plan.size)
        options = plan.applied(task.options)
        objective = _objective(model, options)
        if file_sha256(task.style) != task.style_sha256:
            raise PictureError(f"the style image {task.style!r} changed since the batch began.")
        if task.init_sha256 and file_sha256(str(task.options.init)) != task.init_sha256:
            raise PictureError(f"the init image {task.options.init!r} changed since then.")
        run = prepare(objective, task.content, task.style, options, plan=plan)
        for _ in run:
            pass
        result = run.result()
        _as_given(result, task).save(task.output)
    except Exception as error:
        return _failed(task, error)
    return Outcome(
        task.content,
        task.style,
        task.output,
        "painted",
        round(result.seconds, 3),
        result.iterations,
        result.final,
        notes=tuple(run.notes),
        sha256=file_sha256(task.output),
        content_sha256=content_sha256,
    )


def _as_given(result: Result, task: Task) -> Result:
    """Without what is the worker's own: its paths of the inputs, its share of the threads."""
    names = dict(zip(("content", "style", "init"), task.names, strict=False))
    inputs = {
        role: None if source is None else Source(names[role], source.sha256)
        for role, source in result.inputs.items()
    }
    options = dataclasses.replace(result.options, threads=None)
    return dataclasses.replace(result, inputs=inputs, options=options)


_kept = threading.local()
"""The objective that this thread used last: one is not for two runs at a time."""


def _objective(model: Model, options: Options) -> Evaluator:
    key = (dataclasses.replace(options, scratch=None), model.sha256)
    if getattr(_kept, "key", None) != key:
        _kept.__dict__.clear()  # before its successor comes
        _kept.objective = open_objective(model, options, masked=False)
        _kept.key = key
    found: Evaluator = _kept.objective
    return found


def _model(task: Task) -> Model:
    model = find_model(task.options.model)
    if model.sha256 != task.model_sha256:
        raise ModelError(
            f"the model {model.name} is another one here than where the batch was started; "
            "copy its folder here, or name one with --model."
        )
    return model


def _failed(task: Task, error: BaseException) -> Outcome:
    """A bug, too, fails one picture and not the night's work; its type then says that it is one."""
    if isinstance(error, MemoryError):
        message = "there is not enough memory; give a smaller --size."
    elif isinstance(error, OrtistError):
        message = str(error)
    else:
        message = f"unexpected {type(error).__name__}: {error}"
    number = getattr(error.__cause__, "errno", None)
    return Outcome(task.content, task.style, task.output, "failed", error=message, errno=number)


def _recorded(ledger: Ledger, task: Task, outcome: Outcome) -> Outcome:
    try:
        ledger.record(task.output, outcome.sha256, task.made_from(outcome.content_sha256))
    except OutputError as error:
        return _failed(task, error)
    return outcome


def _outcomes(tasks: Sequence[Task], executor: Executor | None) -> Outcomes:
    if executor is None:
        try:
            yield from map(paint, tasks)
        finally:
            _kept.__dict__.clear()
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
                yield _failed(futures[future], error)
    finally:
        for future in futures:
            future.cancel()


@contextlib.contextmanager
def _processes(count: int) -> Iterator[Executor]:
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
