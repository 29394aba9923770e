"""Where a feature looks: receptive field, stride and offset of every tap, read off the graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx
from onnx import helper

from .graph import GraphBuilder

__all__ = ["Window", "path_to", "smallest_side", "windows"]


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


def path_to(graph: onnx.GraphProto, value: str) -> list[tuple[int, int, int, bool]]:
    """The windows between the graph's first input and ``value``, in their order.

    Each as kernel, stride, pads of both sides, and whether windows may end beyond the border. Where
    several ways lead to a value they have features of one size, and the first is taken.
    """
    builder = GraphBuilder.extending(graph)
    path: list[tuple[int, int, int, bool]] = []
    while (node := builder.producer(value)) is not None:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        kernel = given.get("kernel_shape")
        if node.op_type == "Conv":
            weight = builder.value_of(node.input[1])
            kernel = None if weight is None else list(weight.shape[2:])
        if kernel is not None:
            pads = list(given.get("pads", [0, 0, 0, 0]))
            stride, ceil = int(given.get("strides", [1])[0]), bool(given.get("ceil_mode", 0))
            path.insert(0, (int(kernel[0]), stride, int(pads[0] + pads[2]), ceil))
        value = node.input[0]
    return path


def smallest_side(paths: Iterable[Sequence[tuple[int, int, int, bool]]]) -> int:
    """The least height and width, in pixels, for which every path's end has a feature."""
    most = 1
    for path in paths:
        needed = 1
        for kernel, stride, pads, ceil in reversed(path):
            room = kernel - (stride - 1 if ceil else 0)  # of the last window
            needed = max(1, (needed - 1) * stride + max(1, room) - pads)
        most = max(most, needed)
    return most
