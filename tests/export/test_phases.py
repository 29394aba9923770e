"""The pass that splits a pooled convolution into phases: same values, for every parity and tie."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from ortist_export.differentiate import append_gradient
from ortist_export.float64 import evaluator
from ortist_export.graph import GraphBuilder
from ortist_export.phases import split_pooled_convolutions

rng = np.random.default_rng(0)
# Whole numbers, whose sums are exact in any order: ties are ties however a convolution adds up.
WEIGHTS = {
    "w": rng.integers(-3, 4, (4, 3, 3, 3)).astype(np.float64),
    "b": rng.integers(-3, 4, 4).astype(np.float64),
}


def pooled(size: tuple[int, int], **pool: Any) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Conv", ["image", "w", "b"], ["c"], "conv", strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node(
            "MaxPool",
            ["r"],
            ["y"],
            "pool",
            **{"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, **pool},
        ),
    ]
    return helper.make_graph(
        nodes,
        "pooled",
        [helper.make_tensor_value_info("image", TensorProto.DOUBLE, [1, 3, *size])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
        [numpy_helper.from_array(v, k) for k, v in WEIGHTS.items()],
    )


def values_and_gradient(
    graph: onnx.GraphProto, image: NDArray[Any], split: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    builder = GraphBuilder.extending(graph)
    builder.dtype = np.float64
    if split:
        parts = split_pooled_convolutions(builder, "image")
        assert len(parts["r"]) == 4
        assert "MaxPool" not in {node.op_type for node in builder.nodes}
    cotangent = builder.constant(7.0, "u")
    seed = {"y": lambda _: builder.op("Mul", "y", cotangent)}
    gradient = append_gradient(builder, "image", seed)
    outputs = [helper.make_tensor_value_info(n, TensorProto.DOUBLE, None) for n in ("y", gradient)]
    full = helper.make_graph(
        builder.nodes, "full", list(graph.input), outputs, initializer=builder.initializers
    )
    model = helper.make_model(full, opset_imports=[helper.make_opsetid("", 18)])
    values = evaluator(model).run(["y", gradient], {"image": image})
    return values[0], values[1]  # type: ignore[index]


def rng_of(image: NDArray[Any]) -> np.random.Generator:
    return np.random.default_rng(image.shape[2] * 1000 + image.shape[3])


@settings(max_examples=25, deadline=None)
@given(st.integers(7, 24), st.integers(7, 24), st.booleans())
def test_values_and_gradient_stay_the_same(height: int, width: int, flat: bool) -> None:
    """Many windows are ties, on flat images all."""
    size = (height, width)
    image = rng_of(np.empty((1, 3, *size))).integers(-3, 4, (1, 3, *size)).astype(np.float64)
    if flat:
        image[:] = image[:, :, :1, :1]
    graph = pooled(size)
    expected = values_and_gradient(graph, image, split=False)
    split = values_and_gradient(graph, image, split=True)
    np.testing.assert_allclose(split[0], expected[0], atol=1e-12)
    np.testing.assert_allclose(split[1], expected[1], atol=1e-12)


@pytest.mark.parametrize(
    "pool", [{"ceil_mode": 0}, {"kernel_shape": [2, 2]}, {"strides": [3, 3]}, {"pads": [1] * 4}]
)
def test_what_does_not_fit_is_left_alone(pool: dict[str, Any]) -> None:
    graph = pooled((16, 16), **pool)
    builder = GraphBuilder.extending(graph)
    assert split_pooled_convolutions(builder, "image") == {}
    assert builder.nodes == list(graph.node)


def test_a_second_reader_of_the_values_keeps_them_whole() -> None:
    graph = pooled((16, 16))
    graph.node.append(helper.make_node("Relu", ["r"], ["other"], "other"))
    builder = GraphBuilder.extending(graph)
    assert split_pooled_convolutions(builder, "image") == {}
