"""A backbone's ONNX graph -> the objective: every loss and the pixel gradient in one graph.

With features F of tap l as a C x N matrix (N = H_l W_l), Gram matrix G = F F^T / (C N), style
target A, content target P and image x (normalised):

    style_loss_l   = w_l   sum (G - A)^2      dL/dF = M F,  M = 4 w_l / (C N) (G - A)
    content_loss_l = w_l   sum (F - P)^2      dL/dF = 2 w_l (F - P)
    tv_loss        = w_tv  <x, K x>           dL/dx = 2 w_tv K x

(Gatys et al., CVPR 2016, eq. 1-6, in the CS231n assignment's normalisation: G is divided by C N and
the loss by nothing.) K is the Laplacian of the pixel grid with free borders, so <x, K x> is the sum
of squared differences of neighbouring pixels.

A term whose target is empty (shape 0 x 0, or zero images) is skipped at run time by an ``If``, so
that one graph serves every choice of taps and unused taps cost next to nothing. Reshapes stay
outside the branches, where ONNX Runtime makes them without a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import onnx
from onnx import TensorProto, helper

from .differentiate import Seed, add_cotangents, append_gradient, is_scattered
from .graph import OPSET, GraphBuilder
from .phases import split_pooled_convolutions

__all__ = [
    "IR_VERSION",
    "TapTerm",
    "chain",
    "objective_model",
    "sum_of_sums",
    "value_info",
    "variation_term",
]

IR_VERSION = 10
_HALVED = 128
"""From so many channels on, three products of halves are faster than one of the whole."""


def objective_model(forward: onnx.ModelProto, taps: Sequence[int]) -> onnx.ModelProto:
    """Builds the objective of ``forward`` (input ``image``, outputs ``tap_<index>``).

    Inputs: ``image`` [1, 3, height, width]; ``tv_weight`` []; for each tap l ``gram_l``
    [C_l, C_l] or [0, 0], ``style_weight_l`` [], ``features_l`` [1, C_l, h, w] or [0, C_l, h, w] and
    ``content_weight_l`` []. Outputs: ``gradient`` (the image's shape) and the weighted losses
    ``tv_loss``, ``style_loss_l`` and ``content_loss_l``, each [].
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(forward.graph)
    builder = GraphBuilder.extending(graph)
    values = {value.name: value for value in graph.output}
    inputs = [graph.input[0], value_info("tv_weight", [])]
    outputs = [value_info("gradient", ["", "", "height", "width"]), value_info("tv_loss", [])]
    outputs[0].type.CopyFrom(graph.input[0].type)
    seeds: dict[str, Seed] = {"image": _tv(builder)}
    split = split_pooled_convolutions(builder, "image")
    for tap in taps:
        channels = values[f"tap_{tap}"].type.tensor_type.shape.dim[1].dim_value
        inputs += [
            value_info(f"gram_{tap}", [f"gram_{tap}_rows", f"gram_{tap}_rows"]),
            value_info(f"style_weight_{tap}", []),
            value_info(f"features_{tap}", [f"features_{tap}_count", channels, *_space(tap)]),
            value_info(f"content_weight_{tap}", []),
        ]
        outputs += [value_info(f"style_loss_{tap}", []), value_info(f"content_loss_{tap}", [])]
        parts = split.get(f"tap_{tap}", [f"tap_{tap}"])
        seeds |= TapTerm(builder, tap, channels, parts).seeds()
    gradient = append_gradient(builder, "image", seeds)
    builder.nodes.append(helper.make_node("Identity", [gradient], ["gradient"], "gradient"))
    result = helper.make_graph(
        builder.nodes, "objective", inputs, outputs, initializer=builder.initializers
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        result, opset_imports=[opset], ir_version=IR_VERSION, producer_name="ortist"
    )


class TapTerm:
    """The losses of one tap, whose features are one value or the phases of one (phases.py).

    Sums over positions do not mind in which part a position lies: moments and losses of the parts
    are added up.
    """

    def __init__(self, builder: GraphBuilder, tap: int, channels: int, parts: list[str]) -> None:
        self._builder, self._tap, self._parts = builder, tap, parts
        op = builder.op
        self._channels = channels
        self._matrices = [op("Flatten", part, axis=2, name="matrix") for part in parts]
        self._style = self._style_wanted()
        self._content = self._content_wanted()
        self._errors = self._content_loss()

    def seeds(self) -> dict[str, Seed]:
        """For each part, what adds this tap's cotangent to the one from deeper layers."""

        def seed(index: int) -> Seed:
            return lambda deeper: self._cotangent(index, deeper)

        return {part: seed(index) for index, part in enumerate(self._parts)}

    def _style_wanted(self) -> str:
        return self._wanted(f"gram_{self._tap}")

    def _content_wanted(self) -> str:
        return self._wanted(f"features_{self._tap}")

    def _wanted(self, target: str) -> str:
        size = self._builder.op("Size", target, name="size")
        return self._builder.op("Greater", size, self._builder.integers(0), name="wanted")

    @cached_property
    def _mixing(self) -> str:
        """M, [C, C], and ``style_loss_l``.

        Made where it is first asked for, after the deeper layers' cotangent: listed later, it is
        computed earlier (GraphBuilder.late_op), while the features are at hand.
        """
        builder, tap = self._builder, self._tap
        op, weight = builder.op, f"style_weight_{tap}"

        def wanted() -> list[str]:
            sizes = [op("Size", matrix, name="size") for matrix in self._matrices]
            count = sizes[0] if len(sizes) == 1 else chain(builder, "Add", sizes)
            per_value = op("Reciprocal", op("Cast", count, to=builder.tensor_type()))
            gram = op("Mul", self.moments(), per_value, name="gram")
            difference = op("Sub", gram, f"gram_{tap}", name="gram_difference")
            rows = op("ReduceSumSquare", difference, builder.integers([1]))
            loss = op("Mul", sum_of_sums(builder, rows), weight, name="weighted")
            four = op("Mul", builder.constant(4.0), weight, name="four_w")
            scale = op("Mul", four, per_value, name="four_w_per_value")
            return [op("Mul", difference, scale, name="mixing"), loss]

        def unwanted() -> list[str]:
            return [op("Identity", f"gram_{tap}"), op("Identity", builder.constant(0.0))]

        names = [f"mixing_{tap}", f"style_loss_{tap}"]
        return builder.branch(self._style, wanted, unwanted, names)[0]

    def moments(self) -> str:
        """F F^T, [C, C]; of many channels by halves, whose product is made once and mirrored."""
        op = self._builder.op
        if len(self._matrices) > 1 or self._channels < _HALVED:
            moments = op("Gemm", self._matrices[0], self._matrices[0], transB=1, name="moments")
            for matrix in self._matrices[1:]:
                moments = op("Gemm", matrix, matrix, moments, transB=1, name="moments")
            return moments
        half = self._channels // 2
        sizes = self._builder.integers([half, self._channels - half])
        first, second = self._builder.ops(
            "Split", self._matrices[0], sizes, names=["half", "half"], axis=0
        )
        across = op("Gemm", first, second, transB=1, name="moments")
        above = op("Gemm", first, first, transB=1, name="moments")
        below = op("Gemm", second, second, transB=1, name="moments")
        mirrored = op("Transpose", across, perm=[1, 0])
        rows = [
            op("Concat", *row, axis=1, name="moments_row")
            for row in ((above, across), (mirrored, below))
        ]
        return op("Concat", *rows, axis=0, name="moments")

    def _content_loss(self) -> list[str]:
        """``content_loss_l`` and 2 w (F - P) of every part."""
        builder, tap, parts = self._builder, self._tap, self._parts
        op, weight = builder.op, f"content_weight_{tap}"

        def wanted() -> list[str]:
            differences = [
                op("Sub", part, target, name="difference")
                for part, target in zip(parts, self._content_targets(), strict=True)
            ]
            # Twice as fast as ReduceSumSquare, which is slow but over everything at once.
            squares = [op("Mul", value, value, name="squares") for value in differences]
            errors = [
                sum_of_sums(builder, op("ReduceSum", square, builder.integers([2, 3])))
                for square in squares
            ]
            error = errors[0] if len(errors) == 1 else chain(builder, "Add", errors)
            two = op("Mul", builder.constant(2.0), weight, name="two_w")
            own = [op("Mul", difference, two, name="d_own") for difference in differences]
            return [*own, op("Mul", error, weight, name="weighted")]

        def unwanted() -> list[str]:
            empty = [op("Identity", f"features_{tap}") for _ in parts]
            return [*empty, op("Identity", builder.constant(0.0))]

        names = [f"d_content_{tap}_{index}" for index in range(len(parts))]
        names.append(f"content_loss_{tap}")
        return builder.branch(self._content, wanted, unwanted, names)[:-1]

    def _content_targets(self) -> list[str]:
        """P by parts: phases are every second row and column."""
        target = f"features_{self._tap}"
        if len(self._parts) == 1:
            return [target]
        builder = self._builder
        end, axes, steps = (builder.integers(v) for v in ([2**31 - 1] * 2, [2, 3], [2, 2]))
        return [
            builder.op("Slice", target, builder.integers(start), end, axes, steps, name="target")
            for start in ((0, 0), (0, 1), (1, 0), (1, 1))
        ]

    def _cotangent(self, index: int, deeper: str | None) -> str:
        """The cotangent of one part: the deeper layers' (None for the last) plus the tap's own."""
        builder, part = self._builder, self._parts[index]
        op = builder.op
        shape = op("Shape", part, name="shape")
        if deeper is None or is_scattered(builder, deeper):
            own = op("Reshape", self._total(index, []), shape, name="d_features")
            return own if deeper is None else add_cotangents(builder, own, deeper)
        flat = op("Flatten", deeper, axis=2, name="d_flat_deeper")
        return op("Reshape", self._total(index, [flat]), shape, name="d_features")

    def _total(self, index: int, deeper: list[str]) -> str:
        """M F + 2 w (F - P) + ``deeper``, which may be none, of one part; [C, N]."""
        builder, matrix = self._builder, self._matrices[index]
        op, name, mixing = builder.op, f"d_tap_{self._tap}", self._mixing
        error = op("Flatten", self._errors[index], axis=2, name="d_flat_content")

        def mixed(values: list[str]) -> list[str]:
            sums = [chain(builder, "Add", values)] if values else []
            return [op("Gemm", mixing, matrix, *sums, name="d_style")]

        def plain(values: list[str]) -> list[str]:
            if len(values) > 1:
                return [chain(builder, "Add", values)]
            if values:
                return [op("Identity", values[0])]
            zero = helper.make_tensor("zero", builder.tensor_type(), [1], [0.0])
            return [op("ConstantOfShape", op("Shape", matrix), value=zero, name="zeros")]

        def either(form: Callable[[list[str]], list[str]]) -> list[str]:
            both = [*deeper, error]
            return builder.branch(self._content, lambda: form(both), lambda: form(deeper), [name])

        return builder.branch(self._style, lambda: either(mixed), lambda: either(plain), [name])[0]


def variation_term(builder: GraphBuilder, image: str, rows: str) -> str:
    """Appends ``tv_loss`` and returns its gradient, 2 w K x; ``rows`` is x with one more each side.

    By the grid Laplacian, which gives both: two depthwise convolutions with (-1, 2, -1), down and
    across; of a flat picture exactly zero, as one 3 x 3 kernel would not be. Replicated borders
    make the missing neighbour's difference zero, as the sum over existing pairs has it.
    """
    border = builder.integers([0, 0, 0, 1, 0, 0, 0, 1])
    columns = builder.op("Pad", image, border, mode="edge", name="padded")
    kernel = np.tile(np.array([-1.0, 2.0, -1.0]), (3, 1, 1, 1))
    across = builder.constant(kernel, name="across")
    down = builder.constant(kernel.transpose(0, 1, 3, 2), name="down")
    variation = builder.op(
        "Add",
        builder.op("Conv", rows, down, group=3),
        builder.op("Conv", columns, across, group=3),
        name="k_image",
    )
    product = builder.op("Mul", image, variation, name="x_k_x")
    total = sum_of_sums(builder, builder.op("ReduceSum", product, builder.integers([3])))
    builder.nodes.append(helper.make_node("Mul", [total, "tv_weight"], ["tv_loss"], "tv_loss"))
    two = builder.op("Mul", builder.constant(2.0), "tv_weight", name="two_w")
    return builder.op("Mul", variation, two, name="d_tv")


def _tv(builder: GraphBuilder) -> Seed:
    border = builder.integers([0, 0, 1, 0, 0, 0, 1, 0])
    rows = builder.op("Pad", "image", border, mode="edge", name="padded")
    own = variation_term(builder, "image", rows)

    def seed(cotangent: str | None) -> str:
        if cotangent is None:
            raise ValueError("the taps do not depend on the image")
        return builder.op("Add", cotangent, own, name="d_image")

    return seed


def chain(builder: GraphBuilder, op_type: str, values: Sequence[str]) -> str:
    total = values[0]
    for value in values[1:]:
        total = builder.op(op_type, total, value)
    return total


def sum_of_sums(builder: GraphBuilder, rows: str) -> str:
    """Sums of rows or planes summed: one float32 sum would lose 5e-5 of a 256 px content loss."""
    return builder.op("ReduceSum", rows, keepdims=0, name="total")


def value_info(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _space(tap: int) -> list[str]:
    return [f"tap_{tap}_height", f"tap_{tap}_width"]
