"""Graph pass: maps that meet and have one size for some pictures only are cut to the smaller.

Networks join branches that round their sizes in different ways: up with ``ceil_mode``, or down. For
the pictures that they were trained with both come to one size. For others the larger one has a row
or a column more, at the end, which is left out.

Requires  a forward graph whose first input is the picture.
Ensures   the same values for every picture for which the graph had any. Where several maps of
          different heights meet for a picture of some size, and one of them is never the largest
          there, the others are cut to its height and width. All else is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from .geometry import Geometry, GeometryError
from .graph import GraphBuilder

__all__ = ["fit_meeting_maps"]

_MEETING = {"Add", "Concat", "Mul", "Sum"}


def fit_meeting_maps(builder: GraphBuilder, channels: Mapping[str, int]) -> None:
    """Rewrites the builder's nodes, whose values have so many ``channels``."""
    if _meet(_graph(builder)):
        return
    nodes, builder.nodes = builder.nodes, []
    for node in nodes:
        if node.op_type in _MEETING and len({*node.input}) > 1:
            _fit(builder, node, channels)
        builder.nodes.append(node)


def _graph(builder: GraphBuilder) -> onnx.GraphProto:
    """The graph so far; of large constants, which no geometry looks into, the shapes alone."""
    graph = onnx.GraphProto(input=[onnx.ValueInfoProto(name="image")], node=builder.nodes)
    for tensor in builder.initializers:
        small = tensor if len(tensor.dims) < 2 else onnx.TensorProto(dims=tensor.dims)
        graph.initializer.add().CopyFrom(small)
        graph.initializer[-1].name = tensor.name
    return graph


def _meet(graph: onnx.GraphProto) -> bool:
    """Whether the graph's maps fit for every picture, or not for a reason that is not sizes."""
    try:
        geometry = Geometry(graph)
        geometry.windows()
    except GeometryError:
        return True  # which is said elsewhere
    try:
        geometry.sample([])
    except GeometryError:
        return False
    return True


def _fit(builder: GraphBuilder, node: onnx.NodeProto, channels: Mapping[str, int]) -> None:
    """Appends cuts of what ``node`` reads, where they are needed, and has it read them."""
    try:
        geometry = Geometry(_graph(builder))
        lengths = geometry.sample([name for name in node.input if geometry.is_map(name)])
    except GeometryError:
        return  # which is said where the graph is whole
    sizes = [*zip(*lengths.values(), strict=True)]
    if not any(len({*own}) == 1 for own in sizes):
        return  # for no picture do they fit
    least = [min(own) for own in sizes]
    smallest = next((name for name, own in lengths.items() if own == least), None)
    for index, name in enumerate(node.input):
        if smallest is not None and name in lengths and lengths[name] != least:
            zeros, axes = builder.integers([0, 0]), builder.integers([2, 3])
            size = builder.op("Shape", smallest, start=2, end=4, name="fitting")
            fitted = builder.op("Slice", name, zeros, size, axes, name=f"{name}_fitted")
            node.input[index] = builder.tell_channels(fitted, channels[name])
