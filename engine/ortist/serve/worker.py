"""The process that paints: one engine, one job after the other, a pipe to the server.

Processes, not threads of the server: NumPy's and ONNX Runtime's work would hold the interpreter
that answers requests; a picture that makes the process die takes no other job with it; and a step
that lasts too long for a cancel to wait for can be killed. Messages are JSON both ways. When the
pipe closes, because the server is gone, the process ends at once.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
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

__all__ = ["work"]

_CHECKPOINT_SECONDS = 2.0
"""Between two checkpoints, so that a kill costs no more work than that."""
_PREVIEW_SECONDS, _PREVIEW_SHARE = 0.4, 0.05
"""Between two previews at least, and the part of the time that they may take."""
_PREVIEW_SIDE = 360
"""Pixels of a preview's longer side."""
_PROGRESS_SECONDS = 0.1
_GREY = np.full((64, 64, 3), 128, np.uint8)
"""A picture to try the model on."""


def work(pipe: Connection, own: Own) -> None:
    """What the process does from its start to its end; the first message says it is ready."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # these reach all; the server decides
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _Worker(pipe, own).run()


class _Worker:
    """The jobs as they come; a thread of its own reads what the server says meanwhile."""

    def __init__(self, pipe: Connection, own: Own) -> None:
        self._pipe, self._own = pipe, own
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._engine: Engine | None = None
        self._run: Run | None = None
        self._job = ""  # the id of the last one that came
        self._asked = ""  # what ends it early: "cancel", "park" or ""

    def run(self) -> None:
        """Proves that it can paint, then does so until the pipe closes."""
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._prove()
        except OrtistError as error:
            self._send({"type": "unfit", "detail": str(error), "code": error.exit_code})
            return
        if self._jobs.empty():
            self._warm_up()
        while True:
            self._paint(self._jobs.get())

    def _listen(self) -> None:
        try:
            while True:
                message = json.loads(self._pipe.recv_bytes())
                if message["type"] == "paint":
                    self._job, self._asked = message["id"], ""
                    self._jobs.put(message)
                elif message["id"] == self._job:  # not of one that ended meanwhile
                    self._asked = message["type"]
                    if self._run is not None:
                        self._run.cancel()
        except (EOFError, OSError):
            os._exit(0)  # the server is gone; files are whole or absent at any moment

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the listener sees that, too
            self._pipe.send_bytes(json.dumps(message).encode())

    def _prove(self) -> None:
        """One step on a tiny picture: model, provider and sessions are there and work.

        Of an inversion, whose step goes the whole way through the model and back, and opens half of
        the sessions that a transfer needs.
        """
        engine = self._engine_for(Options(threads=self._own.threads))
        result = engine.invert(_GREY, size=64, iterations=1)
        model = result.model
        self._send(
            {
                "type": "ready",
                "provider": result.provider,
                "model": {"name": model.name, "sha256": model.sha256},
            }
        )

    def _warm_up(self) -> None:
        """Opens what a transfer needs besides, while no job has come yet."""
        with contextlib.suppress(OrtistError):  # a job will be told of it
            self._engine_for(Options(threads=self._own.threads)).transfer(
                _GREY, _GREY, size=64, iterations=1
            )

    def _engine_for(self, options: Options) -> Engine:
        """The engine of the last job where it fits these options, else another."""
        engine = self._engine
        if engine is None or not (engine.was_made_for(options) or engine.fits(options)):
            if engine is not None:
                engine.close()
            self._engine = engine = Engine(options.model, options.provider, options.threads)
        return engine

    def _paint(self, message: dict[str, Any]) -> None:
        folder, order = JobFolder(Path(message["folder"])), Order.from_json(message["order"])
        names = Names(order.names(folder.path), str(folder.path))
        try:
            answer = self._painted(order, folder, bool(message["watched"]))
        except MemoryError:
            answer = _failure(503, "there is not enough memory; give a smaller size.")
        except OrtistError as error:
            answer = _failure(status_of(error), names.sentence(str(error)))
        except Exception as error:  # a bug fails one job, and says that it is one
            said = f"unexpected {type(error).__name__}: {error}"
            answer = _failure(500, names.sentence(said))
        self._run = None
        self._send(answer)

    def _painted(self, order: Order, folder: JobFolder, watched: bool) -> dict[str, Any]:
        """The answer for a job that did not fail: what was made, or that it stopped early."""
        options = self._own.options(order, folder.path)
        engine = self._engine_for(options)
        run = self._run = _set_up(engine, order, folder, options)
        if self._asked:
            run.cancel()
        self._send({"type": "started", "iteration": run.iteration})
        reporter = _Reporter(run, folder, self._send, watched)
        for progress in run:
            reporter(progress)
            if self._asked:
                break
        if self._asked == "park" and watched and run.iteration >= 0:
            run.save_checkpoint(folder.checkpoint)
        if self._asked:
            return {"type": "stopped"}
        return _finished(run, order, folder, watched)


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

    def __init__(
        self, run: Run, folder: JobFolder, send: Callable[[dict[str, Any]], None], watched: bool
    ) -> None:
        self._run, self._folder, self._send, self._watched = run, folder, send, watched
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
        if now - self._kept >= _CHECKPOINT_SECONDS:
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


def _finished(run: Run, order: Order, folder: JobFolder, watched: bool) -> dict[str, Any]:
    """Writes the picture, and the report of a job that is followed; what there is to say of it."""
    result = _as_sent(run.result(), order, folder)
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


def _as_sent(result: Result, order: Order, folder: JobFolder) -> Result:
    """The result with the callers' names of the pictures, and without the share of the threads.

    The bytes are then those that the command writes for pictures of these names.
    """
    names = order.names(folder.path)
    inputs = {
        role: None if source is None else replace(source, path=names.get(source.path, ""))
        for role, source in result.inputs.items()
    }
    return replace(result, inputs=inputs, options=replace(result.options, threads=None))


def _failure(status: int, detail: str) -> dict[str, Any]:
    return {"type": "failed", "status": status, "detail": detail}
