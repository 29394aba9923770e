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

__all__ = ["add_variation", "variation_norm"]

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
        total += _variation(pixels, form, *inside)
        key = (..., rows, slice(None))
        gradient[key] = gradient[key] + np.float32(scale) * _slope(pixels, form, *inside)
    return total


def variation_norm(image: Field, form: str, wraps: bool = False) -> float:
    """The norm of the loss's gradient."""
    square = 0.0
    for _, pixels, inside in _strips(image, wraps):
        square += float(np.square(_slope(pixels, form, *inside), dtype=np.float64).sum())
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


def _variation(pixels: NDArray[Any], form: str, rows: slice, columns: slice) -> float:
    """The loss of the inside ``rows`` x ``columns`` of ``pixels`` [1, C, h, w], in float64.

    A pair belongs to the one of its pixels that ``_PAIRS`` starts from, so that each is counted
    once when the insides of tiles cover a picture; ``pixels`` must hold the neighbours.
    """
    loss = 0.0
    for plane in pixels[0]:
        for offset, weight in _PAIRS[form]:
            there, here = _pairs(plane, *offset, rows, columns)
            loss += weight * float(np.square(there - here).sum(dtype=np.float64))
    return loss


def _slope(pixels: NDArray[Any], form: str, rows: slice, columns: slice) -> NDArray[Any]:
    """The loss's gradient at the inside, [1, C, rows, columns]."""
    top, left = max(0, rows.start - 1), max(0, columns.start - 1)
    around = pixels[0, :, top : rows.stop + 1, left : columns.stop + 1]
    everything = slice(0, around.shape[1]), slice(0, around.shape[2])
    slope = np.zeros_like(around)
    for plane, own in zip(around, slope, strict=True):
        for offset, weight in _PAIRS[form]:
            there, here = _pairs(plane, *offset, *everything)
            difference = there - here
            difference *= 2 * weight
            there, here = _pairs(own, *offset, *everything)
            there += difference
            here -= difference
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    found: NDArray[Any] = slope[(None, slice(None), *inside)]
    return found


def _pairs(
    plane: NDArray[Any], down: int, right: int, rows: slice, columns: slice
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Views of one shape: the neighbours, and those in ``rows`` x ``columns`` that have them."""
    height, width = plane.shape
    top, bottom = rows.start, min(rows.stop, height - down)
    first, last = max(columns.start, -right), min(columns.stop, width - right)
    there = plane[top + down : bottom + down, first + right : last + right]
    return there, plane[top:bottom, first:last]
