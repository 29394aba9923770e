"""Paintings in a style file: what matching needs of a style besides its statistics.

Levels are kept as the differences of neighbours in a row, which deflate better than themselves
(PNG's filter "Sub"; W3C, "PNG Specification", 9.2), so that a painting comes back bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..options.parsing import HEAVIEST
from ..pictures.raster import Levels, Raster, to_levels
from ..pictures.values import alpha_at, shorter_side_to

__all__ = ["Patches", "patches_of", "read_patches", "sizes_of"]

_MOST_PIXELS = 4_000_000
"""Larger paintings are reduced to so many: their statistics stay those of the whole."""
_LONGEST = 100_000
_MOST_PICTURES = 1000


class Patches(NamedTuple):
    """A ``picture`` to take patches from, and its ``weight`` among those of its style."""

    weight: float
    picture: Raster

    @property
    def header(self) -> tuple[float, int, int, int, bool]:
        """Weight, width and height in pixels, bits of a level, and whether there is an alpha."""
        width, height = self.picture.size
        bits = 8 * self.picture.pixels.dtype.itemsize
        return self.weight, width, height, bits, self.picture.alpha is not None

    @property
    def data(self) -> bytes:
        """The levels, channel by channel, the alpha last."""
        return b"".join(_differences(channel) for channel in _channels(self.picture))


def patches_of(picture: Raster, weight: float) -> Patches:
    """The patches of a painting, which is reduced where it is very large."""
    width, height = picture.size
    side = min(width, height)
    if width * height > _MOST_PIXELS:
        bits = 8 * picture.pixels.dtype.itemsize
        side = max(1, int(side * (_MOST_PIXELS / (width * height)) ** 0.5))
        pixels, alpha = shorter_side_to(picture, side), alpha_at(picture, side)
        return Patches(
            weight,
            Raster(to_levels(pixels, bits), None if alpha is None else to_levels(alpha, bits)),
        )
    alpha = None if picture.alpha is None else picture.alpha[:].reshape(height, width)
    return Patches(weight, Raster(picture.pixels[:], alpha))


def sizes_of(headers: Sequence[Any]) -> list[int]:
    """The bytes of each of the pictures that ``headers`` tell of; raises ValueError or TypeError
    for what is none.
    """
    if len(headers) > _MOST_PICTURES:
        raise ValueError(f"{len(headers)} paintings")
    sizes = []
    for weight, width, height, bits, has_alpha in headers:
        sides = (width, height)
        if not all(type(side) is int and 1 <= side <= _LONGEST for side in sides):
            raise ValueError(f"a painting of {width!r:.20} x {height!r:.20} pixels")
        if bits not in (8, 16) or type(bits) is not int or type(has_alpha) is not bool:
            raise ValueError(f"a painting of {bits!r:.20} bits")
        if type(weight) not in (int, float) or not 0 <= weight <= HEAVIEST:
            raise ValueError(f"{weight!r:.20} is no weight")
        sizes.append((4 if has_alpha else 3) * width * height * bits // 8)
    return sizes


def read_patches(headers: Sequence[Any], data: bytes) -> tuple[Patches, ...]:
    """The patches that were written as these ``headers`` and this ``data``, one after the other."""
    read, begin = [], 0
    for (weight, width, height, bits, has_alpha), size in zip(
        headers, sizes_of(headers), strict=True
    ):
        kind = np.dtype(f"<u{bits // 8}")
        differences = np.frombuffer(data, kind, size // kind.itemsize, begin)
        levels = np.cumsum(differences.reshape(-1, height, width), axis=2, dtype=kind)
        pixels = np.ascontiguousarray(levels[:3].transpose(1, 2, 0), f"u{bits // 8}")
        alpha = levels[3].astype(f"u{bits // 8}") if has_alpha else None
        read.append(Patches(float(weight), Raster(pixels, alpha)))
        begin += size
    return tuple(read)


def _channels(picture: Raster) -> list[Levels]:
    """The channels [H, W] of the colours, and the alpha, if there is one."""
    channels = list(picture.pixels[:].transpose(2, 0, 1))
    return channels if picture.alpha is None else [*channels, picture.alpha[:]]


def _differences(levels: Levels) -> bytes:
    """Each level less its left neighbour's, modulo the number of levels; little-endian."""
    less = levels.copy()
    less[:, 1:] -= levels[:, :-1]
    return less.astype(levels.dtype.newbyteorder("<")).tobytes()
