"""The guide: the picture that is made of the styles' own patches, laid where they match.

Each place gets the square of pixels around its match, under a window that falls off to the sides;
where windows overlap, the mean counts, weighed by them. Neighbours that agree overlap with the same
pixels and nothing is blurred. Origins are jittered, so that no grid of windows is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import Array
from .descriptors import Grid
from .matching import Matches, Pool

__all__ = ["Canvas", "Patchwork"]

_SIDE = 12
"""A patch's side, in pixels at a grid of 4; in other grids in proportion."""


@dataclass(frozen=True)
class Canvas:
    """The styles' pixels, [H, W, 3], one below the other with mirrored borders, and where each
    style's row 0 is.
    """

    pixels: Array
    origins: tuple[int, ...]
    border: int

    @classmethod
    def of(cls, styles: Sequence[Array], stride: int) -> Canvas:
        """The canvas of styles [H, W, 3] whose places are ``stride`` pixels apart."""
        border = _SIDE * stride // 4
        width = max(style.shape[1] for style in styles) + 2 * border
        parts, origins, top = [], [], 0
        for style in styles:
            right = width - border - style.shape[1]
            around = ((border, border), (border, right), (0, 0))
            parts.append(np.pad(style, around, mode="symmetric"))
            origins.append(top + border)
            top += len(parts[-1])
        return cls(np.concatenate(parts), tuple(origins), border)


class Patchwork:
    """The guide of these ``matches`` of ``grid``'s places, which is laid some rows at a time.

    ``canvas`` has the pixels of the ``pool``'s styles, in whose units the guide is.
    """

    def __init__(self, matches: Matches, pool: Pool, canvas: Canvas, grid: Grid, seed: int) -> None:
        stride = grid.stride
        self._grid, self._pixels = grid, canvas.pixels
        self._side = _SIDE * stride // 4
        generator = np.random.default_rng([seed, 3])
        # Within a stride: origins of neighbours stay apart, and no two patches meet in one pixel.
        down, right = (
            generator.integers(0, stride, grid.shape) - (stride - 1) // 2 - self._side // 2
            for _ in range(2)
        )
        top = pool.top[matches.row]
        first = np.array(canvas.origins)[np.searchsorted(np.unique(pool.top), top)] + grid.first
        rows = first + stride * (matches.row - top) + down
        columns = canvas.border + grid.first + stride * matches.column + right
        self._source = rows * self._pixels.shape[1] + columns
        self._row = grid.centres(0)[:, None] + down
        self._column = grid.centres(1)[None, :] + right + self._side

    def rows(self, wanted: slice, width: int) -> Array:
        """The rows [h, width, 3] of the guide."""
        side, stride = self._side, self._grid.stride
        near = slice(
            max(0, (wanted.start - self._grid.first - side) // stride),
            (wanted.stop - self._grid.first + side) // stride + 1,
        )
        above = wanted.start - 2 * side
        across = self._grid.shape[1] * stride + 3 * side
        tall = wanted.stop - wanted.start + 4 * side
        target = ((self._row[near] - above) * across + self._column[near]).ravel()
        source = self._source[near].ravel()
        total, weight = (np.zeros((tall * across, n), np.float32) for n in (3, 1))
        window = np.square(np.sin(np.pi * (np.arange(side) + 0.5) / side)).astype(np.float32)
        pixels = self._pixels.reshape(-1, 3)
        for y in range(side):
            for x in range(side):
                share = window[y] * window[x]
                at = target + (y * across + x)
                total[at] += share * pixels[source + (y * self._pixels.shape[1] + x)]
                weight[at] += share
        rows, columns = slice(2 * side, tall - 2 * side), slice(side, side + width)
        laid = total.reshape(tall, across, 3)[rows, columns]
        laid /= weight.reshape(tall, across, 1)[rows, columns]
        return laid
