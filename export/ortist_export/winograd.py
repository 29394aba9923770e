"""Graph pass: 3 x 3 convolutions of many channels with half of their products.

Winograd's minimal filtering F(4, 3) (S. Winograd, Arithmetic Complexity of Computations, 1980;
A. Lavin and S. Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016, section 4.3) has
six products for four outputs of a filter of three taps, where the sums have twelve. It is done
along the rows alone, so that all six parts are plain convolutions, with kernels of 1 x 3, on ONNX
Runtime's fast blocked path; what they read is made by six depthwise convolutions of stride 4. In
both directions at once, F(2 x 2, 3 x 3), it has fewer products still and was slower below 512
channels, for all the additions. (Measured on one core of an EPYC without AVX-512: 256 channels
38 -> 26 ms, 128 channels 41 -> 29 ms, 64 channels 42 -> 35 ms.)

Requires  Conv, 3 x 3, one group, stride 1, not dilated, of ``_CHANNELS`` or more on both sides.
Ensures   the same values but for rounding, which is three to four times as large (1e-6 of the
          largest value). Anything else is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx
from onnx import helper

from .graph import GraphBuilder, attributes_of

__all__ = ["halve_products", "halved"]

_CHANNELS = 128
"""Additions take what the products of fewer save, the more so where products are fast."""
_OUTPUTS = 4
_PARTS: list[list[Fraction | int]] = [
    [Fraction(1, 4), 0, 0],
    [Fraction(-1, 6), Fraction(-1, 6), Fraction(-1, 6)],
    [Fraction(-1, 6), Fraction(1, 6), Fraction(-1, 6)],
    [Fraction(1, 24), Fraction(1, 12), Fraction(1, 6)],
    [Fraction(1, 24), Fraction(-1, 12), Fraction(1, 6)],
    [0, 0, 1],
]
"""G of the paper: parts of the kernel [6, 3]."""
_ROWS = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
"""B^T of the paper: parts of six rows of the input [6, 6]."""


def halve_products(builder: GraphBuilder) -> None:
    """Rewrites the convolutions among ``builder``'s nodes that the pass requires."""
    nodes, builder.nodes = builder.nodes, []
    for node in nodes:
        if _fits(builder, node):
            _rewrite(builder, node)
        else:
            builder.nodes.append(node)


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model, rewritten."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    builder = GraphBuilder.extending(copy.graph)
    halve_products(builder)
    del copy.graph.node[:], copy.graph.initializer[:]
    copy.graph.node.extend(builder.nodes)
    copy.graph.initializer.extend(builder.initializers)
    return copy


def _fits(builder: GraphBuilder, node: onnx.NodeProto) -> bool:
    if node.op_type != "Conv":
        return False
    kernel, given = builder.value_of(node.input[1]), attributes_of(node)
    usual = {"group": 1, "strides": [1, 1], "dilations": [1, 1], "auto_pad": b"NOTSET"}
    return (
        kernel is not None
        and kernel.shape[2:] == (3, 3)
        and min(kernel.shape[:2]) >= _CHANNELS
        and all(given.get(name, value) == value for name, value in usual.items())
    )


def _rewrite(builder: GraphBuilder, node: onnx.NodeProto) -> None:
    """Appends what makes the output of ``node``."""
    source, output = node.input[0], node.output[0]
    pads = attributes_of(node).get("pads", [0] * 4)
    top, left, bottom, right = pads
    parts = []
    for index, kernel in enumerate(_kernels(builder, node)):
        # Rows beyond the last fill its group of four; what they give is cut off again.
        read = _rows(builder, node, index, [top, 0, bottom + _OUTPUTS - 1, 0])
        # Part 1 is in each of the four sums once, and so is a bias.
        bias = node.input[2:] if index == 1 else []
        name = f"{output}.part{index}"
        parts.append(builder.op("Conv", read, kernel, *bias, name=name, pads=[0, left, 0, right]))
    joined = builder.op("Concat", *_sums(builder, parts), axis=3, name=f"{output}.groups")
    width = builder.op("Shape", parts[0], start=3, name="width")
    shape = builder.op("Concat", builder.integers([0, 0, -1]), width, axis=0, name="shape")
    whole = builder.op("Reshape", joined, shape, name=f"{output}.whole")
    end = builder.op("Shape", source, start=2, end=3, name="height")
    if top + bottom != 2:
        end = builder.op("Add", end, builder.integers([top + bottom - 2]), name="height")
    start, axes = builder.integers([0]), builder.integers([2])
    builder.nodes.append(helper.make_node("Slice", [whole, start, end, axes], [output], node.name))


def _kernels(builder: GraphBuilder, node: onnx.NodeProto) -> list[str]:
    """The parts of the kernel [K, C, 1, 3]: ONNX Runtime makes them when a graph is opened.

    A file holds the kernel itself, in half the bytes.
    """
    parts = builder.constant([[float(number) for number in row] for row in _PARTS])
    rows = builder.op("MatMul", parts, node.input[1], name=f"{node.output[0]}.kernel")
    names = [f"{rows}{index}" for index in range(len(_PARTS))]
    return builder.ops("Split", rows, names=names, axis=2, num_outputs=len(_PARTS))


def _rows(builder: GraphBuilder, node: onnx.NodeProto, index: int, pads: list[int]) -> str:
    """One part of the input's rows [N, C, ceil(H / 4), W]."""
    kernel = builder.value_of(node.input[1])
    assert kernel is not None
    channels = kernel.shape[1]
    weights = np.tile(np.reshape(_ROWS[index], (1, 1, -1, 1)), (channels, 1, 1, 1))
    return builder.op(
        "Conv",
        node.input[0],
        builder.constant(weights, name=f"rows{index}"),
        name=f"{node.output[0]}.rows{index}",
        group=channels,
        strides=[_OUTPUTS, 1],
        pads=pads,
    )


def _sums(builder: GraphBuilder, parts: Sequence[str]) -> list[str]:
    """A^T of the paper: the four outputs of each group [N, K, ceil(H / 4), W] of its six parts."""

    def op(op_type: str, *values: str) -> str:
        return builder.op(op_type, *values, name="sum")

    def times(number: int, value: str) -> str:
        return op("Mul", value, builder.constant(number, name="factor"))

    first, *middle, last = parts
    near, far = op("Add", *middle[:2]), op("Add", *middle[2:])
    near_odd, far_odd = op("Sub", *middle[:2]), op("Sub", *middle[2:])
    return [
        op("Add", op("Add", first, near), far),
        op("Add", near_odd, times(2, far_odd)),
        op("Add", near, times(4, far)),
        op("Add", op("Add", last, near_odd), times(8, far_odd)),
    ]
