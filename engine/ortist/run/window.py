"""Windows on a picture: as large as it is, moved by some pixels, its edges repeated beyond them.

So every pixel is seen at nearly every step, and the network's own padding lies over repeated edges
as often as over the picture's. (A window that is cut from the picture shows a corner pixel once in
jitter^2 steps, and stands at one side of the picture all the time: flat pictures got borders.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Field

__all__ = ["Folded", "Shifted"]


class Shifted:
    """What a window shows of ``source`` [..., H, W], moved ``down`` and ``right`` by those pixels.

    It has the source's shape and type, and is computed as parts of it are asked for.
    """

    def __init__(self, source: Field, down: int, right: int) -> None:
        self._source, self._moved = source, (down, right)
        self.shape: tuple[int, ...] = tuple(source.shape)
        self.dtype, self.nbytes = source.dtype, source.nbytes

    def __getitem__(self, key: Any) -> NDArray[Any]:
        places = [
            (np.arange(*part.indices(length)) + moved).clip(0, length - 1)
            for part, length, moved in zip(key[-2:], self.shape[-2:], self._moved, strict=True)
        ]
        parts: Any = (..., *(slice(int(place[0]), int(place[-1]) + 1) for place in places))
        block: NDArray[Any] = self._source[parts]
        (above, below), (left, right) = map(_repeated, places)
        if not above + below + left + right:
            return np.ascontiguousarray(block)
        shown = np.empty((*self.shape[:-2], *map(len, places)), self.dtype)
        rows, columns = shown.shape[-2:]
        inside = slice(above, rows - below)
        shown[..., inside, left : columns - right] = block
        shown[..., inside, :left] = block[..., :1]
        shown[..., inside, columns - right :] = block[..., -1:]
        shown[..., :above, :] = shown[..., above : above + 1, :]
        shown[..., rows - below :, :] = shown[..., rows - below - 1 : rows - below, :]
        return shown


class Folded:
    """The gradient of the source of a ``Shifted`` array, of whose own it is made, [..., H, W].

    A pixel gets what all its repetitions have, and zero where the window does not show it.
    """

    def __init__(self, gradient: Field, down: int, right: int) -> None:
        self._gradient, self._moved = gradient, (down, right)
        self.shape: tuple[int, ...] = tuple(gradient.shape)
        self.dtype, self.nbytes = gradient.dtype, gradient.nbytes

    def __getitem__(self, key: Any) -> NDArray[Any]:
        wanted = [range(*p.indices(n)) for p, n in zip(key[-2:], self.shape[-2:], strict=True)]
        folded = np.zeros((*self.shape[:-2], *map(len, wanted)), self.dtype)
        shown = [
            _shown(own, length, moved)
            for own, length, moved in zip(wanted, self.shape[-2:], self._moved, strict=True)
        ]
        if not all(len(places) for places in shown):
            return folded
        parts: Any = (..., *(slice(places.start, places.stop) for places in shown))
        block: NDArray[Any] = self._gradient[parts]
        ends = zip(shown, self.shape[-2:], self._moved, strict=True)
        pixels = [(np.arange(s.start, s.stop) + moved).clip(0, n - 1) for s, n, moved in ends]
        (above, below), (left, right) = map(_repeated, pixels)
        target: Any = tuple(
            slice(int(own[0]) - asked.start, int(own[-1]) - asked.start + 1)
            for own, asked in zip(pixels, wanted, strict=True)
        )
        inside = folded[(..., *target)]
        _merge_rows(block[..., left : block.shape[-1] - right], inside, above, below)
        for edge, beyond in (
            (slice(1), block[..., : left + 1]),
            (slice(-1, None), block[..., -right - 1 :]),
        ):
            if beyond.shape[-1] > 1:
                merged = np.empty((*inside.shape[:-1], beyond.shape[-1]), self.dtype)
                _merge_rows(beyond, merged, above, below)
                inside[..., edge] = _sum(merged, -1)
        return folded


def _repeated(pixels: NDArray[Any]) -> tuple[int, int]:
    """How many places before the first pixel's last one show it too, and after the last one's."""
    first = int(np.searchsorted(pixels, pixels[0], "right")) - 1
    if first == len(pixels) - 1:
        return first, 0
    return first, len(pixels) - 1 - int(np.searchsorted(pixels, pixels[-1]))


def _merge_rows(lines: NDArray[Any], merged: NDArray[Any], above: int, below: int) -> None:
    """Writes ``lines`` [..., H, W], so many of which at the ends are added to those inside."""
    merged[...] = lines[..., above : lines.shape[-2] - below, :]
    if above:
        merged[..., :1, :] = _sum(lines[..., : above + 1, :], -2)
    if below:
        merged[..., -1:, :] = _sum(lines[..., -below - 1 :, :], -2)


def _sum(lines: NDArray[Any], axis: int) -> NDArray[Any]:
    """Their sum along the axis, which is kept, always added up in the same order.

    ``sum`` chooses the order by the shape, which parts of a picture have another of than the whole.
    """
    total: NDArray[Any] = np.add.reduceat(lines, [0], axis, dtype=lines.dtype)
    return total


def _shown(pixels: range, length: int, moved: int) -> range:
    """The places of the window that show one of these pixels, of ``length`` along the axis."""
    first, last = pixels.start - moved, pixels.stop - moved
    if pixels.start == 0:
        first = min(first, 0)
    if pixels.stop == length:
        last = max(last, length)
    first, last = max(0, first), min(length, last)
    return range(first, max(first, last))
