"""Taking a style from its paintings: what a style file holds of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import OptionError
from ..options.fields import Options
from ..pictures.raster import Raster, Source
from ..style.files import ExtractedStyle, FileTap, Painted, Style, backbone_sha256
from ..style.moments import pack
from ..style.patches import Patches, patches_of
from ..style.styles import Styles
from .setup import Objectives, load_styles
from .tuning import plan_scales

__all__ = ["take_style"]

_THUMBNAIL = 192
"""Pixels on the longer side."""


def take_style(
    objectives: Objectives, paintings: Style | Sequence[Style], options: Options
) -> ExtractedStyle:
    """The statistics of the paintings' features, for the sizes that such options ask for.

    Several paintings are blended as ``style_weights`` say, else equally. Raises OptionError,
    PictureError, StyleFileError, ModelError or ProviderError.
    """
    model, options = objectives.model, options.settled(matched=False)
    sources = load_styles(paintings, options, model)
    styles = Styles(sources, options)
    for source in sources:
        if isinstance(source, Raster) and min(source.size) < model.smallest_side:
            raise OptionError(
                f"the style image has {source.size[0]} x {source.size[1]} pixels; {model.name} "
                f"needs {model.smallest_side} each way, so give a larger one."
            )
    # The shorter side from which on the style stays what it is.
    largest = max(s.sides[-1] if isinstance(s, ExtractedStyle) else min(s.size) for s in sources)
    taps = [tap.index for tap in model.taps]
    by_side = {}
    with objectives.turns:
        _, observer = objectives.opened(options)
        for scale in plan_scales(options):
            side = min(styles.wanted(scale.side, model.smallest_side), largest)
            if side not in by_side:
                colors = styles.colors(scale.side, model.smallest_side)
                by_tap = styles.statistics(observer, taps, scale.side)
                parts = [colors, *(by_tap[tap][0] for tap in taps)]
                by_side[side] = np.concatenate([pack(part) for part in parts])
    return ExtractedStyle(
        model_name=model.name,
        model_sha256=backbone_sha256(model),
        taps=tuple(FileTap(tap.index, tap.name, tap.channels) for tap in model.taps),
        sides=tuple(sorted(by_side)),
        whole=max(by_side) == largest
        and all(not isinstance(s, ExtractedStyle) or s.whole for s in sources),
        paintings=tuple(painting for source in sources for painting in _painted(source)),
        values=np.stack([by_side[side] for side in sorted(by_side)]),
        thumbnail=_thumbnail([source.image for source in sources]),
        patches=_patches(sources, options.style_weights or (1.0,) * len(sources)),
    )


def _patches(
    sources: Sequence[Raster | ExtractedStyle], weights: Sequence[float]
) -> tuple[Patches, ...]:
    """What matching needs of the paintings; nothing where one of them is a file that has none."""
    parts: list[Patches] = []
    for source, weight in zip(sources, weights, strict=True):
        if isinstance(source, Raster):
            parts.append(patches_of(source, weight))
        elif not source.patches:
            return ()
        else:
            total = sum(part.weight for part in source.patches) or 1.0
            parts += [Patches(weight * own / total, p) for own, p in source.patches]
    return tuple(parts)


def _painted(source: Raster | ExtractedStyle) -> tuple[Painted, ...]:
    if isinstance(source, ExtractedStyle):
        return source.paintings
    file = source.source or Source("", "")
    name = os.path.basename(file.path)
    return (
        Painted(name if name.isprintable() else "", file.sha256, *(source.full or source.size)),
    )


def _thumbnail(images: Sequence[Image.Image]) -> NDArray[np.uint8]:
    """The painting, or the first sixteen in a square."""
    if len(images) == 1:
        small = images[0].copy()
        small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
        return np.asarray(small.convert("RGB"))
    across = min(4, math.ceil(math.sqrt(len(images))))
    side = _THUMBNAIL // across
    sheet = Image.new("RGB", (side * across, side * math.ceil(min(len(images), 16) / across)))
    for index, image in enumerate(images[: across * across]):
        down, right = divmod(index, across)
        cell = ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)
        sheet.paste(cell, (right * side, down * side))
    return np.asarray(sheet)
