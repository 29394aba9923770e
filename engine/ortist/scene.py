"""The scene: the pictures of a run, and how they look at each scale."""

from __future__ import annotations

import hashlib
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from .balance import Weights, chosen_taps, resolve_weights
from .colors import colored_noise
from .errors import OptionError
from .general import GeneralObjective
from .guides import Guides, mask_values
from .images import (
    Array,
    Raster,
    alpha_at,
    fill,
    normalize,
    normalize_planes,
    shorter_side_to,
    size_at,
    unit,
)
from .models import Model
from .moments import Statistics
from .objective import Objective
from .options import Options
from .stored import Arrays, Derived, Field, Rows, Stored, bands, chunks, crop
from .style_files import ExtractedStyle
from .style_losses import STYLE_LOSSES, StyleLoss, energy, scaled
from .styles import Styles
from .targets import Losses, Room, Targets

__all__ = [
    "KEPT_BYTES",
    "Evaluator",
    "Scene",
    "Stage",
    "View",
    "open_objective",
    "plan_stages",
    "start_values",
]

Evaluator = Objective | GeneralObjective

_STRIDE = 16
"""A multiple of the strides of all taps that there are."""

KEPT_BYTES = 256 * 2**20
"""Content features are kept up to this size, then computed at every step."""


@dataclass(frozen=True)
class Stage:
    """A scale of the pyramid: the picture's shorter side, in pixels, and its number of steps."""

    side: int
    iterations: int


def plan_stages(options: Options) -> list[Stage]:
    """The scales from small to large: size / sqrt(2)^i down to ``smallest_size``.

    Coarse structure is cheap to move where the picture is small (Gatys et al., CVPR 2017, section
    5). The first scale gets a double share of the iterations, and what a division leaves over;
    where there are too few for every scale to get one, the smallest are left out. The smaller
    scales of a seamless texture are rounded to where the network's stride fits.
    """
    sides = [options.size]
    smallest = options.smallest_size or options.size
    while (side := round(options.size / 2 ** (len(sides) / 2))) >= smallest:
        sides.insert(0, max(1, round(side / _STRIDE)) * _STRIDE if options.seamless else side)
    sides = sides[-max(1, options.iterations - 1) :]
    share = options.iterations // (len(sides) + 1)
    first = options.iterations - share * (len(sides) - 1)
    return [Stage(sides[0], first), *(Stage(side, share) for side in sides[1:])]


def open_objective(
    model: Model, options: Options, masked: bool, executor: Executor | None = None
) -> Evaluator:
    """The fast objective where it can do what is asked for, else the general one.

    And the general one where an ``executor`` shall do the work of its tiles.
    """
    fast = options.style_loss == "gram" and not (masked or options.normalize_gradients)
    fast = fast and executor is None
    if fast and options.tile_side is None and not options.seamless:
        return Objective(model, options.provider, options.threads, tv_loss=options.tv_loss)
    return GeneralObjective(
        model,
        options.provider,
        options.threads,
        options.tile_side,
        options.normalize_gradients,
        options.seamless,
        options.tv_loss,
        executor,
    )


class Scene:
    """Content and styles, or one of them, and the objective that looks at them."""

    def __init__(
        self,
        objective: Evaluator,
        content: Raster | None,
        styles: Styles,
        options: Options,
        init: Raster | None = None,
        arrays: Arrays | None = None,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        if content is None and not styles.images:
            raise OptionError("there is neither a content image nor a style image.")
        if options.colors != "style" and (content is None or not styles.images):
            raise OptionError(
                f"colors {options.colors!r} needs a content image and a style image; leave "
                "--colors out."
            )
        if options.init == "image" and init is None:
            raise OptionError(
                "init 'image' stands for a picture, and none was given; give its path as init."
            )
        if options.init == "style" and not styles.images:
            raise OptionError("there is no style to start from; use --init noise or gray.")
        if options.seamless and content is not None:
            raise OptionError(
                "seamless is for textures, and a content image's edges do not fit together; leave "
                "seamless or the content image out."
            )
        self.objective = objective
        self.options = options
        self.styles = styles
        self._init = init
        self.arrays = Arrays() if arrays is None else arrays
        self.kept_bytes = kept_bytes
        self._content = content
        self._content_taps, self._style_taps = chosen_taps(options, objective.model)
        for stage in plan_stages(options):
            self._check(stage.side)
        strides = [objective.model.tap(tap).stride for tap in self._style_taps]
        stride = max(strides, default=1)
        if options.seamless and options.size % stride:
            raise OptionError(
                f"the size {options.size} of a seamless texture does not fit the network's stride; "
                f"give a --size that {stride} divides, as {-(-options.size // stride) * stride}."
            )

    @property
    def model(self) -> Model:
        return self.objective.model

    def fingerprints(self) -> dict[str, str]:
        """The SHA-256 of the pixels of each picture and mask, by its name."""
        pictures: dict[str, Raster | ExtractedStyle | Image.Image | None] = {
            "content image": self._content,
            "init image": self._init,
        }
        for number, image in enumerate(self.styles.images, 1):
            pictures["style image" if number == 1 else f"style image {number}"] = image
        for number, region in enumerate(self.styles.regions, 1):
            pictures |= {f"content mask {number}": region.content}
            pictures |= {f"style mask {number}": region.part}
        return {name: _hash(picture) for name, picture in pictures.items() if picture is not None}

    def content_at(self, side: int) -> tuple[Any, Any]:
        """The content [H, W, 3] and its alpha [H, W], in [0, 1], if there are such.

        ``Rows`` of them where arrays are in files.
        """
        if self._content is None:
            return None, None
        if not self.arrays.on_disk:
            return shorter_side_to(self._content, side), alpha_at(self._content, side)
        alpha = self._content.alpha_planes()
        parts = (self._content.planes(), alpha)
        found = [None if part is None else Rows(self._at_size(part, side)) for part in parts]
        return found[0], found[1]

    def _at_size(self, planes: Field, side: int) -> Field:
        """Levels of the content, [1, C, H, W], as values in [0, 1] at that scale."""
        levels = self.arrays.resized(planes, self.canvas(side), Image.Resampling.BILINEAR)
        return Derived(unit, levels)

    def at(self, side: int) -> View:
        """The scene with pictures whose shorter side has ``side`` pixels."""
        canvas = self.canvas(side)
        content: Any = None
        photo, _ = self.content_at(side)
        like = photo if self.options.colors == "style-matched" else None
        if isinstance(photo, Rows):
            content = Derived(lambda values: normalize_planes(values, self.model), photo.planes)
        elif photo is not None:
            content = normalize(photo, self.model)
            del photo
        masks = self._masks(canvas) if self.styles.regions else None
        self.objective.release()
        style = self.styles.statistics(self.objective, self._style_taps, side, like)
        self.objective.release()
        return View(self, canvas, content, self._content_taps, style, masks)

    def init_at(self, side: int) -> Array:
        """The picture that ``init`` gave, [H, W, 3] in [0, 1], as large as the canvas."""
        assert self._init is not None
        return fill(self._init, self.canvas(side))

    def style_colors(self, side: int) -> Statistics:
        """The statistics of the style's colours, sRGB in [0, 1]."""
        like = self.content_at(side)[0] if self.options.colors == "style-matched" else None
        return self.styles.colors(side, self.model.smallest_side, like)

    def _masks(self, canvas: tuple[int, int]) -> Field:
        """The regions' masks [R, H, W] in [0, 1]."""
        regions = self.styles.regions
        if not self.arrays.on_disk:
            return np.stack([mask_values(region.content, canvas) for region in regions])
        masks: Stored = self.arrays.zeros((len(regions), canvas[1], canvas[0]))
        for index, region in enumerate(regions):
            levels = np.asarray(region.content)[None, None]
            planes = Derived(lambda part: part.astype(np.float32), levels)
            found = self.arrays.resized(planes, canvas, Image.Resampling.BILINEAR)
            own = masks.plane(index)
            for rows in bands(found):
                key = (..., rows, slice(None))
                own[key] = found[key][0, 0] / np.float32(255)
        return masks

    def canvas(self, side: int) -> tuple[int, int]:
        """(width, height) of the picture at that scale: the content's aspect, or square."""
        return (side, side) if self._content is None else size_at(self._content.size, side)

    def _check(self, side: int) -> None:
        """Raises OptionError for pictures too large to try or too small for the network."""
        least = self.model.smallest_side
        sizes = {
            "picture": (self.canvas(side), least + self.options.jitter_by(self.model.recipe) - 1)
        }
        for index in range(len(self.styles.images)):
            name = "style image" if len(self.styles.images) == 1 else f"style image {index + 1}"
            sizes[name] = (self.styles.size(index, side, least), least)
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
    """A scene at one scale: pictures of the size ``canvas`` (width, height) can be evaluated.

    ``style`` are the statistics that each region shall have, by tap; ``masks`` [R, H, W] say where
    the regions are, None that there is one, everywhere.
    """

    def __init__(
        self,
        scene: Scene,
        canvas: tuple[int, int],
        content: Field | None,
        content_taps: list[int],
        style: dict[int, list[Statistics]],
        masks: Field | None,
    ) -> None:
        self.canvas = canvas
        self.content = content
        self._scene, self._content_taps = scene, content_taps
        make, emphasis = STYLE_LOSSES[scene.options.style_loss], scene.styles.emphasis
        losses: dict[int, list[StyleLoss]] = {
            tap: [scaled(make(part), by) for part, by in zip(parts, emphasis, strict=True)]
            for tap, parts in style.items()
        }
        # The Gram matrix divided by C N, for the fast objective.
        grams = {tap: parts[0].second / len(parts[0].mean) for tap, parts in style.items()}
        self._style = Targets(
            style={tap: gram.astype(np.float32) for tap, gram in grams.items()}, losses=losses
        )
        self._masks = masks
        self._kept: dict[tuple[int, int], Targets] = {}
        self._room = Room(scene.kept_bytes)
        self._whole = self._seen_from(None)
        areas = np.ones(1) if masks is None else _areas(masks)
        shares = (areas / areas.sum()).tolist()
        energies = {
            tap: sum(
                area * energy(loss, len(parts[0].mean))
                for area, loss in zip(shares, losses[tap], strict=True)
            )
            for tap, parts in style.items()
        }
        content_energies = scene.objective.energies(self._whole)
        values = 3 * canvas[0] * canvas[1]
        self.weights: Weights = resolve_weights(
            scene.options, scene.model, content_energies, energies, values
        )

    def evaluate(
        self, values: Field, offset: tuple[int, int] | None = None
    ) -> tuple[Losses, Field]:
        """Losses and gradient of ``values``, [1, 3, H, W] normalised.

        With ``offset`` only a window is seen, ``jitter`` - 1 pixels smaller each way and shifted
        down and right by that much, against the content seen through the same window. The network's
        stride makes the gradient uneven on a grid of pixels; shifting evens it out over the steps
        (as in Olah et al., "Feature Visualization", Distill 2017, but by a window: rolling the
        picture would carry one border onto the other). A seamless one has no border, and is rolled.
        """
        objective, arrays = self._scene.objective, self._scene.arrays
        targets = self._whole if offset is None else self._targets(offset)
        objective.aim(targets, self.weights)
        if self._scene.options.seamless and offset is not None:
            rolled: Any = np.roll(np.asarray(values), (-offset[0], -offset[1]), (2, 3))
            losses, rolled = objective(rolled)
            return losses, np.roll(rolled, offset, (2, 3))
        seen: Any = self._window(values, offset)
        if offset is None and not arrays.on_disk:
            return objective(seen)
        gradient: Field = arrays.zeros(values.shape)
        losses, _ = objective(seen, self._window(gradient, offset))
        return losses, gradient

    def _window(self, values: Field, offset: tuple[int, int] | None) -> Any:
        """A part of ``values``, not a copy."""
        if offset is None:
            return values
        down, right = offset
        less = self._scene.options.jitter_by(self._scene.model.recipe) - 1
        height, width = values.shape[-2] - less, values.shape[-1] - less
        return crop(values, slice(down, down + height), slice(right, right + width))

    def _targets(self, offset: tuple[int, int]) -> Targets:
        if offset in self._kept:
            return self._kept[offset]
        targets = self._seen_from(offset)
        size = targets.content_bytes
        if targets.guides is not None and not self._scene.arrays.on_disk:
            size += targets.guides.masks.nbytes  # all taps' guides have fewer values than these
        if self._room.claim(size):
            self._kept[offset] = targets
        return targets

    def _seen_from(self, offset: tuple[int, int] | None) -> Targets:
        targets = self._style
        if self._masks is not None:
            targets = replace(targets, guides=Guides(self._window(self._masks, offset)))
        if self.content is None:
            return targets
        pixels = self._window(self.content, offset)
        return self._scene.objective.seeing(targets, pixels, self._content_taps, self._room)


def start_values(view: View, options: Options, arrays: Arrays) -> Field:
    """The picture before the first step, [1, 3, H, W] in normalised units.

    Gray is the mean of the training images, zero after normalisation; noise is uniform in [0, 1) in
    normalised units, as in the CS231n assignment. ``init_noise`` is what cysmith/neural-style-tf
    calls noise ratio: start = (1 - ratio) start + ratio noise.
    """
    width, height = view.canvas
    arrays, shape = view._scene.arrays, (1, 3, height, width)
    ratio = np.float32(options.init_noise)
    start = None if ratio == 1 or options.init == "noise" else _plain_start(view, options)
    if ratio == 0 and start is not None:
        return start
    generator = np.random.default_rng(options.seed)
    noise: Field = arrays.filled(shape, lambda part: generator.random(part, dtype=np.float32))
    if start is None:
        return noise
    (mixed,) = arrays.each(lambda a, b: ((1 - ratio) * a + ratio * b,), start, noise)
    found: Field = mixed
    return found


def _plain_start(view: View, options: Options) -> Field:
    """Without noise mixed in."""
    width, height = view.canvas
    scene, side = view._scene, min(view.canvas)
    if options.init == "gray":
        gray: Field = scene.arrays.zeros((1, 3, height, width))
        return gray
    if options.init == "style":
        second, mean = scene.style_colors(side)
        generator = np.random.default_rng([options.seed, 2])
        white = generator.standard_normal((height, width, 3), np.float32)
        return normalize(colored_noise(white, mean, second - np.outer(mean, mean)), scene.model)
    if options.init == "image":
        return normalize(scene.init_at(side), scene.model)
    if view.content is None:
        raise OptionError(
            "there is no content image to start from; use --init noise, gray, style or a picture."
        )
    return view.content


def _areas(masks: Field) -> Any:
    """The mean of each mask, in float64."""
    total = np.zeros(masks.shape[0])
    for rows in bands(masks):
        total += masks[(..., rows, slice(None))].sum(axis=(1, 2), dtype=np.float64)
    return total / (masks.shape[1] * masks.shape[2])


def _hash(picture: Raster | ExtractedStyle | Image.Image) -> str:
    """The SHA-256 of its pixels, size and type; of a style file, of its contents."""
    if isinstance(picture, ExtractedStyle):
        return picture.sha256
    found = hashlib.sha256()
    levels: tuple[Any, ...] = (np.asarray(picture),) if isinstance(picture, Image.Image) else ()
    if isinstance(picture, Raster):
        levels = (picture.pixels, picture.alpha)
    for array in (part for part in levels if part is not None):
        shape = array.shape[:2] if array is levels[-1] and len(levels) == 2 else array.shape
        found.update(f"{array.dtype} {shape} ".encode())
        for part in chunks(array):
            found.update(part)
    return found.hexdigest()
