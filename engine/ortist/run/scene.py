"""The scene: the pictures of a run, and how they look at each scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from ..arrays import Array, Arrays, Derived, Field, Rows, Stored, row_slices
from ..errors import OptionError
from ..network.bundle import Model
from ..objective.objective import Objective
from ..objective.weights import chosen_taps
from ..options.fields import Options
from ..pictures.raster import Raster, unit
from ..pictures.values import alpha_at, fill, normalize, normalize_planes, shorter_side_to, size_at
from ..style.files import ExtractedStyle
from ..style.guides import mask_values
from ..style.moments import Statistics
from ..style.styles import Observer, Styles
from .fingerprints import pixels_sha256
from .scales import plan_scales
from .tuning import tuned
from .view import KEPT_BYTES, Shared, View

__all__ = ["Scene"]


class Scene:
    """Content and styles, or one of them, and the objective that looks at them.

    ``arrays`` is where the state is, in memory without it; ``observer`` looks at the styles in the
    objective's place, so that what it finds can be kept for other runs. Raises OptionError for what
    such pictures cannot be asked for.
    """

    def __init__(
        self,
        objective: Objective,
        content: Raster | None,
        styles: Styles,
        options: Options,
        init: Raster | None = None,
        arrays: Arrays | None = None,
        kept_bytes: int = KEPT_BYTES,
        observer: Observer | None = None,
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
        self.tuning = tuned(options, objective.model.recipe)
        self.styles = styles
        self._observer: Observer = objective if observer is None else observer
        self._init = init
        self.arrays = Arrays() if arrays is None else arrays
        self._shared = Shared(
            objective, options, self.tuning, self.arrays, kept_bytes, styles.emphasis
        )
        self._content = content
        self._content_taps, self._style_taps = chosen_taps(options, objective.model)
        for scale in plan_scales(options):
            self._check(scale.side)
        strides = [objective.model.tap(tap).stride for tap in self._style_taps]
        stride = max(strides, default=1)
        if options.seamless and options.size % stride:
            raise OptionError(
                f"the size {options.size} of a seamless texture does not fit the network's stride; "
                f"give a --size that {stride} divides, as {-(-options.size // stride) * stride}."
            )

    @property
    def model(self) -> Model:
        """The objective's."""
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
        return {
            name: pixels_sha256(picture)
            for name, picture in pictures.items()
            if picture is not None
        }

    def content_at(self, side: int) -> tuple[Any, Any]:
        """The content [H, W, 3] and its alpha [H, W], in [0, 1], if there are such.

        ``Rows`` of them where arrays are in files.
        """
        if self._content is None:
            return None, None
        if not self.arrays.on_disk:
            return shorter_side_to(self._content, side), alpha_at(self._content, side)

        def at_size(planes: Field) -> Rows:
            """Levels of the content, [1, C, H, W], as values in [0, 1] at that scale."""
            levels = self.arrays.resized(planes, self.canvas(side), Image.Resampling.BILINEAR)
            return Rows(Derived(unit, levels))

        alpha = self._content.alpha_planes()
        return at_size(self._content.planes()), None if alpha is None else at_size(alpha)

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
        self.objective.sweeper.release()
        style = self.styles.statistics(self._observer, self._style_taps, side, like)
        self.objective.sweeper.release()
        return View(self._shared, canvas, content, self._content_taps, style, masks)

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
            resized = self.arrays.resized(planes, canvas, Image.Resampling.BILINEAR)
            own = masks.plane(index)
            for rows in row_slices(resized):
                key = (..., rows, slice(None))
                own[key] = resized[key][0, 0] / np.float32(255)
        return masks

    def canvas(self, side: int) -> tuple[int, int]:
        """(width, height) of the picture at that scale: the content's aspect, or square."""
        return (side, side) if self._content is None else size_at(self._content.size, side)

    def _check(self, side: int) -> None:
        """Raises OptionError for pictures too large to try or too small for the network."""
        least = self.model.smallest_side
        sizes = {"picture": (self.canvas(side), least + self.tuning.jitter - 1)}
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
