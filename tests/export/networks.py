"""Small networks for tests: made of nodes, with a picture ``x`` and constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["CONV", "POINTS", "SCALES", "Values", "W", "model_of", "node", "numbers"]

Values = NDArray[Any]


def model_of(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Values] | None = None,
    opset: int = 13,
    shape: tuple[Any, ...] = (1, 3, 12, 16),
    **inputs: Any,
) -> onnx.ModelProto:
    last = nodes[-1].output[0]
    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape)),
            *(helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in inputs.items()),
        ],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["a", "b", "c", "d"])],
        [numpy_helper.from_array(v, k) for k, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=7)


def node(op: str, *inputs: str, to: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [to], f"{op}_{to}", **attributes)


def numbers(*shape: int) -> Values:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


W = {"w": numbers(8, 3, 3, 3), "b": numbers(8)}
CONV = node("Conv", "x", "w", "b", to="c", pads=[1, 1, 1, 1])
POINTS = {
    "s": np.abs(numbers(8)) + 0.5,
    "t": numbers(8),
    "column": numbers(8, 1, 1),
    "one": np.array(1.5, np.float32),
}
SCALES = {"scales": np.array([1, 1, 2, 2], np.float32), "none": np.array([], np.float32)}
