"""Pictures in memory: one that was read (``Raster``) and one that is to be written (``Painting``).

Numbers of a picture are whole levels, or values in float32, of which [0, 1] can be displayed.
``unit`` makes values of levels and ``to_levels`` levels of values; both hold sRGB, which is not
linear in light.
"""

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
"""An array of uint8, from 0 to 255, or of uint16, from 0 to 65535."""


@dataclass(frozen=True)
class Source:
    """Where a picture came from: the path as it was given, and the SHA-256 of the file, in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Raster:
    """A picture that was read.

    ``pixels`` are levels [H, W, 3] of upright sRGB, transparency laid over white. ``alpha`` is
    [H, W] in levels of the same type, None for an opaque picture. Either may be a NumPy array or
    ``Rows`` (arrays.py), which need not be in memory. ``exif`` is what a painting of the picture
    may carry (pictures/metadata.py), b"" for nothing. ``source`` is None for what was no file.
    ``several`` says that the file has more frames or pages, of which this is the first. ``full`` is
    the (width, height) of the file where it was decoded smaller, else None.
    """

    pixels: Any
    alpha: Any = None
    exif: bytes = b""
    source: Source | None = None
    several: bool = False
    full: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def image(self) -> Image.Image:
        """The pixels as an 8-bit RGB image, without the alpha."""
        return Image.fromarray(in_depth(self.pixels[:], 8))

    def planes(self) -> Field:
        """The pixels as [1, 3, H, W]: levels of 8 bits, or, of 16, values in [0, 1]."""
        return _planes_of(self.pixels)

    def alpha_planes(self) -> Field | None:
        """The alpha as [1, 1, H, W], like the pixels; None where it is opaque."""
        return None if self.alpha is None else _planes_of(self.alpha)


Picture = Union[str, "PathLike[str]", Image.Image, NDArray[Any], Raster]
"""A path, a PIL image, or an array [H, W], [H, W, 3] or [H, W, 4]: uint8, uint16, floats in [0, 1],
or bool (a mask). 16 bits of a file are only read by path: Pillow's own images have 8 in colour."""


@dataclass(frozen=True)
class Header:
    """What is known of a picture before it is decoded.

    ``role`` names it in messages, ``size`` is (width, height) in pixels, upright. The others count
    bytes: ``decoding`` is the most that decoding it takes, ``resident`` what stays of it,
    ``spooling`` what reading it strip by strip takes, 0 where it cannot be read so.
    """

    role: str
    size: tuple[int, int]
    decoding: int
    resident: int
    spooling: int = 0


@dataclass(frozen=True, eq=False)
class Painting:
    """A picture to write: ``values`` [H, W, 3], sRGB in [0, 1], as they look on white.

    ``alpha``, [H, W] in [0, 1], None where it is opaque, is how much of it is not that white: no
    value is below 1 - alpha. Either may be ``Rows`` (arrays.py) instead of a NumPy array.
    """

    values: Any
    alpha: Any = None

    @classmethod
    def of(cls, image: Image.Image) -> Painting:
        """An 8-bit RGB image as an opaque painting."""
        return cls(unit(np.asarray(image)))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.values.shape[1], self.values.shape[0]

    def rows(self, rows: slice) -> Painting:
        """The part of the painting that has these rows, in memory."""
        values, alpha = self.values[rows], self.alpha
        return Painting(values, None if alpha is None else alpha[rows].reshape(values.shape[:2]))

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The painting on white, uint8 [H, W, 3]."""
        return to_levels(self.values[:], 8)

    @property
    def image(self) -> Image.Image:
        """The painting as an 8-bit image, RGB or, with alpha, RGBA."""
        return Image.fromarray(self.levels(8))

    def levels(self, depth: int) -> Levels:
        """The painting in ``depth`` bits, uint8 or uint16 [H, W, 3], with alpha [H, W, 4].

        Colours are not multiplied by the alpha.
        """
        if self.alpha is None:
            return to_levels(self.values[:], depth)
        # The rounded alpha is what the colours will be multiplied by.
        alpha = unit(to_levels(self.alpha[:], depth)).reshape(*self.values.shape[:2], 1)
        colors = 1 - (1 - self.values[:]) / np.where(alpha > 0, alpha, 1)
        return to_levels(np.concatenate([colors, alpha], axis=2), depth)


def unit(levels: Levels) -> Array:
    """Levels of any shape -> float32 in [0, 1]; an array of float32 is returned as it is."""
    if levels.dtype == np.float32:
        return levels
    values = levels.astype(np.float32)
    values /= np.float32(np.iinfo(levels.dtype).max)
    return values


def to_levels(values: NDArray[np.floating[Any]], depth: int) -> Levels:
    """Values, clipped to [0, 1], -> the nearest of 2^``depth`` levels, uint8 or uint16."""
    top = 2**depth - 1
    scaled = np.clip(values, 0, 1)
    scaled *= top
    scaled += 0.5
    return np.asarray(scaled, f"uint{depth}", order="C")


def in_depth(levels: Levels, depth: int) -> Levels:
    """Levels of either type -> the nearest of 2^``depth``; itself where it has those already."""
    same = levels.dtype.itemsize * 8 == depth
    return levels if same else to_levels(unit(levels), depth)


def _planes_of(levels: Levels | Rows) -> Field:
    """[H, W, C] or [H, W] -> [1, C, H, W]: uint8, or float32 in [0, 1] computed as it is read."""
    if isinstance(levels, Rows):
        planes = levels.planes
    else:
        planes = levels.reshape(*levels.shape[:2], -1).transpose(2, 0, 1)[None]
    return planes if planes.dtype == np.uint8 else Derived(unit, planes)
