"""The styles of a run: one or several, blended, or each for a region of the content.

What a picture shall have is written as ``Statistics`` (style/moments.py) by tap and region. Without
masks there is one region, everywhere, in which the styles are blended by their weights.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from PIL import Image

from ..arrays import Array
from ..errors import OptionError, PictureError, StyleFileError
from ..network.bundle import Model
from ..options.fields import Options
from ..pictures.colors import is_gray, match_affine
from ..pictures.raster import Picture, Raster, unit
from ..pictures.values import alpha_at, normalize, shorter_side_to, size_at
from .files import ExtractedStyle, Style
from .guides import Guides, load_mask, mask_values
from .moments import Moments, Statistics, blend, rounded, sum_moments
from .named import opened, shadow_note

__all__ = ["Mask", "Observer", "Region", "Styles", "as_list", "load_regions"]

Mask = tuple[Picture, Picture | None]
"""A mask of the content, and one of the style (None: all of the style)."""


def as_list(style: Style | Sequence[Style] | None) -> list[Style]:
    """One style, several or None (no style) as a list, with pictures for the built-in names.

    Raises OptionError for an empty list, PictureError for a name that no style has.
    """
    if isinstance(style, (list, tuple)):
        if not style:
            raise OptionError("the list of styles is empty; give a style image.")
        return [opened(one) for one in style]
    return [] if style is None else [opened(cast(Style, style))]


_REACH = 2
"""Places by which a patch (style/patchwork.py) reaches beyond its own, jittered, at every grid."""


@dataclass(frozen=True)
class Region:
    """A region of the content, and the part of a style whose statistics it shall have.

    ``content`` is the mask of the region, 8-bit grey, of the content's aspect. ``style`` counts the
    styles from 0. ``part`` is the mask of the style, of its aspect; None for all of it.
    """

    content: Image.Image
    style: int
    part: Image.Image | None


def load_regions(
    masks: Sequence[Mask],
    content: Raster | None,
    styles: Sequence[Raster | ExtractedStyle],
    max_pixels: int,
) -> list[Region]:
    """The regions that ``masks`` cut out, in the masks' order.

    One style may have any number of masks. Of several styles each has one, in their order. Raises
    OptionError for another number of masks, without content or style, and for a mask of a style
    file, which holds no picture. Raises PictureError where ``load_mask`` does.
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
        source, where = styles[style], None
        where_content = load_mask(mask, content.size, max_pixels, "content mask")
        if part is not None:
            if isinstance(source, ExtractedStyle):
                raise OptionError(
                    f"{source.name} holds the statistics of whole paintings, of which a style mask "
                    "wants a part; give - as its style mask, or the painting itself."
                )
            where = load_mask(part, source.size, max_pixels, "style mask")
        regions.append(Region(where_content, style, where))
    return regions


class Observer(Protocol):
    """What the styles need of an objective: the moments of an image, by tap and region."""

    @property
    def model(self) -> Model:
        """The model whose features are observed."""
        ...

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        """The moments of ``image`` [1, 3, H, W], normalised: by tap, one for each region."""
        ...


class Styles:
    """The style images and style files of a run, and the statistics that are taken from them.

    Sides and sizes are in pixels. ``smallest`` is the shortest side that the model takes. Raises
    OptionError where ``style_weights`` do not fit the number of styles, and where the pixels of a
    style file would have to be matched to the content's colours.
    """

    def __init__(
        self,
        images: Sequence[Raster | ExtractedStyle],
        options: Options,
        regions: Sequence[Region] = (),
    ) -> None:
        self.images, self.regions = images, regions
        self._options = options
        self._weights = options.style_weights or (1.0,) * len(images)
        self._extracted = [image for image in images if isinstance(image, ExtractedStyle)]
        if len(self._weights) != len(images):
            raise OptionError(
                f"{len(self._weights)} style weights do not fit {len(images)} styles; give one for "
                "each."
            )
        if options.colors == "style-matched" and self._extracted:
            raise OptionError(
                "colors 'style-matched' changes the style's pixels, and with them the statistics "
                f"that {self._extracted[0].name} holds; give the painting itself, or choose other "
                "--colors."
            )

    @property
    def emphasis(self) -> list[float]:
        """What each region's loss is multiplied by: its style's weight over the mean weight.

        Without masks the one region has 1, since the weights have gone into the blend.
        """
        if not self.regions:
            return [1.0]
        mean = sum(self._weights) / len(self._weights)
        return [self._weights[region.style] / mean for region in self.regions]

    def side(self, index: int, side: int, smallest: int) -> int:
        """The shorter side at which style ``index`` is looked at where the picture's is ``side``.

        It is never enlarged, which would only blur it; of a style file it is the nearest side.
        """
        image, wanted = self.images[index], self.wanted(side, smallest)
        if isinstance(image, ExtractedStyle):
            return image.nearest(wanted)
        return min(wanted, *image.size)

    def wanted(self, side: int, smallest: int) -> int:
        """The shorter side that a style should have where the picture's is ``side``.

        It is ``side`` times ``style_scale`` and, where it is given, ``style_size`` over ``size``,
        but not less than ``smallest``.
        """
        return max(round(self._options.style_side * side / self._options.size), smallest)

    def notes(self, sides: Iterable[int], smallest: int) -> list[str]:
        """Sentences on styles that are not what might be thought.

        They are files called as a built-in style, and style files that do not span the sizes that
        pictures of ``sides`` need.
        """
        sources = [image.source for image in self.images if image.source is not None]
        shadows = [shadow_note(source.path, source.sha256) for source in sources]
        wanted = {self.wanted(side, smallest) for side in sides}
        draft = self._options.guidance > 0 and not self._options.steps  # it takes pixels alone
        spans = [] if draft else [image.note(wanted) for image in self._extracted]
        return [note for note in (*shadows, *spans) if note is not None]

    @property
    def unmatched(self) -> list[str]:
        """Sentences on style files whose places cannot be matched."""
        return [
            f"{image.name} holds no paintings whose patches could be matched, so the picture is "
            "made as by --quality paper; extract the style again."
            for image in self._extracted
            if not image.patches
        ]

    def size(self, index: int, side: int, smallest: int) -> tuple[int, int]:
        """(width, height) of style ``index`` where the picture's shorter side is ``side``.

        A style file knows its shorter side only, and counts as a square.
        """
        image, own = self.images[index], self.side(index, side, smallest)
        return (own, own) if isinstance(image, ExtractedStyle) else size_at(image.size, own)

    def statistics(
        self, observer: Observer, taps: Iterable[int], side: int, like: Any = None
    ) -> dict[int, list[Statistics]]:
        """The statistics that each region shall have, by tap; without masks those of the blend.

        ``side`` is the picture's shorter side. ``like``, [H, W, 3] in [0, 1], is the picture to
        whose colours the styles are matched first; None for no match. There is no tap where there
        is no style. Raises PictureError for a mask that leaves nothing of the style.
        """
        taps = list(taps)
        if not self.images:
            return {}
        by_style = [
            self._statistics(observer, taps, side, index, like) if weight or self.regions else {}
            for index, weight in enumerate(self._weights)
        ]
        if not self.regions:
            return {
                tap: [self._blended([by_tap[tap][0] if by_tap else None for by_tap in by_style])]
                for tap in taps
            }
        own = {tap: [iter(by_tap[tap]) for by_tap in by_style] for tap in taps}
        return {tap: [next(own[tap][region.style]) for region in self.regions] for tap in taps}

    def colors(self, side: int, smallest: int, like: Array | None = None) -> Statistics:
        """The statistics of the styles' colours, sRGB in [0, 1], blended.

        ``side`` and ``like`` are as ``statistics`` has them.
        """
        by_style = []
        for index, image in enumerate(self.images):
            own = self.side(index, side, smallest)
            if isinstance(image, ExtractedStyle):
                by_style.append(image.colors(own))
            else:
                pixels, shown = _pixels(image, own, like)
                planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
                by_style.append(rounded(sum_moments(planes, shown).statistics()))
        return self._blended(by_style)

    @property
    def gray(self) -> bool:
        """Whether no style has a colour, be it a picture or a style file."""
        return all(
            image.gray if isinstance(image, ExtractedStyle) else is_gray(image.pixels)
            for image in self.images
        )

    def pixels(self, side: int, smallest: int, like: Array | None = None) -> list[Array]:
        """The pictures to take patches from, each [H, W, 3] in [0, 1].

        They are the styles, and the paintings in style files. ``side`` and ``like`` are as
        ``statistics`` has them. Raises OptionError for a style file that holds no paintings.
        """
        wanted = self.wanted(side, smallest)
        return [
            _pixels(part.picture, min(wanted, *part.picture.size), like)[0]
            for part in self._patches
        ]

    def shares(self, sizes: Sequence[tuple[int, int]]) -> list[list[Array]]:
        """How much each place of each picture is wanted, [height, width] by region and picture.

        The pictures are those of ``pixels``; ``sizes`` (width, height) are of their grids of
        places. Without masks there is one region, in which styles have their weights, however many
        places they have. What is clear of a style does not count, nor, unless a mask has nothing
        else, a place whose patch would show what lies beyond the mask.
        """
        parts = self._patches
        shown = [_alpha_over(part.picture, size) for part, size in zip(parts, sizes, strict=True)]
        if not self.regions:
            weighted = zip(parts, shown, strict=True)
            return [[np.float32(p.weight) * a / max(a.sum(), 1e-6) for p, a in weighted]]
        shares = []
        for region in self.regions:
            own = [np.zeros((height, width), np.float32) for width, height in sizes]
            for index, (part, size) in enumerate(zip(parts, sizes, strict=True)):
                if part.style == region.style:
                    mask = (
                        1.0 if region.part is None else _well_within(mask_values(region.part, size))
                    )
                    own[index][...] = mask * shown[index]
            shares.append(own)
        return shares

    @functools.cached_property
    def _patches(self) -> list[_Part]:
        """Where patches come from; raises OptionError for a style file without any."""
        parts = []
        for index, (image, weight) in enumerate(zip(self.images, self._weights, strict=True)):
            if isinstance(image, Raster):
                parts.append(_Part(index, weight, image))
                continue
            if not image.patches:
                raise OptionError(
                    f"{image.name} holds no patches to match; extract it again, give the painting "
                    "itself, or leave --matching and --quality out."
                )
            total = sum(own for own, _ in image.patches) or 1.0
            parts += [_Part(index, weight * own / total, p) for own, p in image.patches]
        # What may not be taken anyway does not decide by what the rest is described.
        return [part for part in parts if part.weight or self.regions]

    def _blended(self, by_style: Sequence[Statistics | None]) -> Statistics:
        """The styles' statistics blended by their weights; None only where the weight is 0."""
        parts = zip(self._weights, by_style, strict=True)
        return rounded(blend([(weight, part) for weight, part in parts if part is not None]))

    def _statistics(
        self, observer: Observer, taps: list[int], side: int, index: int, like: Any
    ) -> dict[int, list[Statistics]]:
        """The statistics of one style by tap, for each of its regions, or, without any, once.

        Their numbers are rounded as those of a style file are.
        """
        image, model = self.images[index], observer.model
        own = self.side(index, side, model.smallest_side)
        parts = [region.part for region in self.regions if region.style == index]
        count = max(1, len(parts))
        if isinstance(image, ExtractedStyle):
            known = image.statistics(own)
            for tap in map(model.tap, taps):
                if tap.index not in known or len(known[tap.index].mean) != tap.channels:
                    raise StyleFileError(
                        f"{image.name} lacks the layer {tap.index} {tap.name} of the model "
                        f"{model.name}; extract it again, or leave that layer out."
                    )
            return {tap: [known[tap]] * count for tap in taps}
        pixels, shown = _pixels(image, own, like)
        height, width = pixels.shape[:2]
        guides = None
        if any(parts) or shown is not None:
            white = np.ones((height, width), np.float32) if shown is None else shown
            guides = Guides(
                np.stack(
                    [
                        white * mask_values(part, (width, height)) if part else white
                        for part in parts or [None]
                    ]
                )
            )
        pixels = normalize(pixels, model)  # and the other is let go
        by_tap = observer.moments(pixels, taps, guides)
        if any(moments.mass <= 0 for regions in by_tap.values() for moments in regions):
            raise PictureError(
                "the style's mask or its transparency leaves nothing of the style at "
                f"{width} x {height} pixels; let a larger area be white, or opaque."
            )
        repeated = count if guides is None else 1
        return {
            tap: [rounded(moments.statistics()) for moments in regions] * repeated
            for tap, regions in by_tap.items()
        }


class _Part(NamedTuple):
    """A ``picture`` to take patches from, of the style of that index, with its weight."""

    style: int
    weight: float
    picture: Raster


def _well_within(mask: Array) -> Array:
    """The least of ``mask`` [h, w] as far around each place as a patch reaches; if that is nothing
    anywhere, the mask itself.
    """
    least = mask
    for axis in (0, 1):
        around = [(_REACH, _REACH) if axis == own else (0, 0) for own in (0, 1)]
        padded = np.pad(least, around, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REACH + 1, axis)
        least = windows.min(axis=-1)
    return least if least.any() else mask


def _alpha_over(image: Raster, size: tuple[int, int]) -> Array:
    """How much of the image counts, [height, width] in [0, 1], for ``size`` (width, height)."""
    if image.alpha is None:
        return np.ones(size[::-1], np.float32)
    alpha = Image.fromarray(unit(image.alpha[:]))
    return np.asarray(alpha.resize(size, Image.Resampling.BILINEAR))


def _pixels(image: Raster, side: int, like: Array | None) -> tuple[Array, Array | None]:
    """A style image [H, W, 3] in [0, 1], ``side`` pixels on its shorter side, colours matched.

    And how much of each pixel counts, its alpha [H, W] in [0, 1], None where all is opaque. What is
    clear gets the mean colour of the rest, so that there is no outline of white. Raises
    PictureError for a picture that is clear everywhere.
    """
    pixels, shown = shorter_side_to(image, side), alpha_at(image, side)
    if shown is not None:
        if not shown.any():
            raise PictureError("the style image is transparent everywhere; name another one.")
        clear = 1 - shown[..., None]
        mean = (pixels - clear).sum((0, 1), dtype=np.float64) / shown.sum(dtype=np.float64)
        pixels = np.clip(pixels + clear * (mean.astype(np.float32) - 1), 0, 1)
    return (pixels if like is None else match_affine(pixels, like, shown)), shown
