"""What a tap and the pixels add to a graph: sums on the way there, cotangents on the way back.

With features F of tap l as a C x N matrix, guides T_1 … T_R (a weight for each of the N positions;
without guides R = 1 and T = 1) and the content's features P, the way there gives

    S_r = sum_n T_r(n) F_n F_n^T      m_r = sum_n T_r(n) F_n      e = ||F - P||^2

summed over the positions that count. Whoever runs the graph decides from them, and from those of
other pieces of the picture, what the losses are. Any loss of S and m has a gradient of the form

    dL/dF = sum_r T_r o (M_r F + v_r 1^T) + 2 w (F - P)      M_r = 2 dL/dS_r, v_r = dL/dm_r

(o: every column times its weight), which the way back adds up: this graph does not know which loss
it is. The pixels add x^T K x, the sum of squared differences of neighbouring pixels, whose gradient
is 2 K x; K is the Laplacian of the pixel grid with free borders.

What a run does not use is switched off when a session is opened (GraphBuilder.switch), and costs it
nothing: ``with_moments_l`` (S), ``with_style_l`` (M), ``with_error_l`` (e) and ``with_content_l``
(w) of each tap; ``with_shifts`` (m and v), ``with_guides`` (T), and ``with_inside``, where not all
positions count, for all taps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from ortist_models.program import Part

from .differentiate import Seed, add_cotangents, is_scattered
from .graph import GraphBuilder

__all__ = ["PixelTerm", "TapTerm", "chain", "value_info"]

_BLOCK = 64
"""Channels of a block of S; of two blocks that mirror each other one is computed."""
_END = 2**31 - 1


@dataclass
class _Term:
    """A part of the graph with inputs and outputs of its own."""

    builder: GraphBuilder
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def add_input(self, name: str, shape: Sequence[int | str], kind: int | None = None) -> str:
        self.inputs.append(value_info(name, shape, kind or self.builder.tensor_type()))
        return name

    def add_output(self, value: str, name: str, shape: Sequence[int | str]) -> None:
        self.builder.rename(value, name)
        self.outputs.append(value_info(name, shape, self.builder.tensor_type()))

    def switched(
        self,
        switch: str,
        then: Callable[[], list[str]],
        otherwise: Callable[[], list[str]],
        names: Sequence[str],
    ) -> list[str]:
        return self.builder.branch(self.builder.switch(switch), then, otherwise, names)

    def inside(self, value: str, name: str) -> str:
        """The positions of a map [.., h, w] that count: from ``first_NAME`` to ``end_NAME``."""
        bounds = [f"first_{name}", f"end_{name}"]
        for bound in bounds:
            if bound not in [known.name for known in self.inputs]:
                self.add_input(bound, [2], TensorProto.INT64)
        return self.builder.op("Slice", value, *bounds, self.builder.integers([2, 3]), name="own")

    def none(self, columns: int) -> list[str]:
        """An empty matrix with so many columns."""
        zero = helper.make_tensor("none", self.builder.tensor_type(), [1], [0.0])
        shape = self.builder.integers([0, columns])
        return [self.builder.op("ConstantOfShape", shape, value=zero, name="none")]


class TapTerm(_Term):
    """One tap's, whose features are one value or the phases of one.

    Sums over positions do not mind in which part a position lies: those of the parts are added up.

    Inputs: ``mixing_l`` [C, R C], the M_r side by side; ``shift_l`` [C, R], the v_r;
    ``content_weight_l`` [] (w); for part i ``content_l_i`` (P), ``guides_l_i`` [R, 1, h, w] (T) or
    [0, 1, h, w] where all are 1, and ``first_l_i`` and ``end_l_i``, the row and the column where
    those that count begin and end. Outputs: ``moments_l`` [R C, C], the S_r one below the other,
    ``sums_l`` [R, C] and ``content_error_l`` [].
    """

    def __init__(self, builder: GraphBuilder, tap: int, channels: int, parts: list[Part]) -> None:
        super().__init__(builder)
        self.parts = parts
        self._tap, self._channels = tap, channels
        self._matrices = [builder.op("Flatten", p.value, axis=2, name="matrix") for p in parts]
        rows = f"mixing_{tap}_columns"
        self.add_input(f"mixing_{tap}", [channels, rows])
        self.add_input(f"shift_{tap}", [channels, f"shift_{tap}_regions"])
        self.add_input(f"content_weight_{tap}", [])
        for index in range(len(parts)):
            name = f"{tap}_{index}"
            space: list[int | str] = [f"height_{name}", f"width_{name}"]
            self.add_input(f"content_{name}", [1, channels, *space])
            self.add_input(f"guides_{name}", [f"guides_{tap}_regions", 1, *space])

    def append_sums(self) -> None:
        """Appends the outputs; after the forward graph, before its gradient."""
        tap, channels = self._tap, self._channels
        indices, self._guided = range(len(self.parts)), self._has_guides(0)
        self._own = [self._counted(self._matrices[i], self.parts[i].value, i) for i in indices]
        (moments,) = self.switched(
            f"with_moments_{tap}",
            lambda: [self._moments()],
            lambda: self.none(channels),
            ["moments"],
        )
        self.add_output(moments, f"moments_{tap}", [f"moments_{tap}_rows", channels])
        (sums,) = self.switched(
            "with_shifts", lambda: [self._sums()], lambda: self.none(channels), ["sums"]
        )
        self.add_output(sums, f"sums_{tap}", [f"sums_{tap}_regions", channels])
        zero = [self.builder.constant(0.0)]
        (error,) = self.switched(
            f"with_error_{tap}",
            lambda: [self._error()],
            lambda: [self.builder.op("Identity", *zero)],
            ["error"],
        )
        self.add_output(error, f"content_error_{tap}", [])

    def seeds(self) -> dict[str, Seed]:
        """For each part, what adds this tap's cotangent to the one from deeper layers."""

        def seed(index: int) -> Seed:
            return lambda deeper: self._cotangent(index, deeper)

        return {part.value: seed(index) for index, part in enumerate(self.parts)}

    def _counted(self, matrix: str, value: str, index: int) -> str:
        """The columns of ``matrix`` that count, which is the map ``value`` laid out."""
        op = self.builder.op

        def cut() -> list[str]:
            own = self.inside(value, f"{self._tap}_{index}")
            return [op("Flatten", own, axis=2, name="own_matrix")]

        return self.switched("with_inside", cut, lambda: [op("Identity", matrix)], ["own_matrix"])[
            0
        ]

    def _has_guides(self, index: int) -> str:
        """Whether a part's guides are not empty.

        To be asked for outside of all branches: ONNX Runtime 1.32 crashes where a branch that is
        decided when a session is opened holds what decides one within it.
        """
        size = self.builder.op("Size", f"guides_{self._tap}_{index}", name="size")
        return self.builder.op("Greater", size, self.builder.integers(0), name="has_guides")

    def _by_guides(self, given: str, guided: Callable[[], str], plain: Callable[[], str]) -> str:
        """Where guides are given; some pieces may have none, as they lie in one region."""

        def either() -> list[str]:
            return self.builder.branch(
                given, lambda: [guided()], lambda: [plain()], ["either_guided"]
            )

        return self.switched("with_guides", either, lambda: [plain()], ["with_or_without"])[0]

    def _guide_rows(self, index: int, own: bool) -> str:
        """The guides of a part, [R, n]."""
        guides = f"guides_{self._tap}_{index}"
        rows = self.builder.op("Flatten", guides, axis=2, name="guide_rows")
        return self._counted(rows, guides, index) if own else rows

    def _columns(self, rows: str) -> str:
        """Guides [R, n] as weights [R, 1, n] of the columns of a matrix."""
        return self.builder.op("Unsqueeze", rows, self.builder.integers([1]), name="columns")

    def _stacked(self, matrix: str, rows: str) -> str:
        """The features times each guide, one below the other, [R C, n]."""
        op = self.builder.op
        guided = op("Mul", self._columns(rows), matrix, name="guided")
        return op("Flatten", guided, axis=2, name="stacked")

    def _moments(self) -> str:
        def guided() -> str:
            """sqrt(T) F (sqrt(T) F)^T, in which again one of two blocks is the other's mirror."""
            op = self.builder.op
            roots = [
                op("Sqrt", self._guide_rows(index, own=True), name="roots")
                for index in range(len(self.parts))
            ]
            stacks = [
                op("Mul", self._columns(rows), matrix, name="rooted")
                for rows, matrix in zip(roots, self._own, strict=True)
            ]
            shape = self.builder.integers([-1, self._channels])
            return op("Reshape", self._squared(stacks, axis=1), shape, name="s_stacked")

        return self._by_guides(self._guided, guided, lambda: self._squared(self._own, axis=0))

    def _squared(self, matrices: Sequence[str], axis: int) -> str:
        """The sum of X X^T over matrices X whose channels are that axis, [C, C] or [R, C, C].

        Many channels are cut into blocks, and the products below the diagonal are mirrors.
        """
        op, count = self.builder.op, self._blocks
        total: dict[tuple[int, int], str] = {}
        for matrix in matrices:
            blocks = [matrix]
            if count > 1:
                sizes = self.builder.integers([self._channels // count] * count)
                names = ["block"] * count
                blocks = self.builder.ops("Split", matrix, sizes, names=names, axis=axis)
            for i, above in enumerate(blocks):
                for j in range(i, count):
                    before = total.get((i, j))
                    total[i, j] = self._product(above, blocks[j], before, batched=axis > 0)
        if count == 1:
            return total[0, 0]
        turned = [*range(axis), axis + 1, axis]
        for i in range(count):
            for j in range(i):
                total[i, j] = op("Transpose", total[j, i], perm=turned, name="mirrored")
        rows = [
            op("Concat", *(total[i, j] for j in range(count)), axis=axis + 1, name="s_rows")
            for i in range(count)
        ]
        return op("Concat", *rows, axis=axis, name="s_whole")

    def _product(self, left: str, right: str, before: str | None, batched: bool) -> str:
        """left right^T, of each region where there are several, and what was ``before``."""
        op, add = self.builder.op, [] if before is None else [before]
        if not batched:
            return op("Gemm", left, right, *add, transB=1, name="s")
        turned = op("Transpose", right, perm=[0, 2, 1], name="turned")
        product = op("MatMul", left, turned, name="s")
        return op("Add", before, product, name="s") if before else product

    @property
    def _blocks(self) -> int:
        """Into how many blocks the channels are cut."""
        count = max(1, self._channels // _BLOCK)
        return 1 if self._channels % count else count

    def _sums(self) -> str:
        op, axis = self.builder.op, self.builder.integers([1])

        def guided() -> str:
            total: list[str] = []
            for index, matrix in enumerate(self._own):
                rows = self._guide_rows(index, own=True)
                total = [op("Gemm", rows, matrix, *total, transB=1, name="guided_m")]
            return total[0]

        def plain() -> str:
            # Where nothing counts CUDA has a sum for those alone that keep the axis.
            sums = [op("ReduceSum", matrix, axis, keepdims=1, name="m") for matrix in self._own]
            column = chain(self.builder, "Add", sums)
            return op("Transpose", column, perm=[1, 0], name="m_row")

        return self._by_guides(self._guided, guided, plain)

    def _error(self) -> str:
        op, axes = self.builder.op, self.builder.integers([1])
        errors = []
        for index, matrix in enumerate(self._own):
            content = f"content_{self._tap}_{index}"
            flat = op("Flatten", content, axis=2, name="content_matrix")
            difference = op("Sub", matrix, self._counted(flat, content, index), name="difference")
            # Twice as fast as ReduceSumSquare; by channels first, since one long float32 sum would
            # lose digits.
            square = op("Mul", difference, difference, name="squares")
            errors.append(op("ReduceSum", square, axes, keepdims=1, name="channel_errors"))
        return op("ReduceSum", chain(self.builder, "Add", errors), keepdims=0, name="error")

    def _cotangent(self, index: int, deeper: str | None) -> str:
        """The cotangent of one part: the deeper layers' (None for the last) plus the tap's own."""
        builder, value = self.builder, self.parts[index].value
        op = builder.op
        shape = op("Shape", value, name="shape")
        if deeper is None or is_scattered(builder, deeper):
            own = op("Reshape", self._total(index, None), shape, name="d_features")
            return own if deeper is None else add_cotangents(builder, own, deeper)
        flat = op("Flatten", deeper, axis=2, name="d_flat_deeper")
        return op("Reshape", self._total(index, flat), shape, name="d_features")

    def _total(self, index: int, deeper: str | None) -> str:
        """sum_r T_r o (M_r F + v_r 1^T) + 2 w (F - P) + ``deeper`` of one part, [C, N]."""
        builder, tap, matrix = self.builder, self._tap, self._matrices[index]
        op, has_guides = builder.op, self._has_guides(index)
        # What a Gemm adds may be one number for all.
        base = deeper or builder.constant(np.zeros((1, 1)), name="nothing")

        def with_content() -> list[str]:
            content = op("Flatten", f"content_{tap}_{index}", axis=2, name="content_matrix")
            two = op("Mul", builder.constant(2.0), f"content_weight_{tap}", name="two_w")
            difference = op("Sub", matrix, content, name="difference")
            own = op("Mul", difference, two, name="d_content")
            return [own] if deeper is None else [op("Add", base, own, name="d_with_content")]

        (base_c,) = self.switched(
            f"with_content_{tap}", with_content, lambda: [op("Identity", base)], ["d_base"]
        )

        def mixed(guided: bool) -> str:
            def shifted() -> list[str]:
                if not guided:
                    return [op("Add", base_c, f"shift_{tap}", name="d_shifted")]
                rows = self._guide_rows(index, own=False)
                return [op("Gemm", f"shift_{tap}", rows, base_c, name="d_shifted")]

            (add,) = self.switched(
                "with_shifts", shifted, lambda: [op("Identity", base_c)], ["d_added"]
            )
            values = self._stacked(matrix, self._guide_rows(index, own=False)) if guided else matrix
            return op("Gemm", f"mixing_{tap}", values, add, name="d_mixed")

        def styled() -> list[str]:
            return [self._by_guides(has_guides, lambda: mixed(True), lambda: mixed(False))]

        def plain() -> list[str]:
            if deeper is not None:
                return [op("Identity", base_c)]
            return [op("Expand", base_c, op("Shape", matrix, name="shape"), name="d_alone")]

        return self.switched(f"with_style_{tap}", styled, plain, [f"d_tap_{tap}"])[0]


class PixelTerm(_Term):
    """The total variation of the rows that are the piece's own.

    Inputs: ``rows`` [1, 3, n + 2, w], those rows with one more each side, at the picture's border
    the outermost twice; ``tv_weight`` []; ``first_pixels`` and ``end_pixels``, where those of the
    own rows that count begin and end. Outputs: ``variation`` [], x^T K x of those that count.
    """

    def append_variation(self) -> str:
        """Appends the output, and returns the gradient at all own rows, weighted.

        By the grid Laplacian, which gives both: two depthwise convolutions with (-1, 2, -1), down
        and across; of a flat picture exactly zero, as one 3 x 3 kernel would not be. Replicated
        borders make the missing neighbour's difference zero, as the sum over existing pairs has it.
        Summed over pieces whose counted pixels cover the picture once, x^T K x is the picture's.
        """
        builder = self.builder
        rows = self.add_input("rows", [1, 3, "rows_height", "width"])
        weight = self.add_input("tv_weight", [])
        one, end, axes = (builder.integers([value]) for value in (1, -1, 2))
        own = builder.op("Slice", rows, one, end, axes, name="own_rows")
        border = builder.integers([0, 0, 0, 1, 0, 0, 0, 1])
        columns = builder.op("Pad", own, border, mode="edge", name="padded")
        kernel = np.tile(np.array([-1.0, 2.0, -1.0]), (3, 1, 1, 1))
        across = builder.constant(kernel, name="across")
        down = builder.constant(kernel.transpose(0, 1, 3, 2), name="down")
        slope = builder.op(
            "Add",
            builder.op("Conv", rows, down, group=3),
            builder.op("Conv", columns, across, group=3),
            name="k_image",
        )
        product = builder.op("Mul", own, slope, name="x_k_x")
        (counted,) = self.switched(
            "with_inside",
            lambda: [self.inside(product, "pixels")],
            lambda: [builder.op("Identity", product)],
            ["counted"],
        )
        # By rows first: one long float32 sum would lose digits.
        by_rows = builder.op("ReduceSum", counted, builder.integers([3]), name="by_rows")
        self.add_output(builder.op("ReduceSum", by_rows, keepdims=0, name="total"), "variation", [])
        two = builder.op("Mul", builder.constant(2.0), weight, name="two_w")
        return builder.op("Mul", slope, two, name="d_tv")


def chain(builder: GraphBuilder, op_type: str, values: Sequence[str]) -> str:
    """The values joined by a binary op, from the first on."""
    total = values[0]
    for value in values[1:]:
        total = builder.op(op_type, total, value)
    return total


def value_info(
    name: str, shape: Sequence[int | str], kind: Any = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    """An input or output of a graph, whose lengths may have names."""
    return helper.make_tensor_value_info(name, kind, shape)
