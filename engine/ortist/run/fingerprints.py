"""Hashes that say whether two runs have the same pictures."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from PIL import Image

from ..arrays import chunks
from ..pictures.raster import Raster
from ..style.files import ExtractedStyle

__all__ = ["pixels_sha256"]


def pixels_sha256(picture: Raster | ExtractedStyle | Image.Image) -> str:
    """The SHA-256 of a picture's pixels, size and type, or of a style file's contents."""
    if isinstance(picture, ExtractedStyle):
        return picture.sha256
    digest = hashlib.sha256()
    levels: tuple[Any, ...] = (np.asarray(picture),) if isinstance(picture, Image.Image) else ()
    if isinstance(picture, Raster):
        levels = (picture.pixels, picture.alpha)
    for array in (part for part in levels if part is not None):
        shape = array.shape[:2] if array is levels[-1] and len(levels) == 2 else array.shape
        digest.update(f"{array.dtype} {shape} ".encode())
        for part in chunks(array):
            digest.update(part)
    return digest.hexdigest()
