"""Graphs that belong to no model: products of matrices, which the engine leaves to ONNX Runtime.

NumPy would hand them to its BLAS, whose threads are not those that the user gave, and which does
not survive a fork. ``write_arithmetic`` makes the files that the models' package holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from ortist_models import ARITHMETIC, BEST, LOAD, PRODUCT

from .graph import OPSET
from .segments import IR_VERSION

__all__ = ["best", "load", "product", "write_arithmetic"]


def _matrix(name: str, shape: Sequence[str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


_SCORES = [
    helper.make_node("MatMul", ["queries", "pool"], ["cosines"]),
    helper.make_node("Add", ["cosines", "bias"], ["scores"]),
]
_SCORED = [_matrix("queries", ["n", "d"]), _matrix("pool", ["d", "m"]), _matrix("bias", ["m"])]


def product() -> onnx.ModelProto:
    """c = a b, of a [n, k] and b [k, m]."""
    return _model(
        "product",
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        [_matrix("a", ["n", "k"]), _matrix("b", ["k", "m"])],
        [_matrix("c", ["n", "m"])],
    )


def best() -> onnx.ModelProto:
    """The pool's best place for each place asked.

    Of queries [n, d], pool [d, m] and bias [m]: ``match`` [n], the place with the highest score
    for each row of queries pool + bias.
    """
    match = helper.make_tensor_value_info("match", TensorProto.INT64, ["n"])
    argmax = helper.make_node("ArgMax", ["scores"], ["match"], axis=1, keepdims=0)
    return _model("best", [*_SCORES, argmax], _SCORED, [match])


def load() -> onnx.ModelProto:
    """How much of the pool's places is wanted: ``load`` [m], the softmax of each row of scores, as
    ``best`` has them, summed over the rows.
    """
    nodes = [
        helper.make_node("Softmax", ["scores"], ["shares"], axis=1),
        helper.make_node("ReduceSum", ["shares", "rows"], ["load"], keepdims=0),
    ]
    rows = helper.make_tensor("rows", TensorProto.INT64, [1], [0])
    return _model("load", [*_SCORES, *nodes], _SCORED, [_matrix("load", ["m"])], [rows])


def write_arithmetic(folder: Path) -> None:
    """Writes the graphs into ``folder``/``ARITHMETIC``."""
    target = folder / ARITHMETIC
    target.mkdir(exist_ok=True)
    for name, model in ((PRODUCT, product()), (BEST, best()), (LOAD, load())):
        (target / name).write_bytes(model.SerializeToString(deterministic=True))


def _model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: Sequence[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), name, list(inputs), list(outputs), list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model
