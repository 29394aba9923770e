"""A small builder of ONNX graphs: append nodes, get value names back.

Everything the workshop writes is in the standard ONNX domain, so that any runtime can run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["OPSET", "GraphBuilder", "attributes_of"]

OPSET = 18
"""The version of the standard ONNX domain that all graphs here are written in."""


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes that a node gives, by name, without defaults."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


class GraphBuilder:
    """Collects nodes and constants and hands out unique value names.

    ``dtype`` is the type of every floating-point constant: float32 in what is shipped, float64
    where a test proves a gradient.
    """

    def __init__(self, dtype: type[np.floating[Any]] = np.float32) -> None:
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._names: set[str] = set()
        self._channels: dict[str, int] = {}
        self._places: dict[str, tuple[int | None, int | None]] = {}
        self._backward = 0

    @classmethod
    def extending(cls, graph: onnx.GraphProto) -> GraphBuilder:
        """A builder that holds ``graph``'s nodes and constants and appends to them.

        It knows what ONNX infers of the shapes of values [N, C, H, W].
        """
        builder = cls()
        builder.nodes = list(graph.node)
        builder._initializers = {tensor.name: tensor for tensor in graph.initializer}
        builder._names = {name for node in graph.node for name in node.output}
        builder._names.update(builder._initializers, (value.name for value in graph.input))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        inferred = onnx.shape_inference.infer_shapes(model).graph
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            axes = value.type.tensor_type.shape.dim
            if len(axes) == 4 and axes[1].HasField("dim_value"):
                builder._channels[value.name] = axes[1].dim_value
                height, width = (a.dim_value if a.HasField("dim_value") else None for a in axes[2:])
                builder._places[value.name] = height, width
        return builder

    @property
    def told(self) -> dict[str, int]:
        """The numbers of channels that are known without ONNX, or told, by value."""
        return dict(self._channels)

    @property
    def initializers(self) -> list[onnx.TensorProto]:
        """The constants of the graph."""
        return list(self._initializers.values())

    def reserve(self, name: str) -> str:
        """Returns ``name``, or ``name.1``, ``name.2`` … where it is taken, and marks it taken."""
        unique, count = name, 0
        while unique in self._names:
            count += 1
            unique = f"{name}.{count}"
        self._names.add(unique)
        return unique

    def op(self, op_type: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Appends a node with one output and returns that output's name."""
        output = self.reserve(name or op_type.lower())
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], output, **attributes))
        return output

    def late_op(self, op_type: str, *inputs: str, name: str, **attributes: Any) -> str:
        """Inserts a node between the forward and the backward pass; returns its output's name.

        It is for what needs values of the forward graph only and is wanted last of all. Of the
        inputs of a node, ONNX Runtime's topological order takes the one that is listed last in the
        graph first. A mask listed where it is used would be made in the forward pass and lie there
        until the backward pass comes to it; listed before the backward pass, it is made when it is
        needed. (Measured on the objective at 512 px: 190 -> 107 MB at the peak.)
        """
        output = self.reserve(name)
        node = helper.make_node(op_type, list(inputs), [output], output, **attributes)
        self.nodes.insert(self._backward, node)
        self._backward += 1
        return output

    def rename(self, value: str, name: str) -> None:
        """Gives the value called ``value`` another name, which must be free."""
        assert self.reserve(name) == name
        for node in self.nodes:
            for names in (node.input, node.output):
                for index, used in enumerate(names):
                    if used == value:
                        names[index] = name

    def begin_backward(self) -> None:
        """Says that all nodes of the forward graph are there."""
        self._backward = len(self.nodes)

    def channels(self, name: str) -> int | None:
        """The number of channels, axis 1, of a value; None where it is not known."""
        return self._channels.get(name)

    def places(self, name: str) -> tuple[int | None, int | None]:
        """The height and width of a value; None each where it is not known or free."""
        return self._places.get(name, (None, None))

    def tell_channels(self, name: str, count: int) -> str:
        """Notes the number of channels of a new value, for ``channels``; returns its name."""
        self._channels[name] = count
        return name

    def producer(self, name: str) -> onnx.NodeProto | None:
        """The node that computes the value; None for an input and for a constant."""
        return next((node for node in self.nodes if name in node.output), None)

    def ops(self, op_type: str, *inputs: str, names: Iterable[str], **attributes: Any) -> list[str]:
        """Appends a node with several outputs and returns their names."""
        outputs = [self.reserve(name) for name in names]
        self.nodes.append(
            helper.make_node(op_type, list(inputs), outputs, outputs[0], **attributes)
        )
        return outputs

    def constant(self, value: Any, name: str = "constant") -> str:
        """A floating-point constant of the builder's type; returns its name.

        Equal ones are stored once.
        """
        return self._store(np.asarray(value, self.dtype), name)

    def integers(self, value: Any, name: str = "integers") -> str:
        """An int64 constant, for shapes, axes, slices; returns its name.

        Equal ones are stored once.
        """
        return self._store(np.asarray(value, np.int64), name)

    def switch(self, name: str) -> str:
        """A truth value that whoever opens the graph sets (ortist_export/program.py).

        In the file it is true. Returns its name.
        """
        if name in self._initializers:
            return name
        assert self.reserve(name) == name
        tensor = helper.make_tensor(name, TensorProto.BOOL, [], [True])
        self._initializers[name] = tensor
        return name

    def value_of(self, name: str) -> NDArray[Any] | None:
        """The constant called ``name``, or None where that value is computed at run time."""
        tensor = self._initializers.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def branch(
        self,
        condition: str,
        then: Callable[[], list[str]],
        otherwise: Callable[[], list[str]],
        names: Iterable[str],
    ) -> list[str]:
        """Appends an ``If`` node and returns the names of its outputs.

        Both callables append nodes as usual and return the names of their branch's outputs.
        """
        outputs = [self.reserve(name) for name in names]
        node = helper.make_node("If", [condition], outputs, outputs[0])
        for attribute, body in (("then_branch", then), ("else_branch", otherwise)):
            outer, self.nodes = self.nodes, []
            results = body()
            inner, self.nodes = self.nodes, outer
            values = [onnx.ValueInfoProto(name=result) for result in results]
            graph = helper.make_graph(inner, attribute, [], values)
            node.attribute.append(helper.make_attribute(attribute, graph))
        self.nodes.append(node)
        return outputs

    def tensor_type(self) -> int:
        """ONNX's code for the builder's floating-point type."""
        return int(TensorProto.DOUBLE if self.dtype is np.float64 else TensorProto.FLOAT)

    def store(self, tensor: onnx.TensorProto) -> str:
        """A constant with a name of its own, which must be free; returns it."""
        assert self.reserve(tensor.name) == tensor.name
        self._initializers[tensor.name] = tensor
        return str(tensor.name)

    def _store(self, array: NDArray[Any], name: str) -> str:
        """The name of a constant with those bytes, a new one where there is none."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            unique = self.reserve(name)
            self._initializers[unique] = numpy_helper.from_array(array, unique)
            self._constants[key] = unique
        return self._constants[key]
