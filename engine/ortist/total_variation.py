"""Total variation: how rough a picture is, and its gradient, as two sums over pairs of pixels.

    squares      sum over neighbours right and below of (x_i - x_j)^2, as in the CS231n assignment
    nine-point   2/3 of that, plus 1/6 of the sum over diagonal neighbours

Of a smooth picture both are the integral of |grad x|^2 to second order, so one weight suits both.
The gradient of the first is the five-point Laplacian, which smooths along rows and columns more
than along diagonals; that of the second is the nine-point one, whose error has no direction. (As in
crowsonkb/style-transfer-pytorch, but for the borders: pairs that are not there count nothing here,
where it repeats the border's pixels.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["total_variation"]

_PAIRS: Mapping[str, list[tuple[tuple[int, int], float]]] = {
    "squares": [((1, 0), 1.0), ((0, 1), 1.0)],
    "nine-point": [((1, 0), 2 / 3), ((0, 1), 2 / 3), ((1, 1), 1 / 6), ((1, -1), 1 / 6)],
}
"""The neighbours of a pixel, (rows down, columns right), and the weights of their differences."""


def total_variation(
    image: NDArray[Any], form: str = "squares", wraps: bool = False
) -> tuple[float, NDArray[Any]]:
    """The loss of ``image`` [1, C, H, W] and its gradient, in the image's own precision.

    With ``wraps`` pixels at opposite edges are neighbours.
    """
    gradient = np.zeros_like(image)
    loss = 0.0
    for plane, slope in zip(image[0], gradient[0], strict=True):
        for (down, right), weight in _PAIRS[form]:
            if wraps:
                difference = np.roll(plane, (-down, -right), (0, 1)) - plane
                loss += weight * float(np.square(difference).sum(dtype=np.float64))
                difference *= 2 * weight
                slope += np.roll(difference, (down, right), (0, 1))
                slope -= difference
                continue
            there, here = _pairs(plane, down, right)
            difference = there - here
            loss += weight * float(np.square(difference).sum(dtype=np.float64))
            difference *= 2 * weight
            there, here = _pairs(slope, down, right)
            there += difference
            here -= difference
    return loss, gradient


def _pairs(plane: NDArray[Any], down: int, right: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Views [H - down, W - |right|]: the neighbours, and what they are neighbours of."""
    height, width = plane.shape
    left, most = max(right, 0), width + min(right, 0)
    there = plane[down:, left:most]
    return there, plane[: height - down, left - right : most - right]
