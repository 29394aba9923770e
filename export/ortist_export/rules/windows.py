"""Rows of ops with windows: convolution and the poolings."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ..graph import GraphBuilder
from .table import NoGradientRuleError, attributes, rule, size_of

__all__ = ["average_pool", "conv", "global_average_pool", "max_pool"]


@rule("Conv")
def conv(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Correlation with the kernel flipped and its channel axes swapped within each group (2-D).

    Stride 1: a plain Conv with pads d (k - 1) - p, d being the dilation, which stays on ONNX
    Runtime's fast blocked path. Larger strides, and pads beyond the kernel: ConvTranspose padded to
    the largest input that gives this output, then cut to the input's size, since rows beyond the
    last window get no gradient.
    """
    weight = builder.value_of(node.input[1])
    if weight is None or weight.ndim != 4:
        raise NoGradientRuleError(node, "the kernel must be a constant of rank 4")
    kernel = list(weight.shape[2:])
    given = attributes(
        node,
        auto_pad=b"NOTSET",
        dilations=[1, 1],
        group=1,
        kernel_shape=kernel,
        pads=[0, 0, 0, 0],
        strides=[1, 1],
    )
    if given["auto_pad"] != b"NOTSET":
        raise NoGradientRuleError(node, "no gradient rule with auto_pad")
    strides, pads = list(given["strides"]), list(given["pads"])
    dilations, group = list(given["dilations"]), given["group"]
    # Only what is not usual is written, so that a plain graph stays plain.
    form: dict[str, Any] = {} if dilations == [1, 1] else {"dilations": dilations}
    form |= {} if group == 1 else {"group": group}
    back = [dilations[i % 2] * (kernel[i % 2] - 1) - pads[i] for i in range(4)]
    if strides == [1, 1] and min(back) >= 0:
        transposed = builder.constant(
            _transposed_kernel(weight, group), name=f"{node.input[1]}.transposed"
        )
        name = builder.op("Conv", cotangent, transposed, name="d_conv", pads=back, **form)
        return {node.input[0]: name}
    name = _transposed(
        builder, node.input[0], cotangent, node.input[1], strides, pads, "d_conv", **form
    )
    return {node.input[0]: name}


def _transposed_kernel(weight: NDArray[Any], group: int) -> NDArray[Any]:
    """[M, C / g, h, w] -> [C, M / g, h, w], flipped."""
    outputs, inputs, *kernel = weight.shape
    grouped = weight.reshape(group, outputs // group, inputs, *kernel)[..., ::-1, ::-1]
    swapped = grouped.swapaxes(1, 2).reshape(group * inputs, outputs // group, *kernel)
    return np.ascontiguousarray(swapped)


def _transposed(
    builder: GraphBuilder,
    value: str,
    cotangent: str,
    weight: str,
    strides: list[int],
    pads: list[int],
    name: str,
    **form: Any,
) -> str:
    """The cotangent of a strided convolution carried back to ``value``, cut to its size.

    CUDA's kernel takes the same pad at both ends only: what one end has beyond it is cut off, too.
    """
    both = [min(pads[:2][axis], pads[2:][axis]) for axis in (0, 1)]
    beyond = [pads[:2][axis] - both[axis] for axis in (0, 1)]
    if any(both):
        form["pads"] = both * 2
    whole = builder.op(
        "ConvTranspose",
        cotangent,
        weight,
        name=f"{name}_whole",
        strides=strides,
        output_padding=[stride - 1 for stride in strides],
        **form,
    )
    start, end, axes = builder.integers(beyond), size_of(builder, value), builder.integers([2, 3])
    if any(beyond):
        end = builder.op("Add", end, start, name="end")
    return builder.op("Slice", whole, start, end, axes, name=name)


@rule("MaxPool")
def max_pool(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """The whole gradient of a window goes to its maximum; of equal ones, to the first in row order.

    The rule for ties is PyTorch's. ONNX Runtime's Indices keep it: they name the first maximum.
    """
    given = attributes(
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
        raise NoGradientRuleError(node, "no rule for column-major indices")
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

    The number differs at the border, by padding and by ceil_mode: it is counted, on one channel of
    ones. Then the means are a depthwise convolution with ones.
    """
    given = attributes(
        node,
        auto_pad=b"NOTSET",
        ceil_mode=0,
        count_include_pad=0,
        kernel_shape=None,
        pads=[0, 0, 0, 0],
        strides=[1, 1],
    )
    kernel, strides, pads = (list(given[key]) for key in ("kernel_shape", "strides", "pads"))
    channels = builder.channels(node.input[0])
    if channels is None or given["auto_pad"] != b"NOTSET":
        raise NoGradientRuleError(node, "no rule for auto_pad or an unknown number of channels")
    count = _count(builder, node, kernel, strides, pads, given)
    share = builder.op("Div", cotangent, count, name="d_mean")
    weight = builder.constant(np.ones((channels, 1, *kernel)), name="windows")
    whole = _transposed(
        builder, node.input[0], share, weight, strides, pads, "d_pool", group=channels
    )
    return {node.input[0]: whole}


def _count(
    builder: GraphBuilder,
    node: onnx.NodeProto,
    kernel: list[int],
    strides: list[int],
    pads: list[int],
    given: dict[str, Any],
) -> str:
    """How many pixels each window of an average pooling has, [1, 1, h, w].

    Padding counts where the pooling says so, what ceil_mode adds beyond it never does.
    """
    size = builder.op(
        "Concat", builder.integers([1, 1]), size_of(builder, node.input[0]), axis=0, name="shape"
    )
    one = helper.make_tensor("one", builder.tensor_type(), [1], [1.0])
    ones = builder.op("ConstantOfShape", size, value=one, name="ones")
    if any(pads) and given["count_include_pad"]:
        rim = builder.integers([0, 0, *pads[:2], 0, 0, *pads[2:]])
        ones = builder.op("Pad", ones, rim, builder.constant(1.0, name="one"), name="padded_ones")
        pads = [0, 0, 0, 0]
    # Floor mode on an input longer by stride - 1 has the windows of ceil_mode, and sometimes one
    # more, which would begin beyond the border.
    longer = [stride - 1 if given["ceil_mode"] else 0 for stride in strides]
    ends = [pad + more for pad, more in zip(pads[2:], longer, strict=True)]
    count = builder.op(
        "Conv",
        ones,
        builder.constant(np.ones((1, 1, *kernel)), name="window"),
        name="count",
        strides=strides,
        pads=[*pads[:2], *ends],
    )
    outside = any(s > k for s, k in zip(strides, kernel, strict=True))
    if given["ceil_mode"] and (any(given["pads"]) or outside):
        start, axes = builder.integers([0, 0]), builder.integers([2, 3])
        end = size_of(builder, node.output[0])
        count = builder.op("Slice", count, start, end, axes, name="own_count")
    return count


@rule("GlobalAveragePool")
def global_average_pool(
    builder: GraphBuilder, node: onnx.NodeProto, cotangent: str
) -> dict[str, str]:
    """Every place gets the cotangent over the number of places."""
    shape = builder.op("Shape", node.input[0], name="shape")
    count = builder.op("ReduceProd", size_of(builder, node.input[0]), keepdims=0, name="count")
    number = builder.op("Cast", count, to=builder.tensor_type(), name="places")
    share = builder.op("Div", cotangent, number, name="d_mean")
    return {node.input[0]: builder.op("Expand", share, shape, name="d_global")}
