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
_ROWS = 128
"""Rows of a style that are copied at a time."""


@dataclass(frozen=True)
class Canvas:
    """The styles' pixels, [H, W, 4], one below the other with mirrored borders, and where each
    style's row 0 is. The fourth value is 1: of it comes how much lies on a pixel.
    """

    pixels: Array
    origins: tuple[int, ...]
    border: int

    @classmethod
    def of(cls, styles: Sequence[Array], stride: int) -> Canvas:
        """The canvas of styles [H, W, 3] whose places are ``stride`` pixels apart."""
        border = _SIDE * stride // 4
        width = max(style.shape[1] for style in styles) + 2 * border
        origins, top = [], 0
        pixels = np.ones((sum(len(s) + 2 * border for s in styles), width, 4), np.float32)
        for style in styles:
            right = width - border - style.shape[1]
            rows = np.pad(np.arange(len(style)), border, mode="symmetric")
            columns = np.pad(np.arange(style.shape[1]), (border, right), mode="symmetric")
            for part in np.split(rows, range(_ROWS, len(rows), _ROWS)):  # no second copy of all
                pixels[top : top + len(part), :, :3] = style[part][:, columns]
                top += len(part)
            origins.append(top - len(rows) + border)
        return cls(pixels, tuple(origins), border)


class Patchwork:
    """The guide of these ``matches`` of ``grid``'s places, which is laid some rows at a time.

    ``canvas`` has the pixels of the ``pool``'s styles, in whose units the guide is.

    Windows are three strides wide and lie anywhere in squares of four, so that jittered patches are
    added up as squares on a regular grid. Every fourth square of a row stands right beside the one
    before, and these are added at once, in long lines.
    """

    def __init__(self, matches: Matches, pool: Pool, canvas: Canvas, grid: Grid, seed: int) -> None:
        self._grid, stride = grid, grid.stride
        side = _SIDE * stride // 4
        self._square = side + stride
        self._before = (stride - 1) // 2 + side // 2
        """How far above and left of its place a square begins."""
        generator = np.random.default_rng([seed, 3])
        # Within a stride: origins of neighbours stay apart.
        self._down, self._right = (generator.integers(0, stride, grid.shape) for _ in range(2))
        window = np.square(np.sin(np.pi * (np.arange(side) + 0.5) / side)).astype(np.float32)
        self._windows: Array = np.stack([np.pad(window, (j, stride - j)) for j in range(stride)])
        """By jitter, the window within the square."""
        style = pool.style_of(matches.row)
        first = np.array(canvas.origins)[style] + grid.first - self._before
        self._rows = first + stride * (matches.row - pool.top[matches.row])
        self._columns = (
            canvas.border + grid.first - self._before + stride * matches.column.astype(np.intp)
        )
        lines = canvas.pixels.reshape(len(canvas.pixels), -1)
        self._squares = np.lib.stride_tricks.sliding_window_view(
            lines, (self._square, 4 * self._square)
        )[:, ::4]

    def rows(self, wanted: slice, width: int) -> Array:
        """The rows of the guide, [1, 3, h, width]."""
        grid, square, stride = self._grid, self._square, self._grid.stride
        begin = grid.first - self._before
        """The pixel at which the first place's square begins."""
        top = max(0, -(-(wanted.start - begin - square + 1) // stride))
        end = min(grid.shape[0], (wanted.stop - 1 - begin) // stride + 1)
        tall = (end - top - 1) * stride + square
        total = np.zeros((tall, ((grid.shape[1] - 1) * stride + square) * 4), np.float32)
        for row in range(top, end):
            down, right = self._windows[self._down[row]], self._windows[self._right[row]]
            laid = self._squares[self._rows[row], self._columns[row]]
            laid *= down[:, :, None]
            laid *= right.repeat(4, axis=1)[:, None]
            _add(total[(row - top) * stride :][:square], laid, 4 * stride)
        above = begin + top * stride
        inside = slice(wanted.start - above, wanted.stop - above), slice(-begin, width - begin)
        *colors, weight = np.moveaxis(total.reshape(tall, -1, 4)[inside], 2, 0)
        return np.stack([color / weight for color in colors])[None]


def _add(total: Array, squares: Array, stride: int) -> None:
    """Adds ``squares`` [places, s, w], their left sides a ``stride`` apart, to [s, W]."""
    places, tall, wide = squares.shape
    every = wide // stride
    for first in range(min(every, places)):
        own = squares[first::every]
        line = total[:, first * stride :][:, : len(own) * wide]
        line.reshape(tall, len(own), wide)[...] += own.transpose(1, 0, 2)
