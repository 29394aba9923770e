"""Nodes whose inputs are constants, computed once: their outputs are constants too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

from .errors import ExportError

__all__ = ["fold", "integers_of"]

Numbers = NDArray[Any]
_MOST = 2**28
"""Numbers of a constant; VGG's largest layer has 103 million."""


def integers_of(numbers: Numbers) -> list[int]:
    """Whole numbers as Python's."""
    return [int(number) for number in numbers.flatten()]


def fold(node: onnx.NodeProto, known: Mapping[str, Numbers], label: str) -> dict[str, Numbers]:
    """The outputs of a node by name; raises ExportError for an op that is not known here."""
    step = _STEPS.get(node.op_type)
    if step is None:
        raise ExportError(f"the constant that {label} computes is unknown here: save the numbers.")
    try:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        inputs = [known[name] for name in node.input if name]
        return {node.output[0]: np.asarray(step(inputs, given))}
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise ExportError(f"the constant that {label} computes is none ({reason}).") from error


def _constant(_: Sequence[Numbers], given: Mapping[str, Any]) -> Any:
    if len(given) != 1 or any(isinstance(value, SparseTensorProto) for value in given.values()):
        raise ValueError("it has no numbers, or sparse ones")
    (value,) = given.values()
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.array(value)


def _of_shape(inputs: Sequence[Numbers], given: Mapping[str, Any]) -> Any:
    shape = integers_of(inputs[0])
    if min(shape, default=0) < 0 or np.prod([float(length) for length in shape]) > _MOST:
        raise ValueError(f"shape {shape}")
    value = given.get("value")
    return np.full(shape, 0.0 if value is None else numpy_helper.to_array(value).flatten()[0])


def _reshaped(inputs: Sequence[Numbers], given: Mapping[str, Any]) -> Any:
    shape = given["shape"] if "shape" in given else integers_of(inputs[1])
    own = inputs[0].shape
    return inputs[0].reshape([own[i] if n == 0 else n for i, n in enumerate(shape)])


def _axes(inputs: Sequence[Numbers], given: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(given["axes"] if "axes" in given else integers_of(inputs[1]))


def _quotient(inputs: Sequence[Numbers], _: Mapping[str, Any]) -> Any:
    """The quotient, of whole numbers without what is behind the point, as ONNX has it."""
    over, under = inputs
    if over.dtype.kind not in "iu":
        return over / under
    if not np.all(under):
        raise ValueError("it divides by zero")
    return (np.sign(over) * np.sign(under) * (np.abs(over) // np.abs(under))).astype(over.dtype)


def _slice(inputs: Sequence[Numbers], given: Mapping[str, Any]) -> Any:
    value, *bounds = inputs
    names = ("starts", "ends", "axes", "steps")
    read = {name: integers_of(b) for name, b in zip(names, bounds, strict=False)} or dict(given)
    starts, ends = read["starts"], read["ends"]
    axes, steps = read.get("axes", range(len(starts))), read.get("steps", [1] * len(starts))
    places = [slice(None)] * value.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        # An end beyond the first place is written as a very small number.
        places[axis] = slice(start, None if step < 0 and end < -value.shape[axis] else end, step)
    return value[tuple(places)]


def _cast(inputs: Sequence[Numbers], given: Mapping[str, Any]) -> Any:
    return inputs[0].astype(helper.tensor_dtype_to_np_dtype(given["to"]))


_STEPS: dict[str, Callable[[Sequence[Numbers], Mapping[str, Any]], Any]] = {
    "Constant": _constant,
    "ConstantOfShape": _of_shape,
    "Identity": lambda inputs, _: inputs[0],
    "Cast": _cast,
    "Reshape": _reshaped,
    "Unsqueeze": lambda inputs, given: np.expand_dims(inputs[0], _axes(inputs, given)),
    "Squeeze": lambda inputs, given: np.squeeze(inputs[0], _axes(inputs, given)),
    "Transpose": lambda inputs, given: np.transpose(inputs[0], given.get("perm")),
    "Concat": lambda inputs, given: np.concatenate(inputs, given["axis"]),
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Div": _quotient,
    "Floor": lambda inputs, _: np.floor(inputs[0]),
    "Gather": lambda inputs, given: np.take(inputs[0], inputs[1], given.get("axis", 0)),
    "Slice": _slice,
    "Neg": lambda inputs, _: -inputs[0],
    "Sqrt": lambda inputs, _: np.sqrt(inputs[0]),
}
"""Op -> its output, of its inputs and attributes."""
