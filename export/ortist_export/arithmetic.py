"""Graphs that belong to no model: products of matrices, which the engine leaves to ONNX Runtime.

NumPy would hand them to its BLAS, whose threads are not those that the user gave, and which does
not survive a fork. ``write_arithmetic`` makes the files that the models' package holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from ortist_models import ARITHMETIC, ASSIGNMENT, PRODUCT

from .graph import OPSET
from .segments import IR_VERSION

__all__ = ["assignment", "product", "write_arithmetic"]


def product() -> onnx.ModelProto:
    """c = a b, of a [n, k] and b [k, m]."""
    return _model(
        "product",
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        [_matrix("a", ["n", "k"]), _matrix("b", ["k", "m"])],
        [_matrix("c", ["n", "m"])],
    )


def assignment() -> onnx.ModelProto:
    """The pool's best place for each place asked, and how much of the pool's places is wanted.

    Of queries [n, d], pool [d, m], bias [m] and a temperature: scores = queries pool + bias;
    ``match`` [n] is each row's place with the highest score, ``load`` [m] the sum over the rows of
    the softmax of scores / temperature.
    """
    nodes = [
        helper.make_node("MatMul", ["queries", "pool"], ["cosines"]),
        helper.make_node("Add", ["cosines", "bias"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["match"], axis=1, keepdims=0),
        helper.make_node("Div", ["scores", "temperature"], ["sharpened"]),
        helper.make_node("Softmax", ["sharpened"], ["shares"], axis=1),
        helper.make_node("ReduceSum", ["shares", "rows"], ["load"], keepdims=0),
    ]
    rows = helper.make_tensor("rows", TensorProto.INT64, [1], [0])
    return _model(
        "assignment",
        nodes,
        [
            _matrix("queries", ["n", "d"]),
            _matrix("pool", ["d", "m"]),
            _matrix("bias", ["m"]),
            _matrix("temperature", []),
        ],
        [
            helper.make_tensor_value_info("match", TensorProto.INT64, ["n"]),
            _matrix("load", ["m"]),
        ],
        [rows],
    )


def write_arithmetic(folder: Path) -> None:
    """Writes both graphs into ``folder``/``ARITHMETIC``."""
    target = folder / ARITHMETIC
    target.mkdir(exist_ok=True)
    for name, model in ((PRODUCT, product()), (ASSIGNMENT, assignment())):
        (target / name).write_bytes(model.SerializeToString(deterministic=True))


def _matrix(name: str, shape: Sequence[str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


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
