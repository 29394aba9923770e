"""One picture of a batch, painted wherever its task goes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..engine import Engine, finished
from ..errors import ModelError, OrtistError, PictureError
from ..objective.targets import Losses
from ..options.fields import Options
from ..pictures.outputs import output_depth, takes_rows
from ..pictures.raster import Source
from ..run.result import Result
from ..run.setup import Asked
from .ledger import file_sha256

__all__ = ["Outcome", "Task", "Worker", "failed", "paint"]

_NO_SETTINGS = ("threads", "max_pixels", "max_memory", "scratch")
"""Options that do not make another picture (beyond rounding), so that it need not be made again."""


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


class Worker:
    """Paints one task after the other, with an engine that it keeps as long as it fits."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def paint(self, task: Task) -> Outcome:
        """The picture, written. What goes wrong with it is in the outcome, not raised."""
        content_sha256 = file_sha256(task.content)
        try:
            result, notes = self._painted(task)
            _as_given(result, task).save(task.output)
        except Exception as error:
            return failed(task, error)
        return Outcome(
            task.content,
            task.style,
            task.output,
            "painted",
            round(result.seconds, 3),
            result.iterations,
            result.final,
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
        engine, options = self._engine_for(task), task.options
        by_rows, asked = takes_rows(Path(task.output)), Asked(task.content, task.style)
        plan = engine.plan(asked, options, by_rows)
        output_depth(Path(task.output), options.depth, plan.size)
        if file_sha256(task.style) != task.style_sha256:
            raise PictureError(f"the style image {task.style!r} changed since the batch began.")
        if task.init_sha256 and file_sha256(str(options.init)) != task.init_sha256:
            raise PictureError(f"the init image {options.init!r} changed since then.")
        run = engine.set_up(asked, options, plan=plan)
        return finished(run), tuple(run.notes)

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


_own = threading.local()
"""The worker of each thread: threads of an executor paint side by side."""


def paint(task: Task) -> Outcome:
    """One picture, by the worker of the thread in which this runs; raises nothing."""
    if not hasattr(_own, "worker"):
        _own.worker = Worker()
    worker: Worker = _own.worker
    return worker.paint(task)


def _as_given(result: Result, task: Task) -> Result:
    """Without what is the worker's own: its paths of the inputs, its share of the threads."""
    names = dict(zip(("content", "style", "init"), task.names, strict=False))
    inputs = {
        role: None if source is None else Source(names[role], source.sha256)
        for role, source in result.inputs.items()
    }
    options = dataclasses.replace(result.options, threads=None)
    return dataclasses.replace(result, inputs=inputs, options=options)


def failed(task: Task, error: BaseException) -> Outcome:
    """A bug, too, fails one picture and not the night's work; its type then says that it is one."""
    if isinstance(error, MemoryError):
        message = "there is not enough memory; give a smaller --size."
    elif isinstance(error, OrtistError):
        message = str(error)
    else:
        message = f"unexpected {type(error).__name__}: {error}"
    number = getattr(error.__cause__, "errno", None)
    return Outcome(task.content, task.style, task.output, "failed", error=message, errno=number)
