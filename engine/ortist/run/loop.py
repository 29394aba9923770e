"""The transfer loop: a Run goes from one State to the next, one Progress a step."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from .._version import __version__
from ..arrays import Array, Arrays, Derived, Field, Rows, row_slices
from ..errors import CheckpointError, DivergedError, OptionError
from ..network.bundle import Model
from ..network.sessions import available_cpus, load_onnxruntime
from ..options.fields import Options
from ..pictures.colors import luminance_of, match_histogram
from ..pictures.raster import Painting, Raster
from ..pictures.values import denormalize, extremes
from ..style.files import ExtractedStyle
from .checkpoint import Saved, read_checkpoint, write_checkpoint
from .lbfgs import LbfgsState, lbfgs_init, lbfgs_step
from .optimizers import AdamState, Point, RunningAverage, adam_step
from .result import Result
from .scene import Scene
from .stages import Stage, plan_stages
from .starts import start_values
from .state import Progress, State
from .time_budget import Pace
from .view import View

__all__ = ["Run"]

_ELSEWHERE = {
    *("model", "provider", "threads", "max_pixels", "time_limit"),
    *("depth", "settings", "keep_metadata", "max_memory", "scratch", "tile"),
}
"""Options that a checkpoint may differ in, or that it names by what they came to."""


class Run(Iterator[Progress]):
    """A run that has been set up: iterate over it, look at ``pixels()``, stop whenever you like.

    The first Progress (iteration 0) is of the picture as it starts. ``result()`` can be asked at
    any time after that one; leaving the loop early is how a run is cancelled, or, from another
    thread, ``cancel()``. ``state`` is None
    before the first Progress. It is replaced as a whole by every step, so that an interruption
    leaves the last one, and ``save_checkpoint`` and ``resume`` can carry it to another process.
    """

    def __init__(
        self,
        scene: Scene,
        options: Options,
        inputs: Mapping[str, Raster | ExtractedStyle],
        start: Field | None = None,
    ) -> None:
        self.options = options
        self.state: State | None = None
        self._began = time.perf_counter()
        self._scene = scene
        self._inputs = inputs
        self._stages = plan_stages(options)
        self._view = scene.at(self._stages[0].side)
        self._start = start_values(scene, self._view) if start is None else start
        self._jitter = np.random.default_rng([options.seed, 1])
        self._steps: list[Progress] = []  # these two may be ahead of the state by a step
        self._snapshots: dict[int, Painting] = {}
        self._limits = _limits(options, scene.model)
        self._ended: str | None = None
        self._cancelled = False
        self._pace: Pace | None = None
        if options.time_limit is not None:
            sizes = [scene.canvas(stage.side) for stage in self._stages]
            pixels = [width * height for width, height in sizes]
            counts = [stage.iterations for stage in self._stages]
            self._pace = Pace(pixels, counts, options.time_limit)

    @property
    def model(self) -> Model:
        return self._scene.model

    @property
    def canvas(self) -> tuple[int, int]:
        """(width, height) of the finished picture, in pixels."""
        return self._scene.canvas(self.options.size)

    @property
    def notes(self) -> list[str]:
        """Sentences on what is used in another way than was asked for: sizes of style files."""
        sides = [stage.side for stage in self._stages]
        return self._scene.styles.notes(sides, self.model.smallest_side)

    @property
    def _arrays(self) -> Arrays:
        return self._scene.arrays

    @property
    def iteration(self) -> int:
        """Steps done so far; -1 before the first evaluation."""
        return -1 if self.state is None else self.state.iteration

    @property
    def steps(self) -> tuple[Progress, ...]:
        """One entry an iteration so far."""
        return tuple(self._steps[: self.iteration + 1])

    def cancel(self) -> None:
        """Ends the run after the present step; may be called from any thread, at any time."""
        self._cancelled = True

    @property
    def finished(self) -> bool:
        """Whether there is no step left, be it that all were done or that the last converged."""
        state = self.state
        return state is not None and self._next_stage(state) == len(self._stages)

    def __next__(self) -> Progress:
        began = time.perf_counter()
        if self._cancelled:
            raise StopIteration
        before, view = self.state, self._view
        if before is None:
            state = self._first()
        else:
            stage = self._next_stage(before)
            if stage == len(self._stages):
                raise StopIteration
            if self._pace is not None:
                elapsed = began - self._began
                found = self._pace.stage_of_next(before.stage, stage, elapsed)
                if found is None:
                    self._ended = "time limit"
                    raise StopIteration
                before = dataclasses.replace(before, hurried=before.hurried or found > stage)
                stage = found
            state = before
            if stage > before.stage:
                view, state = self._enlarged(before, stage)
            state = self._step(view, state)
        if not np.isfinite(state.point.loss):
            raise self._diverged(f"the loss became {state.point.loss}", state.iteration)
        if self._pace is not None:
            entered = before is not None and state.stage > before.stage
            self._pace.took(state.stage, time.perf_counter() - began, entered)
        return self._advance(view, state)

    def _diverged(self, what: str, iteration: int) -> DivergedError:
        self._ended = "diverged"
        return DivergedError(
            f"{what} at iteration {iteration}; lower learning_rate (it is "
            f"{self._scene.tuning.learning_rate}) or the weights."
        )

    def _next_stage(self, state: State) -> int:
        """The scale of the next step, the number of scales where none is left."""
        steps = state.iteration - state.began
        done = state.converged or steps >= self._stages[state.stage].iterations
        return state.stage + 1 if done else state.stage

    def _advance(self, view: View, state: State) -> Progress:
        """Makes ``state`` the run's; interrupted before its last lines, it leaves the old one."""
        progress = Progress(
            state.iteration,
            self.options.iterations,
            self._stages[state.stage].side,
            state.point.detail,
            time.perf_counter() - self._began,
        )
        self._steps[state.iteration :] = [progress]
        if state.iteration in self.options.snapshots:
            self._snapshots[state.iteration] = self._painting(self._picture(state))
        self._view, self.state = view, state
        return progress

    def _first(self) -> State:
        losses, gradient = self._view.evaluate(self._start)  # whole, no window
        return State(
            iteration=0,
            stage=0,
            began=0,
            point=Point(self._start, losses.total, gradient, losses),
            optimizer=lbfgs_init() if self._uses_lbfgs else self._adam_init(self._start),
            average=RunningAverage(self._scene.tuning.averaging),
            jitter=self._jitter.bit_generator.state,
        )

    @property
    def _uses_lbfgs(self) -> bool:
        return self.options.optimizer == "lbfgs"

    def _step(self, view: View, state: State) -> State:
        options, done, point = self.options, state.iteration, state.point
        self._jitter.bit_generator.state = state.jitter

        def evaluate(values: Field) -> Point:
            return self._evaluate(view, values)

        bounded = options.iterations - options.free_iterations
        if done == 0 and bounded > 0 and not self._inside(point.values):
            # Iteration 0 was of the picture as given; the first step starts from inside the box.
            (inside,) = self._arrays.each(lambda v: (np.clip(v, *self._limits),), point.values)
            point = evaluate(inside)
        within = self._limits if options.free_iterations == 0 or done + 1 < bounded else None
        converged = False
        optimizer: AdamState | LbfgsState
        if isinstance(state.optimizer, LbfgsState):
            found, optimizer = lbfgs_step(point, state.optimizer, evaluate, within)
            converged = found is point and not state.optimizer.pairs
            average = state.average.including(found.values)
        else:
            values, optimizer, average = self._adam_step(
                done, point, state.optimizer, state.average, within
            )
            found = evaluate(values)
        return State(
            iteration=done + 1,
            stage=state.stage,
            began=state.began,
            point=found,
            optimizer=optimizer,
            average=average,
            jitter=self._jitter.bit_generator.state,
            converged=converged,
            hurried=state.hurried,
        )

    def _inside(self, values: Field) -> bool:
        """Whether all of ``values`` are in the box."""
        low, high = self._limits
        parts = (values[(..., rows, slice(None))] for rows in row_slices(values))
        return all(bool(((part >= low) & (part <= high)).all()) for part in parts)

    def _adam_init(self, values: Field) -> AdamState:
        first, second = (self._arrays.zeros(values.shape) for _ in range(2))
        return AdamState(0, first, second)

    def _adam_step(
        self,
        done: int,
        point: Point,
        state: AdamState,
        average: RunningAverage,
        within: tuple[Array, Array] | None,
    ) -> tuple[Field, AdamState, RunningAverage]:
        """Adam's, with the options' rate, or the last phase's, which begins with fresh moments.

        Then the clamp to the box ``within``, and the average; all of it band by band.
        """
        options = self.options
        tuning = self._scene.tuning
        last_phase = max(0, options.iterations - tuning.final_iterations)
        rate = tuning.learning_rate
        if done >= last_phase:
            rate = tuning.final_learning_rate
            if done == last_phase:
                state = self._adam_init(point.values)

        def step(
            values: Array, gradient: Array, first: Array, second: Array, total: Array | None = None
        ) -> tuple[Array, ...]:
            own = AdamState(state.steps, first, second)
            values, own = adam_step(values, gradient, own, rate, beta2=options.beta2)
            if within:
                np.clip(values, *within, out=values)
            averaged = average._replace(total=total).including(values).total
            return (values, own.first, own.second, *(() if averaged is None else (averaged,)))

        sources = [point.values, point.gradient, state.first, state.second]
        sources += [] if average.total is None else [average.total]
        try:
            with np.errstate(over="raise"):  # else an infinite mean of squares stops all pixels
                values, first, second, *total = self._arrays.each(step, *sources)
        except FloatingPointError as error:
            raise self._diverged("the gradient left float32", done + 1) from error
        average = average.followed_by(total[0]) if total else average
        return values, AdamState(state.steps + 1, first, second), average

    def _evaluate(self, view: View, values: Field) -> Point:
        losses, gradient = view.evaluate(values, self._offset())
        return Point(values, losses.total, gradient, losses)

    def _offset(self) -> tuple[int, int] | None:
        """The next shift of the window, in pixels down and right; None without jitter."""
        jitter = self._scene.tuning.jitter
        if jitter == 1:
            return None
        down, right = self._jitter.integers(0, jitter, 2)
        return int(down), int(right)

    def _enlarged(self, state: State, stage: int) -> tuple[View, State]:
        """A later scale: the average becomes the picture, Adam keeps its moments.

        The first moment is resized bicubically as the picture is, the second, which must stay
        positive, bilinearly; the count of steps is kept (crowsonkb/style-transfer-pytorch).
        """
        view = self._scene.at(self._stages[stage].side)
        arrays, canvas, wraps = self._arrays, view.canvas, self.options.seamless
        picture = arrays.resized(self._picture(state), canvas, Image.Resampling.BICUBIC, wraps)
        (picture,) = arrays.each(lambda v: (np.clip(v, *self._limits),), picture)
        self._jitter.bit_generator.state = state.jitter
        optimizer: AdamState | LbfgsState = lbfgs_init()
        if isinstance(state.optimizer, AdamState):
            steps, first, second = state.optimizer
            first = arrays.resized(first, canvas, Image.Resampling.BICUBIC, wraps)
            second = arrays.resized(second, canvas, Image.Resampling.BILINEAR, wraps)
            (second,) = arrays.each(lambda v: (np.maximum(v, 0),), second)
            optimizer = AdamState(steps, first, second)
        return view, State(
            iteration=state.iteration,
            stage=stage,
            began=state.iteration,
            point=self._evaluate(view, picture),
            optimizer=optimizer,
            average=RunningAverage(self._scene.tuning.averaging),
            jitter=self._jitter.bit_generator.state,
            hurried=state.hurried,
        )

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as it is now, uint8 [H, W, 3]; enlarged to its full size at early scales."""
        return self.painting().pixels

    def painting(self) -> Painting:
        """The same with its colours as asked for, before rounding, and with the content's alpha."""
        return self._painting(self._start if self.state is None else self._picture(self.state))

    def _picture(self, state: State) -> Field:
        """The running average where there is one, else the iterate, [1, 3, H, W] normalised."""
        average = state.average
        if average.total is None:
            values: Field = state.point.values
            return values
        weight = np.float32(average.weight)
        picture: Field = self._arrays.derived(lambda total: total / weight, average.total)
        return picture

    def _painting(self, picture: Field) -> Painting:
        if picture.shape[:1:-1] != self.canvas:
            how = Image.Resampling.BICUBIC
            picture = self._arrays.resized(picture, self.canvas, how, self.options.seamless)
        stretched = None
        if self.options.rescale:
            parts = [
                extremes(picture[(..., rows, slice(None))], self.model)
                for rows in row_slices(picture)
            ]
            stretched = min(low for low, _ in parts), max(high for _, high in parts)
        colors = self.options.colors
        content, alpha = self._content
        kept = content if colors in ("content-luminance", "content-histogram") else None

        def displayed(values: Array, content: Array | None, alpha: Array | None) -> Array:
            values = denormalize(values, self.model, stretched)
            if content is not None:
                match = luminance_of if colors == "content-luminance" else match_histogram
                values = match(values, content)
            if alpha is not None:  # over white, nothing is darker than the white behind lets it be
                values = np.maximum(values, 1 - alpha.reshape(*values.shape[:2], 1))
            return values

        if not self._arrays.on_disk:
            assert isinstance(picture, np.ndarray)
            return Painting(displayed(picture, kept, alpha), alpha)

        def planes(values: Array, *others: Array) -> Array:
            """The same of [1, C, h, w]."""
            pixels = [part[0].transpose(1, 2, 0) for part in others]
            found = displayed(
                values,
                None if kept is None else pixels[0],
                None if alpha is None else pixels[-1],
            )
            return found.transpose(2, 0, 1)[None]

        others = [part.planes for part in (kept, alpha) if part is not None]
        return Painting(Rows(Derived(planes, picture, *others)), alpha)

    @functools.cached_property
    def _content(self) -> tuple[Any, Any]:
        """The content at the picture's full size, and its alpha."""
        return self._scene.content_at(self.options.size)

    def reschedule(self, schedule: Sequence[tuple[int, int]]) -> None:
        """Goes through these scales (side, steps) and no more, instead of those that are planned.

        To repeat what a time limit made of an earlier run (settings.py); before the first
        iteration, and beginning with the first scale. Raises OptionError otherwise.
        """
        planned = {stage.side: stage for stage in self._stages}
        if self.state is not None or not schedule or schedule[0][0] != self._stages[0].side:
            raise OptionError("a schedule is for a run's beginning, and from its first scale on.")
        if any(side not in planned for side, _ in schedule):
            raise OptionError(f"the schedule {schedule!r} is not one of the scales {[*planned]}.")
        self._stages = [Stage(side, steps) for side, steps in schedule]
        self._pace = None

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Writes the state whole or not at all; raises OptionError before the first iteration."""
        if self.state is None:
            raise OptionError("the run has no state to save before its first iteration.")
        snapshots = {n: painting.values for n, painting in self._snapshots_so_far().items()}
        saved = Saved(self.state, list(self.steps), snapshots)
        write_checkpoint(Path(path), saved, self._identity)

    def resume(self, path: str | PathLike[str]) -> None:
        """Goes on from a checkpoint of a run with the same pictures, model and options.

        The bytes of the result are those of a run that was never interrupted, on the same machine
        with the same versions. ``time_limit``, ``max_pixels``, ``scratch``, ``max_memory`` (where
        it asks for the same tiles) and how the picture is written (``depth``, ``settings``,
        ``keep_metadata``) may be others. Raises CheckpointError, and leaves the file as it is.
        """
        state, steps, snapshots = read_checkpoint(Path(path), self._identity, self._arrays)
        view = self._scene.at(self._stages[state.stage].side)
        if state.point.values.shape[:1:-1] != view.canvas:
            raise CheckpointError(
                f"the checkpoint {str(path)!r} is not one that this Ortist wrote (its picture has "
                "another size); remove it to start anew."
            )
        alpha = self._content[1]
        self._steps = steps
        self._snapshots = {n: Painting(values, alpha) for n, values in snapshots.items()}
        self._view, self.state = view, state
        self._began = time.perf_counter() - steps[-1].seconds

    @functools.cached_property
    def _identity(self) -> dict[str, Any]:
        """All that decides the bytes of the result, by name."""
        options = dataclasses.asdict(self.options)
        model = dataclasses.replace(self.model, folder=Path())
        return {
            **{name: value for name, value in options.items() if name not in _ELSEWHERE},
            "provider": self._scene.objective.provider,
            "tile": self.options.tile_side or "off",
            "threads": self.options.threads or available_cpus(),
            "scales": [[stage.side, stage.iterations] for stage in self._stages],
            **self._scene.fingerprints(),
            "model": hashlib.sha256(repr(model).encode()).hexdigest(),
            "ortist": __version__,
            "onnxruntime": load_onnxruntime().__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
        }

    def _snapshots_so_far(self) -> dict[int, Painting]:
        return {n: painting for n, painting in self._snapshots.items() if n <= self.iteration}

    def result(self) -> Result:
        """What has been reached so far; raises OptionError before the first evaluation."""
        state = self.state
        if state is None:
            raise OptionError("the run has no result before its first iteration.")
        steps = self.steps
        final = steps[-1].losses
        if state.iteration > 0 and (
            self._scene.tuning.jitter > 1 or self._scene.tuning.averaging > 0
        ):
            # The last evaluation was of a window of the last iterate, not of the picture.
            self._scene.objective.release()
            final = self._view.evaluate(self._picture(state))[0]
        initial = steps[0].losses
        if state.stage > 0:  # that was at another scale, with other weights
            start = start_values(self._scene, self._view)
            initial = self._view.evaluate(start)[0]
        stopped = self._ended or "cancelled"
        if self.finished:
            stopped = "converged" if state.converged else "iterations"
            stopped = "time limit" if state.hurried else stopped
        inputs = self._inputs
        content = inputs.get("content")
        return Result(
            painting=self.painting(),
            stopped=stopped,
            provider=self._scene.objective.provider,
            model=self.model,
            options=self.options,
            weights=self._view.weights,
            initial=initial,
            final=final,
            steps=steps,
            snapshots=self._snapshots_so_far(),
            inputs={role: picture.source for role, picture in inputs.items()},
            exif=content.exif if isinstance(content, Raster) else b"",
        )


def _limits(options: Options, model: Model) -> tuple[Array, Array]:
    """The box of the pixels in normalised units, broadcastable to [1, 3, H, W]."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    if options.bounds == "cs231n":
        return np.full_like(mean, -1.5), np.full_like(mean, 1.5)
    return (0 - mean) / std, (1 - mean) / std
