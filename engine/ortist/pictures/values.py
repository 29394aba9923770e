"""Values of a picture at one scale: resized to it, normalised for the network, and back.

Displayed values are float32 [H, W, 3], sRGB in [0, 1]. The network and the optimiser see normalised
ones, float32 [1, 3, H, W]: (displayed - mean) / std by channel, with the model's mean and std.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ..arrays import Array, resample
from ..network.bundle import Model
from .raster import Levels, Raster, unit

__all__ = [
    "alpha_at",
    "denormalize",
    "display_range",
    "extremes",
    "fill",
    "in_gray",
    "normalize",
    "normalize_planes",
    "shorter_side_to",
    "size_at",
]


def size_at(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with ``side`` pixels on the shorter side, the longer one rounded down."""
    width, height = size
    shorter = min(size)
    return int(width * side / shorter), int(height * side / shorter)


def shorter_side_to(picture: Raster, side: int) -> Array:
    """The picture [H, W, 3] in [0, 1], resized to ``size_at`` with ``side``.

    Bilinear, as the CS231n assignment does it, and in 8 bits, as there, if the picture has 8.
    """
    return fill(picture, size_at(picture.size, side))


def fill(picture: Raster, size: tuple[int, int]) -> Array:
    """The picture [height, width, 3] in [0, 1], stretched to ``size`` (width, height)."""
    return _resized(picture.pixels[:], size)


def alpha_at(picture: Raster, side: int) -> Array | None:
    """The alpha [H, W] in [0, 1] of ``shorter_side_to``'s picture, None where it is opaque."""
    if picture.alpha is None:
        return None
    return _resized(picture.alpha[:], size_at(picture.size, side))


def normalize(values: Array, model: Model) -> Array:
    """Displayed values [H, W, 3] -> normalised values [1, 3, H, W], a new array in C order."""
    return normalize_planes(values.transpose(2, 0, 1)[None], model)


def normalize_planes(values: Array, model: Model) -> Array:
    """Displayed values [1, 3, H, W] -> normalised values [1, 3, H, W], a new array in C order."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    normalized = np.subtract(values, mean, dtype=np.float32, order="C")
    normalized /= std
    return normalized


def denormalize(
    values: Array, model: Model, stretched: tuple[np.float32, np.float32] | None = None
) -> Array:
    """Normalised values [1, 3, H, W] -> displayed values [H, W, 3], clipped to [0, 1].

    With ``stretched``, the least and the greatest value of sRGB, that range is stretched over
    [0, 1] instead, as the assignment's ``deprocess`` does.
    """
    pixels = _displayed(values, model)
    if stretched is not None:
        pixels -= stretched[0]
        pixels /= max(stretched[1] - stretched[0], np.float32(1e-12))
    return np.clip(pixels, 0, 1, out=pixels)


def display_range(model: Model) -> tuple[Array, Array]:
    """The normalised values [1, 3, 1, 1] of sRGB's 0 and 1."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    return (0 - mean) / std, (1 - mean) / std


def in_gray(values: Array, model: Model, slope: bool = False) -> Array:
    """Normalised values [1, 3, H, W] whose displayed colours are the means of their channels.

    With ``slope`` they are a gradient, and what is returned is its part along the greys.
    """
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    if slope:
        along = 1 / std
        return np.asarray(along * (values * along).sum(1, keepdims=True) / np.square(along).sum())
    gray = (values * std + mean).mean(1, keepdims=True)
    return np.asarray((gray - mean) / std)


def extremes(values: Array, model: Model) -> tuple[np.float32, np.float32]:
    """The least and the greatest value of sRGB in normalised values [1, 3, H, W], unclipped."""
    pixels = _displayed(values, model)
    return pixels.min(), pixels.max()


def _displayed(values: Array, model: Model) -> Array:
    """Normalised values [1, 3, H, W] -> sRGB [H, W, 3], not clipped, a new array in C order."""
    pixels = values[0].transpose(1, 2, 0) * np.array(model.std, np.float32)
    pixels += np.array(model.mean, np.float32)
    return np.ascontiguousarray(pixels)


def _resized(levels: Levels, size: tuple[int, int]) -> Array:
    """Levels [H, W] or [H, W, C] -> values in [0, 1] at ``size`` (width, height), bilinear."""
    if size == levels.shape[1::-1]:
        return unit(levels)
    how = Image.Resampling.BILINEAR
    if levels.dtype == np.uint8:
        return unit(np.asarray(resample(Image.fromarray(levels), size, how)))
    planes = levels.reshape(*levels.shape[:2], -1)
    images = [Image.fromarray(unit(planes[..., i])) for i in range(planes.shape[2])]
    values = np.stack([np.asarray(resample(image, size, how)) for image in images], axis=2)
    return values.reshape(*values.shape[:2], *levels.shape[2:])
