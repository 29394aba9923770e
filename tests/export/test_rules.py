"""Every row of the gradient table against central differences, in float64.

<v, J^T u> is compared with (f(x + h v) - f(x - h v)) . u / 2h for random u, v. With h = 1e-6 and
values near 1 the difference carries about 1e-10 of rounding and, the ops being piecewise linear, no
truncation error as long as no kink lies between; the inputs keep a distance of 1e-3 from all kinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from ortist_export.differentiate import append_gradient
from ortist_export.float64 import evaluator
from ortist_export.graph import GraphBuilder
from ortist_export.rules import RULES, NoGradientRuleError

Values = NDArray[np.float64]


def evaluate(nodes: list[onnx.NodeProto], constants: dict[str, Values], x: Values) -> Values:
    """The output ``y`` of float64 ``nodes`` for the input ``x``."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)],
        initializer=[numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return np.asarray(evaluator(model).run(["y"], {"x": x})[0])  # type: ignore[index]


def pulled_back(
    nodes: list[onnx.NodeProto], constants: dict[str, Values], x: Values, u: Values
) -> Values:
    """J^T u by the table."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, x.shape)],
        [],
        initializer=[numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    builder = GraphBuilder.extending(graph)
    builder.dtype = np.float64
    gradient = append_gradient(builder, "x", {"y": lambda _: builder.constant(u, "u")})
    full = helper.make_graph(
        builder.nodes,
        "test",
        list(graph.input),
        [helper.make_tensor_value_info(gradient, TensorProto.DOUBLE, None)],
        initializer=builder.initializers,
    )
    model = helper.make_model(full, opset_imports=[helper.make_opsetid("", 18)])
    return np.asarray(evaluator(model).run([gradient], {"x": x})[0])  # type: ignore[index]


def check(nodes: list[onnx.NodeProto], constants: dict[str, Values], x: Values) -> None:
    rng = np.random.default_rng(1)
    y = evaluate(nodes, constants, x)
    u, step = rng.standard_normal(y.shape), 1e-6
    gradient = pulled_back(nodes, constants, x, u)
    assert gradient.shape == x.shape
    for _ in range(5):
        v = rng.standard_normal(x.shape)
        ahead = evaluate(nodes, constants, x + step * v)
        behind = evaluate(nodes, constants, x - step * v)
        expected = ((ahead - behind) * u).sum() / (2 * step)
        assert (v * gradient).sum() == pytest.approx(expected, rel=1e-7, abs=1e-7)


def distinct(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Values that differ from each other and from 0 by at least 1e-3, in random order."""
    count = int(np.prod(shape))
    values = (np.arange(count) - count / 2 + 0.25) * 4e-3
    return np.asarray(rng.permutation(values).reshape(shape))


def node(op: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), ["y"], op.lower(), **attributes)


@pytest.mark.parametrize("mode", ["reflect", "edge"])
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (2, 0, 0, 3), (0, 3, 1, 0), (0, 0, 0, 0)])
def test_padding_by_copies(mode: str, pads: tuple[int, ...]) -> None:
    sides = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]])
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 6))
    check([node("Pad", "x", "p", mode=mode)], {"p": sides}, x)


def test_a_power_of_a_number() -> None:
    x = np.random.default_rng(0).random((1, 2, 3, 4)) + 0.5
    for exponent in (-0.5, 2.0, 1.5):
        check([node("Pow", "x", "p")], {"p": np.array(exponent)}, x)
    with pytest.raises(NoGradientRuleError, match="the exponent must be a constant number"):
        check([node("Pow", "x", "p")], {"p": np.ones(4)}, x)


def test_relu() -> None:
    check([node("Relu", "x")], {}, distinct(np.random.default_rng(0), (1, 3, 5, 7)))


@pytest.mark.parametrize(("kernel", "stride", "pad"), [(1, 1, 0), (3, 1, 1), (3, 2, 0), (7, 2, 0)])
@pytest.mark.parametrize(("height", "width"), [(9, 12), (10, 11), (7, 8)])
def test_conv(kernel: int, stride: int, pad: int, height: int, width: int) -> None:
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((4, 3, kernel, kernel)), "b": rng.standard_normal(4)}
    conv = node("Conv", "x", "w", "b", strides=[stride] * 2, pads=[pad] * 4)
    check([conv], constants, rng.standard_normal((1, 3, height, width)))


@settings(max_examples=30, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 1)] * 4),
    size=st.tuples(st.integers(5, 10), st.integers(5, 10)),
)
def test_conv_of_any_shape(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    pads: tuple[int, ...],
    size: tuple[int, int],
) -> None:
    rng = np.random.default_rng(0)
    pads = tuple(min(pad, kernel[i % 2] - 1) for i, pad in enumerate(pads))
    constants = {"w": rng.standard_normal((2, 3, *kernel))}
    conv = node("Conv", "x", "w", strides=list(stride), pads=list(pads))
    check([conv], constants, rng.standard_normal((1, 3, *size)))


@pytest.mark.parametrize(("height", "width"), [(7, 7), (7, 8), (8, 7), (8, 10), (9, 9), (9, 10)])
def test_max_pool(height: int, width: int) -> None:
    pool = node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    check([pool], {}, distinct(np.random.default_rng(0), (1, 2, height, width)))


@pytest.mark.parametrize("ceil_mode", [0, 1])
@pytest.mark.parametrize(("height", "width"), [(7, 7), (7, 8), (8, 7), (2, 10)])
def test_average_pool(height: int, width: int, ceil_mode: int) -> None:
    height += 2 - 2 * ceil_mode  # without ceil_mode a window must fit
    pool = node("AveragePool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=ceil_mode)
    check([pool], {}, np.random.default_rng(0).standard_normal((1, 2, height, width)))


@settings(max_examples=30, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ceil=st.booleans(),
    size=st.tuples(st.integers(4, 10), st.integers(4, 10)),
)
def test_average_pool_divides_as_torch_does(
    kernel: tuple[int, int], stride: tuple[int, int], ceil: bool, size: tuple[int, int]
) -> None:
    """ONNX's evaluator has its own idea of windows that reach far over the border."""
    if ceil:
        stride = (min(stride[0], kernel[0]), min(stride[1], kernel[1]))
    pool = node("AveragePool", "x", kernel_shape=kernel, strides=stride, ceil_mode=int(ceil))
    rng = np.random.default_rng(0)
    x = torch.zeros(1, 2, *size, dtype=torch.float64, requires_grad=True)
    y = torch.nn.functional.avg_pool2d(x, kernel, stride, ceil_mode=ceil)
    u = rng.standard_normal(y.shape)
    (expected,) = torch.autograd.grad(y, x, torch.from_numpy(u))
    gradient = pulled_back([pool], {}, x.detach().numpy(), u)
    np.testing.assert_allclose(gradient, expected.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("inputs", [("x", "number"), ("number", "x")])
def test_mul_by_a_number(inputs: tuple[str, str]) -> None:
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4))
    check([node("Mul", *inputs)], {"number": np.array(-1.5)}, x)


def test_max_pool_sends_ties_to_the_first_maximum() -> None:
    pool = node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    gradient = pulled_back([pool], {}, np.ones((1, 1, 5, 5)), np.ones((1, 1, 2, 2)))
    expected = np.zeros((5, 5))
    expected[[0, 0, 2, 2], [0, 2, 0, 2]] = 1
    np.testing.assert_array_equal(gradient[0, 0], expected)


def test_concat_of_branches_that_share_their_input() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "a"),
        helper.make_node("Relu", ["x"], ["b"], "b"),
        node("Concat", "a", "x", "b", axis=1),
    ]
    rng = np.random.default_rng(0)
    check(nodes, {"w": rng.standard_normal((5, 3, 1, 1))}, distinct(rng, (1, 3, 4, 6)))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_a_max_pool_scatters_is_added_to_another_gradient(order: tuple[int, int]) -> None:
    rows = {"start": np.array([2]), "end": np.array([5]), "axes": np.array([2])}
    branches = [
        helper.make_node("MaxPool", ["x"], ["a"], "a", kernel_shape=[3, 1], strides=[2, 1]),
        helper.make_node("Slice", ["x", "start", "end", "axes"], ["b"], "b"),
    ]
    nodes = [*(branches[i] for i in order), node("Concat", "a", "b", axis=1)]
    check(nodes, rows, distinct(np.random.default_rng(0), (1, 2, 7, 5)))


def views(size: int) -> tuple[list[onnx.NodeProto], dict[str, Any]]:
    """Three overlapping rows of ``x``, named a, b and c."""
    nodes, constants = [], {"axes": np.array([2])}
    for index, name in enumerate("abc"):
        constants |= {f"s{name}": np.array([index]), f"e{name}": np.array([index + size])}
        nodes.append(helper.make_node("Slice", ["x", f"s{name}", f"e{name}", "axes"], [name], name))
    return nodes, constants


def test_slice_and_max() -> None:
    nodes, constants = views(4)
    x = distinct(np.random.default_rng(0), (1, 2, 6, 5))
    check([*nodes, node("Max", "a", "b", "c")], constants, x)
    check([nodes[1], node("Relu", "b")], constants, x)


def test_max_sends_ties_to_the_first() -> None:
    nodes, constants = views(1)
    x = np.array([3.0, 3.0, 1.0]).reshape(1, 1, 3, 1)
    gradient = pulled_back(
        [*nodes, node("Max", "a", "b", "c")], constants, x, np.full((1, 1, 1, 1), 7.0)
    )
    np.testing.assert_array_equal(gradient.flatten(), [7, 0, 0])


@pytest.mark.parametrize(
    ("pads", "axes"),
    [([0, 0, 0, 0, 0, 0, 1, 2], [0, 1, 2, 3]), ([-1, 1], [3]), ([0, -1], [2]), ([2, -2], [2])],
)
def test_pad_adds_and_cuts(pads: list[int], axes: list[int]) -> None:
    constants: dict[str, Any] = {
        "pads": np.array(pads),
        "least": np.array(-1.0),
        "axes": np.array(axes),
    }
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4))
    check([node("Pad", "x", "pads", "least", "axes")], constants, x)


CASES: dict[str, tuple[onnx.NodeProto, dict[str, Any]]] = {
    "LeakyRelu": (node("LeakyRelu", "x", alpha=0.2), {}),
    "LeakyRelu, as it is by default": (node("LeakyRelu", "x"), {}),
    "PRelu": (node("PRelu", "x", "s"), {"s": np.array([0.1, -0.5]).reshape(2, 1, 1)}),
    "PRelu of one slope": (node("PRelu", "x", "s"), {"s": np.array([0.3]).reshape(1, 1, 1)}),
    "Clip": (node("Clip", "x", "a", "b"), {"a": np.array(-0.0505), "b": np.array(0.0815)}),
    "Clip from below": (node("Clip", "x", "a"), {"a": np.array(0.0005)}),
    "Clip from above": (node("Clip", "x", "", "b"), {"b": np.array(0.0005)}),
    "Clip of nothing": (node("Clip", "x"), {}),
    "Sigmoid": (node("Sigmoid", "x"), {}),
    "HardSigmoid": (node("HardSigmoid", "x", alpha=6.0, beta=0.5), {}),
    "BatchNormalization": (
        node("BatchNormalization", "x", "g", "b", "m", "v", epsilon=0.1),
        {
            "g": np.array([1.5, -2.0]),
            "b": np.array([0.3, 0.4]),
            "m": np.array([0.1, 0.2]),
            "v": np.array([0.5, 2.0]),
        },
    ),
    "Add": (node("Add", "x", "c"), {"c": np.ones((2, 1, 1))}),
    "Mul": (node("Mul", "x", "c"), {"c": np.array([2.0, -3.0]).reshape(2, 1, 1)}),
    "Mul of a value by itself": (node("Mul", "x", "x"), {}),
    "Gather": (node("Gather", "x", "o", axis=1), {"o": np.array([1, 0])}),
    "LRN of a channel": (node("LRN", "x", size=1, alpha=2.0, beta=0.7, bias=1.1), {}),
    "Resize": (
        node(
            *("Resize", "x", "", "s"),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        {"s": np.array([1.0, 1.0, 2.0, 3.0], np.float32)},
    ),
    "GlobalAveragePool": (node("GlobalAveragePool", "x"), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_row(name: str) -> None:
    case, constants = CASES[name]
    x = distinct(np.random.default_rng(0), (1, 2, 5, 6))
    # Where the activation has kinks, they lie between the values.
    check([case], constants, x)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_lrn(size: int) -> None:
    x = np.random.default_rng(0).standard_normal((1, 7, 3, 4))
    check([node("LRN", "x", size=size, alpha=1.5, beta=0.75, bias=1.2)], {}, x)


def test_gather_puts_channels_back() -> None:
    order = np.random.default_rng(0).permutation(12)
    x = np.random.default_rng(0).standard_normal((1, 12, 2, 3))
    constants: dict[str, Any] = {"o": order}
    check([node("Gather", "x", "o", axis=1)], constants, x)


@pytest.mark.parametrize("op", ["Add", "Sum", "Mul"])
def test_maps_and_gates_meet(op: str) -> None:
    """A squeeze-and-excitation: what comes from a mean of the whole map meets the map."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], "a"),
        helper.make_node("GlobalAveragePool", ["x"], ["m"], "m"),
        helper.make_node("Sigmoid", ["m"], ["g"], "g"),
        node(op, "a", "g"),
    ]
    x = distinct(np.random.default_rng(0), (1, 3, 4, 5))
    check(nodes, {}, x)
    check([*nodes[:-1], node(op, "g", "a")], {}, x)


def test_sum_of_many() -> None:
    nodes = [helper.make_node("Sigmoid", ["x"], ["a"], "a"), node("Sum", "a", "x", "c")]
    check(
        nodes, {"c": np.ones((1, 2, 3, 4))}, np.random.default_rng(0).standard_normal((1, 2, 3, 4))
    )


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 3)] * 4),
    group=st.sampled_from([1, 2, 4]),
)
def test_conv_in_groups_dilated_with_any_pads(
    kernel: Any, strides: Any, dilations: Any, pads: Any, group: int
) -> None:
    rng = np.random.default_rng(0)
    constants = {"w": rng.standard_normal((8, 4 // group, *kernel)), "b": rng.standard_normal(8)}
    form = {"strides": strides, "dilations": dilations, "pads": pads, "group": group}
    check([node("Conv", "x", "w", "b", **form)], constants, rng.standard_normal((1, 4, 8, 9)))


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    ceil=st.booleans(),
    op=st.sampled_from(["MaxPool", "AveragePool", "AveragePool with pads"]),
)
def test_pools_with_pads(kernel: Any, strides: Any, pads: Any, ceil: bool, op: str) -> None:
    pads = [min(pad, kernel[i % 2] - 1) for i, pad in enumerate(pads)]
    form = {"kernel_shape": kernel, "strides": strides, "pads": pads, "ceil_mode": int(ceil)}
    if op == "AveragePool with pads":
        form["count_include_pad"] = 1
    x = distinct(np.random.default_rng(0), (1, 2, 7, 8))
    check([node(op.split()[0], "x", **form)], {}, x)


def test_a_dilated_max_pool() -> None:
    form = {"kernel_shape": [2, 3], "dilations": [2, 2], "strides": [1, 2], "pads": [1, 0, 1, 0]}
    check([node("MaxPool", "x", **form)], {}, distinct(np.random.default_rng(0), (1, 2, 8, 9)))


def test_every_row_of_the_table_is_tested_here() -> None:
    windows = {"Conv", "MaxPool", "AveragePool"}
    here = {name.split()[0].rstrip(",") for name in CASES}
    assert set(RULES) == windows | here | {"Relu", "Concat", "Max", "Slice", "Pad", "Pow", "Sum"}


@pytest.mark.parametrize(
    "outside",
    [
        node("Tanh", "x"),
        node("Conv", "x", "w", auto_pad="SAME_UPPER"),
        node("Conv", "x", "x"),
        node("MaxPool", "x", kernel_shape=[3, 3], storage_order=1),
        node("MaxPool", "x", kernel_shape=[3, 3], foreign=1),
        node("AveragePool", "x", kernel_shape=[3, 3], auto_pad="SAME_UPPER"),
        node("PRelu", "x", "x"),
        node("Add", "x", "x"),
        node("Concat", "x", "x", axis=1),
        node("Gather", "x", "o", axis=1),
        node("Gather", "x", "p", axis=2),
        node("Resize", "x", "", "p"),
        node("Pad", "x", "p", mode="reflect"),
        node("BatchNormalization", "x", "x", "x", "x", "x"),
    ],
)
def test_what_the_table_cannot_do_is_refused(outside: onnx.NodeProto) -> None:
    constants = {"w": np.ones((2, 3, 1, 1)), "o": np.array([0, 0, 2]), "p": np.array([0, 2, 1])}
    with pytest.raises(NoGradientRuleError) as caught:
        pulled_back([outside], constants, np.ones((1, 3, 5, 5)), np.ones((1, 3, 5, 5)))
    assert caught.value.node == outside.name
    assert caught.value.reason in str(caught.value)


def test_a_loss_that_does_not_depend_on_the_source_is_refused() -> None:
    with pytest.raises(ValueError, match="no loss depends on 'x'"):
        append_gradient(GraphBuilder(), "x", {})
