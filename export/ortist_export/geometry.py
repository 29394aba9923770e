"""Where a feature looks, and how many there are: read off the graph, never found by running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from ortist_models import EVERYTHING

__all__ = ["Geometry", "GeometryError", "Path", "Step", "Window"]

Path = tuple[int, int, int, bool] | tuple[int, int, int, bool, int]
"""A layer with windows: kernel, stride, pads of both sides, ceil, and the repeats, if not 1."""

_PLENTY = 512
"""Pixels of a picture in which every network sees something, a multiple of the strides."""
_LARGEST_SIDE = 1024
"""The largest smallest side that a model may have."""


class GeometryError(ValueError):
    """A layer, called ``node``, whose windows cannot be described; the message says why."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.node, self.reason = node, reason


@dataclass(frozen=True)
class Step:
    """A layer along one axis: windows of ``kernel`` features, every ``stride`` features.

    ``before`` and ``after`` are the padding; with ``ceil`` the last window may end past the border.
    Before all that every feature is repeated ``repeats`` times. With fewer features than ``least``
    there is none.
    """

    kernel: int = 1
    stride: int = 1
    before: int = 0
    after: int = 0
    ceil: bool = False
    repeats: int = 1
    least: int = 1

    def length(self, features: int) -> int:
        """The number of windows over so many features; less than 1 where there is none."""
        if features < self.least:
            return 0
        features *= self.repeats
        room = features + self.before + self.after - self.kernel
        count = (-(-room // self.stride) if self.ceil else room // self.stride) + 1
        # A window that would begin beyond the border is none.
        if self.ceil and (count - 1) * self.stride >= features + self.before:
            count -= 1
        return count

    @property
    def as_path(self) -> Path:
        """Kernel, stride, pads of both sides, ceil; and the repeats where there are any."""
        whole = (self.kernel, self.stride, self.before + self.after, self.ceil)
        return whole if self.repeats == 1 else (*whole, self.repeats)


@dataclass(frozen=True)
class Window:
    """The pixels that feature i of one axis sees: from i * stride + start on, ``size`` of them.

    All three are in pixels. ``start`` is negative where the first feature reaches into the padding.
    ``stride`` 0 is that of a gate, the one feature of a channel, which sees EVERYTHING.
    """

    size: int = 1
    stride: int = 1
    start: int = 0

    def through(self, step: Step) -> Window:
        """The window after a layer; raises ValueError where its repeats split a pixel."""
        own = self
        if not self.stride:
            if step != Step():
                raise ValueError("it has windows on what sees the whole picture")
            return self
        if step.repeats > 1:
            if self.stride % step.repeats:
                raise ValueError("it is enlarged beyond the picture's own size")
            stride = self.stride // step.repeats
            # Feature i is feature i // repeats of before, which begins up to that far earlier.
            beyond = stride * (step.repeats - 1)
            own = Window(self.size + beyond, stride, self.start - beyond)
        return Window(
            own.size + (step.kernel - 1) * own.stride,
            own.stride * step.stride,
            own.start - step.before * own.stride,
        )

    def joined(self, other: Window) -> Window:
        """The smallest window that covers both; raises ValueError where their strides differ."""
        if not self.stride or not other.stride:
            return Window(EVERYTHING, self.stride or other.stride, -EVERYTHING // 2)
        if self.stride != other.stride:
            raise ValueError(f"strides {self.stride} and {other.stride} meet in one value")
        start = min(self.start, other.start)
        end = max(self.start + self.size, other.start + other.size)
        return Window(end - start, self.stride, start)


class Geometry:
    """The layers between a graph's first input and all that depends on it.

    Raises GeometryError for a layer that treats height and width differently.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._source = graph.input[0].name
        constants = {tensor.name: tensor for tensor in graph.initializer}
        self._layers: list[_Layer] = []
        self._maker: dict[str, _Layer] = {}
        self._gates: set[str] = set()
        depends = {self._source}
        self._fitted: dict[str, str] = {}
        """Maps that are cut to the size of another one (meeting.py), and that one."""
        shapes = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Shape"}
        for node in graph.node:
            inputs = [name for name in node.input if name in depends]
            if inputs and node.op_type != "Shape":
                if node.op_type == "Slice" and node.input[2] in shapes:
                    self._fitted[node.output[0]] = shapes[node.input[2]]
                layer = _Layer(node, inputs, *_steps(constants, node))
                depends.update(node.output)
                self._layers.append(layer)
                self._maker |= dict.fromkeys(node.output, layer)
                if node.op_type == "GlobalAveragePool" or self._gates.issuperset(inputs):
                    self._gates.update(node.output)

    def is_map(self, value: str) -> bool:
        """Whether a value has a feature for each place."""
        return value == self._source or (value in self._maker and value not in self._gates)

    def sample(self, values: Sequence[str]) -> dict[str, list[int]]:
        """The heights of some maps over pictures of all sorts of heights.

        Raises GeometryError where values of different heights meet.
        """
        period = max(window.stride for window in self.windows().values())
        found: dict[str, list[int]] = {value: [] for value in values}
        for pixels in range(_PLENTY, _PLENTY + 2 * period):
            lengths = self.lengths(pixels)
            for value in values:
                found[value].append(lengths[value])
        return found

    def windows(self) -> dict[str, Window]:
        """The window of every value, by name.

        Where the axes differ, it covers the windows of both. Raises GeometryError where values of
        different strides meet.
        """
        by_value = {self._source: Window()}
        for layer in self._layers:
            window, *others = (by_value[name] for name in layer.inputs)
            try:
                for other in others:
                    window = window.joined(other)
                both = window.through(layer.down).joined(window.through(layer.across))
                if layer.node.op_type == "GlobalAveragePool":
                    both = Window(EVERYTHING, 0, -EVERYTHING // 2)
            except ValueError as error:
                raise GeometryError(layer.node.name, str(error)) from error
            by_value.update(dict.fromkeys(layer.node.output, both))
        return by_value

    def path_to(self, value: str) -> list[Path]:
        """The layers with windows between the picture and ``value``, in their order.

        Where several ways lead to a value they have features of one size, and the first is taken
        on which no map is cut to another's size.
        """
        path: list[Path] = []
        while value != self._source:
            layer = self._maker[value]
            if layer.down != Step():
                path.insert(0, layer.down.as_path)
            maps = [name for name in layer.inputs if name not in self._gates]
            value = next((name for name in maps if name not in self._fitted), maps[0])
        return path

    def lengths(self, pixels: int) -> dict[str, int]:
        """The height of every map, by name, of a picture so high; its width is alike.

        Raises GeometryError where values of different heights meet.
        """
        by_value = {self._source: pixels}
        for layer in self._layers:
            known = [by_value[name] for name in layer.inputs if name not in self._gates]
            if self._gates.issuperset(layer.node.output):
                continue
            if min(known) >= 1 and len({*known}) > 1:
                raise GeometryError(
                    layer.node.name,
                    f"maps of {min(known)} and {max(known)} rows meet there for a picture of "
                    f"{pixels}",
                )
            length = layer.down.length(min(known)) if min(known) >= 1 else 0
            other = self._fitted.get(layer.node.output[0])
            if other is not None:
                length = min(length, by_value[other])
            by_value.update(dict.fromkeys(layer.node.output, max(0, length)))
        return by_value

    def smallest_side(self) -> int:
        """The least height and width, in pixels, for which every value has a feature.

        Raises GeometryError where values that meet have not one size for every larger picture, and
        where no picture of up to 1024 pixels has features.
        """
        period = max(window.stride for window in self.windows().values())
        for side in range(1, _LARGEST_SIDE + 1):
            if self._has_features(side):
                for larger in range(side, side + 2 * period):
                    self.lengths(larger)
                return side
        last = self._layers[-1].node.name
        raise GeometryError(last, f"no picture of up to {_LARGEST_SIDE} pixels has features there")

    def _has_features(self, pixels: int) -> bool:
        try:
            return min(self.lengths(pixels).values()) >= 1
        except GeometryError:  # as small maps may not fit; larger ones must
            return False


@dataclass(frozen=True)
class _Layer:
    """A node, those of its inputs that depend on the picture, and what it does along both axes."""

    node: onnx.NodeProto
    inputs: Sequence[str]
    down: Step
    across: Step


Constants = Mapping[str, onnx.TensorProto]


def _steps(constants: Constants, node: onnx.NodeProto) -> tuple[Step, Step]:
    """A layer along both axes; raises GeometryError for one that cannot be described."""
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type in ("Conv", "MaxPool", "AveragePool"):
        steps = _pooled(constants, node, given)
    elif node.op_type == "Pad":
        steps = _padded(constants, node)
    elif node.op_type == "Resize":
        scales = _value_of(constants, node.input[2])
        repeats = [1, 1] if scales is None else [int(scale) for scale in scales[2:]]
        steps = Step(repeats=repeats[0]), Step(repeats=repeats[1])
    else:
        return Step(), Step()
    down, across = steps
    surplus = [s.before + s.after - s.kernel for s in steps]
    if (down.stride, down.repeats) != (across.stride, across.repeats) or len({*surplus}) > 1:
        raise GeometryError(node.name, "it treats height and width differently")
    if down.ceil and any(s.before != s.after for s in steps):
        raise GeometryError(node.name, "its pads differ between the sides while it rounds up")
    return steps


def _pooled(constants: Constants, node: onnx.NodeProto, given: dict[str, Any]) -> tuple[Step, Step]:
    kernel = given.get("kernel_shape")
    if node.op_type == "Conv":
        weight = constants.get(node.input[1])
        if weight is None:
            raise GeometryError(node.name, "its kernel is no constant")
        kernel = weight.dims[2:]
    assert kernel is not None  # ONNX's checker
    strides, pads = given.get("strides", [1, 1]), given.get("pads", [0] * 4)
    extents = [
        (size - 1) * dilation + 1
        for size, dilation in zip(kernel, given.get("dilations", [1, 1]), strict=True)
    ]
    ceil = bool(given.get("ceil_mode", 0))
    down, across = (
        Step(int(extents[axis]), int(strides[axis]), int(pads[axis]), int(pads[axis + 2]), ceil)
        for axis in (0, 1)
    )
    return down, across


def _padded(constants: Constants, node: onnx.NodeProto) -> tuple[Step, Step]:
    pads = _value_of(constants, node.input[1])
    axes = _value_of(constants, node.input[3]) if len(node.input) > 3 else None
    if pads is None:
        raise GeometryError(node.name, "its pads are no constant")
    along = range(4) if axes is None else [int(axis) % 4 for axis in axes]
    count = len(pads) // 2
    sides = {axis: (int(pads[i]), int(pads[i + count])) for i, axis in enumerate(along)}
    if any(any(sides.get(axis, ())) for axis in (0, 1)):
        raise GeometryError(node.name, "it pads channels")
    # A mirror shows no more than there is.
    mirrored = any(a.name == "mode" and a.s == b"reflect" for a in node.attribute)
    down, across = (
        Step(before=b, after=a, least=1 + max(b, a) if mirrored else 1)
        for b, a in (sides.get(axis, (0, 0)) for axis in (2, 3))
    )
    return down, across


def _value_of(constants: Constants, name: str) -> NDArray[Any] | None:
    tensor = constants.get(name)
    return None if tensor is None else numpy_helper.to_array(tensor)
