"""Whose colours the picture has: the style's, or, in three ways, the content's.

All functions are pure. Pictures are sRGB values [H, W, 3], float32 in [0, 1]; statistics of their
colours are computed in float64. The picture whose colours ``match_affine`` takes may be ``Rows``
(arrays.py), which need not be in memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, pixel_row_slices

__all__ = ["colored_noise", "is_gray", "luminance_of", "match_affine", "match_histogram"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Y of YIQ and of YCbCr (ITU-R BT.601)."""
_LEAST_VARIANCE = 1e-6
"""A quarter of an 8-bit level, squared: what varies less is flat, and is not blown up."""
_QUANTILES = np.linspace(0, 1, 1025)
"""The shares of pixels at which two histograms are compared."""


def is_gray(pixels: Any) -> bool:
    """Whether every pixel of [H, W, 3], an array or ``Rows`` of it, has three equal channels."""
    first = slice(0, 1)  # where there is colour there mostly is some
    parts = (pixels[rows] for rows in (first, *pixel_row_slices(pixels)))
    return all(bool((part == part[..., :1]).all()) for part in parts)


def luminance_of(values: Array, content: Array) -> Array:
    """A picture [H, W, 3] in [0, 1] of the luminance Y of ``values`` and the chroma of ``content``.

    Luminance-only transfer: Gatys, Bethge, Hertzmann and Shechtman, "Preserving Color in Neural
    Artistic Style Transfer", 2016, section 4, in YIQ; here after painting and not before it. What
    leaves the displayable range loses saturation, not its luminance or hue.
    """
    wanted = (values @ _LUMA)[..., None]
    chroma = content - (content @ _LUMA)[..., None]
    # The largest share of the chroma that keeps the pixel's wanted + share * chroma in [0, 1].
    room = np.where(chroma > 0, 1 - wanted, wanted)
    share = np.min(room / np.maximum(np.abs(chroma), 1e-9), axis=-1, keepdims=True)
    return np.asarray((wanted + np.clip(share, 0, 1) * chroma).clip(0, 1), np.float32)


def match_affine(values: Array, like: Any, shown: Array | None = None) -> Array:
    """``values`` with the mean colour and the covariance of ``like``, then clipped to [0, 1].

    The affine map of Gatys et al. 2016, section 3; of the many that give the covariance, the
    symmetric one, which moves colours least (the linear Monge-Kantorovich map of Pitie and Kokaram,
    2007): T = S^(-1/2) (S^(1/2) L S^(1/2))^(1/2) S^(-1/2). Directions in which ``values`` hardly
    vary, as in a grey picture, get no variance either. ``shown`` [H, W] is how much each of
    ``values`` counts, None for all alike.
    """
    return _affine(values, like, shown).clip(0, 1)


def _affine(values: Array, like: Any, shown: Array | None = None) -> Array:
    """``match_affine`` before it clips, a new array."""
    (mean, covariance), (mean_like, covariance_like) = _moments(values, shown), _moments(like)
    root, inverse = _power(covariance, 0.5), _power(covariance, -0.5)
    transform = inverse @ _power(root @ covariance_like @ root, 0.5) @ inverse
    return np.asarray((values - mean) @ transform.T + mean_like, np.float32)


def colored_noise(noise: Array, mean: NDArray[Any], covariance: NDArray[Any]) -> Array:
    """White noise [..., 3] of variance 1 -> colours with ``mean`` [3] and ``covariance`` [3, 3].

    What leaves [0, 1] is clipped.
    """
    return np.asarray((noise @ _power(covariance, 0.5) + mean).clip(0, 1), np.float32)


def match_histogram(values: Array, like: Array) -> Array:
    """``values`` with the colours of ``like``: the affine map, then the histogram by channel.

    The affine map makes the channels vary together as in ``like``, the histograms then agree up to
    the interpolation between 1025 quantiles.
    """
    matched = _affine(values, like)
    for channel in range(3):
        plane = matched[..., channel]
        ours, theirs = _quantiles(plane), _quantiles(like[..., channel])
        # Where many pixels share a value, so do quantiles: they go to the middle of their range.
        known, first, count = np.unique(ours, return_index=True, return_counts=True)
        middle = (theirs[first] + theirs[first + count - 1]) / 2
        matched[..., channel] = np.interp(plane, known, middle)
    return matched


def _quantiles(plane: Array) -> NDArray[np.float64]:
    """The values of ``plane`` at ``_QUANTILES`` [1025], linear between two pixels.

    np.quantile gives the same and takes five times as long for so many.
    """
    ordered = np.sort(plane, axis=None).astype(np.float64)
    place = _QUANTILES * (ordered.size - 1)
    below = place.astype(int)
    above = np.minimum(below + 1, ordered.size - 1)
    return np.asarray(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


def _moments(
    values: Any, shown: Array | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [3] and covariance [3, 3] of the colours, weighted by ``shown`` [H, W]."""
    if shown is not None:
        weights = (shown / shown.sum(dtype=np.float64)).reshape(-1, 1)
        colors = values.reshape(-1, 3)
        mean = (weights * colors).sum(0)
        return mean, ((colors - mean) * weights).T @ (colors - mean)
    count = values.shape[0] * values.shape[1]
    total, product = np.zeros(3), np.zeros((3, 3))
    for rows in pixel_row_slices(values):
        total += values[rows].sum((0, 1), dtype=np.float64)
    mean = total / count
    for rows in pixel_row_slices(values):
        centred = values[rows].reshape(-1, 3) - mean
        product += centred.T @ centred
    return mean, product / count


def _power(matrix: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """A symmetric positive matrix [3, 3] to a power; a negative one leaves flat directions out."""
    values, vectors = np.linalg.eigh(matrix)
    powers = np.maximum(values, 0) ** power if power > 0 else np.zeros(3)
    if power < 0:
        np.power(values, power, where=values > _LEAST_VARIANCE, out=powers)
    return np.asarray((vectors * powers) @ vectors.T)
