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
        for axis, place in zip((-2, -1), places, strict=True):
            if block.shape[axis] != len(place):
                block = block.take(place - place[0], axis)
        return np.ascontiguousarray(block)


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
        target: list[Any] = [...]
        ends = zip((-2, -1), shown, wanted, self.shape[-2:], self._moved, strict=True)
        for axis, places, own, length, moved in ends:
            pixels = (np.arange(places.start, places.stop) + moved).clip(0, length - 1)
            firsts = np.flatnonzero(np.diff(pixels, prepend=-1))
            if len(firsts) < len(pixels):
                block = np.add.reduceat(block, firsts, axis, dtype=self.dtype)
            target.append(slice(int(pixels[0]) - own.start, int(pixels[-1]) - own.start + 1))
        folded[tuple(target)] = block
        return folded


def _shown(pixels: range, length: int, moved: int) -> range:
    """The places of the window that show one of these pixels, of ``length`` along the axis."""
    first, last = pixels.start - moved, pixels.stop - moved
    if pixels.start == 0:
        first = min(first, 0)
    if pixels.stop == length:
        last = max(last, length)
    first, last = max(0, first), min(length, last)
    return range(first, max(first, last))
