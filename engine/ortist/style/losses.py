"""Style losses: how far the statistics of a picture's features are from the style's.

Each is a function of one tap's statistics Q = mean of F F^T and mu = mean of F (style/moments.py),
made for a target by one of ``STYLE_LOSSES``. Called with a picture's statistics it returns its
value, dL/dQ [C, C] (symmetric) and dL/dmu [C], from which dL/dF_n = (2 dL/dQ F_n + dL/dmu) / N.

With C channels, Sigma = Q - mu mu^T and sigma the root of Sigma's diagonal:

    gram      ||Q - Q_t||^2 / C^2                                      Gatys et al., CVPR 2016
    meanstd   (||mu - mu_t||^2 + ||sigma - sigma_t||^2) / C            Huang and Belongie, ICCV 2017
    w2        (||mu - mu_t||^2 + tr(Sigma + Sigma_t - 2 (Sigma_t^1/2 Sigma Sigma_t^1/2)^1/2)) / C

gram is the sum of squared differences of Gram matrices that are divided by C N, as in the CS231n
assignment. w2 is the squared 2-Wasserstein distance of two Gaussians (Gelbrich, Math. Nachr. 147,
1990), over C. All are computed in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .moments import Double, Statistics

__all__ = ["STYLE_LOSSES", "StyleLoss", "energy"]

Found = tuple[float, Double, Double | None]


@dataclass(frozen=True)
class StyleLoss:
    """A loss against a target, times ``factor``; called as the module's docstring says.

    dL/dmu is None, and ``shifts`` False, where the loss does not look at the mean. ``alone`` finds
    the value, and nothing else, where that is less work.
    """

    function: Callable[[Statistics], Found]
    shifts: bool = True
    factor: float = 1.0
    alone: Callable[[Statistics], float] | None = None

    def __call__(self, seen: Statistics) -> Found:
        value, d_second, d_mean = found = self.function(seen)
        if self.factor == 1:
            return found
        d_mean = None if d_mean is None else self.factor * d_mean
        return self.factor * value, self.factor * d_second, d_mean

    def value(self, seen: Statistics) -> float:
        """The loss without its derivatives, to rounding."""
        return self.factor * (self.function(seen)[0] if self.alone is None else self.alone(seen))


_RIDGE = 1e-4
"""Added to both covariances, as a share of the target's mean square per channel.

The roots in meanstd and w2 have no derivative at 0, which flat pictures and layers with more
channels than positions reach. The loss with the ridge is smooth, and still 0 only at the target.
"""


def gram(target: Statistics) -> StyleLoss:
    """||Q - Q_t||^2 / C^2 against ``target``; it does not look at the mean."""
    square = len(target.mean) ** 2
    second: dict[Any, Any] = {  # in float64, or as within a step
        np.dtype(kind): target.second.astype(kind) for kind in (np.float32, np.float64)
    }

    def loss(seen: Statistics) -> Found:
        difference = seen.second - second[seen.second.dtype]
        value = float(np.square(difference).sum()) / square
        difference *= 2 / square
        return value, difference, None

    return StyleLoss(loss, shifts=False)


def mean_std(target: Statistics) -> StyleLoss:
    """(||mu - mu_t||^2 + ||sigma - sigma_t||^2) / C against ``target``, sigma with the ridge."""
    channels, ridge = len(target.mean), _ridge(target)
    deviation_target = _deviations(target, ridge)

    def loss(seen: Statistics) -> Found:
        deviation = _deviations(seen, ridge)
        shift, spread = seen.mean - target.mean, deviation - deviation_target
        value = float(shift @ shift + spread @ spread) / channels
        d_variance = spread / deviation  # d(sigma - sigma_t)^2 / d(sigma^2)
        d_mean = 2 * (shift - d_variance * seen.mean) / channels
        return value, np.diag(d_variance / channels), d_mean

    return StyleLoss(loss)


def wasserstein(target: Statistics) -> StyleLoss:
    """The squared 2-Wasserstein distance to ``target`` of two Gaussians, over C, with the ridge.

    C dL/dSigma = I - A, where A maps N(0, Sigma) onto N(0, Sigma_t): A = R (R Sigma R)^-1/2 R with
    R = Sigma_t^1/2 (Olkin and Pukelsheim, Linear Algebra Appl. 48, 1982).
    """
    channels, ridge = len(target.mean), _ridge(target)
    covariance_target = _covariance(target, ridge)
    values, vectors = np.linalg.eigh(covariance_target)
    root = (vectors * np.sqrt(np.maximum(values, ridge))) @ vectors.T

    def loss(seen: Statistics) -> Found:
        covariance = _covariance(seen, ridge)
        values, vectors = np.linalg.eigh(root @ covariance @ root)
        roots, shift = roots_of(values), seen.mean - target.mean
        half = root @ vectors
        d_covariance = np.eye(channels) - (half / roots) @ half.T
        d_mean = 2 * (shift - d_covariance @ seen.mean) / channels
        return distance(shift, covariance, roots), d_covariance / channels, d_mean

    def alone(seen: Statistics) -> float:
        covariance = _covariance(seen, ridge)
        roots = roots_of(np.linalg.eigvalsh(root @ covariance @ root))
        return distance(seen.mean - target.mean, covariance, roots)

    def roots_of(values: Double) -> Double:
        return np.sqrt(np.maximum(values, ridge * ridge))  # no less, but for rounding

    def distance(shift: Double, covariance: Double, roots: Double) -> float:
        bures = np.trace(covariance) + np.trace(covariance_target) - 2 * roots.sum()
        return float(shift @ shift + bures) / channels

    return StyleLoss(loss, alone=alone)


STYLE_LOSSES: Mapping[str, Callable[[Statistics], StyleLoss]] = {
    "gram": gram,
    "meanstd": mean_std,
    "w2": wasserstein,
}
"""By the name of the option: the statistics of a style's tap -> the loss against them."""


def energy(loss: StyleLoss, channels: int) -> float:
    """E, the loss of a picture whose features are all zero: how large the target is.

    Balanced weights divide by it (objective/weights.py). For gram it is ||Q_t||^2 / C^2, for the
    others, but for the ridge, tr Q_t / C, the features' mean square.
    """
    return loss.value(Statistics(np.zeros((channels, channels)), np.zeros(channels)))


def _ridge(target: Statistics) -> float:
    """What is added to the variance of every channel, positive; for a zero target any will do."""
    return _RIDGE * float(np.trace(target.second)) / len(target.mean) or 1e-12


def _covariance(statistics: Statistics, ridge: float) -> Double:
    """Sigma [C, C], with the ridge on its diagonal."""
    covariance: Double = statistics.second - np.outer(statistics.mean, statistics.mean)
    covariance[np.diag_indices_from(covariance)] += ridge
    return covariance


def _deviations(statistics: Statistics, ridge: float) -> Double:
    """sigma [C], with the ridge under the root."""
    variance = np.diagonal(statistics.second) - np.square(statistics.mean)
    return np.sqrt(np.maximum(variance, 0) + ridge)
