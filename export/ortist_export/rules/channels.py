"""Rows of ops that look across channels: joining, shuffling, normalising over them."""

from __future__ import annotations

import numpy as np
import onnx

from ..graph import GraphBuilder
from .pointwise import where_active
from .table import NoGradientRuleError, attributes, different, rule

__all__ = ["concat", "gather", "local_response_normalization"]


@rule("Concat")
def concat(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """The cotangent is cut where the inputs were joined.

    Where all inputs come from Relus, their masks are applied before the cut, in one piece, and what
    is returned are the gradients of the Relus' inputs: half the nodes, and the parts need not be
    kept beside the whole.
    """
    axis = attributes(node, axis=None)["axis"]
    values = different(node)
    makers = [builder.producer(name) for name in values]
    if all(maker is not None and maker.op_type == "Relu" for maker in makers):
        cotangent = where_active(builder, node.output[0], cotangent)
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


@rule("Gather")
def gather(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Channels in another order: the cotangent's are put back. Each must be taken once."""
    order = builder.value_of(node.input[1])
    if order is None or sorted(order.flatten()) != [*range(order.size)] or order.ndim != 1:
        raise NoGradientRuleError(node, "only a constant order of all channels has a rule")
    if attributes(node, axis=0)["axis"] != 1 or order.size != builder.channels(node.input[0]):
        raise NoGradientRuleError(node, "only a constant order of all channels has a rule")
    back = builder.integers(np.argsort(order), name="order")
    return {node.input[0]: builder.op("Gather", cotangent, back, axis=1, name="d_shuffled")}


@rule("LRN")
def local_response_normalization(
    builder: GraphBuilder, node: onnx.NodeProto, cotangent: str
) -> dict[str, str]:
    """y_c = x_c D_c^-b with D_c = bias + alpha / size * the sum of x^2 over channels near c.

    dx_c = dy_c D_c^-b - 2 b alpha / size * x_c * the sum of dy x D^(-b - 1) over channels that c is
    near to (Krizhevsky et al. 2012, 3.3). Sums over channels are 1 x 1 convolutions with ones.
    """
    given = attributes(node, alpha=1e-4, beta=0.75, bias=1.0, size=None)
    channels, value = builder.channels(node.input[0]), node.input[0]
    if channels is None:
        raise NoGradientRuleError(node, "the number of channels is unknown")
    size, share = given["size"], given["alpha"] / given["size"]
    distance = np.arange(channels)[None] - np.arange(channels)[:, None]
    near = (distance >= -((size - 1) // 2)) & (distance <= size - 1 - (size - 1) // 2)
    weight = np.where(near, 1.0, 0.0)[..., None, None]
    op, constant = builder.op, builder.constant
    energy = op("Conv", op("Mul", value, value, name="square"), constant(share * weight))
    base = op("Add", energy, constant(given["bias"], name="bias"), name="base")
    damping = op("Pow", base, constant(-given["beta"], name="exponent"), name="damping")
    direct = op("Mul", cotangent, damping, name="d_direct")
    pull = op("Div", op("Mul", direct, value), base, name="pull")
    turned = np.ascontiguousarray(weight.transpose(1, 0, 2, 3))
    spread = op("Conv", pull, constant(2 * given["beta"] * share * turned), name="spread")
    return {value: op("Sub", direct, op("Mul", value, spread), name="d_lrn")}
