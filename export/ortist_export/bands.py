"""A backbone's ONNX graph -> the objective of one band of a picture's rows, in segments.

A convolution or a pooling that looks at several rows needs, at the rim of a band, rows of the bands
next to it. There the graph waits: the rim's rows are an output, ``edge<i>``, the neighbours' come
back as an input, ``halo<i>``. Every feature is computed once, in one band. On the way back it is
the other way round: what a band finds for the gradient of its halo, ``d_halo<i>``, is added to the
gradient of its neighbour's edge. Between both ways the moments F F^T of all bands are summed, and
the matrices M of the style's gradient come back (objective.py has the formulas).

One thread can take a whole band through a segment then, with values that stay in its cache, where
ONNX Runtime's threads would share every single op. (Measured at 1024 px, one thread: 610 ms a step
by the graph of the whole picture, 450 in sixteen bands; two threads take half of that, where they
take 0.55 to 0.75 of a step of the whole.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data

from .differentiate import Seed, append_gradients
from .geometry import windows
from .graph import GraphBuilder
from .objective import TapTerm, chain, value_info, variation_term
from .phases import split_pooled_convolutions
from .segments import cut

__all__ = ["Bands", "NoBandsError", "cut_into_bands", "switches"]


class NoBandsError(ValueError):
    """The graph holds a layer that cannot be cut into bands."""


@dataclass(frozen=True)
class Bands:
    """``segments`` in the order in which they are run.

    A band begins at a multiple of ``unit`` rows of the picture, and its features see ``reach`` rows
    beyond its own.
    """

    segments: list[onnx.ModelProto]
    unit: int
    reach: int

    def switches(self) -> list[list[str]]:
        """Of each segment, the constants that are to be given when it is opened."""
        return [switches(segment) for segment in self.segments]


def switches(segment: onnx.ModelProto) -> list[str]:
    external = TensorProto.DataLocation.Value("EXTERNAL")
    return [t.name for t in segment.graph.initializer if t.data_location == external]


@dataclass(frozen=True)
class _Exchange:
    """A value of which the neighbours need the last row (``above`` themselves) or the first."""

    value: str
    channels: int
    above: bool
    below: bool

    @property
    def sides(self) -> list[str]:
        return [side for side in ("above", "below") if getattr(self, side)]


def cut_into_bands(forward: onnx.ModelProto, taps: Sequence[int]) -> Bands:
    """The segments for ``forward`` (input ``image``, outputs ``tap_<index>``).

    Inputs of the whole: ``image`` [1, 3, h, W], the rows that the band's features see;
    ``rows`` [1, 3, n + 2, W], the band's own with one more each side, at the picture's border the
    outermost twice; ``tv_weight`` []; for each tap l ``mixing_l`` [C, C] (M) or [0, 0],
    ``features_l`` [1, C, n_l, w] or [0, C, n_l, w], the content's, and ``content_weight_l`` []. For
    each exchange i ``halo<i>.above`` and ``halo<i>.below``, a row: beyond the picture's border
    zeros, or where their height is free, no row.

    Outputs: ``gradient``, as ``image``, of which those rows that are other bands' too are to be
    added; ``tv_loss``, ``content_loss_l``, ``moments_l`` (F F^T, or [0, 0] without style) and
    ``size_l``, the number of the tap's values, C N; ``edge<i>.first`` and ``edge<i>.last``, the
    halos of the bands above and below; ``d_edge<i>``, to whose first row ``d_halo<i>.below`` of the
    band above is to be added before the next segment is run, and to its last row
    ``d_halo<i>.above`` of the band below.

    The constants ``style_l`` and ``content_l``, whether a tap has such a term, are external data
    without a file: ONNX Runtime takes them when a segment is opened, and leaves out then what they
    turn off.

    Raises NoBandsError for a layer that is no convolution, ReLU, max pooling or join of channels,
    or one of a form that is not known here.
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(forward.graph)
    seen = windows(graph)
    first = next(seen[node.output[0]] for node in graph.node if "image" in node.input)
    segments = _Band(graph, taps).segments()
    unit = max(window.stride for window in seen.values())
    return Bands(segments, unit, first.size - first.stride)


class _Band:
    def __init__(self, graph: onnx.GraphProto, taps: Sequence[int]) -> None:
        self._builder = GraphBuilder.extending(graph)
        self._inputs = [graph.input[0]]
        self._outputs: list[onnx.ValueInfoProto] = []
        self._exchanges: list[_Exchange] = []
        self._after: dict[str, list[str]] = {}
        self._extend_convolutions()
        split = split_pooled_convolutions(self._builder, extend=self._with_row_below)
        if any(node.op_type == "MaxPool" for node in self._builder.nodes):
            raise NoBandsError("a pooling does not follow convolutions")
        channels = {value.name: self._builder.channels(value.name) for value in graph.output}
        self._seeds: dict[str, Seed] = {}
        moments = []
        for tap in taps:
            name = f"tap_{tap}"
            self._seeds |= self._tap(tap, channels[name] or 0, split.get(name, [name]))
            moments.append(f"moments_{tap}")
        self._after |= {f"mixing_{tap}": moments for tap in taps}

    def segments(self) -> list[onnx.ModelProto]:
        builder = self._builder
        for index, exchange in enumerate(self._exchanges):
            self._seeds[exchange.value] = self._mended(index, self._seeds.get(exchange.value))
        halos = [f"halo{i}.{side}" for i, e in enumerate(self._exchanges) for side in e.sides]
        image, *rest = append_gradients(builder, ["image", *halos], self._seeds)
        for halo, gradient in zip(halos, rest, strict=True):
            builder.rename(gradient, f"d_{halo}")
        waited_for = [f"d_{halo}" for halo in halos]
        for index, exchange in enumerate(self._exchanges):
            waited_for += [f"d_edge{index}", *self._edges(index, exchange)]
        self._variation(image)
        waited_for += [v.name for v in self._outputs if v.name.startswith(("moments", "size"))]
        found = cut(builder, self._inputs, self._outputs, waited_for, self._after)
        for segment in found:
            onnx.checker.check_model(segment, full_check=True)  # which knows files alone
            for tensor in segment.graph.initializer:
                if tensor.data_type == TensorProto.BOOL:
                    tensor.ClearField("int32_data")
                    tensor.raw_data = b"\1"
                    set_external_data(tensor, location=tensor.name, offset=0, length=1)
                    tensor.ClearField("raw_data")
        return found

    def _extend_convolutions(self) -> None:
        """Halos for those that look at several rows; raises NoBandsError for other layers."""
        builder = self._builder
        nodes, builder.nodes = builder.nodes, []
        extended: dict[str, str] = {}
        for node in nodes:
            given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            weight = builder.value_of(node.input[1]) if node.op_type == "Conv" else None
            source = node.input[0]
            if node.op_type not in ("Conv", "Relu", "MaxPool", "Concat"):
                raise NoBandsError(f"{node.name}: {node.op_type}")
            if weight is not None:
                kernel, pads = list(weight.shape[2:]), list(given.get("pads", [0] * 4))
                if kernel == [3, 3] and pads == [1, 1, 1, 1]:
                    if source not in extended:
                        extended[source] = self._extend(source, above=True, below=True)
                    node.input[0] = extended[source]
                    _set(node, pads=[0, 1, 0, 1])
                elif any(pads) or (source != "image" and kernel != [1, 1]):
                    raise NoBandsError(f"{node.name}: a kernel of {kernel} with pads {pads}")
                if source != "image" and set(given.get("strides", [1])) != {1}:
                    raise NoBandsError(f"{node.name}: a strided convolution")
            builder.nodes.append(node)

    def _with_row_below(self, value: str) -> str:
        return self._extend(value, above=False, below=True)

    def _extend(self, value: str, above: bool, below: bool) -> str:
        """``value`` between the neighbours' rows."""
        builder, index = self._builder, len(self._exchanges)
        channels = builder.channels(value)
        if channels is None:
            raise NoBandsError(f"the channels of {value} are not known")
        exchange = _Exchange(value, channels, above, below)
        self._exchanges.append(exchange)
        for side in exchange.sides:
            name = builder.reserve(f"halo{index}.{side}")
            # A convolution's padding is zeros; beyond its last row a pooling finds nothing.
            height: int | str = 1 if above else f"{name}_height"
            self._inputs.append(value_info(name, [1, channels, height, f"halo{index}_width"]))
            self._after[name] = [value]
        halos = {side: f"halo{index}.{side}" for side in exchange.sides}
        parts = [halos.get("above"), value, halos.get("below")]
        return builder.op("Concat", *filter(None, parts), axis=2, name=f"extended{index}")

    def _edges(self, index: int, exchange: _Exchange) -> list[str]:
        """The rows that the neighbours need, as outputs."""
        builder, axes = self._builder, self._builder.integers([2])
        ends = {"first": (0, 1), "last": (-1, 2**31 - 1)}
        found = []
        for end, wanted in (("first", exchange.below), ("last", exchange.above)):
            if wanted:
                start, stop = (builder.integers([bound]) for bound in ends[end])
                name = f"edge{index}.{end}"
                found.append(builder.op("Slice", exchange.value, start, stop, axes, name=name))
        return found

    def _mended(self, index: int, own: Seed | None) -> Seed:
        """A seed that has the gradient gathered so far wait for what the neighbours add to it."""

        def seed(deeper: str | None) -> str:
            assert deeper is not None
            name = f"d_edge{index}"
            self._builder.rename(deeper, name)
            self._after[name] = [name]
            return name if own is None else own(name)

        return seed

    def _tap(self, tap: int, channels: int, parts: list[str]) -> dict[str, Seed]:
        space: list[str] = [f"tap_{tap}_height", f"tap_{tap}_width"]
        matrix = [f"moments_{tap}_rows"] * 2
        self._inputs += [
            value_info(f"mixing_{tap}", matrix),
            value_info(f"features_{tap}", [f"features_{tap}_count", channels, *space]),
            value_info(f"content_weight_{tap}", []),
        ]
        term = _BandTerm(self._builder, tap, channels, parts)
        term.append_moments()
        self._outputs += [
            value_info(f"moments_{tap}", matrix),
            helper.make_tensor_value_info(f"size_{tap}", TensorProto.INT64, []),
            value_info(f"content_loss_{tap}", []),
        ]
        return term.seeds()

    def _variation(self, image: str) -> None:
        """Total variation of the band's own rows, and ``gradient``."""
        builder = self._builder
        self._inputs += [value_info("rows", [1, 3, "rows_height", "width"])]
        self._inputs += [value_info("tv_weight", [])]
        one, end, axes = (builder.integers([value]) for value in (1, -1, 2))
        own = builder.op("Slice", "rows", one, end, axes, name="own_rows")
        slope = variation_term(builder, own, "rows")
        # The rows that the features see beyond the own ones have no variation here.
        sizes = [builder.op("Shape", name, name="shape") for name in ("image", "rows")]
        missing = builder.op("Sub", *sizes, name="missing")
        after = builder.op("Add", missing, builder.integers([0, 0, 2, 0]), name="after")
        pads = builder.op("Concat", builder.integers([0] * 4), after, axis=0, name="pads")
        placed = builder.op("Pad", slope, pads, name="d_tv_placed")
        builder.rename(builder.op("Add", image, placed), "gradient")
        gradient = value_info("gradient", [])
        gradient.type.CopyFrom(self._inputs[0].type)
        self._outputs += [gradient, value_info("tv_loss", [])]


class _BandTerm(TapTerm):
    """A tap's losses where moments are summed over bands and M comes back."""

    def append_moments(self) -> None:
        builder = self._builder
        none = helper.make_tensor("none", builder.tensor_type(), [1], [0.0])
        builder.branch(
            self._style,
            lambda: [self.moments()],
            lambda: [builder.op("ConstantOfShape", builder.integers([0, 0]), value=none)],
            [f"moments_{self._tap}"],
        )
        sizes = [builder.op("Size", matrix, name="size") for matrix in self._matrices]
        builder.rename(chain(builder, "Add", sizes), f"size_{self._tap}")

    def _style_wanted(self) -> str:
        return self._builder.switch(f"style_{self._tap}")

    def _content_wanted(self) -> str:
        return self._builder.switch(f"content_{self._tap}")

    @property
    def _mixing(self) -> str:
        return f"mixing_{self._tap}"


def _set(node: onnx.NodeProto, **attributes: Any) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
