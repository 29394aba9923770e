"""The transfer loop: pictures and options in, one Progress a step, a Result at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .balance import Weights
from .errors import OptionError
from .images import Array, Picture, denormalize, load_picture, resize_values, save_picture
from .models import Model, find_model
from .objective import Losses, Objective
from .optimizers import AdamState, RunningAverage, adam_init, adam_step
from .options import Options
from .scene import Scene, plan_stages, start_values

__all__ = ["Progress", "Result", "Run", "invert", "iterate", "texture", "transfer"]


@dataclass(frozen=True)
class Progress:
    """One evaluation: ``losses`` of the picture after ``iteration`` steps, ``seconds`` in all."""

    iteration: int
    iterations: int
    losses: Losses
    seconds: float


@dataclass(frozen=True)
class Result:
    """A finished (or stopped) run.

    ``pixels`` is uint8 [H, W, 3]; ``stopped`` says why it ended: "iterations" (all done) or
    "cancelled". ``initial`` holds the losses of the start, at the first scale, ``final`` those of
    the picture; ``history`` has one entry an iteration, ``snapshots`` the pixels of the iterations
    asked for.
    """

    pixels: NDArray[np.uint8]
    iterations: int
    stopped: str
    seconds: float
    provider: str
    model: Model
    options: Options
    weights: Weights
    initial: Losses
    final: Losses
    history: tuple[Losses, ...] = field(repr=False)
    snapshots: dict[int, NDArray[np.uint8]] = field(repr=False)

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the picture whole or not at all; the suffix names the format."""
        save_picture(self.image, Path(path))


class Run(Iterator[Progress]):
    """A run that has been set up: iterate over it, look at ``pixels()``, stop whenever you like.

    The first Progress (iteration 0) is of the picture as it starts. ``result()`` can be asked at
    any time after that one; leaving the loop early is how a run is cancelled.
    """

    def __init__(self, scene: Scene, options: Options):
        self.options = options
        self._scene = scene
        self._stages = plan_stages(options)
        self._stage = 0
        self._stage_began = 0  # the iteration at which the present stage began
        scene.enter(self._stages[0].side)
        self._values = start_values(scene, options)
        self._adam = adam_init(self._values)
        self._average = RunningAverage(options.averaging)
        self._gradient: Array | None = None
        self._jitter = np.random.default_rng([options.seed, 1])
        self._history: list[Losses] = []
        self._snapshots: dict[int, NDArray[np.uint8]] = {}
        self._began = time.perf_counter()
        self._seconds = 0.0
        self._limits = _limits(options, scene.model)

    @property
    def model(self) -> Model:
        return self._scene.model

    @property
    def iteration(self) -> int:
        """Steps done so far; -1 before the first evaluation."""
        return len(self._history) - 1

    def __next__(self) -> Progress:
        if self.iteration >= self.options.iterations:
            raise StopIteration
        if self._history:
            losses = self._step()
        else:
            losses, self._gradient = self._scene.evaluate(self._values)
        if not np.isfinite(losses.total):
            raise OptionError(
                f"the loss became {losses.total} at iteration {self.iteration + 1}; lower "
                f"learning_rate (it is {self._learning_rate()}) or the weights."
            )
        self._history.append(losses)
        if self.iteration in self.options.snapshots:
            self._snapshots[self.iteration] = self.pixels()
        self._seconds = time.perf_counter() - self._began
        return Progress(self.iteration, self.options.iterations, losses, self._seconds)

    def _step(self) -> Losses:
        """One step; returns the losses after it. Interrupted, it leaves the last whole state."""
        options, done = self.options, self.iteration
        if done - self._stage_began == self._stages[self._stage].iterations:
            self._enlarge()
        values, gradient, state = self._values, self._gradient, self._adam
        bounded = options.iterations - options.free_iterations
        inside = np.clip(values, *self._limits) if done == 0 and bounded > 0 else values
        if gradient is None or not np.array_equal(inside, values):
            # The first step starts from inside the box, iteration 0 was of the picture as given.
            values = inside
            gradient = self._scene.evaluate(values, self._offset())[1]
        rate = self._learning_rate()
        if done >= options.iterations - options.final_iterations:
            rate = options.final_learning_rate
            if done == max(0, options.iterations - options.final_iterations):
                state = adam_init(values)
        values, state = adam_step(values, gradient, state, rate, beta2=options.beta2)
        if options.free_iterations == 0 or done + 1 < bounded:
            np.clip(values, *self._limits, out=values)
        losses, gradient = self._scene.evaluate(values, self._offset())
        self._values, self._gradient, self._adam = values, gradient, state
        self._average = self._average.including(values)
        return losses

    def _offset(self) -> tuple[int, int] | None:
        """The next shift of the window, in pixels down and right; None without jitter."""
        if self.options.jitter == 1:
            return None
        down, right = self._jitter.integers(0, self.options.jitter, 2)
        return int(down), int(right)

    def _enlarge(self) -> None:
        """Goes on to the next scale: the average becomes the picture, Adam keeps its moments.

        The first moment is resized bicubically as the picture is, the second, which must stay
        positive, bilinearly; the count of steps is kept (crowsonkb/style-transfer-pytorch).
        """
        self._stage += 1
        self._stage_began = self.iteration
        self._scene.enter(self._stages[self._stage].side)
        size = self._scene.canvas
        picture = resize_values(self._picture(), size, Image.Resampling.BICUBIC)
        self._values = np.clip(picture, *self._limits)
        steps, first, second = self._adam
        self._adam = AdamState(
            steps,
            resize_values(first, size, Image.Resampling.BICUBIC),
            np.maximum(resize_values(second, size, Image.Resampling.BILINEAR), 0),
        )
        self._average = RunningAverage(self.options.averaging)
        self._gradient = None

    def _learning_rate(self) -> float:
        rate = self.options.learning_rate
        return self.model.recipe.learning_rate if rate is None else rate

    def _picture(self) -> Array:
        """The running average where there is one, else the iterate."""
        return self._average.value(self._values)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as it is now, uint8 [H, W, 3]; while scales are left, a smaller one."""
        return denormalize(self._picture(), self.model, self.options.rescale)

    def result(self) -> Result:
        """What has been reached so far; raises OptionError before the first evaluation."""
        if not self._history:
            raise OptionError("the run has no result before its first iteration.")
        final = self._history[-1]
        if self.iteration > 0 and (self.options.jitter > 1 or self.options.averaging > 0):
            # The last evaluation was of a window of the last iterate, not of the picture.
            final = self._scene.evaluate(self._picture())[0]
        done = self.iteration == self.options.iterations
        return Result(
            pixels=self.pixels(),
            iterations=self.iteration,
            stopped="iterations" if done else "cancelled",
            seconds=self._seconds,
            provider=self._scene.provider,
            model=self.model,
            options=self.options,
            weights=self._scene.weights,
            initial=self._history[0],
            final=final,
            history=tuple(self._history),
            snapshots=dict(self._snapshots),
        )


def iterate(
    content: Picture | None,
    style: Picture | None,
    options: Options | None = None,
    *,
    preset: str | None = None,
    **overrides: Any,
) -> Run:
    """Sets a run up and returns it: an iterator of Progress with ``pixels()`` and ``result()``.

    Without ``style`` only content and TV count (feature inversion); without ``content`` only style
    and TV, on a square canvas (texture synthesis). Options come from ``options``, or from
    ``preset`` and keywords (see Options). Raises OptionError, PictureError, ModelError,
    ProviderError or ResourceError.
    """
    if options is None:
        options = Options.of(preset, **overrides)
    elif preset is not None or overrides:
        raise OptionError("give options, or preset and keywords, but not both.")
    model = find_model(options.model)
    scene = Scene(
        Objective(model, options.provider, options.threads),
        None if content is None else load_picture(content, options.max_pixels, "content image"),
        None if style is None else load_picture(style, options.max_pixels, "style image"),
        options,
    )
    return Run(scene, options)


def transfer(
    content: Picture,
    style: Picture,
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Paints ``content`` in the style of ``style``.

    >>> result = transfer("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
    >>> result.save("painted.png")  # doctest: +SKIP

    ``on_progress`` is called after every step; when it returns False the run stops there. Options
    and errors are those of ``iterate``.
    """
    return _finished(iterate(content, style, options, preset=preset, **overrides), on_progress)


def invert(
    content: Picture,
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Feature inversion: a picture from noise whose features are ``content``'s.

    Mahendran and Vedaldi, CVPR 2015, as in the CS231n assignment. Else as ``transfer``.
    """
    if options is None and preset is None:
        overrides.setdefault("init", "noise")
    return _finished(iterate(content, None, options, preset=preset, **overrides), on_progress)


def texture(
    style: Picture,
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Texture synthesis: ``size`` x ``size`` pixels from noise with ``style``'s Gram matrices.

    Gatys, Ecker and Bethge, NeurIPS 2015. Else as ``transfer``.
    """
    if options is None and preset is None:
        overrides.setdefault("init", "noise")
    return _finished(iterate(None, style, options, preset=preset, **overrides), on_progress)


def _finished(run: Run, on_progress: Callable[[Progress], object] | None) -> Result:
    for progress in run:
        if on_progress is not None and on_progress(progress) is False:
            break
    return run.result()


def _limits(options: Options, model: Model) -> tuple[Array, Array]:
    """The box of the pixels in normalised units, broadcastable to [1, 3, H, W]."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    if options.bounds == "cs231n":
        return np.full_like(mean, -1.5), np.full_like(mean, 1.5)
    return (0 - mean) / std, (1 - mean) / std
