"""Graph pass: the gradient of a band's halo, computed apart from that of its own rows.

A convolution of 3 x 3 over a band between its neighbours' rows (program.py) gives, on the way back,
the gradient of all these rows: a convolution of two rows more than the band has, which is cut into
three. To either neighbour's row but one of the kernel's three rows contributes, and of a band of
few rows, two more are much: at a quarter of the picture's size an eighth of all. (VGG-19's step at
512 pixels: 3.0 -> 2.8 s, on an EPYC without AVX-512. SqueezeNet's, of few channels, gains nothing.)

Requires  Conv, 3 x 3, one group, stride 1, of ``_CHANNELS`` or more on both sides, two rows of
          padding above and below -> Split by rows into three, its one consumer.
Ensures   the same three values: the own rows by a convolution with one row of padding, either row
          beside them by one of 1 x 3, of the outermost row.
"""

from __future__ import annotations

import onnx
from onnx import helper

from .graph import GraphBuilder, attributes_of
from .segments import reads

__all__ = ["part_rims"]

_CHANNELS = 64
_END = 2**31 - 1
"""An end of a slice beyond any picture's."""


def part_rims(builder: GraphBuilder) -> None:
    """Rewrites the convolutions among ``builder``'s nodes that the pass requires."""
    nodes, builder.nodes = builder.nodes, []
    makers = {name: node for node in nodes for name in node.output}
    readers: dict[str, int] = {}
    for name in (name for node in nodes for name in reads(node)):
        readers[name] = readers.get(name, 0) + 1
    parted = {
        split.input[0]: split
        for split in nodes
        if _cuts_rows(split) and readers[split.input[0]] == 1
    }
    parted = {v: s for v, s in parted.items() if v in makers and _fits(builder, makers[v])}
    for node in nodes:
        if node.output[0] in parted:
            _rewrite(builder, node, parted[node.output[0]])
        elif not (node.op_type == "Split" and node.input[0] in parted):
            builder.nodes.append(node)


def _cuts_rows(node: onnx.NodeProto) -> bool:
    return node.op_type == "Split" and len(node.output) == 3 and attributes_of(node)["axis"] == 2


def _fits(builder: GraphBuilder, node: onnx.NodeProto) -> bool:
    kernel, given = builder.value_of(node.input[1]), attributes_of(node)
    return (
        node.op_type == "Conv"
        and kernel is not None
        and kernel.shape[2:] == (3, 3)
        and min(kernel.shape[:2]) >= _CHANNELS
        and {*given} <= {"pads", "kernel_shape"}
        and given["pads"][::2] == [2, 2]
    )


def _rewrite(builder: GraphBuilder, conv: onnx.NodeProto, split: onnx.NodeProto) -> None:
    """Appends what makes the outputs of ``split``."""
    source, weight = conv.input[:2]
    above, own, below = split.output
    _, left, _, right = attributes_of(conv)["pads"]
    whole = helper.make_node("Conv", conv.input, [own], own, pads=[1, left, 1, right])
    builder.nodes.append(whole)
    for output, row, place in ((above, (2, 3), (0, 1)), (below, (0, 1), (-1, _END))):
        # ONNX Runtime cuts kernels when a graph is opened: a file holds each once.
        inputs = [_rows(builder, source, place), _rows(builder, weight, row), *conv.input[2:]]
        made = helper.make_node("Conv", inputs, [output], output, pads=[0, left, 0, right])
        builder.nodes.append(made)


def _rows(builder: GraphBuilder, value: str, ends: tuple[int, int]) -> str:
    start, end, axes = (builder.integers([number]) for number in (*ends, 2))
    return builder.op("Slice", value, start, end, axes, name="rim")
