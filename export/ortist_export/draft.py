"""A forward graph in the making, of a network of others: names, channels, parameters by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .errors import ExportError
from .graph import GraphBuilder
from .sizes import label_of
from .survey import Survey

__all__ = ["Draft", "Numbers"]

Numbers = NDArray[Any]


class Draft:
    """What is there of the graph so far, and what its steps (forms.py) share.

    ``known`` are constants by their given names, ``names`` our names of given values, ``channels``
    the number of them by our names. ``kernels`` has the parameters of convolutions and
    normalisations, float64, by output; they are stored at the end. ``labels`` tell what nodes and
    values of ours were called before. ``swapped``: the network takes blue first, the graph red.
    """

    def __init__(
        self, found: Survey, nodes: Sequence[onnx.NodeProto], taps: Sequence[int], swapped: bool
    ) -> None:
        self.found, self.swapped = found, swapped
        self.builder = GraphBuilder()
        self.known: dict[str, Numbers] = {}
        self.names = {found.source: self.builder.reserve("image")}
        self.channels = {"image": 3}
        self.labels: dict[str, str] = {}
        self.kernels: dict[str, list[Numbers]] = {}
        self._wanted = {found.values[tap] for tap in taps}
        self._readers: dict[str, int] = {}
        for node in nodes:
            shuffle = found.shuffles.get(node.output[0])
            inputs = node.input if shuffle is None else [shuffle.source]
            for name in {self.alias(name) for name in inputs}:
                self._readers[name] = self._readers.get(name, 0) + 1

    def alias(self, name: str) -> str:
        """The given value that a given name stands for, Dropouts and Identities left out."""
        return self.found.aliases.get(name, name)

    def live(self, node: onnx.NodeProto) -> list[str]:
        """Our names of the inputs that depend on the picture."""
        return [
            self.names[self.alias(name)]
            for name in node.input
            if name and name not in self.known and self.alias(name) in self.names
        ]

    def refuse(self, node: onnx.NodeProto, reason: str) -> ExportError:
        """The error that says that a node cannot be taken, and why."""
        return ExportError(
            f"{self.found.path.name}: {label_of(node)} has no gradient rule: {reason}; tap layers "
            "before it."
        )

    def op(self, node: onnx.NodeProto, op: str, *inputs: str, channels: int, **given: Any) -> str:
        """Appends a node that stands for ``node``, and returns its output's name."""
        name = f"{op.lower()}_{len(self.names)}"
        made = self.builder.op(op, *inputs, name=name, **given)
        self.channels[made] = channels
        self.labels[made] = label_of(node)
        return made

    def attributes(self, node: onnx.NodeProto, *allowed: str) -> dict[str, Any]:
        """The attributes of a node; raises ExportError where it has others than ``allowed``."""
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        unknown = sorted(set(given) - set(allowed))
        if unknown:
            raise self.refuse(node, f"it has {', '.join(unknown)}")
        return given

    def constant(self, node: onnx.NodeProto, index: int, what: str) -> Numbers:
        """An input of a node, called ``what``; raises ExportError where it is no constant."""
        name = node.input[index] if len(node.input) > index else ""
        if name not in self.known:
            raise self.refuse(node, f"its {what} must be a constant")
        return self.known[name]

    def affine(self, node: onnx.NodeProto, value: str, factor: Numbers, shift: Numbers) -> str:
        """factor x + shift for each channel: within what makes x, if nobody else sees x."""
        channels = self.channels[value]
        factor, shift = (np.broadcast_to(n.flatten(), channels) for n in (factor, shift))
        given = next(n for n in node.input if n and self.names.get(self.alias(n)) == value)
        alone = self._readers.get(self.alias(given)) == 1 and self.alias(given) not in self._wanted
        own = self.kernels.get(value)
        if own is not None and alone:
            own[0] = own[0] * factor.reshape(-1, *[1] * (own[0].ndim - 1))
            own[1] = own[1] * factor + shift
            self.labels[value] = label_of(node)
            return value
        made = self.op(node, "BatchNormalization", value, channels=channels, epsilon=0.0)
        self.kernels[made] = [factor, shift]
        return made

    def store(self) -> None:
        """Gives convolutions and normalisations their parameters, in float32."""
        for output, numbers in self.kernels.items():
            self._store(output, numbers)

    def check_finite(self) -> None:
        """Raises ExportError where a node has numbers that are not finite, but for Clip's bounds.

        Those can be infinite.
        """
        stored = {tensor.name: tensor for tensor in self.builder.initializers}
        for node in self.builder.nodes:
            wrong = np.isnan if node.op_type == "Clip" else lambda n: ~np.isfinite(n)
            numbers = [numpy_helper.to_array(stored[n]) for n in node.input if n in stored]
            numbers += [np.array(a.f, np.float32) for a in node.attribute if a.type == a.FLOAT]
            if any(n.dtype.kind == "f" and np.any(wrong(n)) for n in numbers):
                label = self.labels.get(node.output[0], repr(node.name))
                raise ExportError(f"{self.found.path.name}: the weights of {label} are not finite.")

    def _store(self, output: str, numbers: list[Numbers]) -> None:
        maker = self.builder.producer(output)
        assert maker is not None
        names: tuple[str, ...] = ("kernel", "bias")
        if maker.op_type == "BatchNormalization":
            names, ones = ("scale", "bias", "mean", "var"), np.ones(len(numbers[0]))
            numbers = [*numbers, 0 * ones, ones]
        for what, value in zip(names, numbers, strict=True):
            tensor = numpy_helper.from_array(
                np.ascontiguousarray(value, np.float32), f"{output}.{what}"
            )
            maker.input.append(self.builder.store(tensor))
