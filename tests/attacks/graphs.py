"""Graphs that no model of ours holds: loops, foreign ops, small files of large tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["hostile_graphs"]

_Y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
_VALUES = {"x": np.zeros(1, np.float32), "on": np.array(True)}


def hostile_graphs() -> Iterator[tuple[str, bytes]]:
    """(what it is, its bytes); each would be opened by ONNX Runtime, or crash what reads it."""
    loop = helper.make_node("Loop", ["rounds", "", "x"], ["y"], body=_body())
    yield "an endless loop", _model([loop], rounds=2**62)
    yield "a loop in a branch", _model([_branches(_graph([loop]))])
    for sides in ([2_000_000_000], [50_000, 50_000], [1000, 1000, 1000], [-1, 2**40]):
        for op, inputs in (("ConstantOfShape", ["size"]), ("Expand", ["x", "size"])):
            yield f"{op} of {sides}", _model([_node(op, inputs)], size=sides)
        constant = helper.make_node("Constant", [], ["sides"], value_ints=sides)
        yield f"a constant {sides}", _model([constant, _node("ConstantOfShape", ["sides"])])
    for side in (2**30, 2**40):
        yield f"Pad by {side}", _model([_node("Pad", ["x", "size"])], size=[0, side])
    for op in ("Einsum", "Range", "Scan"):
        yield op, _model([_node(op, ["x"])])
    for op, domain in (("FusedConv", "com.microsoft"), ("Relu", "evil")):
        yield f"{domain} {op}", _model([helper.make_node(op, ["x"], ["y"], domain=domain)])
    good = _model([_node("Relu", ["x"])])
    for end in (1, 7, len(good) // 2, len(good) - 1):
        yield f"cut off at {end}", good[:end]
    deep = _node("Relu", ["x"])
    for _ in range(12):
        deep = _branches(_graph([deep]))
    yield "branches in branches", _model([deep])
    yield "varints without end", b"\xff" * 1000


def _body() -> onnx.GraphProto:
    """A round of a loop that goes on."""
    kinds = {"i": TensorProto.INT64, "go": TensorProto.BOOL, "v": TensorProto.FLOAT}
    inputs = [helper.make_tensor_value_info(name, kind, []) for name, kind in kinds.items()]
    kinds = {"went": TensorProto.BOOL, "z": TensorProto.FLOAT}
    outputs = [helper.make_tensor_value_info(name, kind, []) for name, kind in kinds.items()]
    nodes = [helper.make_node("Identity", ["go"], ["went"]), helper.make_node("Neg", ["v"], ["z"])]
    return helper.make_graph(nodes, "body", inputs, outputs)


def _branches(graph: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", ["on"], ["y"], then_branch=graph, else_branch=graph)


def _node(op: str, inputs: Sequence[str]) -> onnx.NodeProto:
    return helper.make_node(op, inputs, ["y"])


def _graph(nodes: list[onnx.NodeProto], **more: Any) -> onnx.GraphProto:
    values = {**_VALUES, **{name: np.array(value) for name, value in more.items()}}
    initializers = [numpy_helper.from_array(value, name) for name, value in values.items()]
    return helper.make_graph(nodes, "graph", [], [_Y], initializers)


def _model(nodes: list[onnx.NodeProto], **more: Any) -> bytes:
    # As the oldest onnxruntime reads it: a newer one is refused before what it holds is seen.
    model = helper.make_model(
        _graph(nodes, **more), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    data: bytes = model.SerializeToString()
    return data
