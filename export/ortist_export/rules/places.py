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
    """What was added is cut off, and zeros take the place of what was cut: the pads negated.

    Padding by a mirror or by the border adds places that are copies: their cotangents are added to
    those of the places that they are copies of, one axis after the other.
    """
    mode = attributes(node, mode=b"constant")["mode"]
    if mode in (b"reflect", b"edge"):
        return {node.input[0]: _unfolded(builder, node, cotangent, mirrored=mode == b"reflect")}
    if mode != b"constant":
        raise NoGradientRuleError(node, f"padding by {mode.decode()} has no rule")
    pads = builder.op("Neg", node.input[1], name="pads")
    return {node.input[0]: builder.op("Pad", cotangent, pads, "", *node.input[3:], name="d_pad")}


def _unfolded(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str, mirrored: bool) -> str:
    pads = builder.value_of(node.input[1])
    if pads is None or len(pads) != 8 or len(node.input) > 2 or min(pads) < 0:
        raise NoGradientRuleError(node, "its pads must be eight constants, not negative")
    for axis in (3, 2):
        before, after = int(pads[axis]), int(pads[axis + 4])
        own = _between(builder, cotangent, axis, before, -after or _END)
        total = own
        for count, first in ((before, True), (after, False)):
            if count:
                added = (0, count) if first else (-count, _END)
                copies = _between(builder, cotangent, axis, *added)
                if mirrored:
                    copies = _turned(builder, copies, axis, count)
                else:
                    along = builder.integers([axis])
                    copies = builder.op("ReduceSum", copies, along, keepdims=1, name="d_edge_sum")
                placed = _placed(builder, copies, own, axis, int(mirrored), first)
                total = builder.op("Add", total, placed, name="d_folded")
        cotangent = total
    return cotangent


_END = 2**31 - 1


def _between(builder: GraphBuilder, value: str, axis: int, start: int, end: int) -> str:
    bounds = [builder.integers([number]) for number in (start, end, axis)]
    return builder.op("Slice", value, *bounds, name="d_part")


def _turned(builder: GraphBuilder, value: str, axis: int, count: int) -> str:
    """The ``count`` places of ``value`` along ``axis``, the last one first."""
    bounds = [builder.integers([number]) for number in (-1, -count - 1, axis, -1)]
    return builder.op("Slice", value, *bounds, name="d_turned")


def _placed(builder: GraphBuilder, value: str, whole: str, axis: int, gap: int, first: bool) -> str:
    """``value`` among zeros, as large as ``whole``: ``gap`` places from its begin, or its end."""
    near = np.zeros(4, np.int64)
    near[axis] = gap
    shapes = [builder.op("Shape", name, name="shape") for name in (whole, value)]
    missing = builder.op("Sub", *shapes, name="missing")
    far = builder.op("Sub", missing, builder.integers(near), name="beyond")
    sides = (builder.integers(near), far) if first else (far, builder.integers(near))
    pads = builder.op("Concat", *sides, axis=0, name="pads")
    return builder.op("Pad", value, pads, name="d_placed")


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
