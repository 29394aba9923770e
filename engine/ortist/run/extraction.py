"""Taking a style from its paintings: what a style file holds of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..errors import OptionError
from ..network.bundle import find_model
from ..objective.opening import open_objective
from ..options.choice import choose_options
from ..options.fields import Options
from ..pictures.raster import Raster
from ..style.files import ExtractedStyle, FileTap, Painted, Style, backbone_sha256, load_style
from ..style.moments import pack
from ..style.styles import Styles, as_list
from .stages import plan_stages

__all__ = ["extract_style"]

_THUMBNAIL = 192
"""Pixels on the longer side."""


def extract_style(
    paintings: Style | Sequence[Style],
    options: Options | None = None,
    *,
    preset: str | None = None,
    **overrides: Any,
) -> ExtractedStyle:
    """The statistics of the paintings' features, for the sizes that such options ask for.

    >>> import ortist
    >>> extract_style(["painting.jpg", "photo.jpg"], size=48).save("monet.ostyle")
    >>> result = ortist.transfer("photo.jpg", "monet.ostyle", size=48, iterations=4)

    A run with the same ``size``, ``smallest_size``, ``style_size``, ``style_scale`` and model has
    the same bytes with the style as with the paintings themselves; several are blended as
    ``style_weights`` say, else equally. Options and errors are those of ``iterate``.
    """
    options = choose_options(options, preset, overrides)
    sources = [load_style(painting, options.max_pixels) for painting in as_list(paintings)]
    styles = Styles(sources, options)
    model = find_model(options.model)
    for source in sources:
        if isinstance(source, ExtractedStyle):
            source.check(model)
        elif min(source.size) < model.smallest_side:
            raise OptionError(
                f"the style image has {source.size[0]} x {source.size[1]} pixels; {model.name} "
                f"needs {model.smallest_side} each way, so give a larger one."
            )
    objective = open_objective(model, options, masked=False)
    taps = [tap.index for tap in model.taps]
    largest = max(_largest(source) for source in sources)
    by_side = {}
    for stage in plan_stages(options):
        side = min(styles.wanted(stage.side, model.smallest_side), largest)
        if side not in by_side:
            found = styles.statistics(objective, taps, stage.side)
            colors = styles.colors(stage.side, model.smallest_side)
            parts = [pack(colors), *(pack(found[tap][0]) for tap in taps)]
            by_side[side] = np.concatenate(parts)
    return ExtractedStyle(
        model_name=model.name,
        model_sha256=backbone_sha256(model),
        taps=tuple(FileTap(tap.index, tap.name, tap.channels) for tap in model.taps),
        sides=tuple(sorted(by_side)),
        whole=max(by_side) == largest and all(_is_whole(source) for source in sources),
        paintings=tuple(painting for source in sources for painting in _painted(source)),
        values=np.stack([by_side[side] for side in sorted(by_side)]),
        thumbnail=_thumbnail([source.image for source in sources]),
    )


def _largest(source: Raster | ExtractedStyle) -> int:
    """The shorter side from which on the style stays what it is."""
    return source.sides[-1] if isinstance(source, ExtractedStyle) else min(source.size)


def _is_whole(source: Raster | ExtractedStyle) -> bool:
    return source.whole if isinstance(source, ExtractedStyle) else True


def _painted(source: Raster | ExtractedStyle) -> tuple[Painted, ...]:
    if isinstance(source, ExtractedStyle):
        return source.paintings
    name, sha256 = "", ""
    if source.source is not None:
        name, sha256 = os.path.basename(source.source.path), source.source.sha256
    return (Painted(name if name.isprintable() else "", sha256, *source.size),)


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
