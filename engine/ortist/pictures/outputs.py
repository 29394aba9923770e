"""Pictures out: which format a name stands for, what it holds, and writing it, whole or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from ..arrays import Rows, pixel_row_slices
from ..errors import OptionError
from ..files import atomic_writer
from .metadata import has_tags, with_text
from .profiles import srgb_profile
from .raster import Levels, Painting
from .sixteen import PNG_STRATEGY, write_png, write_tiff

__all__ = [
    "holds_alpha",
    "is_picture_name",
    "output_depth",
    "picture_format",
    "save_picture",
    "takes_rows",
]

_WRITABLE = {
    **{".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"},
    **{".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP", ".bmp": "BMP"},
}
if features.check("avif"):
    _WRITABLE[".avif"] = "AVIF"
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_536}
"""Pixels on one side that a format holds at most."""
_TIFF_BYTES = 2**32 - 2**24
"""The most that a TIFF may take before it is deflated: its offsets have 32 bits.

How well pixels deflate, and whether they have alpha, is known late.
"""
_ALPHA = ("PNG", "TIFF", "WEBP", "AVIF")
"""The formats that hold transparency."""
_BY_ROWS = {"PNG": write_png, "TIFF": write_tiff}
"""The formats that hold 16 bits, and whose pixels need not be in memory all at once."""
_SAVE: dict[str, dict[str, Any]] = {
    "PNG": {"compress_type": PNG_STRATEGY},
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}


def picture_format(path: Path, size: tuple[int, int] = (1, 1)) -> str:
    """Pillow's name of the format that the suffix of ``path`` stands for.

    Raises OptionError for an unknown suffix, and for a format that cannot hold a picture of
    ``size``, (width, height) in pixels.
    """
    form = _WRITABLE.get(path.suffix.lower())
    if form is None:
        known = ", ".join(_WRITABLE)
        raise OptionError(
            f"cannot tell a picture format from {path.name!r}; end it in one of {known}."
        )
    most = _LONGEST.get(form, 2**31)
    if max(size) > most:
        raise OptionError(
            f"{form} holds at most {most} pixels each way, the picture for {path.name!r} has "
            f"{size[0]} x {size[1]}; write .png or .tif."
        )
    return form


def is_picture_name(path: Path) -> bool:
    """Whether the suffix of ``path`` is that of a format that pictures are written in."""
    return path.suffix.lower() in _WRITABLE


def output_depth(path: Path, asked: int | None, size: tuple[int, int] = (1, 1)) -> int:
    """Bits per channel to write, 8 or 16: what was ``asked`` for, else 16 in TIFF and 8 elsewhere.

    Raises OptionError where ``picture_format`` does, for 16 bits in a format that holds 8, and for
    a TIFF that could pass 4 GB.
    """
    form = picture_format(path, size)
    if asked == 16 and form not in _BY_ROWS:
        raise OptionError(
            f"{form} holds 8 bits per channel; for depth 16, end {path.name!r} in .png or .tif."
        )
    depth = asked or (16 if form == "TIFF" else 8)
    if form == "TIFF" and size[0] * size[1] * 4 * depth // 8 > _TIFF_BYTES:
        smaller = " or give --depth 8" if depth == 16 else ""
        raise OptionError(
            f"TIFF holds at most 4 GB, and {size[0]} x {size[1]} pixels of {depth} bits a channel "
            f"may take more; end {path.name!r} in .png{smaller}."
        )
    return depth


def holds_alpha(path: Path) -> bool:
    """Whether that format keeps transparency, or shows white; raises as ``picture_format`` does."""
    return picture_format(path) in _ALPHA


def takes_rows(path: Path) -> bool:
    """Whether that format is written without all pixels in memory; raises likewise."""
    return picture_format(path) in _BY_ROWS


def save_picture(
    painting: Painting,
    path: Path,
    depth: int | None = None,
    exif: bytes = b"",
    text: str | None = None,
) -> None:
    """Writes the picture to ``path``, tagged as sRGB, whole or not at all.

    ``depth`` is in bits a channel, None for what ``output_depth`` chooses. ``exif``
    (pictures/metadata.py) goes along, with ``text``, ASCII, as its UserComment; BMP holds neither,
    nor a profile. Raises OptionError where ``output_depth`` does, OutputError where the file cannot
    be written.
    """
    depth = output_depth(path, depth, painting.size)
    form = picture_format(path)
    if form not in _ALPHA:
        painting = replace(painting, alpha=None)
    levels, tags = _Levels(painting, depth), with_text(exif, text)
    more: dict[str, Any] = {}
    if form != "BMP":
        more["icc_profile"] = srgb_profile()
        if has_tags(tags):
            more["exif"] = tags.tobytes()
    with atomic_writer(path) as stream:
        if form == "TIFF" or depth == 16 or (form == "PNG" and isinstance(painting.values, Rows)):
            _BY_ROWS[form](levels, stream, tags)
        else:
            Image.fromarray(levels.whole()).save(stream, form, **_SAVE.get(form, {}), **more)


class _Levels:
    """A painting's levels, uint8 or uint16 [H, W, 3 or 4], made as rows of them are asked for."""

    def __init__(self, painting: Painting, depth: int) -> None:
        self._painting, self._depth = painting, depth
        self.dtype = np.dtype(f"uint{depth}")
        self.shape = (*painting.size[::-1], 3 if painting.alpha is None else 4)

    def __getitem__(self, rows: slice) -> Levels:
        return self._painting.rows(rows).levels(self._depth)

    def whole(self) -> Levels:
        """All levels, in memory."""
        levels = np.empty(self.shape, self.dtype)
        for rows in pixel_row_slices(self._painting.values):
            levels[rows] = self[rows]
        return levels
