"""The transfer loop: pictures and options in, one Progress a step, a Result at the end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .balance import Weights
from .colors import luminance_of, match_histogram
from .errors import OptionError
from .images import (
    Array,
    Painting,
    Picture,
    Raster,
    Source,
    denormalize,
    load_picture,
    resize_values,
)
from .lbfgs import LbfgsState, lbfgs_init, lbfgs_step
from .models import Model, find_model
from .objective import Losses
from .optimizers import AdamState, Point, RunningAverage, adam_init, adam_step
from .options import Options
from .outputs import save_picture
from .scene import Scene, View, open_objective, plan_stages, start_values
from .settings import describe
from .styles import Mask, Styles, load_regions

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

    ``pixels`` is uint8 [H, W, 3], ``painting`` the same before rounding, with the content's alpha,
    if it had one (transparent parts are white in ``pixels``); ``stopped`` says why it ended:
    "iterations" (all done), "converged" (L-BFGS found no further decrease) or "cancelled".
    ``initial`` and ``final`` hold the losses of the start and of the picture at the scale reached,
    with its ``weights``; ``history`` has one entry an iteration, ``snapshots`` the paintings of the
    iterations asked for. ``inputs`` says where content and style came from (None: no file),
    ``exif`` is the content's.
    """

    painting: Painting
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
    snapshots: dict[int, Painting] = field(repr=False)
    inputs: dict[str, Source | None] = field(repr=False)
    exif: bytes = field(repr=False)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        return self.painting.pixels

    @property
    def image(self) -> Image.Image:
        """8-bit, RGB or, where the content had transparent parts, RGBA."""
        return self.painting.image

    def save(self, path: str | PathLike[str], snapshot: int | None = None) -> None:
        """Writes the picture, or a snapshot of it, whole or not at all.

        The suffix names the format, the options say with which depth, settings and metadata.
        """
        options = self.options
        painting = self.painting if snapshot is None else self.snapshots[snapshot]
        save_picture(
            painting,
            Path(path),
            options.depth,
            self.exif if options.keep_metadata else b"",
            describe(self, snapshot) if options.settings else None,
        )


class Run(Iterator[Progress]):
    """A run that has been set up: iterate over it, look at ``pixels()``, stop whenever you like.

    The first Progress (iteration 0) is of the picture as it starts. ``result()`` can be asked at
    any time after that one; leaving the loop early is how a run is cancelled. ``state`` is the
    optimiser's.
    """

    def __init__(self, scene: Scene, options: Options, inputs: Mapping[str, Raster]):
        self.options = options
        self._scene = scene
        self._inputs = inputs
        self._stages = plan_stages(options)
        self._stage = 0
        self._stage_began = 0  # the iteration at which the present stage began
        self._converged = False
        self._view = scene.at(self._stages[0].side)
        start = start_values(self._view, options)
        self._point = Point(start, np.inf, np.zeros_like(start))  # evaluated by the first __next__
        self.state = self._fresh_state(start)
        self._average = RunningAverage(options.effective_averaging)
        self._jitter = np.random.default_rng([options.seed, 1])
        self._history: list[Losses] = []
        self._snapshots: dict[int, Painting] = {}
        self._began = time.perf_counter()
        self._seconds = 0.0
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
        return len(self._history) - 1

    def __next__(self) -> Progress:
        if not self._history:
            losses, gradient = self._view.evaluate(self._point.values)  # whole, no window
            self._point = Point(self._point.values, losses.total, gradient, losses)
        elif self._stage_done() and self._stage == len(self._stages) - 1:
            raise StopIteration
        else:
            self._step()
        if not np.isfinite(self._point.loss):
            raise OptionError(
                f"the loss became {self._point.loss} at iteration {self.iteration + 1}; lower "
                f"learning_rate (it is {self._learning_rate()}) or the weights."
            )
        losses = self._point.detail
        self._history.append(losses)
        if self.iteration in self.options.snapshots:
            self._snapshots[self.iteration] = self.painting()
        self._seconds = time.perf_counter() - self._began
        return Progress(self.iteration, self.options.iterations, losses, self._seconds)

    def _stage_done(self) -> bool:
        steps = self.iteration - self._stage_began
        return self._converged or steps >= self._stages[self._stage].iterations

    def _step(self) -> None:
        """One step. Interrupted, it leaves the last whole state."""
        if self._stage_done():
            self._enlarge()
        options, done, point = self.options, self.iteration, self._point
        bounded = options.iterations - options.free_iterations
        if done == 0 and bounded > 0:
            # Iteration 0 was of the picture as given; the first step starts from inside the box.
            inside = np.clip(point.values, *self._limits)
            if not np.array_equal(inside, point.values):
                point = self._evaluate(inside)
        within = self._limits if options.free_iterations == 0 or done + 1 < bounded else None
        if isinstance(self.state, LbfgsState):
            found, state = lbfgs_step(point, self.state, self._evaluate, within)
            self._converged = found is point and not self.state.pairs
            self._point, self.state = found, state
        else:
            values, moments = self._adam_step(point, self.state)
            if within:
                np.clip(values, *within, out=values)
            self._point, self.state = self._evaluate(values), moments
        self._average = self._average.including(self._point.values)

    def _adam_step(self, point: Point, state: AdamState) -> tuple[Array, AdamState]:
        """Adam's, with the options' rate, or the last phase's, which begins with fresh moments."""
        options = self.options
        last_phase = max(0, options.iterations - options.final_iterations)
        rate = self._learning_rate()
        if self.iteration >= last_phase:
            rate = options.final_learning_rate
            if self.iteration == last_phase:
                state = adam_init(point.values)
        return adam_step(point.values, point.gradient, state, rate, beta2=options.beta2)

    def _evaluate(self, values: Array, view: View | None = None) -> Point:
        losses, gradient = (view or self._view).evaluate(values, self._offset())
        return Point(values, losses.total, gradient, losses)

    def _fresh_state(self, values: Array) -> AdamState | LbfgsState:
        return lbfgs_init() if self.options.optimizer == "lbfgs" else adam_init(values)

    def _offset(self) -> tuple[int, int] | None:
        """The next shift of the window, in pixels down and right; None without jitter."""
        if self.options.effective_jitter == 1:
            return None
        down, right = self._jitter.integers(0, self.options.effective_jitter, 2)
        return int(down), int(right)

    def _enlarge(self) -> None:
        """Goes on to the next scale: the average becomes the picture, Adam keeps its moments.

        The first moment is resized bicubically as the picture is, the second, which must stay
        positive, bilinearly; the count of steps is kept (crowsonkb/style-transfer-pytorch).
        """
        view = self._scene.at(self._stages[self._stage + 1].side)
        picture = resize_values(self._picture(), view.canvas, Image.Resampling.BICUBIC)
        point = self._evaluate(np.clip(picture, *self._limits), view)
        state: AdamState | LbfgsState = lbfgs_init()
        if isinstance(self.state, AdamState):
            steps, first, second = self.state
            first = resize_values(first, view.canvas, Image.Resampling.BICUBIC)
            second = resize_values(second, view.canvas, Image.Resampling.BILINEAR)
            state = AdamState(steps, first, np.maximum(second, 0))
        # Nothing above changed the run, so that an interruption there leaves it whole.
        self._stage, self._stage_began = self._stage + 1, self.iteration
        self._view, self._point, self.state = view, point, state
        self._average = RunningAverage(self.options.effective_averaging)
        self._converged = False

    def _learning_rate(self) -> float:
        rate = self.options.learning_rate
        return self.model.recipe.learning_rate if rate is None else rate

    def _picture(self) -> Array:
        """The running average where there is one, else the iterate."""
        return self._average.value(self._point.values)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as it is now, uint8 [H, W, 3]; while scales are left, a smaller one."""
        return self.painting().pixels

    def painting(self) -> Painting:
        """The same with its colours as asked for, before rounding, and with the content's alpha."""
        values = denormalize(self._picture(), self.model, self.options.rescale)
        if self.options.colors in ("content-luminance", "content-histogram"):
            assert self._view.content is not None
            content = denormalize(self._view.content, self.model)
            match = luminance_of if self.options.colors == "content-luminance" else match_histogram
            values = match(values, content)
        alpha = self._view.alpha
        if alpha is not None:  # laid over white, nothing is darker than the white behind lets it be
            values = np.maximum(values, 1 - alpha[..., None])
        return Painting(values, alpha)

    def result(self) -> Result:
        """What has been reached so far; raises OptionError before the first evaluation."""
        if not self._history:
            raise OptionError("the run has no result before its first iteration.")
        final = self._history[-1]
        if self.iteration > 0 and (
            self.options.effective_jitter > 1 or self.options.effective_averaging > 0
        ):
            # The last evaluation was of a window of the last iterate, not of the picture.
            final = self._view.evaluate(self._picture())[0]
        initial = self._history[0]
        if self._stage > 0:  # that was at another scale, with other weights
            initial = self._view.evaluate(start_values(self._view, self.options))[0]
        stopped = "cancelled"
        if self._stage_done() and self._stage == len(self._stages) - 1:
            stopped = "converged" if self._converged else "iterations"
        inputs = self._inputs
        return Result(
            painting=self.painting(),
            iterations=self.iteration,
            stopped=stopped,
            seconds=self._seconds,
            provider=self._scene.objective.provider,
            model=self.model,
            options=self.options,
            weights=self._view.weights,
            initial=initial,
            final=final,
            history=tuple(self._history),
            snapshots=dict(self._snapshots),
            inputs={role: raster.source for role, raster in inputs.items()},
            exif=inputs["content"].exif if "content" in inputs else b"",
        )


def iterate(
    content: Picture | None,
    style: Picture | Sequence[Picture] | None,
    options: Options | None = None,
    *,
    masks: Sequence[Mask] = (),
    preset: str | None = None,
    **overrides: Any,
) -> Run:
    """Sets a run up and returns it: an iterator of Progress with ``pixels()`` and ``result()``.

    Without ``style`` only content and TV count (feature inversion); without ``content`` only style
    and TV, on a square canvas (texture synthesis); both start from noise unless told otherwise.
    A list or tuple of styles is blended as ``style_weights`` say. ``masks`` are pairs (mask of the
    content, mask of the style or None for all of it), white where they count: of one style any
    number, of several styles one each, in their order. Options come from ``options``, or from
    ``preset`` and keywords (see Options). Raises OptionError, PictureError, ModelError,
    ProviderError or ResourceError.
    """
    if options is None:
        options = Options.of(preset, **overrides)
    elif preset is not None or overrides:
        raise OptionError("give options, or preset and keywords, but not both.")
    styles = _several(style)
    if options.init is None:
        both = content is not None and len(styles) > 0
        options = dataclasses.replace(options, init="content" if both else "noise")
    model = find_model(options.model)
    most = options.max_pixels
    photo = None if content is None else load_picture(content, most, "content image")
    paintings = [load_picture(picture, most, "style image") for picture in styles]
    guides = [
        (
            load_picture(mask, most, "content mask"),
            None if part is None else load_picture(part, most, "style mask"),
        )
        for mask, part in masks
    ]
    regions = load_regions(guides, photo, paintings, most)
    chosen = Styles(paintings, options, regions)
    objective = open_objective(model, options, masked=bool(regions))
    scene = Scene(objective, photo, chosen, options)
    return Run(scene, options, _by_role(photo, paintings, guides))


def transfer(
    content: Picture,
    style: Picture | Sequence[Picture],
    options: Options | None = None,
    *,
    masks: Sequence[Mask] = (),
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Paints ``content`` in the style of ``style``.

    >>> result = transfer("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
    >>> result.save("painted.png")  # doctest: +SKIP

    ``on_progress`` is called after every step; where it returns False the run stops. Styles,
    masks, options and errors are those of ``iterate``.
    """
    run = iterate(content, style, options, masks=masks, preset=preset, **overrides)
    return _finished(run, on_progress)


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
    return _finished(iterate(content, None, options, preset=preset, **overrides), on_progress)


def texture(
    style: Picture | Sequence[Picture],
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Texture synthesis: ``size`` x ``size`` pixels from noise with ``style``'s Gram matrices.

    Gatys, Ecker and Bethge, NeurIPS 2015. Else as ``transfer``.
    """
    return _finished(iterate(None, style, options, preset=preset, **overrides), on_progress)


def _by_role(
    content: Raster | None,
    styles: Sequence[Raster],
    masks: Sequence[tuple[Raster, Raster | None]],
) -> dict[str, Raster]:
    """The pictures of a run by the names that settings give them (settings.py)."""
    found = {} if content is None else {"content": content}
    for number, style in enumerate(styles, 1):
        found["style" if len(styles) == 1 else f"style {number}"] = style
    for number, (mask, part) in enumerate(masks, 1):
        found[f"content mask {number}"] = mask
        if part is not None:
            found[f"style mask {number}"] = part
    return found


def _several(style: Picture | Sequence[Picture] | None) -> list[Picture]:
    """One style, several or none, as a list."""
    if style is None:
        return []
    if not isinstance(style, (list, tuple)):
        return [cast(Picture, style)]
    if not style:
        raise OptionError("the list of styles is empty; give a style image.")
    return list(style)


def _finished(run: Run, on_progress: Callable[[Progress], object] | None) -> Result:
    for progress in run:
        go_on = None if on_progress is None else on_progress(progress)
        if go_on is not None and not go_on:
            break
    return run.result()


def _limits(options: Options, model: Model) -> tuple[Array, Array]:
    """The box of the pixels in normalised units, broadcastable to [1, 3, H, W]."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    if options.bounds == "cs231n":
        return np.full_like(mean, -1.5), np.full_like(mean, 1.5)
    return (0 - mean) / std, (1 - mean) / std
