"""Rows of ops that add, cut or repeat places."""

from __future__ import annotations

import numpy as np
import onnx

from ..graph import GraphBuilder
from .table import NoGradientRuleError, attributes, rule

__all__ = ["cut", "pad", "resize"]


@rule("Slice")
def cut(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Zeros are put around the cotangent, up to the input's size.

    Only steps of 1 from constant starts have a rule. The axes must be trailing ones, 2 and 3 of an
    image.
    """
    starts, axes = (builder.value_of(name) for name in (node.input[1], node.input[3]))
    if starts is None or axes is None or len(node.input) > 4 or min(starts) < 0:
        raise NoGradientRuleError(node, "starts and axes must be constants, no steps")
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
    if attributes(node, mode=b"constant")["mode"] != b"constant":
        raise NoGradientRuleError(node, "only constant padding has a rule")
    pads = builder.op("Neg", node.input[1], name="pads")
    return {node.input[0]: builder.op("Pad", cotangent, pads, "", *node.input[3:], name="d_pad")}


@rule("Resize")
def resize(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Every place repeated a whole number of times: it gets the sum over its copies.

    The sum is a mean times a number: AveragePool's windows are the copies.
    """
    given = attributes(
        node, mode=b"nearest", coordinate_transformation_mode=b"half_pixel", nearest_mode=b""
    )
    scales = builder.value_of(node.input[2]) if len(node.input) == 3 else None
    how = (given["mode"], given["coordinate_transformation_mode"], given["nearest_mode"])
    if scales is None or how != (b"nearest", b"asymmetric", b"floor"):
        raise NoGradientRuleError(node, "only repeated places have a rule (nearest, asymmetric)")
    times = [int(scale) for scale in scales]
    if [float(number) for number in times] != [float(s) for s in scales] or times[:2] != [1, 1]:
        raise NoGradientRuleError(node, "only whole numbers of copies have a rule")
    copies = times[2:]
    mean = builder.op("AveragePool", cotangent, kernel_shape=copies, strides=copies, name="d_mean")
    count = builder.constant(float(np.prod(copies)), name="copies")
    return {node.input[0]: builder.op("Mul", mean, count, name="d_resize")}
