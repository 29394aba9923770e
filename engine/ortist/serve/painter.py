"""Painting one order: an engine that is kept, what is said on the way, what is written.

Whoever runs it, a process of the server (worker.py) or a cluster's (elsewhere.py), says where the
files are, and hears what there is to say.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..engine import Engine
from ..errors import CheckpointError, OrtistError
from ..objective.targets import Losses
from ..options.fields import Options
from ..run.loop import Run
from ..run.result import Result
from ..run.stepping import Progress
from .folders import JobFolder
from .names import Names, status_of
from .order import Order
from .own import Own

__all__ = ["Painter"]

_CHECKPOINT_SECONDS = 2.0
"""Between two checkpoints, so that a kill costs no more work than that."""
_PREVIEW_SECONDS, _PREVIEW_SHARE = 0.4, 0.05
"""Between two previews at least, and the part of the time that they may take."""
_PREVIEW_SIDE = 360
"""Pixels of a preview's longer side."""
_PROGRESS_SECONDS = 0.1
_GREY = np.full((64, 64, 3), 128, np.uint8)
"""A picture to try the model on."""

Send = Callable[[dict[str, Any]], None]
"""Who is told what there is to say, as JSON can hold it."""


class Painter:
    """One order after the other, in one thread; ``ask`` may be called from another.

    ``model`` is the folder of the model where it is not looked up by the order's name of it.
    """

    def __init__(self, own: Own, send: Send, model: str | None = None) -> None:
        self.own, self.send, self._model = own, send, model
        self._engine: Engine | None = None
        self._run: Run | None = None
        self._asked = ""  # what ends it early: "cancel", "park" or ""

    def begin(self) -> None:
        """Forgets what was asked of the order before."""
        self._asked = ""

    def ask(self, word: str) -> None:
        """Ends what is painted early: "cancel", or "park" to keep a checkpoint."""
        self._asked = word
        if self._run is not None:
            self._run.cancel()

    def prove(self) -> dict[str, Any]:
        """One step on a tiny picture: model, provider and sessions are there and work.

        Of an inversion, whose step goes the whole way through the model and back, and opens half of
        the sessions that a transfer needs.
        """
        engine = self._engine_for(Options(model=self._model, threads=self.own.threads))
        result = engine.invert(_GREY, size=64, iterations=1)
        model = {"name": result.model.name, "sha256": result.model.sha256}
        return {"type": "ready", "provider": result.provider, "model": model}

    def warm_up(self) -> None:
        """Opens what a transfer needs besides."""
        with contextlib.suppress(OrtistError):  # a job will be told of it
            engine = self._engine_for(Options(model=self._model, threads=self.own.threads))
            engine.transfer(_GREY, _GREY, size=64, iterations=1)

    def paint(
        self, order: Order, folder: JobFolder, watched: bool, keeps: bool = True
    ) -> dict[str, Any]:
        """What became of the order: "done", "stopped" or "failed", with what there is to say of it.

        Previews are made where it is ``watched``, and checkpoints where it also ``keeps`` them.
        """
        names = Names(order.names(folder.path), str(folder.path))
        try:
            return self._painted(order, folder, watched, keeps and watched)
        except MemoryError:
            return _failure(503, "there is not enough memory; give a smaller size.")
        except OrtistError as error:
            return _failure(status_of(error), names.sentence(str(error)))
        except Exception as error:  # a bug fails one job, and says that it is one
            said = f"unexpected {type(error).__name__}: {error}"
            return _failure(500, names.sentence(said))
        finally:
            self._run = None

    def _engine_for(self, options: Options) -> Engine:
        """The engine of the last order where it fits these options, else another."""
        engine = self._engine
        if engine is None or not (engine.was_made_for(options) or engine.fits(options)):
            if engine is not None:
                engine.close()
            self._engine = engine = Engine(options.model, options.provider, options.threads)
        return engine

    def _painted(
        self, order: Order, folder: JobFolder, watched: bool, keeps: bool
    ) -> dict[str, Any]:
        asked = options = self.own.options(order, folder.path)
        if self._model is not None:
            options = replace(options, model=self._model)
        run = self._run = _set_up(self._engine_for(options), order, folder, options)
        if self._asked:
            run.cancel()
        self.send({"type": "started", "iteration": run.iteration})
        reporter = _Reporter(run, folder, self.send, watched, keeps)
        for progress in run:
            reporter(progress)
            if self._asked:
                break
        if self._asked == "park" and keeps and run.iteration >= 0:
            run.save_checkpoint(folder.checkpoint)
        if self._asked:
            return {"type": "stopped"}
        return _finished(run, order, folder, asked.model, watched)


def _set_up(engine: Engine, order: Order, folder: JobFolder, options: Options) -> Run:
    """The run of an order, gone on with from its checkpoint, if there is one."""
    path = folder.path
    run = engine.iterate(
        None if order.content is None else path / order.content.file,
        [path / style.file for style in order.styles] or None,
        options,
        masks=[
            (path / mask.file, None if part is None else path / part.file)
            for mask, part in order.masks
        ],
    )
    if folder.checkpoint.exists():
        try:
            run.resume(folder.checkpoint)
        except CheckpointError:  # of another version of Ortist, or of another machine
            folder.checkpoint.unlink()
    return run


class _Reporter:
    """What is said and kept after a step: progress, previews, checkpoints, each in its time."""

    def __init__(self, run: Run, folder: JobFolder, send: Send, watched: bool, keeps: bool) -> None:
        self._run, self._folder, self._send = run, folder, send
        self._watched, self._keeps = watched, keeps
        now = time.monotonic()
        self._told, self._kept, self._shown, self._pause = 0.0, now, 0.0, _PREVIEW_SECONDS

    def __call__(self, progress: Progress) -> None:
        """After a step."""
        now = time.monotonic()
        if now - self._told >= _PROGRESS_SECONDS or progress.iteration == progress.iterations:
            self._told = now
            self._send(
                {
                    "type": "progress",
                    "iteration": progress.iteration,
                    "iterations": progress.iterations,
                    "scale": progress.scale,
                    "seconds": round(progress.seconds, 3),
                    "losses": _losses(progress.losses),
                }
            )
        if not self._watched:
            return
        if progress.iteration > 0 and now - self._shown >= self._pause:
            self._preview(progress.iteration)
        if self._keeps and now - self._kept >= _CHECKPOINT_SECONDS:
            self._run.save_checkpoint(self._folder.checkpoint)
            self._kept = time.monotonic()
            self._send({"type": "kept", "iteration": progress.iteration})

    def _preview(self, iteration: int) -> None:
        began = time.monotonic()
        image = self._run.painting().image.convert("RGB")
        image.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=80)
        data = base64.b64encode(stream.getvalue()).decode("ascii")
        self._send({"type": "preview", "iteration": iteration, "jpeg": data})
        self._shown = time.monotonic()
        self._pause = max(_PREVIEW_SECONDS, (self._shown - began) / _PREVIEW_SHARE)


def _losses(losses: Losses) -> dict[str, float]:
    """The weighted losses by term."""
    return {
        "content": losses.content,
        "style": losses.style,
        "tv": losses.tv,
        "total": losses.total,
    }


def _finished(
    run: Run, order: Order, folder: JobFolder, model: str | None, watched: bool
) -> dict[str, Any]:
    """Writes the picture, and the report of a job that is followed; what there is to say of it."""
    result = _as_sent(run.result(), order, folder, model)
    path = folder.picture(order.format)
    result.save(path)
    width, height = result.painting.size
    facts = {
        "size": [width, height],
        "iterations": result.iterations,
        "stopped": result.stopped,
        "seconds": round(result.seconds, 3),
        "provider": result.provider,
        "model": {"name": result.model.name, "sha256": result.model.sha256},
        "final": _losses(result.final),
        "notes": list(run.notes),
    }
    if watched:
        _write_report(result, facts, folder)
    return {"type": "done", **facts, "bytes": path.stat().st_size}


def _write_report(result: Result, facts: dict[str, Any], folder: JobFolder) -> None:
    """Writes what may be asked of a job later: settings and the losses of every step."""
    steps = [
        {"iteration": step.iteration, "scale": step.scale, "losses": _losses(step.losses)}
        for step in result.steps
    ]
    settings = json.loads(result.settings_json())
    folder.report.write_text(json.dumps({**facts, "settings": settings, "steps": steps}))


def _as_sent(result: Result, order: Order, folder: JobFolder, model: str | None) -> Result:
    """The result with the callers' names of pictures and model, without the share of the threads.

    The bytes are then those that the command writes for pictures of these names.
    """
    names = order.names(folder.path)
    inputs = {
        role: None if source is None else replace(source, path=names.get(source.path, ""))
        for role, source in result.inputs.items()
    }
    options = replace(result.options, threads=None, model=model)
    return replace(result, inputs=inputs, options=options)


def _failure(status: int, detail: str) -> dict[str, Any]:
    return {"type": "failed", "status": status, "detail": detail}
