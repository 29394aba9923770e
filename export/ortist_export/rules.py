"""Gradient rules: for each ONNX op, how a cotangent of its output becomes one of its inputs.

One short function a row, in the manner of HIPS/autograd's ``numpy_vjps``. A rule gets the builder,
the node of the forward graph and the name of dL/d(output); it appends the nodes of the
vector-Jacobian product and returns ``{input: name of dL/d(input)}`` for the inputs that can carry a
gradient. A rule may add a second output to the forward node (max pooling needs its argmax). It
raises NoGradientRuleError for a form of its op that it does not know. Every row is tested against
central differences in float64 (tests/export/test_rules.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper

from .graph import GraphBuilder

__all__ = ["RULES", "NoGradientRuleError"]

Rule = Callable[[GraphBuilder, onnx.NodeProto, str], dict[str, str]]
"""(builder, forward node, name of dL/d(output)) -> {input: name of dL/d(input)}."""

RULES: dict[str, Rule] = {}
"""The table: op -> its rule."""


class NoGradientRuleError(ValueError):
    """The graph holds an op, or a form of an op, that the table cannot differentiate."""


def rule(op_type: str) -> Callable[[Rule], Rule]:
    """A decorator that makes a function the row of ``op_type`` in the table."""

    def register(function: Rule) -> Rule:
        RULES[op_type] = function
        return function

    return register


def _attributes(node: onnx.NodeProto, **defaults: Any) -> dict[str, Any]:
    """The node's attributes over ``defaults``; raises NoGradientRuleError for any other one."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    unknown = set(given) - set(defaults)
    if unknown:
        raise NoGradientRuleError(f"{node.op_type} {node.name}: no gradient rule with {unknown}")
    return defaults | given


@rule("Relu")
def relu(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = dy [y > 0], from the output y, so that the input need not be kept.

    HardSigmoid(3e38 y) = min(1, max(0, 3e38 y)) is that step function for every normal float32 and
    five times faster in ONNX Runtime than Greater + Where.
    """
    return {node.input[0]: _where_active(builder, node.output[0], cotangent)}


def _where_active(builder: GraphBuilder, output: str, cotangent: str) -> str:
    """The cotangent where the ReLU's output is positive, and 0 elsewhere."""
    maker = builder.producer(cotangent)
    if maker is None or maker.op_type != "Reshape":
        active = builder.late_op("HardSigmoid", output, alpha=3e38, beta=0.0, name="active")
        return builder.op("Mul", cotangent, active, name="d_relu")
    # A cotangent in plain layout, from matrices. As a matrix the mask is made in that layout too;
    # otherwise ONNX Runtime would make it in the convolutions' blocked layout and copy it.
    matrix = builder.late_op("Flatten", output, axis=2, name="matrix")
    active = builder.late_op("HardSigmoid", matrix, alpha=3e38, beta=0.0, name="active")
    flat = builder.op("Flatten", cotangent, axis=2, name="d_flat")
    return builder.op("Reshape", builder.op("Mul", flat, active), maker.input[1], name="d_relu")


@rule("Conv")
def conv(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Correlation with the kernel flipped and its channel axes swapped (2-D, one group).

    Stride 1: a plain Conv with pads k - 1 - p, which stays on ONNX Runtime's fast blocked path.
    Larger strides: ConvTranspose padded to the largest input that gives this output, then cut to
    the input's size, since rows beyond the last window get no gradient.
    """
    weight = builder.value_of(node.input[1])
    if weight is None or weight.ndim != 4:
        raise NoGradientRuleError(f"Conv {node.name}: the kernel must be a constant of rank 4")
    kernel = list(weight.shape[2:])
    given = _attributes(
        node,
        auto_pad=b"NOTSET",
        dilations=[1, 1],
        group=1,
        kernel_shape=kernel,
        pads=[0, 0, 0, 0],
        strides=[1, 1],
    )
    strides, pads = list(given["strides"]), list(given["pads"])
    if given["auto_pad"] != b"NOTSET" or given["group"] != 1 or list(given["dilations"]) != [1, 1]:
        raise NoGradientRuleError(f"Conv {node.name}: no rule for auto_pad, groups or dilations")
    if strides == [1, 1]:
        flipped = np.ascontiguousarray(weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])
        back = [kernel[i % 2] - 1 - pads[i] for i in range(4)]
        if min(back) < 0:
            raise NoGradientRuleError(f"Conv {node.name}: pads {pads} exceed the kernel {kernel}")
        transposed = builder.constant(flipped, name=f"{node.input[1]}.transposed")
        return {node.input[0]: builder.op("Conv", cotangent, transposed, name="d_conv", pads=back)}
    name = _transposed(
        builder, node.input[0], cotangent, node.input[1], strides, "d_conv", pads=pads
    )
    return {node.input[0]: name}


def _transposed(
    builder: GraphBuilder,
    value: str,
    cotangent: str,
    weight: str,
    strides: list[int],
    name: str,
    **attributes: Any,
) -> str:
    """The cotangent of a strided convolution carried back to ``value``, cut to its size."""
    whole = builder.op(
        "ConvTranspose",
        cotangent,
        weight,
        name=f"{name}_whole",
        strides=strides,
        output_padding=[stride - 1 for stride in strides],
        **attributes,
    )
    start, axes = builder.integers([0, 0]), builder.integers([2, 3])
    return builder.op("Slice", whole, start, _size(builder, value), axes, name=name)


def _size(builder: GraphBuilder, value: str) -> str:
    """The height and width of ``value``, [2], as a value of the graph.

    Where it is cut from another value, they come from that one: so the cut copy need not be kept
    until they are asked for.
    """
    node = builder.producer(value)
    if node is not None and node.op_type == "Slice" and len(node.input) == 4:
        starts, axes = (builder.value_of(name) for name in (node.input[1], node.input[3]))
        if starts is not None and axes is not None and list(axes) == [2, 3] and min(starts) >= 0:
            return builder.op("Sub", _size(builder, node.input[0]), node.input[1], name="size")
    return builder.op("Shape", value, start=2, end=4, name="size")


@rule("MaxPool")
def max_pool(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """The whole gradient of a window goes to its maximum; of equal ones, to the first in row order.

    The rule for ties is PyTorch's. ONNX Runtime's Indices keep it: they name the first maximum.
    """
    given = _attributes(
        node,
        auto_pad=b"NOTSET",
        ceil_mode=0,
        dilations=[1, 1],
        kernel_shape=None,
        pads=[0, 0, 0, 0],
        storage_order=0,
        strides=[1, 1],
    )
    if given["storage_order"]:
        raise NoGradientRuleError(f"MaxPool {node.name}: no rule for column-major indices")
    if len(node.output) == 1 or not node.output[1]:
        node.output[:] = [node.output[0], builder.reserve(f"{node.output[0]}.argmax")]
    shape = builder.op("Shape", node.input[0], name="shape")
    flat = builder.integers([-1])
    zeros = builder.op(
        "ConstantOfShape",
        builder.op("ReduceProd", shape, keepdims=1, name="count"),
        value=helper.make_tensor("zero", builder.tensor_type(), [1], [0.0]),
        name="zeros",
    )
    scattered = builder.op(
        "ScatterElements",
        zeros,
        builder.op("Reshape", node.output[1], flat, name="argmax"),
        builder.op("Reshape", cotangent, flat, name="d_windows"),
        reduction="add",
        name="d_flat",
    )
    return {node.input[0]: builder.op("Reshape", scattered, shape, name="d_pool")}


@rule("AveragePool")
def average_pool(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Every pixel of a window gets the window's gradient over the number of pixels in it.

    The number differs where ceil_mode lets windows reach over the border: it is counted, on one
    channel of ones. Then the means are a depthwise convolution with ones. There is no rule for
    padding other than ceil_mode's, nor then for strides beyond the kernel (a window would start
    outside).
    """
    given = _attributes(
        node,
        auto_pad=b"NOTSET",
        ceil_mode=0,
        count_include_pad=0,
        kernel_shape=None,
        pads=[0, 0, 0, 0],
        strides=[1, 1],
    )
    kernel, strides = list(given["kernel_shape"]), list(given["strides"])
    channels = builder.channels(node.input[0])
    padded = given["auto_pad"] != b"NOTSET" or any(given["pads"])
    outside = given["ceil_mode"] and any(s > k for s, k in zip(strides, kernel, strict=True))
    if channels is None or padded or outside:
        raise NoGradientRuleError(
            f"AveragePool {node.name}: no rule for padding, strides beyond the kernel in ceil_mode "
            "or an unknown number of channels"
        )
    size = builder.op(
        "Concat", builder.integers([1, 1]), _size(builder, node.input[0]), axis=0, name="shape"
    )
    one = helper.make_tensor("one", builder.tensor_type(), [1], [1.0])
    count = builder.op(
        "Conv",
        builder.op("ConstantOfShape", size, value=one, name="ones"),
        builder.constant(np.ones((1, 1, *kernel)), name="window"),
        name="count",
        strides=strides,
        # Floor mode on an input longer by stride - 1 has the windows of ceil_mode.
        pads=[0, 0, *(stride - 1 if given["ceil_mode"] else 0 for stride in strides)],
    )
    share = builder.op("Div", cotangent, count, name="d_mean")
    weight = builder.constant(np.ones((channels, 1, *kernel)), name="windows")
    whole = _transposed(builder, node.input[0], share, weight, strides, "d_pool", group=channels)
    return {node.input[0]: whole}


@rule("Mul")
def scale(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """The cotangent times the factor, which must be one constant number."""
    for value, factor in (node.input, reversed(node.input)):
        number = builder.value_of(factor)
        if number is not None and number.ndim == 0:
            return {value: builder.op("Mul", cotangent, factor, name="d_scale")}
    raise NoGradientRuleError(f"Mul {node.name}: only a constant number as factor has a rule")


@rule("Concat")
def concat(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """The cotangent is cut where the inputs were joined.

    Where all inputs come from Relus, their masks are applied before the cut, in one piece, and what
    is returned are the gradients of the Relus' inputs: half the nodes, and the parts need not be
    kept beside the whole.
    """
    axis = _attributes(node, axis=None)["axis"]
    values = list(node.input)
    makers = [builder.producer(name) for name in values]
    if all(maker is not None and maker.op_type == "Relu" for maker in makers):
        cotangent = _where_active(builder, node.output[0], cotangent)
        values = [maker.input[0] for maker in makers if maker is not None]
    sizes = _lengths(builder, list(node.input), axis)
    cuts = builder.ops("Split", cotangent, sizes, names=["d_concat"] * len(values), axis=axis)
    return dict(zip(values, cuts, strict=True))


def _lengths(builder: GraphBuilder, values: list[str], axis: int) -> str:
    """The values' lengths along ``axis``: constants where the graph's shapes tell them."""
    channels = [builder.channels(name) for name in values]
    if axis == 1 and None not in channels:
        return builder.integers(channels, name="lengths")
    lengths = [
        builder.op("Shape", name, start=axis, end=axis + 1 or None, name="length")
        for name in values
    ]
    return builder.op("Concat", *lengths, axis=0, name="lengths")


@rule("Max")
def maximum(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """The cotangent goes to the first input that equals the maximum; all inputs of one shape.

    HardSigmoid(3e38 (x - y) + 1) is 1 where x = y and 0 where x < y. What is left for the later
    inputs is what the earlier ones did not take, so that ties go to the first alone and the last
    input needs no comparison.
    """
    gradients: dict[str, str] = {}
    left = cotangent
    for name in node.input[:-1]:
        below = builder.late_op("Sub", name, node.output[0], name="below")
        taken = builder.late_op("HardSigmoid", below, alpha=3e38, beta=1.0, name="is_maximum")
        gradients[name] = builder.op("Mul", left, taken, name="d_max")
        left = builder.op("Sub", left, gradients[name], name="left")
    return gradients | {node.input[-1]: left}


@rule("Slice")
def cut(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Zeros are put around the cotangent, up to the input's size.

    Only steps of 1 from constant starts have a rule. The axes must be trailing ones, 2 and 3 of an
    image.
    """
    starts, axes = (builder.value_of(name) for name in (node.input[1], node.input[3]))
    if starts is None or axes is None or len(node.input) > 4 or min(starts) < 0:
        raise NoGradientRuleError(f"Slice {node.name}: starts and axes must be constants, no steps")
    before = np.zeros(4, np.int64)
    before[axes] = starts
    whole = _cut_from(builder, cotangent)
    if whole is not None:  # cut and put into place at once
        builder.nodes.pop()
        cotangent = whole
    shapes = [builder.op("Shape", name, name="shape") for name in (node.input[0], cotangent)]
    missing = builder.op("Sub", *shapes, name="missing")
    after = builder.op("Sub", missing, builder.integers(before), name="after")
    pads = builder.op("Concat", builder.integers(before), after, axis=0, name="pads")
    return {node.input[0]: builder.op("Pad", cotangent, pads, name="d_slice")}


def _cut_from(builder: GraphBuilder, cotangent: str) -> str | None:
    """The value whose end the last node cuts off to make ``cotangent``; None if it does not."""
    node = builder.nodes[-1]
    if node.op_type != "Slice" or list(node.output) != [cotangent] or len(node.input) > 4:
        return None
    starts = builder.value_of(node.input[1])
    return node.input[0] if starts is not None and not starts.any() else None


@rule("Pad")
def pad(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """What was added is cut off, and zeros take the place of what was cut: the pads negated."""
    if _attributes(node, mode=b"constant")["mode"] != b"constant":
        raise NoGradientRuleError(f"Pad {node.name}: only constant padding has a rule")
    pads = builder.op("Neg", node.input[1], name="pads")
    return {node.input[0]: builder.op("Pad", cotangent, pads, "", *node.input[3:], name="d_pad")}
