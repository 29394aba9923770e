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

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Field, row_slices

__all__ = ["add_variation", "variation", "variation_norm"]

_PAIRS: Mapping[str, list[tuple[tuple[int, int], float]]] = {
    "squares": [((1, 0), 1.0), ((0, 1), 1.0)],
    "nine-point": [((1, 0), 2 / 3), ((0, 1), 2 / 3), ((1, 1), 1 / 6), ((1, -1), 1 / 6)],
}
"""The neighbours of a pixel, (rows down, columns right), and the weights of their differences."""


def add_variation(
    image: Field, gradient: Any, form: str, scale: float, wraps: bool = False
) -> float:
    """The loss of ``image`` [1, C, H, W]; ``scale`` times its gradient is added to ``gradient``.

    Rows are done a few at a time, wherever both arrays are. With ``wraps`` pixels at opposite edges
    are neighbours.
    """
    total = 0.0
    for rows, pixels, inside in _strips(image, wraps):
        loss, slope = _variation(pixels, form, *inside)
        key = (..., rows, slice(None))
        gradient[key] = gradient[key] + np.float32(scale) * slope
        total += loss
    return total


def variation(image: Field, form: str, wraps: bool = False) -> float:
    """The loss of ``image`` [1, C, H, W] alone."""
    return sum(_variation(part, form, *inside)[0] for _, part, inside in _strips(image, wraps))


def variation_norm(image: Field, form: str, wraps: bool = False) -> float:
    """The norm of the loss's gradient."""
    square = 0.0
    for _, pixels, inside in _strips(image, wraps):
        _, slope = _variation(pixels, form, *inside)
        square += float(np.square(slope, dtype=np.float64).sum())
    return float(np.sqrt(square))


def _strips(image: Field, wraps: bool) -> Iterator[tuple[slice, NDArray[Any], tuple[slice, slice]]]:
    """Rows, the pixels there with their neighbours, and where in those the rows' own ones are."""
    height, width = image.shape[2:]
    for rows in row_slices(image):
        if wraps:
            places = [i % height for i in range(rows.start - 1, rows.stop + 1)]
            pixels = np.pad(np.asarray(image).take(places, 2), ((0, 0),) * 3 + ((1, 1),), "wrap")
            yield rows, pixels, (slice(1, 1 + rows.stop - rows.start), slice(1, 1 + width))
            continue
        top = max(0, rows.start - 1)
        pixels = image[(..., slice(top, min(height, rows.stop + 1)), slice(None))]
        yield rows, pixels, (slice(rows.start - top, rows.stop - top), slice(0, width))


def _variation(
    pixels: NDArray[Any], form: str, rows: slice, columns: slice
) -> tuple[float, NDArray[Any]]:
    """The loss of the inside ``rows`` x ``columns`` of ``pixels`` [1, C, h, w], and its gradient.

    A pair belongs to the one of its pixels that ``_PAIRS`` starts from, so that each is counted
    once, in float64, when the insides of strips cover a picture; ``pixels`` must hold the
    neighbours.
    """
    loss, slope = 0.0, np.zeros_like(pixels)
    for plane, own in zip(pixels[0], slope[0], strict=True):
        for (down, right), weight in _PAIRS[form]:
            there, here = _pairs(plane, down, right)
            difference = there - here
            first = max(0, -right)  # the column where ``here`` begins
            inside = difference[rows, max(0, columns.start - first) : columns.stop - first]
            loss += weight * float(np.square(inside).sum(dtype=np.float64))
            difference *= 2 * weight
            there, here = _pairs(own, down, right)
            there += difference
            here -= difference
    return loss, slope[..., rows, columns]


def _pairs(plane: NDArray[Any], down: int, right: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Views of one shape: the neighbours, and the pixels that have them."""
    height, width = plane.shape
    first, last = max(0, -right), width - max(0, right)
    return plane[down:, first + right : last + right], plane[: height - down, first:last]
