"""The gradient table: for each ONNX op, how a cotangent of its output becomes one of its inputs.

One short function a row, in the manner of HIPS/autograd's ``numpy_vjps``. A rule gets the builder,
the node of the forward graph and the name of dL/d(output); it appends the nodes of the
vector-Jacobian product and returns ``{input: name of dL/d(input)}`` for the inputs that can carry a
gradient. A rule may add a second output to the forward node (max pooling needs its argmax). It
raises NoGradientRuleError for a form of its op that it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import helper

from ..graph import GraphBuilder

__all__ = ["RULES", "NoGradientRuleError", "Rule", "attributes", "different", "rule", "size_of"]

Rule = Callable[[GraphBuilder, onnx.NodeProto, str], dict[str, str]]
"""(builder, forward node, name of dL/d(output)) -> {input: name of dL/d(input)}."""

RULES: dict[str, Rule] = {}
"""The table: op -> its rule."""


class NoGradientRuleError(ValueError):
    """The graph holds an op, or a form of an op, that the table cannot differentiate.

    ``node`` is its name, ``reason`` what is the matter with it.
    """

    def __init__(self, node: onnx.NodeProto, reason: str) -> None:
        super().__init__(f"{node.op_type} {node.name}: {reason}")
        self.node, self.reason = node.name, reason


def rule(op_type: str) -> Callable[[Rule], Rule]:
    """A decorator that makes a function the row of ``op_type`` in the table."""

    def register(function: Rule) -> Rule:
        RULES[op_type] = function
        return function

    return register


def attributes(node: onnx.NodeProto, **defaults: Any) -> dict[str, Any]:
    """The node's attributes over ``defaults``; raises NoGradientRuleError for any other one."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise NoGradientRuleError(node, f"no gradient rule with {', '.join(unknown)}")
    return defaults | given


def different(node: onnx.NodeProto) -> list[str]:
    """The node's inputs, each once; raises NoGradientRuleError where it reads one twice."""
    if len({*node.input}) < len(node.input):
        raise NoGradientRuleError(node, "no gradient rule where it reads one value twice")
    return list(node.input)


def size_of(builder: GraphBuilder, value: str) -> str:
    """The height and width of ``value``, [2], as a value of the graph.

    Where it is cut from another value, they come from that one: so the cut copy need not be kept
    until they are asked for.
    """
    node = builder.producer(value)
    if node is not None and node.op_type == "Slice" and len(node.input) == 4:
        starts, axes = (builder.value_of(name) for name in (node.input[1], node.input[3]))
        if starts is not None and axes is not None and list(axes) == [2, 3] and min(starts) >= 0:
            return builder.op("Sub", size_of(builder, node.input[0]), node.input[1], name="size")
    return builder.op("Shape", value, start=2, end=4, name="size")
