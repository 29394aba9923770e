"""Arrays that graphs read and write in their place.

On the CPU a graph works on the memory of a NumPy array itself. On another device it works on a
copy there, which is moved in and out where the program asks for it. Whoever is bound to an array
keeps it: a ``Bound`` holds every value that its binding points at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..network.sessions import load_onnxruntime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["CPU", "Bound", "Value", "aligned", "copied"]

CPU = "cpu"
_ALIGNMENT = 64
"""Bytes. Some kernels sum in another order where an array begins elsewhere in a cache line, and the
same picture would then not always have the same bytes."""


def aligned(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array with unset values that begins with a cache line."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    buffer = np.empty(size + _ALIGNMENT, np.uint8)
    start = -_address(buffer) % _ALIGNMENT
    array: NDArray[Any] = buffer[start : start + size].view(kind).reshape(shape)
    return array


def copied(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that begins with a cache line."""
    copy = aligned(array.shape, array.dtype)
    copy[...] = array
    return copy


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


class Value:
    """``array``, or its aligned copy, and the same values where the graphs are computed."""

    def __init__(self, array: NDArray[Any], device: str = CPU) -> None:
        if array.size and _address(array) % _ALIGNMENT:
            array = copied(array)
        self.array, self._elsewhere = array, device != CPU
        self.ort = load_onnxruntime().OrtValue.ortvalue_from_numpy(self.array, device, 0)

    def publish(self) -> None:
        """Has graphs see what was written to ``array``."""
        if self._elsewhere:
            self.ort.update_inplace(self.array)

    def fetch(self) -> NDArray[Any]:
        """``array``, with what a graph has written."""
        if self._elsewhere:
            self.array[...] = self.ort.numpy()
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

    def run(self) -> None:
        """Raises what ONNX Runtime raises."""
        self._session.run_with_iobinding(self._binding)

    def run_first(self, outputs: list[str]) -> dict[str, NDArray[Any]]:
        """The outputs of a run before their shapes are known, in memory of ONNX Runtime's."""
        self._binding.clear_binding_outputs()
        for name in outputs:
            self._binding.bind_output(name, CPU)
        self._session.run_with_iobinding(self._binding)
        values = self._binding.get_outputs()
        return {name: np.asarray(v.numpy()) for name, v in zip(outputs, values, strict=True)}
