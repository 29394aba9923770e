"""The scene: the pictures of a run at the present scale, and the objective that looks at them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .balance import Weights, chosen_taps, resolve_weights
from .errors import OptionError
from .images import Array, normalize, shorter_side_to
from .models import Model
from .objective import Losses, Objective, Targets, gram_matrix
from .options import Options

__all__ = ["Scene", "Stage", "plan_stages", "start_values"]


@dataclass(frozen=True)
class Stage:
    """A scale of the pyramid: the picture's shorter side, in pixels, and its number of steps."""

    side: int
    iterations: int


def plan_stages(options: Options) -> list[Stage]:
    """The scales from small to large: size / sqrt(2)^i down to ``smallest_size``.

    Coarse structure is cheap to move where the picture is small (Gatys et al., CVPR 2017, section
    5). The first scale gets a double share of the iterations, and what a division leaves over.
    """
    sides = [options.size]
    smallest = options.smallest_size or options.size
    while options.iterations > 0 and (side := round(options.size / 2 ** (len(sides) / 2))) >= max(
        smallest, 1
    ):
        sides.insert(0, side)
    share = options.iterations // (len(sides) + 1)
    first = options.iterations - share * (len(sides) - 1)
    return [Stage(sides[0], first), *(Stage(side, share) for side in sides[1:])]


class Scene:
    """Content and style (or one of them) at one scale after another.

    ``enter`` a scale, then ``evaluate`` pictures of the size ``canvas``.
    """

    def __init__(
        self,
        objective: Objective,
        content: Image.Image | None,
        style: Image.Image | None,
        options: Options,
    ) -> None:
        if content is None and style is None:
            raise OptionError("there is neither a content image nor a style image.")
        self._objective = objective
        self._options = options
        self._content, self._style = content, style
        self._content_taps, self._style_taps = chosen_taps(options, objective.model)
        self._check(options.size)
        self.canvas = (0, 0)
        self.content: Array | None = None
        self.weights = Weights({}, {}, 0.0)
        self._grams: dict[int, Array] = {}
        self._targets: dict[tuple[int, int] | None, Targets] = {}

    @property
    def model(self) -> Model:
        return self._objective.model

    @property
    def provider(self) -> str:
        return self._objective.provider

    def enter(self, side: int) -> None:
        """Makes ``side`` the shorter side, in pixels, of the pictures to evaluate."""
        options, model = self._options, self.model
        self.canvas = (side, side)
        if self._content is not None:
            content = shorter_side_to(self._content, side)
            self.canvas = content.size
            self.content = normalize(content, model)
        if self._style is not None:
            wanted = round((options.style_size or options.size) * side / options.size)
            style = shorter_side_to(self._style, self._style_side(wanted))
            features = self._objective.features(normalize(style, model), self._style_taps)
            self._grams = {tap: gram_matrix(found) for tap, found in features.items()}
        self._targets = {}
        targets = self._targets_at(None)
        self.weights = resolve_weights(
            options, model, targets.content, targets.style, 3 * self.canvas[0] * self.canvas[1]
        )

    def evaluate(
        self, values: Array, offset: tuple[int, int] | None = None
    ) -> tuple[Losses, Array]:
        """Losses and gradient of ``values``, [1, 3, H, W] normalised.

        With ``offset`` only a window is seen, ``jitter`` - 1 pixels smaller each way and shifted
        down and right by that much, against the content seen through the same window. The network's
        stride makes the gradient uneven on a grid of pixels; shifting evens it out over the steps
        (as in Olah et al., "Feature Visualization", Distill 2017, but by a window: rolling the
        picture would carry one border onto the other).
        """
        self._objective.aim(self._targets_at(offset), self.weights)
        losses, seen = self._objective(self._window(values, offset))
        if offset is None:
            return losses, seen
        gradient = np.zeros_like(values)
        self._window(gradient, offset, copy=False)[...] = seen
        return losses, gradient

    def _window(self, values: Array, offset: tuple[int, int] | None, copy: bool = True) -> Array:
        if offset is None:
            return values
        down, right = offset
        less = self._options.effective_jitter - 1
        height, width = values.shape[2] - less, values.shape[3] - less
        view = values[:, :, down : down + height, right : right + width]
        return np.ascontiguousarray(view) if copy else view

    def _targets_at(self, offset: tuple[int, int] | None) -> Targets:
        """Targets for one window; the content's features are kept, one set for each offset."""
        if offset not in self._targets:
            content = {}
            if self.content is not None:
                seen = self._window(self.content, offset)
                content = self._objective.features(seen, self._content_taps)
            self._targets[offset] = Targets(content, self._grams)
        return self._targets[offset]

    def _style_side(self, wanted: int) -> int:
        """A style is reduced, never enlarged, which would only blur it."""
        assert self._style is not None
        return min(wanted, *self._style.size)

    def _check(self, side: int) -> None:
        """Raises OptionError for pictures too large to try or too small for the network."""
        sizes = {"picture": (side, side)}
        if self._content is not None:
            width, height = self._content.size
            scale = side / min(width, height)
            sizes["picture"] = (int(width * scale), int(height * scale))
        if self._style is not None:
            wanted = self._style_side(self._options.style_size or side)
            sizes["style image"] = (wanted, wanted)
        least = self.model.smallest_side + self._options.effective_jitter - 1
        for name, size in sizes.items():
            if math.prod(size) > self._options.max_pixels:
                raise OptionError(
                    f"the {name} would have {size[0]} x {size[1]} pixels, more than the limit of "
                    f"{self._options.max_pixels}; give a smaller --size or raise --max-pixels."
                )
            if min(size) < least:
                raise OptionError(
                    f"the {name} would have {size[0]} x {size[1]} pixels; {self.model.name} needs "
                    f"{least} each way, so give a larger size or picture."
                )


def start_values(scene: Scene, options: Options) -> Array:
    """The picture before the first step, [1, 3, H, W] in normalised units.

    Gray is the mean of the training images, zero after normalisation; noise is uniform in [0, 1) in
    normalised units, as in the CS231n assignment.
    """
    width, height = scene.canvas
    if options.init == "noise":
        generator = np.random.default_rng(options.seed)
        return generator.random((1, 3, height, width), dtype=np.float32)
    if options.init == "gray":
        return np.zeros((1, 3, height, width), np.float32)
    if scene.content is None:
        raise OptionError("there is no content image to start from; use --init noise or gray.")
    return scene.content
