"""How far two pictures are apart in the eyes of a judge, and how much grid a picture has.

A judge is a model whose feature maps are looked at; nothing here optimises anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Statistics",
    "content_distance",
    "gram_distance",
    "grid_strength",
    "statistics_of",
    "wasserstein_distance",
]

Array = NDArray[np.float32]
Double = NDArray[np.float64]
_BLOCK = 64
"""Side of the windows whose spectra are averaged, in pixels: 8 periods of the largest stride."""
_STRIDE = 8


@dataclass(frozen=True)
class Statistics:
    """One feature map's: the Gram matrix F F^T / (C N), mean [C] and covariance [C, C]."""

    gram: Double
    mean: Double
    covariance: Double


def statistics_of(features: Array) -> Statistics:
    """The statistics of a feature map [1, C, h, w]."""
    matrix = features.reshape(features.shape[1], -1).astype(np.float64)
    mean = matrix.mean(1)
    centred = matrix - mean[:, None]
    return Statistics(matrix @ matrix.T / matrix.size, mean, centred @ centred.T / matrix.shape[1])


def gram_distance(a: Statistics, b: Statistics) -> float:
    """The Frobenius norm of the difference of the Gram matrices."""
    return float(np.linalg.norm(a.gram - b.gram))


def wasserstein_distance(a: Statistics, b: Statistics) -> float:
    """W2 between the normal distributions with those means and covariances.

    W2^2 = |m_a - m_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2) (Dowson and Landau, 1982); the trace of
    the last root is the sum of the singular values of A^1/2 B^1/2.
    """
    roots = np.linalg.svd(_root(a.covariance) @ _root(b.covariance), compute_uv=False).sum()
    traces = np.trace(a.covariance) + np.trace(b.covariance) - 2 * roots
    return float(np.sqrt(max(0.0, np.square(a.mean - b.mean).sum() + traces)))


def _root(matrix: Double) -> Double:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: Double = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def content_distance(picture: Mapping[int, Array], content: Mapping[int, Array]) -> float:
    """||F - P|| / ||P||, averaged over the taps of ``content``."""
    apart = [
        float(np.linalg.norm(picture[tap] - target) / np.linalg.norm(target))
        for tap, target in content.items()
    ]
    return float(np.mean(apart))


def grid_strength(pixels: NDArray[np.uint8]) -> float:
    """The energy at the frequencies of a network's strides over that of their neighbours.

    ``pixels`` is uint8 [H, W, 3], at least 64 each way. A stride of 8 (and of 2 and 4, which divide
    it) leaves patterns that repeat after 8 pixels: lines in the spectrum at multiples of 1/8 cycle
    a pixel along rows or columns. Spectra of half-overlapping 64-pixel Hann windows are averaged
    (Welch 1967), so that patterns whose sign changes over the picture count too. Each frequency
    (i/8, j/8) but (0, 0) is compared with the four half a step off along both axes, which no such
    pattern touches; one on an axis, where upright edges have their energy, with the two on that
    axis. 1 without a grid, more with one; the mean is geometric.
    """
    planes = pixels.astype(np.float64).transpose(2, 0, 1) / 255
    height, width = planes.shape[1:]
    if min(height, width) < _BLOCK:
        raise ValueError(f"{height} x {width} pixels are too few for windows of {_BLOCK}")
    window = np.outer(*[np.hanning(_BLOCK + 1)[:-1]] * 2)
    power = np.zeros((_BLOCK, _BLOCK))
    for top in range(0, height - _BLOCK + 1, _BLOCK // 2):
        for left in range(0, width - _BLOCK + 1, _BLOCK // 2):
            block = planes[:, top : top + _BLOCK, left : left + _BLOCK]
            block = block - block.mean((1, 2), keepdims=True)
            power += np.square(np.abs(np.fft.fft2(block * window))).sum(0)
    power += 1e-6 * power.mean()  # a flat picture has no grid
    step = _BLOCK // _STRIDE
    smooth = sum(np.roll(power, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1))
    logs = np.log(np.asarray(smooth))
    half = step // 2
    around = _average_of_shifts(logs, [(i, j) for i in (-half, half) for j in (-half, half)])
    around[0] = _average_of_shifts(logs, [(0, -half), (0, half)])[0]
    around[:, 0] = _average_of_shifts(logs, [(-half, 0), (half, 0)])[:, 0]
    excess = (logs - around)[::step, ::step]
    return float(np.exp(excess.ravel()[1:].mean()))


def _average_of_shifts(values: Double, shifts: list[tuple[int, int]]) -> Double:
    average: Double = np.mean([np.roll(values, shift, (0, 1)) for shift in shifts], 0)
    return average
