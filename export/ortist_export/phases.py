"""Graph pass: a max pooling of stride 2 after convolutions, rewritten by phases.

ONNX Runtime's MaxPool with indices, which the gradient of a pooling needs, is its slowest kernel
here, and the ScatterElements that undoes it runs on one thread. Where the pooled values come
straight from convolutions, these can be computed as four phases instead — even and odd rows, even
and odd columns — each a convolution of twice the stride on its input shifted by one stride.
Every position of a pooling window is then a plain view of one phase, the pooling is a maximum of
such views, and its gradient needs no indices (the rule of ``Max``).

Requires  Conv (one group, not dilated, equal strides) -> Relu -> MaxPool (3 x 3, stride 2,
          ceil_mode, no padding), or such convolutions joined by channels before the pooling, which
          is the one consumer of what it pools.
Ensures   the same values, and ``parts[name]`` lists the four phases of the pooled value, in the
          order even-even, even-odd, odd-even, odd-odd (rows first); their union holds the same
          features. A Relu's phases are named after it, with ``.ee``, ``.eo``, ``.oe``, ``.oo``
          behind. Anything else is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from .graph import GraphBuilder, attributes_of

__all__ = ["PHASES", "split_pooled_convolutions"]

PHASES = {"ee": (0, 0), "eo": (0, 1), "oe": (1, 0), "oo": (1, 1)}
"""The suffix of a phase -> how many rows down and columns right its first value stands."""

_END = 2**31 - 1
"""An end of a slice beyond any picture's."""
_LEAST = -1.0
"""What stands for pixels beyond the border: less than any output of a Relu."""


@dataclass(frozen=True)
class _Pooled:
    """A pooling that fits, with the (Conv, Relu) pairs and the Concat, if any, before it."""

    pool: onnx.NodeProto
    pairs: list[tuple[onnx.NodeProto, onnx.NodeProto]]
    join: onnx.NodeProto | None

    @property
    def nodes(self) -> set[str]:
        """The names of all its nodes."""
        names = {node.name for pair in self.pairs for node in pair} | {self.pool.name}
        return names | ({self.join.name} if self.join else set())


def split_pooled_convolutions(
    builder: GraphBuilder,
    source: str | None = None,
    extend: Callable[[str], str] | None = None,
) -> dict[str, list[str]]:
    """Rewrites ``builder``'s nodes; returns ``parts``: pooled value -> the names of its phases.

    With ``source``, only poolings behind convolutions of that value are rewritten. ``extend`` gets
    the name of even rows and returns that of them with the row that follows below, if one does:
    there bands exchange rows.
    """
    parts: dict[str, list[str]] = {}
    nodes, builder.nodes = builder.nodes, []
    matches = {pooled.pool.name: pooled for pooled in _matches(builder, nodes, source)}
    replaced = {name for pooled in matches.values() for name in pooled.nodes}
    for node in nodes:
        if node.name not in replaced:
            builder.nodes.append(node)
        elif node.name in matches:
            pooled = matches[node.name]
            value = node.input[0]
            parts[value] = [_phase(builder, pooled, suffix) for suffix in PHASES]
            _pool(builder, parts[value], node.output[0], extend)
    return parts


def _matches(
    builder: GraphBuilder, nodes: list[onnx.NodeProto], source: str | None
) -> list[_Pooled]:
    """The poolings among ``nodes`` that the pass requires, in their order."""
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            consumers.setdefault(name, []).append(node)
    producer = {name: node for node in nodes for name in node.output}

    def alone(node: onnx.NodeProto | None, op_type: str) -> bool:
        return (
            node is not None
            and node.op_type == op_type
            and len(consumers.get(node.output[0], [])) == 1
        )

    matches = []
    for pool in nodes:
        join = producer.get(pool.input[0]) if _is_pooling(pool) else None
        if join is None:
            continue
        joined = alone(join, "Concat") and attributes_of(join).get("axis") == 1
        relus = [producer.get(name) for name in join.input] if joined else [join]
        pairs = []
        for relu in relus:
            conv = producer.get(relu.input[0]) if relu is not None else None
            if alone(relu, "Relu") and alone(conv, "Conv"):
                assert relu is not None
                assert conv is not None
                if source in (None, conv.input[0]) and _fits(builder, conv):
                    pairs.append((conv, relu))
        if len(pairs) == len(relus):
            matches.append(_Pooled(pool, pairs, join if joined else None))
    return matches


def _is_pooling(node: onnx.NodeProto) -> bool:
    """Whether it is a max pooling of 3 x 3 windows at stride 2, in ceil_mode, not padded."""
    given = attributes_of(node)
    return (
        node.op_type == "MaxPool"
        and list(given["kernel_shape"]) == [3, 3]
        and list(given.get("strides", [1, 1])) == [2, 2]
        and given.get("ceil_mode", 0) == 1
        and not any(given.get("pads", [0]))
        and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        and set(given.get("dilations", [1])) == {1}
    )


def _fits(builder: GraphBuilder, conv: onnx.NodeProto) -> bool:
    """Whether it is a convolution with a constant kernel, one group, not dilated, of one stride."""
    given = attributes_of(conv)
    return (
        builder.value_of(conv.input[1]) is not None
        and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        and set(given.get("dilations", [1])) == {1}
        and given.get("group", 1) == 1
        and len(set(given.get("strides", [1]))) == 1
    )


def _channels(builder: GraphBuilder, conv: onnx.NodeProto) -> int:
    """The channels that a convolution puts out."""
    weight = builder.value_of(conv.input[1])
    assert weight is not None  # _fits
    return len(weight)


def _phase(builder: GraphBuilder, pooled: _Pooled, suffix: str) -> str:
    """Appends one phase of the pooled value, and returns its name.

    It is Conv and Relu on the input shifted by no or one stride, at twice the stride.
    """
    phases = []
    for conv, relu in pooled.pairs:
        given = attributes_of(conv)
        stride = given.get("strides", [1])[0]
        pads = list(given.get("pads", [0, 0, 0, 0]))
        # Where the first window begins, with the padding cut, and then the input itself.
        begins = [shift * stride - pad for shift, pad in zip(PHASES[suffix], pads, strict=False)]
        pads[:2] = [max(0, -begin) for begin in begins]
        given |= {"strides": [2 * stride] * 2, "pads": pads}
        given.pop("auto_pad", None)
        source = conv.input[0]
        if max(begins) > 0:
            start = builder.integers([max(0, begin) for begin in begins])
            end, axes = builder.integers([_END, _END]), builder.integers([2, 3])
            source = builder.op("Slice", source, start, end, axes, name="shifted")
        name = f"{conv.output[0]}.{suffix}"
        output = builder.op("Conv", source, *conv.input[1:], name=name, **given)
        active = builder.op("Relu", output, name=f"{relu.output[0]}.{suffix}")
        phases.append(builder.tell_channels(active, _channels(builder, conv)))
    if len(phases) == 1:
        return phases[0]
    channels = sum(_channels(builder, conv) for conv, _ in pooled.pairs)
    return builder.tell_channels(builder.op("Concat", *phases, axis=1, name="phase"), channels)


def _pool(
    builder: GraphBuilder,
    phases: list[str],
    output: str,
    extend: Callable[[str], str] | None,
) -> None:
    """Appends the pooling of four phases, called ``output``.

    Maxima are taken of three columns within even and odd rows, then of three of those rows. In that
    order ties still go to the first maximum in row order. With ceil_mode there are as many windows
    as odd rows (columns); where the number of rows is even, the last window's third row lies beyond
    the border.
    """
    ee, eo, oe, oo = phases

    def window(even: str, odd: str, axis: int, name: str) -> str:
        windows, positions = (
            builder.op("Shape", phase, start=axis, end=axis + 1, name="size")
            for phase in (odd, even)
        )
        # How many more windows than even rows or columns there are: none, or one less.
        own = builder.op("Sub", windows, positions, name="extra")
        views = []
        for start in (0, 1):  # the first position of each window, and the third
            # Pads of all axes, since not every runtime knows those of some.
            before = [0] * (4 + axis)
            before[axis] = -start
            after = builder.op("Add", own, builder.integers([start]), name="after")
            sides = [builder.integers(before), after]
            sides += [builder.integers([0] * (3 - axis))] if axis < 3 else []
            pads = builder.op("Concat", *sides, axis=0, name="pads")
            views.append(builder.op("Pad", even, pads, builder.constant(_LEAST), name="view"))
        return builder.op("Max", views[0], odd, views[1], name=name)

    even_rows, odd_rows = window(ee, eo, 3, "even_rows"), window(oe, oo, 3, "odd_rows")
    if extend is not None:
        even_rows = extend(builder.tell_channels(even_rows, builder.channels(ee) or 0))
    window(even_rows, odd_rows, 2, "pooled")
    builder.nodes[-1].output[0] = output  # the name that the graph after the pooling knows
