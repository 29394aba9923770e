"""The transfer loop: a Run goes from one State to the next, one Progress a step."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CheckpointError, DivergedError, OptionError
from ..files import as_path
from ..network.blas import one_blas_thread
from ..objective.sweep import CancelledError
from ..objective.targets import Losses
from ..pictures.raster import Painting, Raster
from ..style.files import ExtractedStyle
from .checkpoint import Saved, read_checkpoint, write_checkpoint
from .identity import identity_of
from .optimizers import AdamState
from .result import Finisher, Result
from .schedule import Schedule
from .stepping import Progress, State, Stepper, diverged
from .tuning import plan_scales
from .turns import Turns
from .view import Scene, View

__all__ = ["Run"]


class Run(Iterator[Progress]):
    """A run that has been set up: iterate over it, look at ``pixels()``, stop whenever you like.

    The first Progress (iteration 0) is of the picture as it starts. ``result()`` can be asked at
    any time after that one, also from another thread, where it comes between two steps; leaving the
    loop early is how a run is cancelled, or, from another thread, ``cancel()``. ``state`` is None
    before the first Progress. It is replaced as a whole by every step, so that an interruption
    leaves the last one, and ``save_checkpoint`` and ``resume`` can carry it to another process.
    ``canvas`` is (width, height) of the finished picture, in pixels; ``inputs`` are the pictures as
    they were read, by role ("content", "style", "style 2", "content mask 1", "style mask 1",
    "init"). Runs that share an objective share ``turns``: one of them computes at a time.
    """

    def __init__(
        self,
        scene: Scene,
        inputs: Mapping[str, Raster | ExtractedStyle],
        turns: Turns,
    ) -> None:
        self.options, self.model, self.inputs = scene.options, scene.model, inputs
        self.canvas = scene.canvas(self.options.size)
        self.state: State | None = None
        self._scene, self._turns = scene, turns
        self._began = time.perf_counter()
        self._schedule = Schedule(plan_scales(self.options), self.options.time_limit)
        self._view = View(scene, self._schedule.scales[0].side)
        self._start = scene.start(self._view)
        self._stepper, self._finisher = Stepper(scene), Finisher(scene)
        self._steps: list[Progress] = []  # these two may be ahead of the state by a step
        self._snapshots: dict[int, Painting] = {}
        self._diverged = self._cancelled = False

    @property
    def notes(self) -> list[str]:
        """Sentences on what is not as it may be thought: style files, small contents."""
        sides = [scale.side for scale in self._schedule.scales]
        notes = self._scene.styles.notes(sides, self.model.smallest_side)
        content = self.inputs.get("content")
        if content is not None and self.options.quality == "paper":
            notes += self._scene.styles.unmatched
        if content is not None and isinstance(content, Raster):
            (width, height), (wide, high) = content.size, self.canvas
            if wide > 2 * width:
                notes.append(
                    f"the content has {width} x {height} pixels, the picture {wide} x {high}: it "
                    "is enlarged, and a smaller --size would show as much."
                )
        for role, picture in self.inputs.items():
            if isinstance(picture, Raster) and picture.several:
                notes.append(f"the {role} has several frames or pages; the first is used.")
        return notes

    @property
    def iteration(self) -> int:
        """Steps done so far; -1 before the first evaluation."""
        return -1 if self.state is None else self.state.iteration

    @property
    def steps(self) -> tuple[Progress, ...]:
        """One entry an iteration so far."""
        return tuple(self._steps[: self.iteration + 1])

    @property
    def finished(self) -> bool:
        """Whether there is no step left, be it that all were done or that the last converged."""
        return self.state is not None and self._schedule.wanted(self.state) is None

    def cancel(self) -> None:
        """Ends the run within the present step; may be called from any thread, at any time.

        The state stays that of the last whole step. ``result`` is then made without looking at the
        picture again: its losses are those of the last step, and of the first.
        """
        self._cancelled = True

    def __next__(self) -> Progress:
        with self._turns, one_blas_thread():
            program, began = self._scene.objective.sweeper.program, time.perf_counter()
            opening = program.seconds_opening
            before = self.state
            if self._cancelled:
                raise StopIteration
            scale = 0 if before is None else self._schedule.in_time(before, began - self._began)
            if scale is None:
                raise StopIteration
            sweeper = self._scene.objective.sweeper
            sweeper.cancelled = lambda: self._cancelled
            try:
                view, state = self._after(before, scale)
            except DivergedError:
                self._diverged = True
                raise
            except CancelledError:  # the state is still that of the last step
                raise StopIteration from None
            finally:
                sweeper.cancelled = bool
            entered = before is not None and scale > before.scale
            opening = program.seconds_opening - opening  # which later steps have not
            self._schedule.took(scale, time.perf_counter() - began - opening, entered)
            return self._advance(view, state)

    def _after(self, before: State | None, scale: int) -> tuple[View, State]:
        """The view and the state after a step at that scale; raises DivergedError."""
        view = self._view
        if before is None:
            state = self._stepper.first(view, self._start)
        else:
            hurried = before.hurried or scale != self._schedule.wanted(before)
            begin = dataclasses.replace(before, hurried=hurried)
            if scale > before.scale:
                view = View(self._scene, self._schedule.scales[scale].side)
                begin = self._stepper.enlarged(view, begin, scale)
            after = dataclasses.replace(begin, iteration=begin.iteration + 1)
            state = self._stepper.step(view, begin, last=self._schedule.wanted(after) is None)
        if not np.isfinite(state.point.loss):
            rate = self._scene.tuning.learning_rate
            raise diverged(f"the loss became {state.point.loss}", state.iteration, rate)
        return view, state

    def _advance(self, view: View, state: State) -> Progress:
        """Makes ``state`` the run's; interrupted before its last lines, it leaves the old one."""
        progress = Progress(
            state.iteration,
            self.options.steps,
            self._schedule.scales[state.scale].side,
            state.point.detail,
            time.perf_counter() - self._began,
        )
        self._steps[state.iteration :] = [progress]
        if state.iteration in self.options.snapshots:
            self._snapshots[state.iteration] = self._painting(state)
        self._view, self.state = view, state
        return progress

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as it is now, uint8 [H, W, 3]; enlarged to its full size at early scales."""
        return self.painting().pixels

    def painting(self) -> Painting:
        """The picture as it is now, before rounding, with the content's alpha, if it has one."""
        return self._painting(self.state)

    def _painting(self, state: State | None) -> Painting:
        picture = self._start if state is None else state.picture(self._scene.arrays)
        return self._finisher.painting(picture)

    def reschedule(self, schedule: Sequence[tuple[int, int]]) -> None:
        """Goes through these scales (side, steps) and no more, instead of those that are planned.

        To repeat what a time limit made of an earlier run (settings.py); before the first
        iteration, and beginning with the first scale. Raises OptionError otherwise.
        """
        if self.state is not None:
            raise OptionError("a schedule is for a run's beginning, before its first iteration.")
        self._schedule = self._schedule.repeating(schedule)

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Writes the state whole or not at all; raises OptionError before the first iteration."""
        with self._turns:
            if self.state is None:
                raise OptionError("the run has no state to save before its first iteration.")
            snapshots = {n: painting.values for n, painting in self._snapshots_so_far().items()}
            saved = Saved(self.state, self.steps, snapshots)
        write_checkpoint(as_path(path, "path"), saved, self._identity)

    def resume(self, path: str | PathLike[str]) -> None:
        """Goes on from a checkpoint of a run with the same pictures, model and options.

        The bytes of the result are those of a run that was never interrupted, on the same machine
        with the same versions. ``time_limit``, ``max_pixels``, ``scratch``, ``max_memory`` (where
        it asks for the same tiles) and how the picture is written (``depth``, ``settings``,
        ``keep_metadata``) may be others. Raises CheckpointError, and leaves the file as it is.
        """
        read = read_checkpoint(as_path(path, "path"), self._identity, self._scene.arrays)
        state, steps, snapshots = read
        scales = self._schedule.scales
        side = scales[state.scale].side if state.scale < len(scales) else 0
        shapes = {picture.shape[1::-1] for picture in snapshots.values()} - {self.canvas}
        if not side or shapes or state.point.values.shape[:1:-1] != self._scene.canvas(side):
            raise CheckpointError(
                f"the checkpoint {str(path)!r} is not one that this Ortist wrote (its picture has "
                "another size); remove it to start anew."
            )
        with self._turns:
            view = View(self._scene, side)
            self._steps = list(steps)
            self._snapshots = {
                n: Painting(values, self._finisher.alpha) for n, values in snapshots.items()
            }
            self._view, self.state, self._diverged = view, state, False
            self._began = time.perf_counter() - steps[-1].seconds

    @functools.cached_property
    def _identity(self) -> dict[str, Any]:
        return identity_of(self._scene, self.inputs, self._schedule.scales)

    def _snapshots_so_far(self) -> dict[int, Painting]:
        return {n: painting for n, painting in self._snapshots.items() if n <= self.iteration}

    def result(self) -> Result:
        """What has been reached so far; raises OptionError before the first evaluation."""
        with self._turns:
            state, content = self.state, self.inputs.get("content")
            if state is None:
                raise OptionError("the run has no result before its first iteration.")
            initial, final = self._losses(state)
            return Result(
                painting=self.painting(),
                stopped=self._stopped(state),
                provider=self._scene.objective.provider,
                model=self.model,
                options=self.options,
                weights=self._view.weights,
                initial=initial,
                final=final,
                steps=self.steps,
                snapshots=self._snapshots_so_far(),
                inputs={role: picture.source for role, picture in self.inputs.items()},
                exif=content.exif if isinstance(content, Raster) else b"",
            )

    def _losses(self, state: State) -> tuple[Losses, Losses]:
        """The losses of the start and of the picture, both at the present scale and whole."""
        scene, view = self._scene, self._view
        initial, final = self._steps[0].losses, state.point.detail
        if self._cancelled and not self.finished:  # whoever cancels does not wait
            return initial, final
        windows = scene.tuning.jitter > 1 or scene.tuning.averaging > 0
        ended = self.finished and isinstance(state.optimizer, AdamState)
        if state.iteration > 0 and windows and not ended:
            # The last evaluation was of a window of the last iterate, not of the picture.
            final = view.losses(state.picture(scene.arrays))
        if state.scale > 0:  # the start was evaluated at another scale, with other weights
            initial = view.losses(scene.start(view))
        return initial, final

    def _stopped(self, state: State) -> str:
        """Why there is no more (Result.stopped)."""
        if self.finished:
            if state.hurried:
                return "time limit"
            return "converged" if state.converged else "iterations"
        if self._diverged:
            return "diverged"
        return "time limit" if self._schedule.out_of_time else "cancelled"
