"""The transfer loop: a Run goes from one State to the next, one Progress a step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import OptionError
from .images import Array, denormalize, resize_values
from .lbfgs import LbfgsState, lbfgs_init, lbfgs_step
from .models import Model
from .optimizers import AdamState, Point, RunningAverage, adam_init, adam_step
from .options import Options
from .result import Progress, Result
from .scene import Scene, View, plan_stages, start_values

__all__ = ["Run", "State"]


@dataclass(frozen=True)
class State:
    """All that the next step depends on, besides the pictures and the options.

    After ``iteration`` steps the run is in its ``stage``-th scale, which began at iteration
    ``began``: at ``point``, with the optimiser's own state, the running average, and the state of
    the random generator that shifts the window. ``converged``: no step at this scale gains more.
    """

    iteration: int
    stage: int
    began: int
    point: Point
    optimizer: AdamState | LbfgsState
    average: RunningAverage
    jitter: Mapping[str, Any]
    converged: bool = False

    @property
    def picture(self) -> Array:
        """The running average where there is one, else the iterate, [1, 3, H, W] normalised."""
        return self.average.value(self.point.values)


class Run(Iterator[Progress]):
    """A run that has been set up: iterate over it, look at ``pixels()``, stop whenever you like.

    The first Progress (iteration 0) is of the picture as it starts. ``result()`` can be asked at
    any time after that one; leaving the loop early is how a run is cancelled. ``state`` is None
    before the first Progress. It is replaced as a whole by every step, so that an interruption
    leaves the last one.
    """

    def __init__(self, scene: Scene, options: Options):
        self.options = options
        self.state: State | None = None
        self._began = time.perf_counter()
        self._scene = scene
        self._stages = plan_stages(options)
        self._view = scene.at(self._stages[0].side)
        self._start = start_values(self._view, options)
        self._jitter = np.random.default_rng([options.seed, 1])
        self._steps: list[Progress] = []  # these two may be ahead of the state by a step
        self._snapshots: dict[int, NDArray[np.uint8]] = {}
        self._limits = _limits(options, scene.model)

    @property
    def model(self) -> Model:
        return self._scene.model

    @property
    def canvas(self) -> tuple[int, int]:
        """(width, height) of the finished picture, in pixels."""
        return self._scene.canvas(self.options.size)

    @property
    def iteration(self) -> int:
        """Steps done so far; -1 before the first evaluation."""
        return -1 if self.state is None else self.state.iteration

    def __next__(self) -> Progress:
        if self.state is None:
            view, state = self._view, self._first()
        elif not self._stage_done(self.state):
            view, state = self._view, self._step(self._view, self.state)
        elif self.state.stage < len(self._stages) - 1:
            view, larger = self._enlarged(self.state)
            state = self._step(view, larger)
        else:
            raise StopIteration
        return self._advance(view, state)

    def _advance(self, view: View, state: State) -> Progress:
        """Makes ``state`` the run's; interrupted before its last lines, it leaves the old one."""
        if not np.isfinite(state.point.loss):
            raise OptionError(
                f"the loss became {state.point.loss} at iteration {state.iteration}; lower "
                f"learning_rate (it is {self._learning_rate()}) or the weights."
            )
        progress = Progress(
            state.iteration,
            self.options.iterations,
            self._stages[state.stage].side,
            state.point.detail,
            time.perf_counter() - self._began,
        )
        self._steps[state.iteration :] = [progress]
        if state.iteration in self.options.snapshots:
            self._snapshots[state.iteration] = self._pixels(state)
        self._view, self.state = view, state
        return progress

    def _first(self) -> State:
        losses, gradient = self._view.evaluate(self._start)  # whole, no window
        return State(
            iteration=0,
            stage=0,
            began=0,
            point=Point(self._start, losses.total, gradient, losses),
            optimizer=lbfgs_init() if self._uses_lbfgs else adam_init(self._start),
            average=RunningAverage(self.options.effective_averaging),
            jitter=self._jitter.bit_generator.state,
        )

    @property
    def _uses_lbfgs(self) -> bool:
        return self.options.optimizer == "lbfgs"

    def _stage_done(self, state: State) -> bool:
        steps = state.iteration - state.began
        return state.converged or steps >= self._stages[state.stage].iterations

    def _step(self, view: View, state: State) -> State:
        options, done, point = self.options, state.iteration, state.point
        self._jitter.bit_generator.state = state.jitter

        def evaluate(values: Array) -> Point:
            return self._evaluate(view, values)

        bounded = options.iterations - options.free_iterations
        if done == 0 and bounded > 0:
            # Iteration 0 was of the picture as given; the first step starts from inside the box.
            inside = np.clip(point.values, *self._limits)
            if not np.array_equal(inside, point.values):
                point = evaluate(inside)
        within = self._limits if options.free_iterations == 0 or done + 1 < bounded else None
        converged = False
        optimizer: AdamState | LbfgsState
        if isinstance(state.optimizer, LbfgsState):
            found, optimizer = lbfgs_step(point, state.optimizer, evaluate, within)
            converged = found is point and not state.optimizer.pairs
        else:
            values, optimizer = self._adam_step(done, point, state.optimizer)
            if within:
                np.clip(values, *within, out=values)
            found = evaluate(values)
        return State(
            iteration=done + 1,
            stage=state.stage,
            began=state.began,
            point=found,
            optimizer=optimizer,
            average=state.average.including(found.values),
            jitter=self._jitter.bit_generator.state,
            converged=converged,
        )

    def _adam_step(self, done: int, point: Point, state: AdamState) -> tuple[Array, AdamState]:
        """Adam's, with the options' rate, or the last phase's, which begins with fresh moments."""
        options = self.options
        last_phase = max(0, options.iterations - options.final_iterations)
        rate = self._learning_rate()
        if done >= last_phase:
            rate = options.final_learning_rate
            if done == last_phase:
                state = adam_init(point.values)
        return adam_step(point.values, point.gradient, state, rate, beta2=options.beta2)

    def _evaluate(self, view: View, values: Array) -> Point:
        losses, gradient = view.evaluate(values, self._offset())
        return Point(values, losses.total, gradient, losses)

    def _offset(self) -> tuple[int, int] | None:
        """The next shift of the window, in pixels down and right; None without jitter."""
        if self.options.effective_jitter == 1:
            return None
        down, right = self._jitter.integers(0, self.options.effective_jitter, 2)
        return int(down), int(right)

    def _enlarged(self, state: State) -> tuple[View, State]:
        """The next scale: the average becomes the picture, Adam keeps its moments.

        The first moment is resized bicubically as the picture is, the second, which must stay
        positive, bilinearly; the count of steps is kept (crowsonkb/style-transfer-pytorch).
        """
        stage = state.stage + 1
        view = self._scene.at(self._stages[stage].side)
        picture = resize_values(state.picture, view.canvas, Image.Resampling.BICUBIC)
        self._jitter.bit_generator.state = state.jitter
        optimizer: AdamState | LbfgsState = lbfgs_init()
        if isinstance(state.optimizer, AdamState):
            steps, first, second = state.optimizer
            first = resize_values(first, view.canvas, Image.Resampling.BICUBIC)
            second = resize_values(second, view.canvas, Image.Resampling.BILINEAR)
            optimizer = AdamState(steps, first, np.maximum(second, 0))
        return view, State(
            iteration=state.iteration,
            stage=stage,
            began=state.iteration,
            point=self._evaluate(view, np.clip(picture, *self._limits)),
            optimizer=optimizer,
            average=RunningAverage(self.options.effective_averaging),
            jitter=self._jitter.bit_generator.state,
        )

    def _learning_rate(self) -> float:
        rate = self.options.learning_rate
        return self.model.recipe.learning_rate if rate is None else rate

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as it is now, uint8 [H, W, 3]; while scales are left, a smaller one."""
        if self.state is None:
            return denormalize(self._start, self.model, self.options.rescale)
        return self._pixels(self.state)

    def _pixels(self, state: State) -> NDArray[np.uint8]:
        return denormalize(state.picture, self.model, self.options.rescale)

    def result(self) -> Result:
        """What has been reached so far; raises OptionError before the first evaluation."""
        state = self.state
        if state is None:
            raise OptionError("the run has no result before its first iteration.")
        steps = tuple(self._steps[: state.iteration + 1])
        final = steps[-1].losses
        if state.iteration > 0 and (
            self.options.effective_jitter > 1 or self.options.effective_averaging > 0
        ):
            # The last evaluation was of a window of the last iterate, not of the picture.
            final = self._view.evaluate(state.picture)[0]
        initial = steps[0].losses
        if state.stage > 0:  # that was at another scale, with other weights
            initial = self._view.evaluate(start_values(self._view, self.options))[0]
        stopped = "cancelled"
        if self._stage_done(state) and state.stage == len(self._stages) - 1:
            stopped = "converged" if state.converged else "iterations"
        return Result(
            pixels=self._pixels(state),
            stopped=stopped,
            provider=self._scene.objective.provider,
            model=self.model,
            options=self.options,
            weights=self._view.weights,
            initial=initial,
            final=final,
            steps=steps,
            snapshots={n: p for n, p in self._snapshots.items() if n <= state.iteration},
        )


def _limits(options: Options, model: Model) -> tuple[Array, Array]:
    """The box of the pixels in normalised units, broadcastable to [1, 3, H, W]."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    if options.bounds == "cs231n":
        return np.full_like(mean, -1.5), np.full_like(mean, 1.5)
    return (0 - mean) / std, (1 - mean) / std
