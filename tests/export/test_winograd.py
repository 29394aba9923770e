"""The passes over convolutions of many channels: the same values, by fewer products."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from ortist_export.float64 import evaluator, in_float64
from ortist_export.graph import GraphBuilder
from ortist_export.rims import part_rims
from ortist_export.winograd import halve_products, halved

MANY = 128
TOLERANCE = 4e-6
"""Of the largest value: four times what we have seen."""


def convolution(
    outputs: int = MANY, inputs: int = MANY, bias: bool = True, **attributes: Any
) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    stored = {
        "w": rng.standard_normal((outputs, inputs // attributes.get("group", 1), 3, 3)),
        **({"b": rng.standard_normal(outputs)} if bias else {}),
    }
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", *stored], ["y"], "conv", **attributes)],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, inputs, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in stored.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10)


def fast(model: onnx.ModelProto, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return [np.asarray(value) for value in session.run(None, {"x": x})]


def noise(height: int, width: int, channels: int = MANY) -> NDArray[np.float32]:
    shape = (1, channels, height, width)
    return np.random.default_rng(height * width).standard_normal(shape, np.float32)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(3, 14),
    st.integers(3, 9),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
    st.booleans(),
)
def test_halved_products_give_the_convolution(
    height: int, width: int, pads: list[int], bias: bool
) -> None:
    """For every number of rows beyond the last group of four, and every padding."""
    model, x = convolution(bias=bias, pads=pads), noise(height, width)
    fewer = halved(model)
    assert Counter(node.op_type for node in fewer.graph.node)["Conv"] == 12
    (expected,), (got,) = fast(model, x), fast(fewer, x)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, atol=TOLERANCE * np.abs(expected).max())


def test_they_are_the_same_sums() -> None:
    """In float64 nothing is left of the difference but the kernel's sixths, which are float32."""
    model, x = convolution(pads=[1, 1, 1, 1]), noise(7, 5).astype(np.float64)
    models = in_float64(model), in_float64(halved(model))
    (expected,), (got,) = ([*map(np.asarray, evaluator(m).run(None, {"x": x}))] for m in models)
    np.testing.assert_allclose(got, expected, atol=1e-7 * np.abs(expected).max())


def test_products_are_half_as_many() -> None:
    """Of 8 rows, which are two whole groups; the depthwise ones are few beside them."""
    model = halved(convolution(pads=[1, 1, 1, 1]))
    parts = [f"y.part{index}" for index in range(6)]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in parts)
    _, *found = fast(model, noise(8, 5))
    products = sum(part.size * MANY * 3 for part in found)
    assert 2 * products == MANY * 8 * 5 * MANY * 9


@pytest.mark.parametrize(
    "other",
    [
        convolution(outputs=MANY - 1),
        convolution(inputs=MANY // 2),
        convolution(strides=[2, 2]),
        convolution(dilations=[1, 2]),
        convolution(group=2),
        convolution(auto_pad="SAME_UPPER"),
    ],
)
def test_other_convolutions_are_left_alone(other: onnx.ModelProto) -> None:
    assert halved(other) == other


def of_a_band(left: int, right: int) -> onnx.ModelProto:
    """The gradient of a band's rows and of those beside it, as programs have it before the pass."""
    model = convolution(bias=False, pads=[2, left, 2, right])
    graph = model.graph
    numbers = {"one": [0, 1, 0], "ends": [1, 0, 1]}  # the lengths 1, h, 1
    graph.initializer.extend(
        numpy_helper.from_array(np.array(n, np.int64), name) for name, n in numbers.items()
    )
    graph.node.extend(
        [
            helper.make_node("Shape", ["x"], ["rows"], "rows", start=2, end=3),
            helper.make_node("Mul", ["rows", "one"], ["between"], "between"),
            helper.make_node("Add", ["between", "ends"], ["lengths"], "lengths"),
            helper.make_node("Split", ["y", "lengths"], ["above", "own", "below"], "s", axis=2),
        ]
    )
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in ("above", "own", "below"))
    return model


def rewritten(model: onnx.ModelProto, *passes: Callable[[GraphBuilder], None]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    builder = GraphBuilder.extending(copy.graph)
    for change in passes:
        change(builder)
    del copy.graph.node[:], copy.graph.initializer[:]
    copy.graph.node.extend(builder.nodes)
    copy.graph.initializer.extend(builder.initializers)
    return copy


@pytest.mark.parametrize("height", [1, 2, 4, 7])
@pytest.mark.parametrize(("left", "right"), [(1, 1), (0, 2)])
def test_rims_are_the_rows_beside_a_band(height: int, left: int, right: int) -> None:
    model, x = of_a_band(left, right), noise(height, 6)
    expected, largest = fast(model, x), 0.0
    apart = rewritten(model, part_rims)
    assert [n.op_type for n in apart.graph.node].count("Conv") == 3
    assert "Split" not in {n.op_type for n in apart.graph.node}
    for passes in ((part_rims,), (part_rims, halve_products)):
        for got, other in zip(fast(rewritten(model, *passes), x), expected, strict=True):
            assert got.shape == other.shape
            largest = max(largest, float(np.abs(other).max()))
            np.testing.assert_allclose(got, other, atol=TOLERANCE * largest)


def test_what_is_not_cut_by_rows_alone_is_left_whole() -> None:
    """Where another node reads the whole gradient it is computed as a whole."""
    model = of_a_band(1, 1)
    model.graph.node.append(helper.make_node("Neg", ["y"], ["n"], "n"))
    assert rewritten(model, part_rims) == model
