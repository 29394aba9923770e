"""What a run looks at: the scene of its pictures, and the view of them at each scale."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from ..arrays import Arrays, Derived, Field, Rows, Stored, row_slices, whole
from ..errors import OptionError
from ..objective.objective import Objective
from ..objective.targets import ByteBudget, ContentFeatures, Losses, Targets
from ..objective.weights import Weights, chosen_taps, resolve_weights
from ..options.fields import Options
from ..pictures.colors import colored_noise, is_gray
from ..pictures.raster import Raster, unit
from ..pictures.values import (
    alpha_at,
    fill,
    in_gray,
    normalize,
    normalize_planes,
    shorter_side_to,
    size_at,
)
from ..style.guides import Guides, mask_values
from ..style.losses import STYLE_LOSSES, StyleLoss, energy
from ..style.remembered import RememberedPlaces
from ..style.styles import Observer, Styles
from .guide import make_guide
from .trail import Trail
from .tuning import plan_scales, tuned
from .window import Folded, Shifted

__all__ = ["KEPT_BYTES", "Scene", "View"]

KEPT_BYTES = 256 * 2**20
"""Content features are kept up to this size, then computed at every step."""


class Scene:
    """Content and styles, or one of them, and the objective that looks at them.

    ``arrays`` is where the state is; ``observer`` looks at the styles in the objective's place, so
    that what it finds can be kept for other runs, as ``places`` keeps what is matched. ``trail`` is
    what the picture before left, in a film. Raises OptionError for what such pictures cannot be
    asked for.
    """

    def __init__(
        self,
        objective: Objective,
        observer: Observer,
        places: RememberedPlaces,
        content: Raster | None,
        styles: Styles,
        init: Raster | None,
        options: Options,
        arrays: Arrays,
        kept_bytes: int,
        trail: Trail | None = None,
    ) -> None:
        if content is None and not styles.images:
            raise OptionError("there is neither a content image nor a style image.")
        if options.colors != "style" and (content is None or not styles.images):
            raise OptionError(
                f"colors {options.colors!r} needs a content image and a style image; leave "
                "--colors out."
            )
        if options.guidance > 0 and (content is None or not styles.images):
            raise OptionError(
                "there are no patches to match without a content image and a style image, so "
                f"quality {options.quality!r} and matching {options.guidance:g} do not apply; give "
                "--quality paper, or leave both out."
            )
        if options.guidance > 0 and not options.steps and options.init not in (None, "content"):
            raise OptionError(
                f"a picture that takes no steps is its guide, whatever init {options.init!r} is; "
                "leave --init out, or give --iterations."
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
        self.objective, self.model = objective, objective.model
        self.options = options
        self.tuning = tuned(options, objective.model.recipe)
        self.styles = styles
        self.arrays, self.kept_bytes = arrays, kept_bytes
        self.observer, self.places, self.trail = observer, places, trail
        self._content, self._init = content, init
        self.content_taps, self.style_taps = chosen_taps(options, objective.model)
        for scale in plan_scales(options):
            self._check(scale.side)
            if options.seamless:
                self._check_seamless(scale.side)

    @functools.cached_property
    def gray(self) -> bool:
        """Whether the picture stays grey, since all that it is made of is.

        The network is no more than nearly indifferent to colour: left free, it leaves specks. The
        assignment's own bounds mean its own pictures, which are left as they were.
        """
        shown = [picture.pixels for picture in (self._content, self._init) if picture is not None]
        published = self.options.bounds == "cs231n"
        return not published and all(map(is_gray, shown)) and self.styles.gray

    def content_at(self, side: int) -> Any:
        """The content [H, W, 3] in [0, 1], if there is one; ``Rows`` where arrays are in files."""
        if self._content is None:
            return None
        if not self.arrays.on_disk:
            return shorter_side_to(self._content, side)
        return self._rows_at(self._content.planes(), side)

    def alpha_at(self, side: int) -> Any:
        """The alpha [H, W] of the content, if it has one, as ``content_at`` has the content."""
        if self._content is None:
            return None
        if not self.arrays.on_disk:
            return alpha_at(self._content, side)
        alpha = self._content.alpha_planes()
        return None if alpha is None else self._rows_at(alpha, side)

    def _rows_at(self, planes: Field, side: int) -> Rows:
        """Levels of the content, [1, C, H, W], as values in [0, 1] at that scale."""
        levels = self.arrays.resized(planes, self.canvas(side), Image.Resampling.BILINEAR)
        return Rows(Derived(unit, levels))

    def photo_at(self, side: int) -> Field:
        """The content in normalised units, [1, 3, H, W]."""
        photo = self.content_at(side)
        if isinstance(photo, Rows):
            return Derived(lambda part: normalize_planes(part, self.model), photo.planes)
        return normalize(photo, self.model)

    def like(self, side: int) -> Any:
        """What the styles' colours are matched to, [H, W, 3] in [0, 1]; None where they are not."""
        return self.content_at(side) if self.options.colors == "style-matched" else None

    def target_at(self, side: int) -> Field | None:
        """What the picture keeps, [1, 3, H, W]: the photo, as far as it is not the guide's."""
        if self._content is None:
            return None
        share = np.float32(self.options.guidance)
        if share == 0:
            return self.photo_at(side)
        guide: Field = self.arrays.resized(self._guide, self.canvas(side), Image.Resampling.BICUBIC)
        if share < 1:
            photo = self.photo_at(side)
            (guide,) = self.arrays.each(lambda a, b: (a + share * (b - a),), photo, guide)
        return guide

    @functools.cached_property
    def _guide(self) -> Field:
        """The guide at the full size (run/guide.py)."""
        return make_guide(self, self.options.size)

    def start(self, view: View) -> Field:
        """The picture before the first step, [1, 3, H, W] in normalised units.

        Noise is uniform in [0, 1) in normalised units, as in the CS231n assignment. ``init_noise``
        is what cysmith/neural-style-tf calls noise ratio: start = (1 - ratio) start + ratio noise.
        """
        start = self._followed(view)
        start = self._any_start(view) if start is None else start
        if not self.gray:
            return start
        gray: Field
        (gray,) = self.arrays.each(lambda part: (in_gray(part, self.model),), start)
        return gray

    def _followed(self, view: View) -> Field | None:
        """The start after the picture before; None where there was none."""
        if self.trail is None:
            return None
        start: Field | None = self.trail.start(view.content)
        return start

    def _any_start(self, view: View) -> Field:
        """The start, of whatever colour."""
        width, height = view.canvas
        ratio = np.float32(self.options.init_noise)
        start = None if ratio == 1 or self.options.init == "noise" else self._plain_start(view)
        if ratio == 0 and start is not None:
            return start
        generator = np.random.default_rng(self.options.seed)
        noise: Field = self.arrays.filled(
            (1, 3, height, width), lambda part: generator.random(part, dtype=np.float32)
        )
        if start is None:
            return noise
        mixed: Field
        (mixed,) = self.arrays.each(lambda a, b: ((1 - ratio) * a + ratio * b,), start, noise)
        return mixed

    def _plain_start(self, view: View) -> Field:
        """The start without noise mixed in; gray is the mean of the training images."""
        width, height = view.canvas
        options, side = self.options, min(view.canvas)
        if options.init == "gray":
            gray: Field = self.arrays.zeros((1, 3, height, width))
            return gray
        if options.init == "style":
            second, mean = self.styles.colors(side, self.model.smallest_side, self.like(side))
            generator = np.random.default_rng([options.seed, 2])
            white = generator.standard_normal((height, width, 3), np.float32)
            return normalize(colored_noise(white, mean, second - np.outer(mean, mean)), self.model)
        if self._init is not None:
            return normalize(fill(self._init, view.canvas), self.model)
        if view.content is None:
            raise OptionError(
                "there is no content image to start from; use --init noise, gray, style or a "
                "picture."
            )
        return view.content

    def masks(self, canvas: tuple[int, int]) -> Field:
        """The regions' masks [R, H, W] in [0, 1]."""
        regions = self.styles.regions
        if not self.arrays.on_disk:
            return np.stack([mask_values(region.content, canvas) for region in regions])
        masks: Stored = self.arrays.zeros((len(regions), canvas[1], canvas[0]))
        for index, region in enumerate(regions):
            levels = np.asarray(region.content)[None, None]
            planes = Derived(lambda part: part.astype(np.float32), levels)
            resized = self.arrays.resized(planes, canvas, Image.Resampling.BILINEAR)
            own = masks.plane(index)
            for rows in row_slices(resized):
                key = (..., rows, slice(None))
                own[key] = resized[key][0, 0] / np.float32(255)
        return masks

    def canvas(self, side: int) -> tuple[int, int]:
        """(width, height) of the picture at that scale: the content's aspect, or square."""
        return (side, side) if self._content is None else size_at(self._content.size, side)

    def _check_seamless(self, side: int) -> None:
        """Raises OptionError for a scale whose edges cannot meet."""
        stride, size = max((self.model.tap(t).stride for t in self.style_taps), default=1), side
        if side % stride == 0:
            return
        remedy = f"give a --size that {stride} divides, as {-(-side // stride) * stride}"
        if side != self.options.size:
            size, remedy = self.options.size, "give --smallest-size none"
        scale = "" if size == side else f", or rather its scale of {side} pixels,"
        raise OptionError(
            f"the size {size} of a seamless texture{scale} does not fit the network's stride; "
            f"{remedy}."
        )

    def _check(self, side: int) -> None:
        """Raises OptionError for pictures too large to try or too small for the network."""
        least = self.model.smallest_side
        sizes = {"picture": self.canvas(side)}
        for index in range(len(self.styles.images)):
            name = "style image" if len(self.styles.images) == 1 else f"style image {index + 1}"
            sizes[name] = self.styles.size(index, side, least)
        for name, (width, height) in sizes.items():
            if width * height > self.options.max_pixels:
                raise OptionError(
                    f"the {name} would have {width} x {height} pixels, more than the limit of "
                    f"{self.options.max_pixels}; give a smaller --size or raise --max-pixels."
                )
            if min(width, height) < least:
                larger = "a larger size or picture" if name == "picture" else "a larger painting"
                raise OptionError(
                    f"the {name} would have {width} x {height} pixels; {self.model.name} needs "
                    f"{least} each way, so give {larger}."
                )


class View:
    """A scene with pictures whose shorter side has ``side`` pixels, which can be evaluated.

    ``canvas`` is their (width, height). ``content`` is what they keep, [1, 3, H, W] normalised,
    None where there is none: the photo, or the guide.
    """

    def __init__(self, scene: Scene, side: int) -> None:
        self._scene, self.canvas = scene, scene.canvas(side)
        self.content = scene.target_at(side)
        if scene.trail is not None:  # the last view's is what became the painting
            scene.trail.target = self.content
        self.weights = Weights({}, {}, 0.0)
        """Nothing is weighed where the guide is the picture and no step is taken."""
        self._only_shown = scene.options.guidance > 0 and scene.options.steps == 0
        if not self._only_shown:
            self._weigh(scene, side)

    def _weigh(self, scene: Scene, side: int) -> None:
        """Makes the losses of the styles' statistics, and their weights and the content's."""
        self._masks = scene.masks(self.canvas) if scene.styles.regions else None
        scene.objective.sweeper.release()
        like = scene.like(side)
        style = scene.styles.statistics(scene.observer, scene.style_taps, side, like)
        scene.objective.sweeper.release()
        make, emphasis = STYLE_LOSSES[scene.options.style_loss or "gram"], scene.styles.emphasis
        self._style: dict[int, list[StyleLoss]] = {
            tap: [replace(make(s), factor=f) for s, f in zip(parts, emphasis, strict=True)]
            for tap, parts in style.items()
        }
        self._kept: dict[tuple[int, int], Targets] = {}
        self._budget = ByteBudget(scene.kept_bytes)
        self._whole = self._seen_from(None)
        areas = np.ones(1) if self._masks is None else _areas(self._masks)
        shares = (areas / areas.sum()).tolist()
        energies = {}
        for tap, losses in self._style.items():
            by_region = [energy(loss, scene.model.tap(tap).channels) for loss in losses]
            energies[tap] = sum(a * e for a, e in zip(shares, by_region, strict=True))
        content_energies = scene.objective.energies(self._whole)
        values = 3 * self.canvas[0] * self.canvas[1]
        self.weights = resolve_weights(
            scene.options, scene.model, content_energies, energies, values
        )

    def evaluate(
        self, values: Field, offset: tuple[int, int] | None = None
    ) -> tuple[Losses, Field]:
        """Losses and gradient of ``values``, [1, 3, H, W] normalised; 0 where nothing is weighed.

        With ``offset``, down and right, each from 0 below ``jitter``, a window is seen that is
        moved by as much, less half of ``jitter`` (run/window.py), against the content seen through
        the same window. The network's stride makes the gradient uneven on a grid of pixels; moving
        evens it out over the steps (as in Olah et al., "Feature Visualization", Distill 2017, but
        by a window: rolling the picture would carry one border onto the other). A seamless one has
        no border, and is rolled.
        """
        objective, arrays = self._scene.objective, self._scene.arrays
        if self._only_shown:
            none: Field = arrays.zeros(values.shape)
            return Losses({}, {}, 0.0), none
        targets = self._whole if offset is None else self._targets(offset)
        if self._scene.options.seamless and offset is not None:
            rolled: Any = np.roll(np.asarray(values), (-offset[0], -offset[1]), (2, 3))
            losses, rolled = objective(rolled, targets, self.weights)
            return losses, np.roll(rolled, offset, (2, 3))
        gradient: Any = arrays.new(values.shape)
        if offset is None:
            return objective(values, targets, self.weights, gradient)
        seen = arrays.gathered(self._window(values, offset))
        losses, gradient = objective(seen, targets, self.weights, gradient)
        folded: Any = Folded(gradient, *self._moved(offset))
        return losses, arrays.gathered(folded)

    def losses(self, values: Field) -> Losses:
        """The losses of ``values``, [1, 3, H, W] normalised, without their gradient."""
        if self._only_shown:
            return Losses({}, {}, 0.0)
        seen: Field = values if self._scene.arrays.on_disk else whole(values)
        return self._scene.objective.losses(seen, self._whole, self.weights)

    def _window(self, values: Field, offset: tuple[int, int] | None) -> Any:
        """What is seen of ``values`` with that offset; not a copy."""
        return values if offset is None else Shifted(values, *self._moved(offset))

    def _moved(self, offset: tuple[int, int]) -> tuple[int, int]:
        """The pixels, down and right, by which the window of that offset is moved."""
        half = self._scene.tuning.jitter // 2
        return offset[0] - half, offset[1] - half

    def _targets(self, offset: tuple[int, int]) -> Targets:
        if offset in self._kept:
            return self._kept[offset]
        targets = self._seen_from(offset)
        size = 0
        if targets.guides is not None and not self._scene.arrays.on_disk:
            size = 2 * targets.guides.masks.nbytes  # all taps' guides have fewer values than these
        if self._budget.claim(size):
            self._kept[offset] = targets
        return targets

    def _seen_from(self, offset: tuple[int, int] | None) -> Targets:
        guides = None
        if self._masks is not None:
            masks = self._window(self._masks, offset)
            guides = Guides(masks if self._scene.arrays.on_disk else whole(masks))
        if self.content is None:
            return Targets(self._style, guides=guides)
        pixels = self._window(self.content, offset)
        content = ContentFeatures(pixels, self._scene.content_taps, self._budget)
        return Targets(self._style, content, guides)


def _areas(masks: Field) -> Any:
    """The mean of each mask, in float64."""
    total = np.zeros(masks.shape[0])
    for rows in row_slices(masks):
        total += masks[(..., rows, slice(None))].sum(axis=(1, 2), dtype=np.float64)
    return total / (masks.shape[1] * masks.shape[2])
