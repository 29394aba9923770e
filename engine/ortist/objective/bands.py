"""Bands of rows: how a picture is cut into them, and the arrays of each, which graphs work on.

On the CPU a graph works on the memory of a NumPy array itself. On another device it works on a
copy there, which is moved in and out where the program asks for it. Whoever is bound to an array
keeps it: a ``Bound`` holds every value that its binding points at.

What is kept from segment to segment lies in arrays that are made at the first step and serve all
others. Of one band they are filled in the same order in every step, so that what nothing later in a
step reads can be overwritten by what is made later.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..network.sessions import load_onnxruntime, run_options_giving_back

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = [
    "BAND_PIXELS",
    "CPU",
    "Band",
    "Bound",
    "Buffers",
    "Features",
    "Value",
    "aligned",
    "copied",
    "plan_bands",
]

BAND_PIXELS = 45_000
"""Pixels of a band, about: fewer mean more runs, more do not fit the caches."""
_SMALL = 16384
"""Bytes from which on memory is used again."""
_WASTE = 1.5
"""How much larger than what it takes up memory may be that is used again."""
CPU = "cpu"
"""What ONNX Runtime calls the device on which arrays are NumPy's own."""
_ALIGNMENT = 64
"""Bytes. Some kernels sum in another order where an array begins elsewhere in a cache line, and the
same picture would then not always have the same bytes."""

Features = Mapping[int, list[list[NDArray[np.float32]]]]
"""By tap, the features of each band, in its parts, [1, C, h, w]."""


def plan_bands(
    height: int, width: int, threads: int, unit: int, least: int, band_pixels: int = BAND_PIXELS
) -> list[tuple[int, int]]:
    """The rows [begin, end) of bands of about ``band_pixels``.

    Where the picture is high enough for it, every thread gets the same number of bands: so no
    thread waits long for another, or has to take one whose values its caches do not hold. All
    begin at multiples of ``unit``; the last has ``least`` rows at least.
    """
    count = threads * max(1, round(height * width / band_pixels / threads))
    starts = {round(height * i / count / unit) * unit for i in range(1, count)}
    inner = sorted(start for start in starts if 0 < start <= height - least)
    return list(itertools.pairwise([0, *inner, height]))


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array with unset values that begins with a cache line."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -_address(buffer) % _ALIGNMENT
    array: NDArray[Any] = buffer[start : start + size].view(dtype).reshape(shape)
    return array


def copied(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that begins with a cache line."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


class Value:
    """``array``, or its aligned copy, and the same values where the graphs are computed.

    Integers are lengths and places, which every provider reads on the CPU.
    """

    def __init__(self, array: NDArray[Any], device: str = CPU) -> None:
        if array.size and _address(array) % _ALIGNMENT:
            array = copied(array)
        if array.dtype == np.int64:
            device = CPU
        self.array, self._elsewhere = array, device != CPU
        self.ort = load_onnxruntime().OrtValue.ortvalue_from_numpy(self.array, device, 0)

    def publish(self) -> None:
        """Has graphs see what was written to ``array``."""
        if self._elsewhere:
            self.ort.update_inplace(self.array)

    def fetch(self) -> NDArray[Any]:
        """``array``, with what a graph has written."""
        if self._elsewhere:
            self.array = self.ort.numpy()
        return self.array


class Bound:
    """One session with values for its inputs and, once their shapes are known, its outputs."""

    def __init__(self, session: InferenceSession, inputs: Mapping[str, Value]) -> None:
        self._session = session
        self._binding: Any = session.io_binding()
        self._values: dict[str, Value] = {}
        for name, value in inputs.items():
            self.bind_input(name, value)

    def bind_input(self, name: str, value: Value) -> None:
        """Another value for an input; it is kept as long as it is bound."""
        self._binding.bind_ortvalue_input(name, value.ort)
        self._values[name] = value

    def bind_outputs(self, outputs: Mapping[str, Value]) -> None:
        """Values for all outputs; they are kept as inputs are."""
        self._binding.clear_binding_outputs()
        for name, value in outputs.items():
            self._binding.bind_ortvalue_output(name, value.ort)
        self._values.update(outputs)

    def run(self, giving_back: bool = False) -> None:
        """Runs the session; raises what ONNX Runtime raises.

        With ``giving_back`` it ends with what its pool of memory holds free, of pieces of other
        sizes, given back.
        """
        options = run_options_giving_back() if giving_back else None
        self._session.run_with_iobinding(self._binding, options)

    def run_first(self, outputs: list[str], giving_back: bool = False) -> dict[str, NDArray[Any]]:
        """The outputs of a run before their shapes are known, in memory of ONNX Runtime's."""
        self._binding.clear_binding_outputs()
        for name in outputs:
            self._binding.bind_output(name, CPU)
        self.run(giving_back)
        values = self._binding.get_outputs()
        return {name: np.asarray(v.numpy()) for name, v in zip(outputs, values, strict=True)}


class Buffers:
    """Memory that is used again: what was given back is handed out for arrays of about its size.

    What a band gives back serves that band alone: its segments run one after the other, so that it
    is free for the next one, while other bands may be anywhere. What is left of sweeps that are
    over is ``stock`` for all. Sizes are rounded up to four binary
    digits, and small arrays are not worth keeping.
    """

    def __init__(self, stock: Buffers | None = None) -> None:
        self._free: dict[int, list[NDArray[np.uint8]]] = {}
        """By size."""
        self._stock, self._lock = stock, threading.Lock()

    def take(self, size: int) -> NDArray[np.uint8]:
        """So many bytes or some more, with unset values."""
        if size < _SMALL:
            return aligned((size,), np.uint8)
        digit = 1 << (size.bit_length() - 4)
        rounded = -(-size // digit) * digit
        with self._lock:
            for fitting in range(rounded, int(_WASTE * size) + 1, digit):
                if self._free.get(fitting):
                    return self._free[fitting].pop()
        return aligned((rounded,), np.uint8) if self._stock is None else self._stock.take(size)

    def give_back(self, buffers: Iterable[NDArray[np.uint8]]) -> None:
        """Memory that nothing points at any more."""
        with self._lock:
            for buffer in buffers:
                if len(buffer) >= _SMALL:
                    self._free.setdefault(len(buffer), []).append(buffer)

    @property
    def nbytes(self) -> int:
        """What is free."""
        return sum(size * len(buffers) for size, buffers in self._free.items())

    def leave(self) -> None:
        """Gives all that is free to the stock."""
        if self._stock is not None:
            for buffers in self._free.values():
                self._stock.give_back(buffers)
            self._free = {}


class Band:
    """Rows [begin, end) of a picture; its features see [begin, ``seen``)."""

    def __init__(
        self, index: int, begin: int, end: int, seen: int, stock: Buffers, device: str = CPU
    ) -> None:
        self.index, self.begin, self.end, self.seen = index, begin, end, seen
        self.values: dict[str, Value] = {}
        self.bound: dict[int, dict[int, Bound]] = {}
        """By segment and thread."""
        self._device, self._free = device, Buffers(stock)
        self._taken: dict[str, NDArray[np.uint8]] = {}

    def array(self, name: str) -> NDArray[Any]:
        """What graphs have written to the value of that name."""
        return self.values[name].fetch()

    def keep(self, name: str, array: NDArray[Any]) -> None:
        """``array`` is the input or output of that name from now on, in bindings to come."""
        self.values[name] = Value(array, self._device)

    def keep_new(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        """An array with unset values is that, in memory that may have been dismissed."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        self._taken[name] = buffer = self._free.take(size)
        self.keep(name, buffer[:size].view(dtype).reshape(shape))

    def dismiss(self, names: Iterable[str]) -> None:
        """Lets the memory of values be overwritten that nothing later in a step reads."""
        self._free.give_back(self._taken.pop(name) for name in names if name in self._taken)

    @property
    def nbytes(self) -> int:
        """What it has taken, with what it may overwrite."""
        return self._free.nbytes + sum(len(buffer) for buffer in self._taken.values())

    def close(self) -> None:
        """Leaves the memory of all values to sweeps to come."""
        self.bound.clear()
        self.values.clear()
        self.dismiss(list(self._taken))
        self._free.leave()

    def bind(self, name: str, value: Value, readers: Iterable[int]) -> None:
        """``value`` is the input of that name, of these segments, in all bindings."""
        self.values[name] = value
        # Other segments may be bound meanwhile; these wait for the value.
        for segment in readers:
            for bound in self.bound.get(segment, {}).values():
                bound.bind_input(name, value)
