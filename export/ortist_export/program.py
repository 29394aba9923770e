"""A backbone's ONNX graph -> the program that a model is run by: segments, and what joins them.

The graph of a piece of a picture, with sums and cotangents (terms.py) and the pixel gradient, is
cut wherever it waits for what lies outside the piece. It waits in two kinds of places:

1. At the moments. What comes back for the gradient, the M, v and w of every tap, is decided from
   the sums over all pieces.
2. At row exchanges. A convolution or a pooling that looks at several rows needs, at the rim of a
   band of rows, rows of the bands next to it. The rim's rows are an output, the neighbours' come
   back as an input, the halo. So every feature is computed once, in one band. On the way back it is
   the other way round: what a band finds for the gradient of its halo is added to its neighbour's.

One thread can take a whole band through a segment then, with values that stay in its cache, where
ONNX Runtime's threads would share every single op. A graph with a layer that cannot be cut into
bands waits at the moments alone, and is run on whole pieces.

How segments are joined is data: a ``Program`` lists the exchanges, and where each tap's features
are. The engine knows no names but those of the terms' inputs and outputs (terms.py) and of
``image``, ``rows`` and ``gradient``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import set_external_data
from ortist_models.program import Exchange, Part

from .describing import describe
from .differentiate import Seed, append_gradients
from .geometry import Geometry
from .graph import GraphBuilder
from .phases import PHASES, split_pooled_convolutions
from .rims import part_rims
from .segments import cut
from .terms import PixelTerm, TapTerm, value_info
from .winograd import halve_products

__all__ = ["NoBandsError", "Program", "build_program", "switches"]


_LOCAL = {
    *("Add", "BatchNormalization", "Clip", "Concat", "HardSigmoid", "LRN", "LeakyRelu", "MaxPool"),
    *("AveragePool", "Mul", "PRelu", "Relu", "Sigmoid", "Sum"),
}
"""Ops that look at one row at a time, and poolings."""


class NoBandsError(ValueError):
    """The graph holds a layer that cannot be cut into bands."""


@dataclass(frozen=True)
class Program:
    """``segments`` in the order in which they are run, and how they are joined.

    A band begins at a multiple of ``unit`` rows of the picture, and its features see ``reach`` rows
    beyond its own; without exchanges a piece is one band. ``taps`` says which values hold the
    features of each tap.
    """

    segments: list[onnx.ModelProto]
    exchanges: list[Exchange]
    taps: Mapping[int, list[Part]]
    unit: int
    reach: int

    def as_json(self, files: Sequence[str]) -> dict[str, Any]:
        """The manifest's entry, for segments in these ``files``."""
        return {
            "unit": self.unit,
            "reach": self.reach,
            "segments": [
                {"file": file, "switches": switches(segment)}
                for file, segment in zip(files, self.segments, strict=True)
            ],
            "exchanges": [asdict(exchange) for exchange in self.exchanges],
            "taps": {
                str(tap): [asdict(part) for part in parts] for tap, parts in self.taps.items()
            },
        }


def switches(segment: onnx.ModelProto) -> list[str]:
    """The truth values of a segment that are given when it is opened (GraphBuilder.switch)."""
    external = TensorProto.DataLocation.Value("EXTERNAL")
    return [t.name for t in segment.graph.initializer if t.data_location == external]


def build_program(forward: onnx.ModelProto, taps: Sequence[int]) -> Program:
    """The program of ``forward`` (input ``image``, outputs ``tap_<index>``), in bands if it can be.

    Inputs and outputs are those of the terms (terms.py) and ``image`` [1, 3, h, w], the rows that a
    band's features see; for each exchange a halo; and ``gradient``, shaped as ``image``, of which
    those rows that are other bands' too are to be added.

    The switches are external data without a file: ONNX Runtime takes them when a segment is opened,
    and leaves out then what they turn off.
    """
    try:
        return _Builder(forward.graph, taps, in_bands=True).program()
    except NoBandsError:
        return _Builder(forward.graph, taps, in_bands=False).program()


@dataclass(frozen=True)
class _Extended:
    """A value of which the neighbours need the last row (``above`` themselves) or the first."""

    value: str
    channels: int
    above: bool
    below: bool

    @property
    def sides(self) -> list[str]:
        return [side for side in ("above", "below") if getattr(self, side)]


class _Builder:
    """Raises NoBandsError, where the graph is to be cut into ``in_bands``, for one that cannot."""

    def __init__(self, graph: onnx.GraphProto, taps: Sequence[int], in_bands: bool) -> None:
        copy = onnx.GraphProto()
        copy.CopyFrom(graph)
        self._builder = GraphBuilder.extending(copy)
        seen = Geometry(copy).windows()
        readers = [node for node in copy.node if "image" in node.input]
        if in_bands and len(readers) > 1:
            raise NoBandsError("several layers look at the picture")
        first = seen[readers[0].output[0]]
        self._unit = max(window.stride for window in seen.values())
        # Without padding, the first layer sees rows of the picture that are the next band's.
        self._reach = first.size - first.stride if in_bands and first.start == 0 else 0
        self._inputs, self._outputs = [copy.input[0]], [value_info("gradient", [])]
        self._outputs[0].type.CopyFrom(copy.input[0].type)
        self._extended: list[_Extended] = []
        self._after: dict[str, list[str]] = {}
        if in_bands:
            self._extend_windows()
            split = split_pooled_convolutions(
                self._builder, extend=lambda value: self._extend(value, above=False, below=True)
            )
            left = [node for node in self._builder.nodes if node.op_type == "MaxPool"]
            if not all(_is_tiling(pool) for pool in left):
                raise NoBandsError("a pooling with windows that overlap follows no convolutions")
        else:
            split = split_pooled_convolutions(self._builder, "image")
        channels = {value.name: self._builder.channels(value.name) for value in copy.output}
        self._terms = {
            tap: TapTerm(
                self._builder, tap, channels[f"tap_{tap}"] or 0, _parts(f"tap_{tap}", split)
            )
            for tap in taps
        }
        self._pixels = PixelTerm(self._builder)

    def program(self) -> Program:
        builder = self._builder
        sums, seeds = [], dict[str, Seed]()
        for tap, term in self._terms.items():
            term.append_sums()
            made = [value.name for value in term.outputs]
            inputs = (f"mixing_{tap}", f"shift_{tap}", f"content_weight_{tap}")
            self._after |= dict.fromkeys(inputs, made)
            sums += made
            seeds |= term.seeds()
        for index, extended in enumerate(self._extended):
            seeds[extended.value] = self._mended(index, seeds.get(extended.value))
        halos = [f"halo{i}.{side}" for i, e in enumerate(self._extended) for side in e.sides]
        image, *rest = append_gradients(builder, ["image", *halos], seeds)
        for halo, gradient in zip(halos, rest, strict=True):
            builder.rename(gradient, f"d_{halo}")
        waited_for = [*sums, *(part.value for t in self._terms.values() for part in t.parts)]
        waited_for += [f"d_{halo}" for halo in halos]
        for index, extended in enumerate(self._extended):
            waited_for += [f"d_edge{index}", *self._edges(index, extended)]
        self._add_variation(image)
        for part in (*self._terms.values(), self._pixels):
            self._inputs += part.inputs
            self._outputs += part.outputs
        part_rims(builder)
        halve_products(builder)
        segments = cut(builder, self._inputs, self._outputs, waited_for, self._after)
        for segment in segments:
            onnx.checker.check_model(segment, full_check=True)  # which knows files alone
            _open_switches(segment)
        parts = {tap: term.parts for tap, term in self._terms.items()}
        describe(segments, parts)
        return Program(
            segments,
            [exchange for i, e in enumerate(self._extended) for exchange in _exchanges(i, e)],
            parts,
            self._unit,
            self._reach,
        )

    def _extend_windows(self) -> None:
        """Halos for layers that look at several rows; raises NoBandsError for unknown layers."""
        builder = self._builder
        nodes, builder.nodes = builder.nodes, []
        extended: dict[str, str] = {}
        for node in nodes:
            source = node.input[0]
            if node.op_type == "Conv":
                if self._needs_rows(node):
                    if source not in extended:
                        extended[source] = self._extend(source, above=True, below=True)
                    node.input[0] = extended[source]
                    _set(node, pads=[0, 1, 0, 1])
            elif node.op_type == "AveragePool" and not _is_tiling(node):
                _check_average(node)
                node.input[0] = self._extend(source, above=False, below=True)
                builder.tell_channels(node.input[0], builder.channels(source) or 0)
            elif node.op_type not in _LOCAL:
                raise NoBandsError(f"{node.name}: {node.op_type}")
            builder.nodes.append(node)

    def _needs_rows(self, conv: onnx.NodeProto) -> bool:
        """Whether it looks at the rows above and below; raises NoBandsError for other windows."""
        given = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
        weight = self._builder.value_of(conv.input[1])
        if weight is None:
            raise NoBandsError(f"{conv.name}: its kernel is no constant")
        kernel, pads = list(weight.shape[2:]), list(given.get("pads", [0] * 4))
        if set(given.get("dilations", [1])) != {1}:
            raise NoBandsError(f"{conv.name}: a dilated convolution")
        strided = set(given.get("strides", [1])) != {1}
        if strided and (conv.input[0] != "image" or any(pads)):
            raise NoBandsError(f"{conv.name}: a strided convolution")
        if kernel == [3, 3] and pads == [1, 1, 1, 1]:
            return True
        if any(pads) or (conv.input[0] != "image" and kernel != [1, 1]):
            raise NoBandsError(f"{conv.name}: a kernel of {kernel} with pads {pads}")
        return False

    def _extend(self, value: str, above: bool, below: bool) -> str:
        """``value`` between the neighbours' rows."""
        builder, index = self._builder, len(self._extended)
        channels = 3 if value == "image" else builder.channels(value)
        if channels is None:
            raise NoBandsError(f"the channels of {value} are not known")
        extended = _Extended(value, channels, above, below)
        self._extended.append(extended)
        for side in extended.sides:
            name = builder.reserve(f"halo{index}.{side}")
            # A convolution's padding is zeros; beyond its last row a pooling finds nothing.
            height: int | str = 1 if above else f"{name}_height"
            self._inputs.append(value_info(name, [1, channels, height, f"halo{index}_width"]))
            # The picture's rows are made by nothing but what hands them out.
            edge = f"edge{index}.{'last' if side == 'above' else 'first'}"
            self._after[name] = [edge if value == "image" else value]
        halos = {side: f"halo{index}.{side}" for side in extended.sides}
        parts = [halos.get("above"), value, halos.get("below")]
        return builder.op("Concat", *filter(None, parts), axis=2, name=f"extended{index}")

    def _edges(self, index: int, extended: _Extended) -> list[str]:
        """The rows that the neighbours need, as outputs."""
        builder, axes = self._builder, self._builder.integers([2])
        ends = {"first": (0, 1), "last": (-1, 2**31 - 1)}
        edges = []
        for end, wanted in (("first", extended.below), ("last", extended.above)):
            if wanted:
                start, stop = (builder.integers([bound]) for bound in ends[end])
                name = f"edge{index}.{end}"
                edges.append(builder.op("Slice", extended.value, start, stop, axes, name=name))
        return edges

    def _mended(self, index: int, own: Seed | None) -> Seed:
        """A seed that has the gradient gathered so far wait for what the neighbours add to it."""

        def seed(deeper: str | None) -> str:
            assert deeper is not None
            name = f"d_edge{index}"
            self._builder.rename(deeper, name)
            self._after[name] = [name]
            return name if own is None else own(name)

        return seed

    def _add_variation(self, image: str) -> None:
        """Total variation of the own rows, and ``gradient``."""
        builder, slope = self._builder, self._pixels.append_variation()
        # The rows that the features see beyond the own ones have no variation here.
        sizes = [builder.op("Shape", name, name="shape") for name in ("image", "rows")]
        missing = builder.op("Sub", *sizes, name="missing")
        after = builder.op("Add", missing, builder.integers([0, 0, 2, 0]), name="after")
        pads = builder.op("Concat", builder.integers([0] * 4), after, axis=0, name="pads")
        placed = builder.op("Pad", slope, pads, name="d_tv_placed")
        builder.rename(builder.op("Add", image, placed), "gradient")


def _parts(value: str, split: Mapping[str, list[str]]) -> list[Part]:
    if value not in split:
        return [Part(value)]
    return [Part(v, phase, 2) for v, phase in zip(split[value], PHASES.values(), strict=True)]


def _exchanges(index: int, extended: _Extended) -> list[Exchange]:
    beyond = 1 if extended.above else 0
    return [
        Exchange(
            f"halo{index}.{side}",
            f"edge{index}.{row}",
            neighbour,
            beyond,
            f"d_halo{index}.{side}",
            f"d_edge{index}",
        )
        for side, row, neighbour in (("above", "last", -1), ("below", "first", 1))
        if side in extended.sides
    ]


def _open_switches(segment: onnx.ModelProto) -> None:
    for tensor in segment.graph.initializer:
        if tensor.data_type == TensorProto.BOOL:
            tensor.ClearField("int32_data")
            tensor.raw_data = b"\1"
            set_external_data(tensor, location=tensor.name, offset=0, length=1)
            tensor.ClearField("raw_data")


def _is_tiling(pool: onnx.NodeProto) -> bool:
    """Whether the windows of a pooling lie side by side from the first row on.

    So do bands, which begin at a multiple of all strides: none of its windows is in two of them.
    """
    given = {a.name: helper.get_attribute_value(a) for a in pool.attribute}
    plain = not any(given.get("pads", [0])) and set(given.get("dilations", [1])) == {1}
    return plain and list(given["kernel_shape"]) == list(given.get("strides", [1, 1]))


def _check_average(pool: onnx.NodeProto) -> None:
    """Raises NoBandsError unless its windows are 3 x 3, two apart and from the first row on."""
    given = {a.name: helper.get_attribute_value(a) for a in pool.attribute}
    fits = list(given["kernel_shape"]) == [3, 3] and list(given.get("strides", [1])) == [2, 2]
    if not fits or any(given.get("pads", [0])) or given.get("ceil_mode", 0) != 1:
        raise NoBandsError(f"{pool.name}: an average pooling of another form")


def _set(node: onnx.NodeProto, **attributes: Any) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
