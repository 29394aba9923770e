"""Memory of arrays that are no more, for new ones of their size.

A step makes the same arrays as the one before. Fresh memory is handed out by the system page by
page, each wiped first: of three arrays of 4 MB that took longer than to compute them.
"""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Recycler"]


class Recycler:
    """Hands out arrays; what was one's memory is another's when nothing refers to it any more.

    It keeps memory of the size alone that was asked for last, since a run that goes on to a larger
    scale does not come back. May be used by several threads.
    """

    def __init__(self) -> None:
        self._size, self._free = 0, list[memoryview]()

    def empty(self, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        """An array with unset values."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype)
        if size != self._size:
            self._size, self._free = size, []
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(size, np.uint8).data
        # Every view of an array refers to the one whose own the memory is, and of these this is
        # not one: so it is what they refer to, and is gone when the last of them is.
        array = np.frombuffer(memory, dtype)
        weakref.finalize(array, self._take_back, memory).atexit = False
        return array.reshape(shape)

    def _take_back(self, memory: memoryview) -> None:
        if len(memory) == self._size:
            self._free.append(memory)
