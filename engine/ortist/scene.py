"""The scene: the pictures of a run, and how they look at each scale."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .balance import Weights, chosen_taps, resolve_weights
from .errors import OptionError
from .images import Array, normalize, shorter_side_to, size_at
from .models import Model
from .objective import Losses, Objective, Targets, gram_matrix
from .options import Options

__all__ = ["Scene", "Stage", "View", "plan_stages", "start_values"]

_KEPT_BYTES = 256 * 2**20
"""Content features of shifted windows are kept up to this size, then computed at every step."""


@dataclass(frozen=True)
class Stage:
    """A scale of the pyramid: the picture's shorter side, in pixels, and its number of steps."""

    side: int
    iterations: int


def plan_stages(options: Options) -> list[Stage]:
    """The scales from small to large: size / sqrt(2)^i down to ``smallest_size``.

    Coarse structure is cheap to move where the picture is small (Gatys et al., CVPR 2017, section
    5). The first scale gets a double share of the iterations, and what a division leaves over;
    where there are too few for every scale to get one, the smallest are left out.
    """
    sides = [options.size]
    smallest = options.smallest_size or options.size
    while (side := round(options.size / 2 ** (len(sides) / 2))) >= smallest:
        sides.insert(0, side)
    sides = sides[-max(1, options.iterations - 1) :]
    share = options.iterations // (len(sides) + 1)
    first = options.iterations - share * (len(sides) - 1)
    return [Stage(sides[0], first), *(Stage(side, share) for side in sides[1:])]


class Scene:
    """Content and style, or one of them, and the objective that looks at them."""

    def __init__(
        self,
        objective: Objective,
        content: Image.Image | None,
        style: Image.Image | None,
        options: Options,
    ) -> None:
        if content is None and style is None:
            raise OptionError("there is neither a content image nor a style image.")
        self.objective = objective
        self.options = options
        self._content, self._style = content, style
        self._content_taps, self._style_taps = chosen_taps(options, objective.model)
        for stage in plan_stages(options):
            self._check(stage.side)

    @property
    def model(self) -> Model:
        return self.objective.model

    def fingerprints(self) -> dict[str, str]:
        """The SHA-256 of each picture's pixels, by its name."""
        found = {}
        for name, image in (("content image", self._content), ("style image", self._style)):
            if image is not None:
                size = f"{image.mode} {image.size} ".encode()
                found[name] = hashlib.sha256(size + image.tobytes()).hexdigest()
        return found

    def at(self, side: int) -> View:
        """The scene with pictures whose shorter side has ``side`` pixels."""
        content, grams = None, {}
        canvas = self.canvas(side)
        if self._content is not None:
            content = normalize(shorter_side_to(self._content, side), self.model)
        if self._style is not None:
            style = shorter_side_to(self._style, self._style_side(side))
            features = self.objective.features(normalize(style, self.model), self._style_taps)
            grams = {tap: gram_matrix(found) for tap, found in features.items()}
        return View(self, canvas, content, self._content_taps, grams)

    def canvas(self, side: int) -> tuple[int, int]:
        """(width, height) of the picture at that scale: the content's aspect, or square."""
        return (side, side) if self._content is None else size_at(self._content.size, side)

    def _style_side(self, side: int) -> int:
        """The style is reduced with the scale, never enlarged, which would only blur it."""
        assert self._style is not None
        wanted = round((self.options.style_size or self.options.size) * side / self.options.size)
        return min(max(wanted, self.model.smallest_side), *self._style.size)

    def _check(self, side: int) -> None:
        """Raises OptionError for pictures too large to try or too small for the network."""
        least = self.model.smallest_side
        sizes = {"picture": (self.canvas(side), least + self.options.effective_jitter - 1)}
        if self._style is not None:
            size = size_at(self._style.size, self._style_side(side))
            sizes["style image"] = (size, least)
        for name, ((width, height), needed) in sizes.items():
            if width * height > self.options.max_pixels:
                raise OptionError(
                    f"the {name} would have {width} x {height} pixels, more than the limit of "
                    f"{self.options.max_pixels}; give a smaller --size or raise --max-pixels."
                )
            if min(width, height) < needed:
                raise OptionError(
                    f"the {name} would have {width} x {height} pixels; {self.model.name} needs "
                    f"{needed} each way, so give a larger size or picture, or less --jitter."
                )


class View:
    """A scene at one scale: pictures of the size ``canvas`` (width, height) can be evaluated."""

    def __init__(
        self,
        scene: Scene,
        canvas: tuple[int, int],
        content: Array | None,
        content_taps: list[int],
        grams: dict[int, Array],
    ) -> None:
        self.canvas = canvas
        self.content = content
        self._scene, self._content_taps, self._grams = scene, content_taps, grams
        self._kept: dict[tuple[int, int], Targets] = {}
        self._kept_bytes = 0
        self._whole = self._seen_from(None)
        self.weights: Weights = resolve_weights(
            scene.options, scene.model, self._whole.content, grams, 3 * canvas[0] * canvas[1]
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
        objective = self._scene.objective
        targets = self._whole if offset is None else self._targets(offset)
        objective.aim(targets, self.weights)
        losses, seen = objective(np.ascontiguousarray(self._window(values, offset)))
        if offset is None:
            return losses, seen
        gradient = np.zeros_like(values)
        self._window(gradient, offset)[...] = seen
        return losses, gradient

    def _window(self, values: Array, offset: tuple[int, int] | None) -> Array:
        """A view of ``values``."""
        if offset is None:
            return values
        down, right = offset
        less = self._scene.options.effective_jitter - 1
        height, width = values.shape[2] - less, values.shape[3] - less
        return values[:, :, down : down + height, right : right + width]

    def _targets(self, offset: tuple[int, int]) -> Targets:
        if offset in self._kept:
            return self._kept[offset]
        targets = self._seen_from(offset)
        size = sum(features.nbytes for features in targets.content.values())
        if self._kept_bytes + size <= _KEPT_BYTES:
            self._kept[offset] = targets
            self._kept_bytes += size
        return targets

    def _seen_from(self, offset: tuple[int, int] | None) -> Targets:
        if self.content is None:
            return Targets({}, self._grams)
        seen = np.ascontiguousarray(self._window(self.content, offset))
        features = self._scene.objective.features(seen, self._content_taps)
        return Targets(features, self._grams)


def start_values(view: View, options: Options) -> Array:
    """The picture before the first step, [1, 3, H, W] in normalised units.

    Gray is the mean of the training images, zero after normalisation; noise is uniform in [0, 1) in
    normalised units, as in the CS231n assignment.
    """
    width, height = view.canvas
    if options.init == "noise":
        generator = np.random.default_rng(options.seed)
        return generator.random((1, 3, height, width), dtype=np.float32)
    if options.init == "gray":
        return np.zeros((1, 3, height, width), np.float32)
    if view.content is None:
        raise OptionError("there is no content image to start from; use --init noise or gray.")
    return view.content
