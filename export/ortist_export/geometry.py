"""Where a feature looks: receptive field, stride and offset of every tap, read off the graph."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from .graph import GraphBuilder

__all__ = ["Window", "windows"]


@dataclass(frozen=True)
class Window:
    """Feature i of one axis sees the pixels i * stride + start … i * stride + start + size - 1.

    All in pixels. ``start`` is negative where the first feature reaches into the padding.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    def through(self, kernel: int, stride: int, pad: int) -> Window:
        """The window after a layer that looks at ``kernel`` of these every ``stride``."""
        return Window(
            self.size + (kernel - 1) * self.stride,
            self.stride * stride,
            self.start - pad * self.stride,
        )

    def joined(self, other: Window) -> Window:
        """The smallest window that covers both; they must have one stride."""
        if self.stride != other.stride:
            raise ValueError(f"strides {self.stride} and {other.stride} meet in one value")
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Window(end - start, self.stride, start)


def windows(graph: onnx.GraphProto) -> dict[str, Window]:
    """The window of every value that depends on the graph's first input.

    Kernels, strides and pads are taken as equal in both axes, which holds for every backbone here;
    a graph where they differ raises ValueError.
    """
    builder = GraphBuilder.extending(graph)
    found = {graph.input[0].name: Window()}
    for node in graph.node:
        seen = [found[name] for name in node.input if name in found]
        if not seen:
            continue
        window = seen[0]
        for other in seen[1:]:
            window = window.joined(other)
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kernel = given.get("kernel_shape")
        if node.op_type == "Conv":
            weight = builder.value_of(node.input[1])
            kernel = None if weight is None else list(weight.shape[2:])
        if kernel is not None:
            stride, pads = given.get("strides", [1, 1]), given.get("pads", [0, 0, 0, 0])
            if len({*kernel}) > 1 or len({*stride}) > 1 or len({*pads}) > 1:
                raise ValueError(f"{node.name}: kernel, stride or pads differ between the axes")
            window = window.through(int(kernel[0]), int(stride[0]), int(pads[0]))
        found.update(dict.fromkeys(node.output, window))
    return found
