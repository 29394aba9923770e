"""Total variation, of a whole picture or of what a tile sees of it.

The loss is the sum of the squared differences of neighbouring pixels, down and across (the CS231n
assignment's form). A difference belongs to the upper or left one of its two pixels, so that every
one is counted once when the insides of tiles cover the picture; what a tile sees around its inside
must hold the neighbours.
"""

from __future__ import annotations

import numpy as np

from .images import Array

__all__ = ["variation", "variation_slope"]


def variation(pixels: Array, rows: slice, columns: slice) -> float:
    """The loss of the inside ``rows`` x ``columns`` of ``pixels`` [1, C, h, w], in float64."""
    loss = 0.0
    down = slice(rows.start, rows.stop + 1)
    across = slice(columns.start, columns.stop + 1)
    for plane in pixels[0]:
        for part, axis in ((plane[down, columns], 0), (plane[rows, across], 1)):
            loss += float(np.square(np.diff(part, axis=axis)).sum(dtype=np.float64))
    return loss


def variation_slope(pixels: Array, rows: slice, columns: slice) -> Array:
    """The loss's gradient at the inside, [1, C, rows, columns]."""
    top, left = max(0, rows.start - 1), max(0, columns.start - 1)
    around = pixels[0, :, top : rows.stop + 1, left : columns.stop + 1]
    slope = np.zeros_like(around)
    for plane, own in zip(around, slope, strict=True):
        for axis in (0, 1):
            difference = np.diff(plane, axis=axis)
            difference *= 2
            ahead, behind = own.swapaxes(0, axis)[1:], own.swapaxes(0, axis)[:-1]
            ahead += difference.swapaxes(0, axis)
            behind -= difference.swapaxes(0, axis)
    inside = (
        slice(rows.start - top, rows.stop - top),
        slice(columns.start - left, columns.stop - left),
    )
    found: Array = slope[(None, slice(None), *inside)]
    return found
