"""Cuts a graph that waits for others on its way into graphs that are run one after the other.

Some inputs of the whole graph are not known when it starts: they depend, through the graphs of
others, on values that it makes itself. Nodes are put into segments, so that each needs such inputs
and values of earlier segments only. What a later segment reads is an output of the one that makes
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import onnx
from onnx import helper

from .graph import OPSET, GraphBuilder

__all__ = ["IR_VERSION", "cut", "model_of", "reads"]

IR_VERSION = 10

_COUNTING = {"Shape", "Size"}
_ARITHMETIC = {"Add", "Concat", "Div", "Gather", "Mul", "Neg", "Slice", "Sub"}
_VIEWS = {"Flatten", "Reshape", "Identity", "ConstantOfShape"}
"""Ops that are made anew in each segment rather than handed on: they cost nothing, or less."""


def cut(
    builder: GraphBuilder,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    waited_for: Collection[str],
    after: Mapping[str, Sequence[str]],
) -> list[onnx.ModelProto]:
    """The builder's nodes as models, in the order in which they are to be run.

    ``after[name]`` are the values on which an input, or what others add to a value, depends: it is
    first read in a later segment than those are made in. What others wait for is made as early as
    it can be, all else as late as that keeps no more values from segment to segment. The values
    ``waited_for`` are outputs too.
    """
    nodes = _ordered(builder.nodes, after)
    constants = {tensor.name for tensor in builder.initializers}
    plan = _Plan(nodes, constants, after)
    for node in reversed(nodes):
        if not set(node.output) & set(waited_for):
            plan.postpone(node, set(waited_for), {value.name for value in outputs})
    return _models(builder, plan, (*inputs, *outputs), {*waited_for, *(v.name for v in outputs)})


class _Plan:
    """Which node is in which segment."""

    def __init__(
        self,
        nodes: Sequence[onnx.NodeProto],
        constants: Collection[str],
        after: Mapping[str, Sequence[str]],
    ) -> None:
        self.nodes, self._constants = nodes, constants
        self.producer = {name: node for node in nodes for name in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        self.segment: dict[str, int] = {}
        """The segment of every node, by its name."""
        for node in nodes:
            ready = 0
            for name in self.values(node):
                self.consumers.setdefault(name, []).append(node)
                if name in after:
                    ready = max(ready, *(1 + self._made(value) for value in after[name]))
                elif name in self.producer:
                    ready = max(ready, self._made(name))
            self.segment[node.name] = ready
        self._numbers = {n for node in nodes if self._counts(node) for n in node.output}

    def _counts(self, node: onnx.NodeProto) -> bool:
        """Whether a node makes a few numbers, of the shapes of values alone.

        They are made as early as they can be. Where shapes are asked for ONNX Runtime computes with
        them on the CPU; in a later segment it would do so on a GPU, and wait for it.
        """
        values = self.values(node)
        counted = (self._counts(self.producer[v]) if v in self.producer else False for v in values)
        return node.op_type in _COUNTING or (
            node.op_type in _ARITHMETIC and bool(values) and all(counted)
        )

    def values(self, node: onnx.NodeProto) -> list[str]:
        return [name for name in reads(node) if name not in self._constants]

    def _made(self, value: str) -> int:
        return self.segment[self.producer[value].name]

    def postpone(self, node: onnx.NodeProto, kept: set[str], outputs: set[str]) -> None:
        """Moves ``node``, with what is computed for it alone, to the segment that first uses it.

        To the last one, where it makes an output of the whole alone.
        """
        users = [self.segment[user.name] for o in node.output for user in self._users(o)]
        if not users and outputs & set(node.output):
            users = [max(self.segment.values())]
        if not users or min(users) <= self.segment[node.name] or self._numbers & {*node.output}:
            return
        target = min(users)
        cone = {node.name: node}
        grown = True
        while grown:
            grown = False
            for name in [n for member in cone.values() for n in self.values(member)]:
                maker = self.producer.get(name)
                if maker is None or maker.name in cone or name in self._numbers:
                    continue
                others = [u for o in maker.output for u in self._users(o) if u.name not in cone]
                if not others and not (kept | outputs) & set(maker.output):
                    cone[maker.name] = maker
                    grown = True
        needed = {n for member in cone.values() for n in self.values(member)}
        newly_kept = [name for name in needed if self._ends(name, cone, target)]
        if len(newly_kept) <= len(node.output):
            for name in cone:
                self.segment[name] = target

    def _ends(self, name: str, cone: Collection[str], target: int) -> bool:
        """Whether a value made outside ``cone`` would not be kept until ``target`` without it."""
        maker = self.producer.get(name)
        if maker is None or maker.name in cone or self.segment[maker.name] >= target:
            return False
        if name in self._numbers:
            return False
        last = [self.segment[u.name] for u in self._users(name) if u.name not in cone]
        return max(last, default=-1) < target

    def _users(self, name: str) -> Iterator[onnx.NodeProto]:
        """The nodes that read a value, through views of it too."""
        for node in self.consumers.get(name, []):
            yield node
            if node.op_type in _VIEWS:
                for output in node.output:
                    yield from self._users(output)


def reads(node: onnx.NodeProto) -> list[str]:
    """The values that a node takes from outside, those of its branches included."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inner = attribute.g
            made = {name for member in inner.node for name in member.output}
            wanted = [name for member in inner.node for name in reads(member)]
            wanted += [value.name for value in inner.output]
            names += [name for name in wanted if name not in made]
    return list(dict.fromkeys(names))


def _ordered(
    nodes: Sequence[onnx.NodeProto], after: Mapping[str, Sequence[str]]
) -> list[onnx.NodeProto]:
    """Every node behind those that it needs, or waits for."""
    producer = {name: node for node in nodes for name in node.output}
    order: dict[str, onnx.NodeProto] = {}
    stack = [iter(nodes)]
    open_nodes: list[onnx.NodeProto] = []
    seen: set[str] = set()
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            if open_nodes:
                done = open_nodes.pop()
                order[done.name] = done
        elif node.name not in seen:
            seen.add(node.name)
            names = reads(node)
            names += [value for name in names for value in after.get(name, ())]
            open_nodes.append(node)
            stack.append(iter([producer[name] for name in names if name in producer]))
    return list(order.values())


def _models(
    builder: GraphBuilder,
    plan: _Plan,
    known: Sequence[onnx.ValueInfoProto],
    outputs: Collection[str],
) -> list[onnx.ModelProto]:
    types = _types(builder, plan, known)
    count = 1 + max(plan.segment.values())
    bodies, needs = [], []
    for index in range(count):
        own = [node for node in plan.nodes if plan.segment[node.name] == index]
        bodies.append([*_views(plan, own, index), *own])
        made = {name for node in bodies[-1] for name in node.output}
        read = dict.fromkeys(name for node in bodies[-1] for name in plan.values(node))
        needs.append([name for name in read if name not in made])
    kept = {*outputs, *(name for need in needs for name in need)}
    models = []
    for index, (body, need) in enumerate(zip(bodies, needs, strict=True)):
        own = [node for node in body if plan.segment[node.name] == index]
        given = [name for node in own for name in node.output if name in kept]
        used = {name for node in body for name in reads(node)}
        graph = helper.make_graph(
            body,
            f"segment {index}",
            [types[name] for name in need],
            [types[name] for name in given],
            initializer=[tensor for tensor in builder.initializers if tensor.name in used],
        )
        models.append(model_of(graph))
    return models


def _views(plan: _Plan, own: Iterable[onnx.NodeProto], index: int) -> list[onnx.NodeProto]:
    """The views of earlier segments' values that these nodes read, each behind what it needs."""
    views: dict[str, onnx.NodeProto] = {}

    def pull(node: onnx.NodeProto) -> None:
        for name in plan.values(node):
            maker = plan.producer.get(name)
            if maker is None or plan.segment[maker.name] == index or maker.op_type not in _VIEWS:
                continue
            if maker.name not in views:
                pull(maker)
                views[maker.name] = maker

    for node in own:
        pull(node)
    return list(views.values())


def _types(
    builder: GraphBuilder, plan: _Plan, known: Sequence[onnx.ValueInfoProto]
) -> dict[str, onnx.ValueInfoProto]:
    """The type of every value, and what is known of its shape."""
    inputs = [value for value in known if value.name not in plan.producer]
    graph = helper.make_graph(plan.nodes, "whole", inputs, [], initializer=builder.initializers)
    inferred = onnx.shape_inference.infer_shapes(model_of(graph), data_prop=True).graph
    return {value.name: value for value in (*inferred.value_info, *known)}


def model_of(graph: onnx.GraphProto) -> onnx.ModelProto:
    """The model of a graph, in the version of ONNX that all files here are written in."""
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="ortist"
    )
