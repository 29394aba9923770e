"""The styles of a run: one or several pictures, blended, or each for a region of the content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from .colors import match_affine
from .errors import OptionError, PictureError
from .guides import Guides, load_mask, mask_values
from .images import Array, Picture, Raster, normalize, shorter_side_to, size_at
from .models import Model
from .moments import Moments, Statistics, blend
from .options import Options

__all__ = ["Mask", "Region", "Styles", "load_regions"]

Mask = tuple[Picture, Picture | None]
"""A mask of the content and one of the style (None: all of it)."""


@dataclass(frozen=True)
class Region:
    """Where the content shall have the statistics of which part (None: all) of which style."""

    content: Image.Image
    style: int
    part: Image.Image | None


def load_regions(
    masks: Sequence[Mask],
    content: Raster | None,
    styles: Sequence[Raster],
    max_pixels: int,
) -> list[Region]:
    """Reads the masks: of one style any number, of several styles one pair each, in their order.

    Raises OptionError where they do not fit the pictures in number, PictureError where one cannot
    be used.
    """
    if masks and (content is None or not styles):
        raise OptionError("masks need a content image and a style image.")
    if len(styles) > 1 and masks and len(masks) != len(styles):
        raise OptionError(
            f"{len(masks)} masks do not fit {len(styles)} styles; give one --mask for each style, "
            "in their order."
        )
    regions = []
    for index, (mask, part) in enumerate(masks):
        assert content is not None
        style = index if len(styles) > 1 else 0
        regions.append(
            Region(
                load_mask(mask, content.size, max_pixels, "content mask"),
                style,
                None
                if part is None
                else load_mask(part, styles[style].size, max_pixels, "style mask"),
            )
        )
    return regions


class _Observer(Protocol):
    """What the styles need of an objective."""

    @property
    def model(self) -> Model: ...

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]: ...


class Styles:
    """The style images and what is taken from them.

    Raises OptionError where ``style_weights`` do not fit the number of styles.
    """

    def __init__(
        self, images: Sequence[Raster], options: Options, regions: Sequence[Region] = ()
    ) -> None:
        self.images, self.regions = images, regions
        self._options = options
        weights = options.style_weights or (1.0,) * len(images)
        if len(weights) != len(images):
            raise OptionError(
                f"{len(weights)} style weights do not fit {len(images)} styles; give one for each."
            )
        self._weights = weights

    @property
    def emphasis(self) -> list[float]:
        """What each region's loss is multiplied by: its style's weight, 1 on the average.

        Without regions there is one, everywhere, in which the weights have been blended.
        """
        if not self.regions:
            return [1.0]
        mean = sum(self._weights) / len(self._weights)
        return [self._weights[region.style] / mean for region in self.regions]

    def side(self, index: int, side: int, smallest: int) -> int:
        """The shorter side of that style where the picture's is ``side``, in pixels.

        The style is reduced with the scale, never enlarged, which would only blur it.
        """
        options = self._options
        full = (options.style_size or options.size) * options.style_scale
        wanted = round(full * side / options.size)
        return min(max(wanted, smallest), *self.images[index].size)

    def size(self, index: int, side: int, smallest: int) -> tuple[int, int]:
        """(width, height) of that style where the picture's shorter side is ``side``."""
        return size_at(self.images[index].size, self.side(index, side, smallest))

    def statistics(
        self, observer: _Observer, taps: Iterable[int], side: int, like: Any = None
    ) -> dict[int, list[Statistics]]:
        """By tap, the statistics that each region shall have; without regions those of the blend.

        ``like``, [H, W, 3] in [0, 1], is the picture to whose colours the styles are matched first.
        Raises PictureError for a mask that leaves nothing of the style.
        """
        taps = list(taps)
        wanted = [weight > 0 or len(self.regions) > 0 for weight in self._weights]
        seen = [
            self._moments(observer, taps, side, index, like) if needed else {}
            for index, needed in enumerate(wanted)
        ]
        if not self.images:
            return {}
        if not self.regions:
            return {tap: [self._blended([found.get(tap, []) for found in seen])] for tap in taps}
        result: dict[int, list[Statistics]] = {tap: [] for tap in taps}
        taken = [0] * len(self.images)
        for region in self.regions:
            for tap in taps:
                moments = seen[region.style][tap][taken[region.style]]
                result[tap].append(moments.statistics())
            taken[region.style] += 1
        return result

    def _blended(self, seen: Sequence[list[Moments]]) -> Statistics:
        parts = zip(self._weights, seen, strict=True)
        return blend([(weight, found[0].statistics()) for weight, found in parts if found])

    def _moments(
        self, observer: _Observer, taps: list[int], side: int, index: int, like: Any
    ) -> dict[int, list[Moments]]:
        """The moments of one style, for each of its regions (or, without any, as a whole)."""
        model = observer.model
        image = shorter_side_to(self.images[index], self.side(index, side, model.smallest_side))
        height, width = image.shape[:2]
        if like is not None:
            image = match_affine(image, like)
        parts = [region.part for region in self.regions if region.style == index]
        guides = None
        if parts:
            white = np.ones((height, width), np.float32)
            masks = [
                white if part is None else mask_values(part, (width, height)) for part in parts
            ]
            guides = Guides(np.stack(masks))
        image = normalize(image, model)  # and the other is let go
        found = observer.moments(image, taps, guides)
        if any(moments.mass <= 0 for regions in found.values() for moments in regions):
            raise PictureError(
                f"a style mask leaves nothing of the style at {width} x {height} "
                "pixels; paint a larger area white."
            )
        return found
