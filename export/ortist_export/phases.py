"""Graph pass: a max pooling of stride 2 after a strided convolution, rewritten by phases.

ONNX Runtime's MaxPool with indices, which the gradient of a pooling needs, is its slowest kernel
here, and the ScatterElements that undoes it runs on one thread. Where the pooled values come
straight from a convolution, its output can be computed as four phases instead — even and odd rows,
even and odd columns — each a convolution of twice the stride on the image shifted by one stride.
Every position of a pooling window is then a plain view of one phase, the pooling is a maximum of
such views, and its gradient needs no indices (the rule of ``Max``).

Requires  Conv (no padding, equal strides, its input the graph's) -> Relu -> MaxPool (3 x 3, stride
          2, ceil_mode, no padding), the pooling being the Relu's one consumer.
Ensures   the same values, and ``parts[name]`` lists the four phases of the Relu's output, in the
          order even-even, even-odd, odd-even, odd-odd (rows first); their union holds the same
          features. Anything else is left as it is.
"""

from __future__ import annotations

import onnx
from onnx import helper

from .graph import GraphBuilder

__all__ = ["split_pooled_convolutions"]

_END = 2**31 - 1
_LEAST = -1.0
"""What stands for pixels beyond the border: less than any output of a Relu."""


def split_pooled_convolutions(builder: GraphBuilder, source: str) -> dict[str, list[str]]:
    """Rewrites ``builder``'s nodes; returns ``parts``: value -> its phases."""
    parts: dict[str, list[str]] = {}
    nodes, builder.nodes = builder.nodes, []
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    producer = {name: node for node in nodes for name in node.output}
    replaced: set[str] = set()
    for node in nodes:
        relu = producer.get(node.input[0]) if node.op_type == "MaxPool" else None
        conv = producer.get(relu.input[0]) if relu and relu.op_type == "Relu" else None
        if conv is not None and relu is not None and _fits(conv, node, source):
            values = relu.output[0]
            if len(consumers[values]) == len(consumers[conv.output[0]]) == 1:
                replaced |= {conv.name, relu.name, node.name}
    for node in nodes:
        if node.name not in replaced:
            builder.nodes.append(node)
        elif node.op_type == "MaxPool":
            relu = producer[node.input[0]]
            conv = producer[relu.input[0]]
            parts[relu.output[0]] = _phases(builder, conv)
            _pool(builder, parts[relu.output[0]], node.output[0])
    return parts


def _fits(conv: onnx.NodeProto, pool: onnx.NodeProto, source: str) -> bool:
    if conv.op_type != "Conv" or conv.input[0] != source:
        return False
    own, shape = (
        {a.name: helper.get_attribute_value(a) for a in node.attribute} for node in (conv, pool)
    )
    plain = all(
        not any(given.get("pads", [0]))
        and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        and set(given.get("dilations", [1])) == {1}
        for given in (own, shape)
    )
    return (
        plain
        and own.get("group", 1) == 1
        and len(set(own.get("strides", [1]))) == 1
        and list(shape["kernel_shape"]) == [3, 3]
        and list(shape.get("strides", [1, 1])) == [2, 2]
        and shape.get("ceil_mode", 0) == 1
    )


def _phases(builder: GraphBuilder, conv: onnx.NodeProto) -> list[str]:
    """Conv and Relu on the image shifted by no or one stride, at twice the stride."""
    attributes = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
    stride = attributes.get("strides", [1])[0]
    attributes["strides"] = [2 * stride, 2 * stride]
    attributes.pop("auto_pad", None)
    phases = []
    end, axes = builder.integers([_END, _END]), builder.integers([2, 3])
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        image = conv.input[0]
        if down or right:
            start = builder.integers([down * stride, right * stride])
            image = builder.op("Slice", image, start, end, axes, name="shifted")
        name = f"phase_{'eo'[down]}{'eo'[right]}"
        output = builder.op("Conv", image, *conv.input[1:], name=name, **attributes)
        phases.append(builder.op("Relu", output, name=f"{name}_relu"))
    return phases


def _pool(builder: GraphBuilder, phases: list[str], output: str) -> None:
    """Maxima of three columns within even and odd rows, then of three of those rows.

    In that order ties still go to the first maximum in row order. With ceil_mode there are as many
    windows as odd rows (columns); where the number of rows is even, the last window's third row
    lies beyond the border.
    """
    ee, eo, oe, oo = phases
    windows, positions = (builder.op("Shape", phase, start=2, name="size") for phase in (oo, ee))
    # How many more windows than even rows and columns there are: none, or one less.
    extra = builder.op("Sub", windows, positions, name="extra")
    none, one = builder.integers([0]), builder.integers([1])

    def window(even: str, odd: str, axis: int, name: str) -> str:
        own = builder.op("Slice", extra, builder.integers([axis - 2]), builder.integers([axis - 1]))
        views = []
        for start in (none, one):  # the first position of each window, and the third
            before = builder.op("Neg", start, name="before")
            after = builder.op("Add", own, start, name="after")
            pads = builder.op("Concat", before, after, axis=0, name="pads")
            axes, least = builder.integers([axis]), builder.constant(_LEAST)
            views.append(builder.op("Pad", even, pads, least, axes, name="view"))
        return builder.op("Max", views[0], odd, views[1], name=name)

    even_rows, odd_rows = window(ee, eo, 3, "even_rows"), window(oe, oo, 3, "odd_rows")
    window(even_rows, odd_rows, 2, "pooled")
    builder.nodes[-1].output[0] = output  # the name that the graph after the pooling knows
