"""From one State to the next: the step of either optimiser, and the way to a larger scale.

A step depends on the state, the view and the options, and on nothing that an interrupted step may
have left: done again, it is the same step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..arrays import Array, Arrays, Field, row_slices, whole
from ..errors import DivergedError
from ..network.bundle import Model
from ..objective.targets import Losses
from ..options.fields import Options
from ..pictures.values import display_range, in_gray
from .lbfgs import Bounds, LbfgsState, lbfgs_step
from .optimizers import AdamState, Point, RunningAverage, adam_init, adam_step
from .view import Scene, View

__all__ = ["Progress", "State", "Stepper", "diverged"]


@dataclass(frozen=True)
class State:
    """All that the next step depends on, besides the pictures and the options.

    After ``iteration`` steps the run is in its ``scale``-th scale, which began at iteration
    ``began``: at ``point``, with the optimiser's own state, the running average, and the state of
    the random generator that shifts the window. ``converged``: no step at this scale gains more;
    ``hurried``: a time limit has cut a scale short.
    """

    iteration: int
    scale: int
    began: int
    point: Point
    optimizer: AdamState | LbfgsState
    average: RunningAverage
    jitter: Mapping[str, Any]
    converged: bool = False
    hurried: bool = False

    def picture(self, arrays: Arrays) -> Field:
        """The running average where there is one, else the iterate, [1, 3, H, W] normalised."""
        picture: Field = self.average.value(self.point.values, arrays)
        return picture


@dataclass(frozen=True)
class Progress:
    """One evaluation: ``losses`` of the picture after ``iteration`` steps, ``seconds`` in all.

    ``scale`` is the shorter side, in pixels, of the picture that was evaluated.
    """

    iteration: int
    iterations: int
    scale: int
    losses: Losses
    seconds: float


class Stepper:
    """Makes the first State of a run, and from each State the next.

    Its methods raise DivergedError where float32 cannot hold what they come to. A loss that is not
    finite is for the caller to see.
    """

    def __init__(self, scene: Scene) -> None:
        self._options, self._tuning, self._arrays = scene.options, scene.tuning, scene.arrays
        self._limits = _limits(scene.options, scene.model)
        self._model, self._gray = scene.model, scene.gray
        self._shifts = np.random.default_rng([scene.options.seed, 1])

    def first(self, view: View, start: Field) -> State:
        """The state of iteration 0: ``start``, evaluated whole and without a window."""
        adam = self._options.optimizer == "adam"
        return State(
            iteration=0,
            scale=0,
            began=0,
            point=self._point(view, start),
            optimizer=adam_init(start, self._arrays) if adam else LbfgsState(),
            average=RunningAverage(self._tuning.averaging),
            jitter=self._shifts.bit_generator.state,
        )

    def step(self, view: View, state: State, last: bool = False) -> State:
        """The state after one more iteration at the scale of ``view``.

        After Adam's ``last`` one the losses are those of the picture that comes of it, and the
        gradient, of which nobody makes use, is still that of the step before.
        """
        options, done = self._options, state.iteration
        self._shifts.bit_generator.state = state.jitter
        bounded = options.steps - options.free_iterations
        if done == 0 and bounded > 0 and not self._inside(state.point.values):
            # Iteration 0 was of the picture as given; the first step starts from inside the box.
            inside = self.evaluate(view, self._clipped(state.point.values))
            state = dataclasses.replace(state, point=inside)
        within = self._limits if options.free_iterations == 0 or done + 1 < bounded else None
        converged = False
        optimizer: AdamState | LbfgsState
        if isinstance(state.optimizer, LbfgsState):
            evaluate = functools.partial(self.evaluate, view)
            try:
                point, optimizer = lbfgs_step(state.point, state.optimizer, evaluate, within)
            except ArithmeticError as error:
                what = "the L-BFGS direction left float32"
                raise diverged(what, done + 1, self._tuning.learning_rate) from error
            converged = point is state.point and not state.optimizer.pairs
            average = state.average.including(point.values)
        else:
            values, optimizer, average = self._adam_step(state, state.optimizer, within)
            if last:
                losses = view.losses(average.value(values, self._arrays))
                point = Point(values, losses.total, state.point.gradient, losses)
            else:
                point = self.evaluate(view, values)
        return dataclasses.replace(
            state,
            iteration=done + 1,
            point=point,
            optimizer=optimizer,
            average=average,
            jitter=self._shifts.bit_generator.state,
            converged=converged,
        )

    def enlarged(self, view: View, state: State, scale: int) -> State:
        """The state at a later scale: the average becomes the picture, Adam keeps its moments.

        The first moment is resized bicubically as the picture is, the second, which must stay
        positive, bilinearly; the count of steps is kept (crowsonkb/style-transfer-pytorch).
        """
        arrays, canvas, wraps = self._arrays, view.canvas, self._options.seamless
        bicubic, bilinear = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
        picture = self._clipped(arrays.resized(state.picture(arrays), canvas, bicubic, wraps))
        self._shifts.bit_generator.state = state.jitter
        optimizer: AdamState | LbfgsState = LbfgsState()
        if isinstance(state.optimizer, AdamState):
            steps, first, second = state.optimizer
            first = arrays.resized(first, canvas, bicubic, wraps)
            second = arrays.resized(second, canvas, bilinear, wraps)
            (second,) = arrays.each(lambda v: (np.maximum(v, 0),), second)
            optimizer = AdamState(steps, first, second)
        return dataclasses.replace(
            state,
            scale=scale,
            began=state.iteration,
            point=self.evaluate(view, picture),
            optimizer=optimizer,
            average=RunningAverage(self._tuning.averaging),
            jitter=self._shifts.bit_generator.state,
            converged=False,
        )

    def evaluate(self, view: View, values: Field) -> Point:
        """``values`` [1, 3, H, W], normalised, with what the next window shows of them."""
        offset, jitter = None, self._tuning.jitter
        if jitter > 1:
            down, right = self._shifts.integers(0, jitter, 2)
            offset = int(down), int(right)
        return self._point(view, values, offset)

    def _point(self, view: View, values: Field, offset: tuple[int, int] | None = None) -> Point:
        losses, gradient = view.evaluate(values, offset)
        if self._gray and self._options.optimizer == "lbfgs":  # Adam's steps are made grey
            gradient = in_gray(whole(gradient), self._model, slope=True)
        return Point(values, losses.total, gradient, losses)

    def _inside(self, values: Field) -> bool:
        """Whether all of ``values`` are in the box."""
        low, high = self._limits
        parts = (values[(..., rows, slice(None))] for rows in row_slices(values))
        return all(bool(((part >= low) & (part <= high)).all()) for part in parts)

    def _clipped(self, values: Field) -> Field:
        """``values`` moved into the box."""
        inside: Field
        (inside,) = self._arrays.each(lambda v: (np.clip(v, *self._limits),), values)
        return inside

    def _adam_step(
        self, state: State, adam: AdamState, within: Bounds | None
    ) -> tuple[Field, AdamState, RunningAverage]:
        """Adam's step, the clamp to the box ``within``, and the average; all of it band by band.

        The rate is the options', or the last phase's, which begins with fresh moments.
        """
        options, tuning, average = self._options, self._tuning, state.average
        last_phase = max(0, options.steps - tuning.final_iterations)
        early = state.iteration < last_phase
        rate = tuning.learning_rate if early else tuning.final_learning_rate
        if state.iteration == last_phase:
            adam = adam_init(state.point.values, self._arrays)

        def step(
            values: Array, gradient: Array, first: Array, second: Array, *total: Array
        ) -> tuple[Array, ...]:
            own = AdamState(adam.steps, first, second)
            values, own = adam_step(values, gradient, own, rate, beta2=options.beta2)
            if self._gray:
                values = in_gray(values, self._model)
            if within:
                np.clip(values, *within, out=values)
            averages = [average.total_with(values, *total)] if average.decay else []
            return (values, own.first, own.second, *averages)

        sources = [state.point.values, state.point.gradient, adam.first, adam.second]
        sources += [] if average.total is None else [average.total]
        try:
            with np.errstate(over="raise"):  # else an infinite mean of squares stops all pixels
                values, first, second, *total = self._arrays.each(step, *sources)
        except FloatingPointError as error:
            what, iteration = "the gradient left float32", state.iteration + 1
            raise diverged(what, iteration, tuning.learning_rate) from error
        average = average.followed_by(total[0]) if total else average
        return values, AdamState(adam.steps + 1, first, second), average


def diverged(what: str, iteration: int, rate: float) -> DivergedError:
    """The error that says so, and what to lower; ``rate`` is Adam's, in normalised units."""
    return DivergedError(
        f"{what} at iteration {iteration}; lower learning_rate (it is {rate}) or the weights."
    )


def _limits(options: Options, model: Model) -> Bounds:
    """The box of the pixels in normalised units."""
    displayed = display_range(model)
    if options.bounds == "cs231n":
        return np.full_like(displayed[0], -1.5), np.full_like(displayed[1], 1.5)
    return displayed
