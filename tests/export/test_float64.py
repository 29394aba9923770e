"""The float64 ops against ONNX Runtime's float32 ones, over the forms that they are used in."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from ortist_export.float64 import evaluator, in_float64

pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
MISCOUNTS = tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 30)
"""Whether ONNX Runtime's means, where padding counts, count what ceil_mode adds too."""

sizes = st.tuples(st.integers(7, 10), st.integers(7, 10))


def compare(node: onnx.NodeProto, x: Any, **constants: Any) -> None:
    graph = helper.make_graph(
        [node],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [onnx.ValueInfoProto(name=name) for name in node.output],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, {"x": x})
    found: Any = evaluator(in_float64(model)).run(None, {"x": x.astype(np.float64)})
    for got, other in zip(found, expected, strict=True):
        assert got.dtype == (np.float64 if other.dtype == np.float32 else other.dtype)
        np.testing.assert_allclose(got, other, rtol=1e-5, atol=1e-5)


def normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(pairs, pairs, pairs, st.tuples(*[st.integers(0, 2)] * 4), sizes, st.sampled_from([1, 2]))
def test_conv(
    kernel: Any, strides: Any, dilations: Any, pads: Any, size: tuple[int, int], group: int
) -> None:
    form = {"strides": strides, "dilations": dilations, "pads": pads, "group": group}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "conv", **form)
    compare(node, normal(1, 4, *size), w=normal(6, 4 // group, *kernel), b=normal(6))


@settings(max_examples=40, deadline=None)
@given(pairs, pairs, pairs, sizes, st.sampled_from([1, 2]), st.booleans())
def test_conv_transpose(
    kernel: Any, strides: Any, dilations: Any, size: tuple[int, int], group: int, more: bool
) -> None:
    form = {"strides": strides, "dilations": dilations, "group": group, "pads": [0, 0, 1, 0]}
    form["output_padding"] = [stride - 1 if more else 0 for stride in strides]
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], "conv", **form)
    compare(node, normal(1, 4, *size), w=normal(4, 6 // group, *kernel))


@settings(max_examples=40, deadline=None)
@given(pairs, pairs, st.tuples(*[st.integers(0, 1)] * 2), sizes, st.booleans(), st.booleans())
def test_max_pool(
    kernel: Any, strides: Any, pad: Any, size: tuple[int, int], ceil: bool, indices: bool
) -> None:
    pads = [min(p, k - 1) for p, k in zip((*pad, *pad), (*kernel, *kernel), strict=True)]
    outputs = ["y", "i"] if indices else ["y"]
    form = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": int(ceil)}
    compare(helper.make_node("MaxPool", ["x"], outputs, "pool", **form), normal(1, 2, *size))


@settings(max_examples=40, deadline=None)
@given(pairs, pairs, st.tuples(*[st.integers(0, 1)] * 2), sizes, st.booleans(), st.booleans())
def test_average_pool(
    kernel: Any, strides: Any, pad: Any, size: tuple[int, int], ceil: bool, include: bool
) -> None:
    pads = [min(p, k - 1) for p, k in zip((*pad, *pad), (*kernel, *kernel), strict=True)]
    form = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": int(ceil)}
    form["count_include_pad"] = int(include)
    assume(not (ceil and include and MISCOUNTS))
    compare(helper.make_node("AveragePool", ["x"], ["y"], "pool", **form), normal(1, 2, *size))


@pytest.mark.parametrize(
    ("op", "include"),
    [
        ("MaxPool", False),
        ("AveragePool", False),
        pytest.param(
            *("AveragePool", True),
            marks=pytest.mark.skipif(MISCOUNTS, reason="onnxruntime before 1.30 miscounts"),
        ),
    ],
)
def test_no_window_begins_behind_the_map(op: str, include: bool) -> None:
    """Every small form of a pooling that rounds up: random ones meet that rule too rarely."""
    for kernel, stride, size in itertools.product((2, 3), (1, 2, 3), (4, 5, 6, 7)):
        for pad in range(kernel):
            form: dict[str, Any] = {"kernel_shape": [kernel, 2], "strides": [stride, 2]}
            form |= {"pads": [pad, 1, pad, 1], "ceil_mode": 1}
            if op == "AveragePool":
                form["count_include_pad"] = int(include)
            compare(helper.make_node(op, ["x"], ["y"], "pool", **form), normal(1, 2, size, 7))


@pytest.mark.parametrize("size", [1, 3, 5])  # ONNX Runtime takes odd ones only
def test_lrn(size: int) -> None:
    node = helper.make_node("LRN", ["x"], ["y"], "lrn", size=size, alpha=0.4, beta=0.6, bias=1.5)
    compare(node, normal(1, 7, 4, 5))


def test_pad() -> None:
    x = normal(1, 2, 4, 5)
    node = helper.make_node("Pad", ["x", "p", "", "a"], ["y"], "pad")
    compare(node, x, p=np.array([1, -1]), a=np.array([2]))
    edge = helper.make_node("Pad", ["x", "p"], ["y"], "pad", mode="edge")
    compare(edge, x, p=np.array([0, 0, 1, 2, 0, 0, 0, 1]))
