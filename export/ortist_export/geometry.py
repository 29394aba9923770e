"""Where a feature looks: receptive field, stride and offset of every tap, read off the graph."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from .graph import GraphBuilder

__all__ = ["Window", "windows"]


@dataclass(frozen=True)
class Window:
    """The pixels that feature i of one axis sees: from i * stride + start on, ``size`` of them.

    All three are in pixels. ``start`` is negative where the first feature reaches into the padding.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    def through(self, kernel: int, stride: int, pad: int) -> Window:
        """The window after a layer that looks at ``kernel`` features every ``stride`` features.

        ``pad`` features of padding stand before the first.
        """
        return Window(
            self.size + (kernel - 1) * self.stride,
            self.stride * stride,
            self.start - pad * self.stride,
        )

    def joined(self, other: Window) -> Window:
        """The smallest window that covers both; raises ValueError where their strides differ."""
        if self.stride != other.stride:
            raise ValueError(f"strides {self.stride} and {other.stride} meet in one value")
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Window(end - start, self.stride, start)


def windows(graph: onnx.GraphProto) -> dict[str, Window]:
    """The window of every value, by name, that depends on the graph's first input.

    Kernels, strides and pads are taken as equal in both axes, which holds for every backbone here.
    Raises ValueError for a graph where they differ, and where values of two strides meet.
    """
    builder = GraphBuilder.extending(graph)
    by_value = {graph.input[0].name: Window()}
    for node in graph.node:
        inputs = [by_value[name] for name in node.input if name in by_value]
        if not inputs:
            continue
        window = inputs[0]
        for other in inputs[1:]:
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
        by_value.update(dict.fromkeys(node.output, window))
    return by_value
