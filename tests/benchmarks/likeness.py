"""How much a picture is like its style, and how much of the photo's drawing it keeps.

Figures in the eyes of a judge, a model whose features are looked at at fire2 and fire3 (taps 3 and
4), each tap centred by the style's mean and brought to one energy, both side by side:

    like      the mean over the picture's places of the best cosine to any place of the style
    cover     the same with both exchanged: how much of the style is in the picture
    colour    sliced Wasserstein distance of CIELAB colours to the style's, 1 for the photo's
    edges     correlation of smoothed gradient magnitudes of grey values with the photo's
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

__all__ = ["Likeness", "colour_distance", "edge_map", "places"]

Array = NDArray[np.float32]
Pixels = NDArray[np.uint8]

TAPS = (3, 4)
_ROWS = 2048
"""Places that are compared with all of the other picture's at a time."""


def places(features: Mapping[int, Array], means: Mapping[int, Array]) -> Array:
    """[positions, C]: both taps side by side, rows of length 1; ``means`` are [C, 1] by tap."""
    parts = []
    for tap in TAPS:
        part = features[tap].reshape(features[tap].shape[1], -1) - means[tap]
        parts.append(part / np.sqrt(np.square(part).sum(0).mean() + 1e-12))
    rows = np.concatenate(parts).T
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9), np.float32)


def best_cosines(a: Array, b: Array) -> tuple[float, float]:
    """The means of each row's best cosine: a's rows among b's, and b's among a's."""
    best, reverse = np.empty(len(a), np.float32), np.full(len(b), -1, np.float32)
    for top in range(0, len(a), _ROWS):
        cosines = a[top : top + _ROWS] @ b.T
        best[top : top + _ROWS] = cosines.max(1)
        np.maximum(reverse, cosines.max(0), out=reverse)
    return float(best.mean()), float(reverse.mean())


def lab(pixels: Pixels) -> NDArray[np.float64]:
    """[positions, 3]: CIELAB values (D65) of sRGB pixels [H, W, 3]."""
    values = pixels.reshape(-1, 3) / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ to_xyz.T / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def colour_distance(a: Pixels, b: Pixels) -> float:
    """The sliced Wasserstein-1 distance of CIELAB colours, over 32 fixed directions."""
    directions = np.random.default_rng(0).standard_normal((32, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    at = (np.arange(1024) + 0.5) / 1024
    first, second = lab(a) @ directions.T, lab(b) @ directions.T
    return float(np.abs(np.quantile(first, at, axis=0) - np.quantile(second, at, axis=0)).mean())


def edge_map(pixels: Pixels) -> NDArray[np.float64]:
    """[H * W]: gradient magnitudes of grey values, smoothed by a Gaussian of 2 pixels."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float64)
    magnitude = np.hypot(*np.gradient(grey))
    image = Image.fromarray(np.minimum(2 * magnitude, 255).astype(np.uint8))
    smooth = image.filter(ImageFilter.GaussianBlur(2))
    return np.asarray(smooth, np.float64).ravel()


@dataclass(frozen=True)
class Likeness:
    """The four figures of one picture; see the module's docstring."""

    like: float
    cover: float
    colour: float
    edges: float
