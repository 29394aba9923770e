"""A picture at the size of a scale: resized, normalised for the network, and back."""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..arrays import Array, resample
from ..network.bundle import Model
from .raster import Levels, Raster, unit

__all__ = [
    "alpha_at",
    "denormalize",
    "extremes",
    "fill",
    "normalize",
    "normalize_planes",
    "shorter_side_to",
    "size_at",
]


def shorter_side_to(picture: Raster, side: int) -> Array:
    """[H, W, 3] in [0, 1], resized so that the shorter side has ``side`` pixels; aspect kept.

    Bilinear, the longer side rounded down, as the CS231n assignment does it, and as there in 8 bits
    if the picture has 8.
    """
    return _resized(picture.pixels[:], size_at(picture.size, side))


def fill(picture: Raster, size: tuple[int, int]) -> Array:
    """[height, width, 3] in [0, 1] for ``size`` (width, height), whatever the picture's aspect."""
    return _resized(picture.pixels[:], size)


def alpha_at(picture: Raster, side: int) -> Array | None:
    """The alpha [H, W] in [0, 1] of ``shorter_side_to``'s picture, None where it is opaque."""
    if picture.alpha is None:
        return None
    return _resized(picture.alpha[:], size_at(picture.size, side))


def _resized(levels: Levels, size: tuple[int, int]) -> Array:
    if size == levels.shape[1::-1]:
        return unit(levels)
    how = Image.Resampling.BILINEAR
    if levels.dtype == np.uint8:
        return unit(np.asarray(resample(Image.fromarray(levels), size, how)))
    planes = levels.reshape(*levels.shape[:2], -1)
    images = [Image.fromarray(unit(planes[..., i])) for i in range(planes.shape[2])]
    found = np.stack([np.asarray(resample(image, size, how)) for image in images], axis=2)
    return found.reshape(*found.shape[:2], *levels.shape[2:])


def size_at(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with ``side`` pixels on the shorter side, the longer one rounded down."""
    width, height = size
    shorter = min(size)
    return int(width * side / shorter), int(height * side / shorter)


def normalize(values: Array, model: Model) -> Array:
    """[H, W, 3] in [0, 1] -> normalised values [1, 3, H, W]."""
    return normalize_planes(values.transpose(2, 0, 1)[None], model)


def normalize_planes(values: Array, model: Model) -> Array:
    """[1, 3, H, W] in [0, 1] -> normalised values, a new array in C order."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    found = np.empty(values.shape, np.float32)
    np.subtract(values, mean, out=found)
    found /= std
    return found


def denormalize(
    values: Array, model: Model, stretched: tuple[np.float32, np.float32] | None = None
) -> Array:
    """Normalised values [1, 3, H, W] -> [H, W, 3] in [0, 1].

    What no display can show is clipped; with ``stretched`` the range from that least to that
    greatest value of sRGB is stretched over [0, 1] instead, as the assignment's ``deprocess`` does.
    """
    pixels = _displayed(values, model)
    if stretched is not None:
        low, high = stretched
        pixels -= low
        pixels /= max(high - low, np.float32(1e-12))
    return np.clip(pixels, 0, 1, out=pixels)


def extremes(values: Array, model: Model) -> tuple[np.float32, np.float32]:
    """The least and the greatest value of sRGB in a picture of normalised values."""
    pixels = _displayed(values, model)
    return pixels.min(), pixels.max()


def _displayed(values: Array, model: Model) -> Array:
    pixels = values[0].transpose(1, 2, 0) * np.array(model.std, np.float32)
    pixels += np.array(model.mean, np.float32)
    return np.ascontiguousarray(pixels)
