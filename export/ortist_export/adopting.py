"""A network of others -> a forward graph of ours: cut at the taps, modern, folded, of any size.

Requires  a surveyed model (survey.py), and the numbers of layers to tap.
Ensures   a model in our version of ONNX, from ``image`` [1, 3, height, width] to ``tap_<index>`` of
          each tap, with the values of the given one, which holds only
          1. what leads to a tap: classifiers are cut off;
          2. constants that are there as numbers, whatever computed them;
          3. convolutions with explicit padding, and no Dropout or Identity;
          4. scales and shifts of channels (BatchNormalization, Mul, Add …) in the convolution
             before them, where nobody else sees it, and otherwise as one BatchNormalization;
          5. ops that the gradient table has a row for (forms.py);
          6. maps of one size wherever maps meet (meeting.py).
Raises ExportError with the name of the node for anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import numpy_helper

from .draft import Draft
from .folding import fold
from .forms import FORMS, shuffle, split
from .layers import forward_of
from .meeting import fit_meeting_maps
from .reading import contradictions
from .sizes import label_of
from .survey import Survey

__all__ = ["Adopted", "adopt"]


@dataclass(frozen=True)
class Adopted:
    """The forward ``model``; ``labels`` tell what its nodes, by name, were called before."""

    model: onnx.ModelProto
    labels: dict[str, str]

    def label(self, node: str) -> str:
        """How the network's author called a node; its own name where it is ours alone."""
        return self.labels.get(node, repr(node))


def adopt(found: Survey, taps: Sequence[int], swapped: bool = False) -> Adopted:
    """The forward graph of a surveyed model.

    ``swapped``: the network takes blue first, and the graph is to take red first. Raises
    ExportError for what cannot be taken, and for a file that contradicts itself.
    """
    with contradictions(found.path):
        return _adopted(found, taps, swapped)


def _adopted(found: Survey, taps: Sequence[int], swapped: bool) -> Adopted:
    nodes = _cone(found, taps)
    draft = Draft(found, nodes, taps, swapped)
    stored = {tensor.name: tensor for tensor in found.model.graph.initializer}
    for name in {name for node in nodes for name in node.input} & stored.keys():
        draft.known[name] = numpy_helper.to_array(stored[name])
    if swapped and any(found.source in node.input and node.op_type != "Conv" for node in nodes):
        _swap(draft)
    for node in nodes:
        if node.output[0] in found.constants:
            draft.known |= fold(node, draft.known, label_of(node))
        elif draft.alias(node.output[0]) == node.output[0]:
            _adopt(draft, node)
    draft.store()
    draft.check_finite()
    fit_meeting_maps(draft.builder, draft.channels)
    outputs = {}
    for tap in taps:
        name = draft.names[found.values[tap]]
        draft.builder.rename(name, f"tap_{tap}")
        outputs[f"tap_{tap}"] = draft.channels[name]
    return Adopted(forward_of(draft.builder, outputs), draft.labels)


def _cone(found: Survey, taps: Sequence[int]) -> list[onnx.NodeProto]:
    """The nodes that lead to a tap, in their order; of a shuffle the last one alone."""
    wanted, cone = {found.values[tap] for tap in taps}, list[onnx.NodeProto]()
    for node in reversed(found.model.graph.node):
        if wanted.intersection(node.output):
            cone.append(node)
            shuffled = found.shuffles.get(node.output[0])
            wanted.update([shuffled.source] if shuffled is not None else node.input)
    return cone[::-1]


def _swap(draft: Draft) -> None:
    """Appends what puts blue first, where convolutions cannot have their kernels turned instead."""
    order = draft.builder.integers([2, 1, 0], name="order")
    name = draft.builder.op("Gather", "image", order, axis=1, name="blue_first")
    draft.names[draft.found.source], draft.channels[name] = name, 3
    draft.swapped = False


def _adopt(draft: Draft, node: onnx.NodeProto) -> None:
    """Appends what stands for a node, and notes the name of its output."""
    if node.op_type == "Split":
        for index, output in enumerate(node.output):
            draft.names[output] = split(draft, node, index)
        return
    form = shuffle if node.output[0] in draft.found.shuffles else FORMS.get(node.op_type)
    if form is None:
        raise draft.refuse(node, "its op is unknown here")
    name = form(draft, node)
    draft.names[node.output[0]] = name
    draft.labels.setdefault(name, label_of(node))
