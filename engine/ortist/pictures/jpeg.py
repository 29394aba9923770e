"""JPEGs: decoded smaller where that is enough, and also where their end marker is missing."""

from __future__ import annotations

import io
import math
from os import PathLike

from PIL import Image

__all__ = ["decode_jpeg", "shrink"]

_WHOLE = 2048
"""Pixels that the shorter side keeps in any case. So most sizes of a picture see the same style."""


def shrink(image: Image.Image, least: float | None) -> None:
    """Has an opened JPEG decoded by 2, 4 or 8 smaller, as far as its shorter side allows.

    It keeps twice ``least`` pixels, so that what is resized to ``least`` is as sharp; None: all.
    The decoder leaves out the fine parts of each block of 8 x 8, and takes less time and memory.
    """
    if least is not None and image.format in ("JPEG", "MPO"):
        side = max(_WHOLE, math.ceil(2 * least))
        image.draft(None, (side, side))


def decode_jpeg(
    image: Image.Image, path: str | PathLike[str], least: float | None = None
) -> Image.Image:
    """The JPEG, decoded, shrunk to ``least``; also one that lacks only its end marker.

    Every viewer shows that. It is whole where what is put behind it makes no difference. Raises
    OSError for one that lacks more.
    """
    try:
        shrink(image, least)
        image.load()
        return image
    except OSError:
        with open(path, "rb") as stream:
            data = stream.read()
        pictures = []
        for more in (b"", bytes(range(1, 250)), bytes(range(250, 1, -1)), b"\x55" * 250):
            pictures.append(Image.open(io.BytesIO(data + more + b"\xff\xd9"), formats=("JPEG",)))
            shrink(pictures[-1], least)
            pictures[-1].load()
        if len({picture.tobytes() for picture in pictures}) > 1:
            raise
        return pictures[0]
