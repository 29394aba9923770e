"""Moments of features: what every style loss here is a function of.

With the features of a tap as a C x N matrix F and a weight T(n) for each of its N positions:

    S = sum_n T(n) F_n F_n^T  [C, C]      m = sum_n T(n) F_n  [C]      mass = sum_n T(n)

Moments are sums, so parts of a picture can be looked at one after the other. Divided by the mass
they are the statistics of the features, free of the picture's size, and can be blended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array

__all__ = [
    "Moments",
    "Statistics",
    "blend",
    "pack",
    "packed_size",
    "rounded",
    "sum_moments",
    "unpack",
]

Double = NDArray[np.float64]
"""An array of float64."""

_BLOCK = 8192
"""Positions that one float32 product adds up at most (or one row of them); the sums of such blocks
are added in float64. A block stays in the processor's cache."""


class Statistics(NamedTuple):
    """Means over positions: ``second``, S / mass [C, C], and ``mean``, m / mass [C], in float64.

    Within a step ``second`` may be in float32.
    """

    second: Double
    mean: Double


@dataclass(frozen=True)
class Moments:
    """S [C, C], m [C] and the mass, typed like ``Statistics``; ``+`` joins parts of a picture."""

    second: Double
    first: Double
    mass: float

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.second + other.second, self.first + other.first, self.mass + other.mass)

    def statistics(self) -> Statistics:
        """The moments divided by the mass, which must not be 0."""
        return Statistics(self.second / self.mass, self.first / self.mass)


def sum_moments(features: Array, guide: NDArray[Any] | None = None) -> Moments:
    """The moments of ``features`` [1, C, h, w] with weights ``guide`` [h, w], None for all 1.

    Products are added in float32 within blocks of some 8192 positions, and in float64 beyond.
    """
    channels, height, width = features.shape[1:]
    second, first = np.zeros((channels, channels)), np.zeros(channels)
    step = max(1, _BLOCK // width)
    for top in range(0, height, step):
        block = features[0, :, top : top + step].reshape(channels, -1)
        if guide is None:
            first += block.sum(axis=1)
        else:
            # T F F^T as (sqrt(T) F) (sqrt(T) F)^T, which BLAS knows to be symmetric.
            root = np.sqrt(np.asarray(guide[top : top + step], np.float32)).reshape(-1)
            block = block * root
            first += block @ root
        second += block @ block.T
    mass = float(height * width) if guide is None else float(guide.sum(dtype=np.float64))
    return Moments(second, first, mass)


def blend(parts: Sequence[tuple[float, Statistics]]) -> Statistics:
    """The statistics of a mixture: sum_k w_k (second_k, mean_k), of ``parts`` (w_k, statistics_k).

    Weights are not negative, and are divided by their sum. A mixture's covariance is one too,
    whatever the weights. Parts of weight 0 are left out, so that 1 : 0 is exactly the first.
    """
    total = sum(weight for weight, _ in parts)
    shares = [(weight / total, statistics) for weight, statistics in parts if weight > 0]
    if len(shares) == 1:
        return shares[0][1]
    second = np.sum([share * statistics.second for share, statistics in shares], axis=0)
    mean = np.sum([share * statistics.mean for share, statistics in shares], axis=0)
    return Statistics(second, mean)


def packed_size(channels: int) -> int:
    """The number of values that ``pack`` makes of C channels: C (C + 1) / 2 + C."""
    return channels * (channels + 1) // 2 + channels


def pack(statistics: Statistics) -> Array:
    """The statistics in float32: the upper triangle of ``second``, row by row, and then ``mean``.

    A picture's own rounding is coarser: float32 products added up over its positions.
    """
    upper = np.triu_indices(len(statistics.mean))
    return np.concatenate([statistics.second[upper], statistics.mean]).astype(np.float32)


def unpack(values: Array, channels: int) -> Statistics:
    """The statistics of which ``pack`` made ``values``; packed again they are those to the bit."""
    upper = np.triu_indices(channels)
    second = np.empty((channels, channels))
    second[upper] = second.T[upper] = values[: len(upper[0])]
    return Statistics(second, values[len(upper[0]) :].astype(np.float64))


def rounded(statistics: Statistics) -> Statistics:
    """The statistics as a style file keeps them, so that picture and file give the same bytes.

    What ``unpack`` makes of what ``pack`` does, without the indices that take most of their time.
    """
    second = statistics.second.astype(np.float32).astype(np.float64)
    if not np.array_equal(second, second.T):  # nearly always it is symmetric
        second = np.where(np.tri(len(second), dtype=bool), second.T, second)
    return Statistics(second, statistics.mean.astype(np.float32).astype(np.float64))
