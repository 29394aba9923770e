"""What is decided between the way there and the way back: the losses, and how each tap pulls.

Between both, all that is known of an image are sums over its positions (pieces.Sums). From those of
a tap come its losses and the M, v and w of their gradient dL/dF = sum_r T_r o (M_r F + v_r 1^T) +
2 w (F - P). Nothing else in the program knows what a Gram loss is, or that there are regions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..style.losses import StyleLoss
from ..style.moments import Double, Moments
from .pieces import Pull, Sums
from .weights import Weights

__all__ = ["Decider"]

_NEAR = 1e-4
"""A normalised gradient is not blown up where features are as near as this to the content's."""


@dataclass
class Decider:
    """The decisions of one evaluation; ``style`` are the losses that came of them, by tap.

    ``losses`` has one for each region, by tap; ``taps`` are the content's. With ``energies``,
    ||P||^2 of the content by tap, the gradient of every term is divided by its own norm before it
    is weighted (as --normalize_gradients does in jcjohnson/neural-style, which takes the L1 norm,
    here L2). What is then followed is no longer the gradient of the losses.
    """

    losses: Mapping[int, Sequence[StyleLoss]]
    taps: Sequence[int]
    weights: Weights
    energies: Mapping[int, float] | None = None
    style: dict[int, float] = field(default_factory=dict)

    def __call__(self, tap: int, sums: Sums) -> Pull:
        """How ``tap`` pulls, by its ``sums`` over the whole image."""
        mixing, shift = None, None
        if tap in self.losses:
            # What leaves float32 is an infinite loss, of which the run says that it diverged.
            with np.errstate(over="ignore", invalid="ignore"):
                mixing, shift = self._style(tap, sums.moments[tap], sums.positions[tap])
        weight = self._content_weight(tap, sums) if tap in self.taps else None
        return Pull(mixing, shift, weight)

    def value(self, tap: int, sums: Sums) -> None:
        """Finds the tap's style loss alone, by its ``sums`` over the whole image."""
        positions, total = sums.positions[tap], 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for loss, moments in zip(self.losses[tap], sums.moments[tap], strict=True):
                if moments.mass > 0:
                    total += loss.value(moments.statistics()) * moments.mass / positions
        self.style[tap] = self.weights.style[tap] * total

    def _style(
        self, tap: int, regions: Sequence[Moments], positions: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """M [R, C, C] and v [R, C], or None where no loss looks at the mean.

        A region's loss counts by its share of the positions, mass / N, so that the style pulls as
        hard at a pixel of a small region as at one of a large one: M = 2 w / N dL/dQ and v = w / N
        dL/dmu. A region that the image does not show has no loss.
        """
        weight, channels = self.weights.style[tap], len(regions[0].first)
        found: dict[int, tuple[Double, Double | None]] = {}
        value = 0.0
        for region, (loss, moments) in enumerate(zip(self.losses[tap], regions, strict=True)):
            if moments.mass > 0:
                own, d_second, d_mean = loss(moments.statistics())
                value += own * moments.mass / positions
                found[region] = d_second, d_mean
        self.style[tap] = weight * value
        scale = weight / positions
        if self.energies is not None:
            scale = weight / (_norm(found, regions) or 1.0)
        mixing = np.zeros((len(regions), channels, channels), np.float32)
        shift = None
        if any(loss.shifts for loss in self.losses[tap]):
            shift = np.zeros((len(regions), channels), np.float32)
        for region, (d_second, d_mean) in found.items():
            np.multiply(d_second, 2 * scale, out=mixing[region], casting="same_kind")
            if shift is not None and d_mean is not None:
                shift[region] = scale * d_mean
        return mixing, shift

    def _content_weight(self, tap: int, sums: Sums) -> float:
        """w of 2 w (F - P)."""
        weight = self.weights.content[tap]
        if self.energies is None:
            return weight
        square = max(sums.errors[tap], _NEAR**2 * self.energies[tap])
        return weight / (2 * float(np.sqrt(square)) or 1.0)


def _norm(
    derivatives: Mapping[int, tuple[Double, Double | None]], regions: Sequence[Moments]
) -> float:
    """||dL/dF||, but for the factor 1 / N, from the moments: the root of the sum over regions of
    tr(M S M) + 2 v' M m + mass v' v.

    Exact where guides are 0 or 1 and regions do not overlap; else squares count by the guide.
    """
    square = 0.0
    for region, (d_second, column) in derivatives.items():
        matrix, moments = 2 * d_second, regions[region]
        square += float(((matrix @ moments.second) * matrix).sum())
        if column is not None:
            square += float(2 * column @ matrix @ moments.first + moments.mass * column @ column)
    return float(np.sqrt(max(square, 0.0)))
