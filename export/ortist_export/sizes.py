"""The short constants of a network, as shapes and axes are: stored, or computed by other nodes.

They may be computed from the sizes of maps, as exporters write a channel shuffle where sizes are
left open. Such a constant is what it is at the size that the file gives its picture, or at 224
pixels where it gives none, and is used for nothing but to tell a shuffle by.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .errors import ExportError
from .folding import fold, integers_of

__all__ = ["Sizes", "is_own", "label_of", "printable"]

Numbers = dict[str, NDArray[Any]]

_MOST = 64
"""Numbers of a constant that is looked at; a shape has five."""
_OPEN = (1, 3, 224, 224)
"""The picture's size along an axis whose length the file leaves open."""
_ROUNDS = 64
"""How often shapes are inferred: each time they reach to the next shuffle."""
_COMPUTED = {
    *("Constant", "Identity", "Cast", "Unsqueeze", "Squeeze", "Concat", "Gather", "Slice"),
    *("Add", "Sub", "Mul", "Div", "Neg", "Floor"),
}


class Sizes:
    """What the short constants of ``model`` are; nothing is looked at before it is asked for."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._wrong: dict[str, str] = {}

    def integers(self, name: str, measured: bool = False) -> list[int] | None:
        """The whole numbers of a constant; None where the value is none.

        ``measured``: it may depend on the sizes of maps. Raises ValueError for a constant that has
        no list of whole numbers.
        """
        numbers = self._stored.get(name)
        if name in self._wrong:
            raise ValueError(self._wrong[name])
        if numbers is None and measured:
            numbers = self._measured.get(name)
        if numbers is None:
            return None
        if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
            raise ValueError(f"the constant {name!r} is no list of whole numbers")
        return integers_of(numbers)

    def of_maps(self) -> set[str]:
        """The constants that depend on sizes, as far as anybody has asked for one."""
        return {*self.__dict__.get("_measured", ())} - {*self.__dict__.get("_stored", ())}

    @functools.cached_property
    def _stored(self) -> Numbers:
        """The constants that depend on no size."""
        known: Numbers = {}
        for tensor in self._model.graph.initializer:
            if math.prod(tensor.dims) <= _MOST:
                try:
                    known[tensor.name] = numpy_helper.to_array(tensor)
                except (ValueError, TypeError) as error:
                    self._wrong[tensor.name] = str(error)
        self._fold(known)
        return known

    @functools.cached_property
    def _measured(self) -> Numbers:
        """All constants, at one size of the picture."""
        known = dict(self._stored)
        for _ in range(_ROUNDS):
            shapes = self._shapes(known)
            fresh = False
            for node in self._model.graph.node:
                shape = shapes.get(node.input[0]) if is_own(node, "Shape") else None
                if shape is not None and node.output[0] not in known:
                    given = {a.name: a.i for a in node.attribute}
                    part = slice(given.get("start"), given.get("end"))
                    known[node.output[0]] = np.array(shape[part], np.int64)
                    fresh = True
            if not fresh:
                break
            self._fold(known)
        return known

    def _fold(self, known: Numbers) -> None:
        """Adds what is computed of known constants, in the order of the nodes."""
        for node in self._model.graph.node:
            if not is_own(node, *_COMPUTED) or not node.output or node.output[0] in known:
                continue
            wrong = [self._wrong[name] for name in node.input if name in self._wrong]
            if wrong:
                self._wrong[node.output[0]] = wrong[0]
                continue
            if any(name and name not in known for name in node.input):
                continue
            try:
                made = fold(node, known, label_of(node))
            except (ExportError, ValueError) as error:
                self._wrong[node.output[0]] = str(error)
            else:
                known |= {name: value for name, value in made.items() if value.size <= _MOST}

    def _shapes(self, known: Numbers) -> dict[str, list[int]]:
        """The shapes that ONNX infers, where all axes are known; without the weights' numbers."""
        given, light = self._model.graph, onnx.ModelProto()
        light.ir_version = self._model.ir_version
        light.opset_import.extend(self._model.opset_import)
        stored = {tensor.name: tensor for tensor in given.initializer}
        for value in given.input:
            if value.name not in stored:
                own = light.graph.input.add()
                own.CopyFrom(value)
                axes = own.type.tensor_type.shape.dim
                for axis, length in zip(axes, _OPEN, strict=False):
                    if axis.dim_value <= 0:
                        axis.dim_value = length
        for name, tensor in stored.items():
            if name not in known:
                kind = helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
                light.graph.input.append(kind)
        light.graph.initializer.extend(
            numpy_helper.from_array(value, name)
            for name, value in known.items()
            if value.dtype.kind in "biuf"
        )
        light.graph.node.extend(node for node in given.node if not known.keys() & {*node.output})
        light.graph.name = "shapes"
        try:
            inferred = onnx.shape_inference.infer_shapes(light).graph
        except (ValueError, RuntimeError, onnx.shape_inference.InferenceError):
            return {}
        return {
            value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
            for value in (*inferred.input, *inferred.value_info)
            if value.type.tensor_type.HasField("shape")
            and all(axis.dim_value > 0 for axis in value.type.tensor_type.shape.dim)
        }


def is_own(node: onnx.NodeProto, *ops: str) -> bool:
    """Whether a node is one of these ops of ONNX's standard domain."""
    return node.op_type in ops and node.domain in ("", "ai.onnx")


def label_of(node: onnx.NodeProto) -> str:
    """How messages call a node: its op, and its name or that of its output."""
    domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
    return f"{domain}{node.op_type} {printable(node.name or next(iter(node.output), ''))!r}"


def printable(name: str) -> str:
    """The name on one line, with nothing in it that a list of layers would be cut at."""
    kept = "".join(c if c.isprintable() and c not in ",: " else "_" for c in name.strip())
    return kept[:80]
