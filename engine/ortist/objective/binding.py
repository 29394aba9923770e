"""IO binding: inputs that stay where the graph is computed, outputs written where they are wanted.

On a GPU the targets of a run are then carried over once and not at every step, which moves the
image in and gradient and losses out. On the CPU nothing is copied at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..network.sessions import load_onnxruntime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Binding"]

_CPU = "cpu"


class Binding:
    """A session whose inputs are given one by one and kept from run to run."""

    def __init__(self, session: InferenceSession) -> None:
        self._session, self._binding = session, session.io_binding()
        self._values: Any = load_onnxruntime().OrtValue
        on_gpu = session.get_providers()[0] == "CUDAExecutionProvider"
        self._device = "cuda" if on_gpu else _CPU
        self._held: dict[str, Any] = {}

    def hold(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Inputs of the runs to come, arrays in C order; those of a name replace the ones before.

        On the CPU their memory itself is used, and so must not change.
        """
        for name, array in inputs.items():
            value = self._values.ortvalue_from_numpy(array, self._device, 0)
            self._held[name] = value  # which keeps the array
            self._binding.bind_ortvalue_input(name, value)

    def run(
        self, image: Array, like_image: str, numbers: Sequence[str]
    ) -> tuple[Array, list[float]]:
        """The output ``like_image``, shaped as ``image``, and outputs that are single numbers.

        Raises what ONNX Runtime raises.
        """
        found = np.empty(image.shape, np.float32)
        self._binding.bind_cpu_input("image", image)
        self._binding.clear_binding_outputs()
        self._binding.bind_output(like_image, _CPU, 0, np.float32, found.shape, found.ctypes.data)
        for name in numbers:
            self._binding.bind_output(name, _CPU)
        if self._device != _CPU:
            self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding)
        if self._device != _CPU:
            self._binding.synchronize_outputs()
        return found, [float(value.numpy()) for value in self._binding.get_outputs()[1:]]
