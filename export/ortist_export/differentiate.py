"""ONNX graph -> the same graph with the gradient of one input appended.

Reverse accumulation over the node list (Linnainmaa 1970): nodes are visited from last to first,
each through its row of the table in rules/table.py; cotangents that reach one value by several ways
are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx

from .graph import GraphBuilder
from .rules import RULES, NoGradientRuleError

__all__ = ["Seed", "add_cotangents", "append_gradient", "append_gradients", "is_scattered"]

Seed = Callable[[str | None], str]
"""Adds a loss's own cotangent to the one that reaches its value from deeper nodes.

It gets the name of that one, None where there is none, and returns the name of the sum.
"""


def append_gradient(builder: GraphBuilder, source: str, seeds: Mapping[str, Seed]) -> str:
    """Appends the gradient with respect to ``source`` of a sum of losses, and returns its name.

    ``seeds`` are as for ``append_gradients``. Raises NoGradientRuleError for an op outside the
    table and ValueError where no loss depends on ``source``.
    """
    return append_gradients(builder, [source], seeds)[0]


def append_gradients(
    builder: GraphBuilder, sources: Sequence[str], seeds: Mapping[str, Seed]
) -> list[str]:
    """Appends the gradients with respect to ``sources`` of a sum of losses; returns their names.

    Each loss enters through one value of the graph: ``seeds[value]`` is called once, with the name
    of the cotangent gathered so far, and returns the name of the cotangent including the loss.
    Seeds, instead of a plain list of cotangents, let a loss fuse its addition. Raises
    NoGradientRuleError for an op outside the table and ValueError where no loss depends on a
    source.
    """
    forward = list(builder.nodes)
    builder.begin_backward()
    depends = {*sources}
    for node in forward:
        if depends.intersection(node.input):
            depends.update(node.output)
    cotangents: dict[str, str] = {}

    def accumulate(value: str, term: str) -> None:
        before = cotangents.get(value)
        cotangents[value] = term if before is None else add_cotangents(builder, before, term)

    def seeded(value: str) -> str | None:
        if value in seeds:
            cotangents[value] = seeds[value](cotangents.get(value))
        return cotangents.get(value)

    for node in reversed(forward):
        if not depends.intersection(node.input):
            continue
        cotangent = seeded(node.output[0])
        if cotangent is None:
            continue
        if node.op_type not in RULES or node.domain:
            raise NoGradientRuleError(
                node, f"no gradient rule; there are rules for {', '.join(sorted(RULES))}"
            )
        for value, term in RULES[node.op_type](builder, node, cotangent).items():
            if value in depends:
                accumulate(value, term)
    gradients = [seeded(source) for source in sources]
    if None in gradients:
        raise ValueError(f"no loss depends on {sources[gradients.index(None)]!r}")
    return [gradient for gradient in gradients if gradient is not None]


def add_cotangents(builder: GraphBuilder, first: str, second: str) -> str:
    """The sum of two cotangents; one that is scattered into zeros is scattered into the other."""
    for onto, scattered in ((first, second), (second, first)):
        nodes = _scatter(builder, scattered)
        if nodes:
            for node in nodes:
                builder.nodes.remove(node)
            _, scatter, reshape = nodes
            scatter.input[0] = builder.op("Reshape", onto, builder.integers([-1]), name="flat")
            builder.nodes += [scatter, reshape]
            return scattered
    return builder.op("Add", first, second, name="d_sum")


def is_scattered(builder: GraphBuilder, value: str) -> bool:
    """Whether ``value`` is scattered into zeros, as the gradient of a max pooling is."""
    return bool(_scatter(builder, value))


def _scatter(builder: GraphBuilder, value: str) -> list[onnx.NodeProto]:
    """The three nodes that make zeros, scatter into them and shape ``value``; [] for others."""
    nodes: list[onnx.NodeProto] = []
    for op_type in ("Reshape", "ScatterElements", "ConstantOfShape"):
        node = builder.producer(value)
        if node is None or node.op_type != op_type:
            return []
        nodes.insert(0, node)
        value = node.input[0]
    return nodes
