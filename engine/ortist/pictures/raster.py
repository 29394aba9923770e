"""A picture that was read, and one that is to be written: levels, values and alpha."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Array, Derived, Field, Rows

__all__ = [
    "Header",
    "Levels",
    "Painting",
    "Picture",
    "Raster",
    "Source",
    "in_depth",
    "to_levels",
    "unit",
]

Levels = NDArray[Any]
"""Of uint8 or uint16."""


@dataclass(frozen=True)
class Source:
    """Where a picture came from: the path as it was given, and the SHA-256 of the file, in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Raster:
    """A picture that was read.

    ``pixels`` is upright sRGB, [H, W, 3], transparency laid over white; ``alpha`` is [H, W] of the
    same type, None for an opaque picture. Both may be ``Rows`` (stored.py), not NumPy arrays.
    ``exif`` is what a painting of it may carry (metadata.py).
    """

    pixels: Any
    alpha: Any = None
    exif: bytes = b""
    source: Source | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def image(self) -> Image.Image:
        """As an 8-bit RGB image."""
        return Image.fromarray(in_depth(self.pixels[:], 8))

    def planes(self) -> Field:
        """The pixels as [1, 3, H, W]: levels, or, of more than 8 bits, values in [0, 1]."""
        return planes_of(self.pixels)

    def alpha_planes(self) -> Field | None:
        """The same of the alpha, [1, 1, H, W]."""
        return None if self.alpha is None else planes_of(self.alpha)


def planes_of(levels: Levels | Rows) -> Field:
    planes = levels.planes if isinstance(levels, Rows) else _planar(levels[:])
    return planes if planes.dtype == np.uint8 else Derived(unit, planes)


def _planar(levels: Levels) -> Levels:
    """[H, W, C] or [H, W] -> [1, C, H, W], a view."""
    return levels.reshape(*levels.shape[:2], -1).transpose(2, 0, 1)[None]


@dataclass(frozen=True, eq=False)
class Painting:
    """A picture to write: ``values`` [H, W, 3], sRGB in [0, 1], as they look on white.

    ``alpha``, [H, W] in [0, 1], None where it is opaque, is how much of it is not that white: no
    value is below 1 - alpha. Both may be ``Rows`` (stored.py) instead of NumPy arrays.
    """

    values: Any
    alpha: Any = None

    @classmethod
    def of(cls, image: Image.Image) -> Painting:
        """An 8-bit RGB image as a painting."""
        return cls(unit(np.asarray(image)))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.values.shape[1], self.values.shape[0]

    def rows(self, rows: slice) -> Painting:
        """A part of it, in memory."""
        alpha = None if self.alpha is None else self.alpha[rows]
        return Painting(
            self.values[rows], alpha if alpha is None else alpha.reshape(alpha.shape[:2])
        )

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3], on white."""
        return to_levels(self.values[:], 8)

    @property
    def image(self) -> Image.Image:
        """8-bit, RGB or, with alpha, RGBA."""
        return Image.fromarray(self.levels(8))

    def levels(self, depth: int) -> Levels:
        """uint8 or uint16, [H, W, 3] or, with alpha, [H, W, 4], colours not multiplied by it."""
        if self.alpha is None:
            return to_levels(self.values[:], depth)
        # The rounded alpha is what the colours will be multiplied by.
        alpha = unit(to_levels(self.alpha[:], depth)).reshape(*self.values.shape[:2], 1)
        colors = 1 - (1 - self.values[:]) / np.where(alpha > 0, alpha, 1)
        return to_levels(np.concatenate([colors, alpha], axis=2), depth)


@dataclass(frozen=True)
class Header:
    """What is known of a picture before it is decoded: (width, height), and bytes.

    ``decoding`` is what it takes to decode it, ``resident`` what stays of it; ``spooling`` what it
    takes to read it strip by strip, 0 where it cannot be.
    """

    role: str
    size: tuple[int, int]
    decoding: int
    resident: int
    spooling: int = 0


Picture = Union[str, "PathLike[str]", Image.Image, NDArray[Any], Raster]
"""A path, a PIL image, or an array [H, W], [H, W, 3] or [H, W, 4]: uint8, uint16, floats in [0, 1],
or bool (a mask). 16 bits of a file are only read by path: Pillow's own images have 8 in colour."""


def unit(levels: Levels) -> Array:
    """Levels -> float32 in [0, 1]; what is that already stays as it is."""
    if levels.dtype == np.float32:
        return levels
    values = levels.astype(np.float32)
    values /= np.float32(np.iinfo(levels.dtype).max)
    return values


def to_levels(values: NDArray[np.floating[Any]], depth: int) -> Levels:
    """Values in [0, 1], clipped, -> the nearest of 2^``depth`` levels, uint8 or uint16."""
    top = 2**depth - 1
    scaled = np.clip(values, 0, 1)
    scaled *= top
    scaled += 0.5
    found: Levels = scaled.astype(f"uint{depth}", order="C")
    return found


def in_depth(levels: Levels, depth: int) -> Levels:
    same = levels.dtype.itemsize * 8 == depth
    return levels if same else to_levels(unit(levels), depth)
