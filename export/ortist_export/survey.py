"""What a network of others consists of: which of its values are maps that losses can look at.

A value is a *map*, [1, C, h, w] with a feature for each place, or a *gate*, [1, C, 1, 1], what a
pooling of the whole map has become (Hu et al., "Squeeze-and-excitation networks"), or neither, as
everything behind a layer that mixes places. Losses look at maps; gradients go through both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from .errors import ExportError, ExportUsageError
from .reading import contradictions
from .sizes import Sizes, is_own, label_of, printable

__all__ = ["Shuffle", "Survey", "survey"]

_MAPS = {
    *("Conv", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish"),
    *("Add", "Sum", "Sub", "Mul", "Div", "Concat", "MaxPool", "AveragePool", "LRN", "Pad"),
    *("Resize", "Upsample", "BatchNormalization", "InstanceNormalization", "Split"),
}
"""Ops that make a map of maps, and a gate of gates."""
_SILENT = {"Identity", "Dropout"}
"""Ops that change nothing, and are left out."""


@dataclass(frozen=True)
class Shuffle:
    """Reshape, Transpose and Reshape that mix channels in ``groups``; ``source`` is the input."""

    source: str
    groups: int


@dataclass
class Survey:
    """What was seen of a model.

    ``layers[i]`` is the name of layer i, 0 being the picture; ``makers[i]`` the node that makes it.
    ``aliases`` are values that are others under another name. ``barred`` says of a value that is no
    map why it is none, and ``shuffles`` which values are shuffled channels, ``steps`` being those
    on the way there. ``gates`` and ``constants`` are the values that are that, ``sizes`` those
    that were computed of sizes of maps to find shuffles.
    """

    path: Path
    model: onnx.ModelProto
    source: str
    layers: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    makers: dict[str, onnx.NodeProto] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    gates: set[str] = field(default_factory=set)
    barred: dict[str, str] = field(default_factory=dict)
    shuffles: dict[str, Shuffle] = field(default_factory=dict)
    steps: set[str] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)
    sizes: set[str] = field(default_factory=set)

    def taps(self, text: str) -> tuple[int, ...]:
        """``"conv1,Relu_3,12"`` -> sorted numbers of layers, each once.

        A word is the name of a value or of a node, or a number of the list. Raises ExportError for
        one that is none of a map, with the reason.
        """
        return tuple(sorted({self._tap(word.strip()) for word in text.split(",")}))

    def _tap(self, word: str) -> int:
        if word.isdecimal() and word.isascii() and 1 <= int(word) < len(self.values):
            return int(word)
        by_node = {node.name: node.output[0] for node in self.model.graph.node if node.output}
        value = word if word in self.barred or word in self.values else by_node.get(word, word)
        value = self.aliases.get(value, value)
        if value in self.values[1:]:
            return self.values.index(value)
        if word in self.layers[1:]:
            return self.layers.index(word)
        if value in self.gates:
            self.barred[value] = "it has one feature for the whole picture"
        if value in self.barred:
            raise ExportUsageError(
                f"{word!r} cannot be tapped: {self.barred[value]}; choose a layer before it from "
                "those that --list shows."
            )
        raise ExportUsageError(
            f"{self.path.name} has no value or node {word!r}; --list shows what there is to tap."
        )


def survey(path: Path, model: onnx.ModelProto) -> Survey:
    """Looks through a model.

    Raises ExportError for one that is not of one picture, and for one that contradicts itself.
    """
    with contradictions(path):
        return _surveyed(path, model)


def _surveyed(path: Path, model: onnx.ModelProto) -> Survey:
    sizes = Sizes(model)
    found = Survey(path, model, _picture(path, model.graph))
    found.layers.append("image")
    found.values.append(found.source)
    found.constants |= {tensor.name for tensor in model.graph.initializer}
    for output, shuffle, steps in _shuffles(model.graph, sizes):
        found.shuffles[output] = shuffle
        found.steps |= steps
    found.sizes |= sizes.of_maps()
    for node in model.graph.node:
        _look_at(found, sizes, node)
    if len(found.values) == 1:
        reason = next(iter(found.barred.values()), "it does not read the picture")
        raise ExportError(f"{path.name} has no map of features to look at: {reason}.")
    return found


def _look_at(found: Survey, sizes: Sizes, node: onnx.NodeProto) -> None:
    """Notes what the first output of a node is, and that of others nothing is known."""
    inputs = [name for name in node.input if name]
    if not node.output:
        return
    live = [name for name in inputs if name not in found.constants]
    value = node.output[0]
    parts = list(node.output) if _is_split(node) else [value]
    others = [name for name in node.output if name not in parts]
    found.barred |= dict.fromkeys(others, f"{label_of(node)} has more than one output")
    if not live and node.op_type not in ("If", "Loop", "Scan"):
        found.constants.update(node.output)
        return
    barred = [found.barred[name] for name in live if name in found.barred]
    shuffle = found.shuffles.get(value)
    if shuffle is not None and shuffle.source in found.values:
        _add(found, node, value)
        return
    if value in found.steps:
        found.barred[value] = "it is on the way of a channel shuffle"
        return
    if barred:
        found.barred |= dict.fromkeys(parts, barred[0])
        return
    if is_own(node, *_SILENT):
        found.aliases[value] = found.aliases.get(live[0], live[0])
        return
    known = [found.aliases.get(name, name) for name in live]
    maps = [name for name in known if name in found.values]
    gated = all(name in found.gates for name in known)
    if maps and _is_mean(sizes, node):
        found.gates.add(value)
    elif _makes_maps(node) and (maps or gated):
        for part in parts:
            if maps:
                _add(found, node, part)
            else:
                found.gates.add(part)
    else:
        reason = f"it lies behind {label_of(node)}, {_why(node)}"
        found.barred |= dict.fromkeys(parts, reason)


def _makes_maps(node: onnx.NodeProto) -> bool:
    return is_own(node, *_MAPS) and (node.op_type != "Split" or _is_split(node))


def _is_split(node: onnx.NodeProto) -> bool:
    """Whether it gives every output some of the channels."""
    axis = [attribute.i for attribute in node.attribute if attribute.name == "axis"]
    return is_own(node, "Split") and axis in ([1], [-3])


def _add(found: Survey, node: onnx.NodeProto, value: str) -> None:
    """Notes a map, under a name that cannot be taken for a number."""
    name = next((n for n in (value, node.name) if n and not n.isdecimal()), "")
    name = printable(name) or f"{node.op_type}{len(found.values)}"
    if name in found.layers:
        name = f"{name}.{len(found.values)}"
    found.layers.append(name)
    found.values.append(value)
    found.makers[value] = node


def _why(node: onnx.NodeProto) -> str:
    reasons = {
        "Gemm": "which mixes all places",
        "MatMul": "which mixes all places",
        "Flatten": "behind which there are no places",
        "Reshape": "behind which there are no places",
        "Softmax": "which is of a classifier",
        "Shape": "which computes with sizes: export it with a fixed input size",
        "Split": "which cuts other axes than the channels",
        **dict.fromkeys(("If", "Loop", "Scan"), "and networks with control flow have no rule"),
    }
    return reasons.get(node.op_type, "which has no gradient rule")


def _is_mean(sizes: Sizes, node: onnx.NodeProto) -> bool:
    """Whether it is the mean over all places of each channel."""
    if is_own(node, "GlobalAveragePool"):
        return True
    if not is_own(node, "ReduceMean"):
        return False
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    axes = given.get("axes") or (sizes.integers(node.input[1]) if node.input[1:] else None)
    return given.get("keepdims", 1) == 1 and sorted(a % 4 for a in axes or []) == [2, 3]


def _picture(path: Path, graph: onnx.GraphProto) -> str:
    """The name of the one input; raises ExportError where it is no picture."""
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(printable(value.name) for value in inputs) or "none"
        raise ExportError(
            f"{path.name} has {len(inputs)} inputs ({names}), and only a network of one picture "
            "can be used."
        )
    kind = inputs[0].type.tensor_type
    sizes = [axis.dim_value for axis in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or len(sizes) != 4:
        raise ExportError(
            f"{path.name} takes {printable(inputs[0].name)!r}, which is no picture [1, 3, height, "
            "width] of float32; only networks of pictures can be used."
        )
    if sizes[1] not in (0, 3):
        last = "; its channels come last, so export it with channels first" * (sizes[3] == 3)
        raise ExportError(
            f"{path.name} takes pictures of {sizes[1]} channels, and three are needed{last}."
        )
    return str(inputs[0].name)


def _shuffles(graph: onnx.GraphProto, sizes: Sizes) -> Iterator[tuple[str, Shuffle, set[str]]]:
    """The outputs of Reshape, Transpose, Reshape that shuffle channels, and values on the way."""
    makers = {name: node for node in graph.node for name in node.output}
    for last in graph.node:
        turned = makers.get(last.input[0]) if is_own(last, "Reshape") else None
        first = makers.get(turned.input[0]) if turned and is_own(turned, "Transpose") else None
        if turned is None or first is None or not is_own(first, "Reshape"):
            continue
        perm = [list(a.ints) for a in turned.attribute if a.name == "perm"]
        split = _shape(sizes, first) if perm == [[0, 2, 1, 3, 4]] else None
        joined = _shape(sizes, last) if split else None
        if split and joined and _is_shuffle(split, joined):
            yield last.output[0], Shuffle(first.input[0], split[1]), {*first.output, *turned.output}


def _is_shuffle(split: Sequence[int], joined: Sequence[int]) -> bool:
    """Whether it goes to [N, groups, C / groups, h, w] and, turned, back to [N, C, h, w]."""
    if len(split) != 5 or len(joined) != 4 or split[1] <= 0:
        return False
    parts = [split[0], split[1] * split[2], *split[3:]]
    known = [pair for pair in zip(parts, joined, strict=True) if min(pair) > 0]
    return all(part == whole for part, whole in known)


def _shape(sizes: Sizes, node: onnx.NodeProto) -> Sequence[int] | None:
    given: Mapping[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if "shape" in given:
        return [int(length) for length in given["shape"]]
    return sizes.integers(node.input[1], measured=True) if len(node.input) > 1 else None
