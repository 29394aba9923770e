"""A backbone's ONNX graph -> the pullback: the pixel gradient of any loss of the taps' moments.

With features F of tap l as a C x N matrix, a loss that is a function of the weighted moments

    S_r = sum_n T_r(n) F_n F_n^T        m_r = sum_n T_r(n) F_n        r = 1 … R

(T_r: the guide of region r, a weight for each of the N positions) has the gradient

    dL/dF = sum_r T_r o (M_r F + v_r 1^T),      M_r = 2 dL/dS_r (symmetric),  v_r = dL/dm_r

(o: every column times its weight), so this graph need not know which loss it is. The content term
2 w (F - P) is added, and the sum of all taps is carried back to the pixels.

Since F - P is computed here anyway, so is ||F - P||^2 over the positions that are to be counted.

A term whose input is empty is skipped at run time by an ``If``: a tap without style (R = 0),
without shifts, without guides (then R = 1 and T = 1) or without content.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx
from onnx import TensorProto, helper

from .differentiate import Seed, append_gradient
from .graph import OPSET, GraphBuilder
from .objective import IR_VERSION
from .phases import split_pooled_convolutions

__all__ = ["pullback_model"]


def pullback_model(forward: onnx.ModelProto, taps: Sequence[int]) -> onnx.ModelProto:
    """Builds the pullback of ``forward`` (input ``image``, outputs ``tap_<index>``).

    Inputs: ``image`` [1, 3, height, width]; for each tap l ``mixing_l`` [R, C_l, C_l] (M),
    ``shift_l`` [R, C_l, 1] or [0, C_l, 1] (v), ``guides_l`` [R, 1, h, w] or [0, 1, h, w] (T),
    ``features_l`` [1, C_l, h, w] or [0, C_l, h, w] (P), ``content_weight_l`` [] (w) and
    ``counted_l`` [1, 1, h, w], a weight for each position in the content's error, or [0, 1, h, w]
    where there is no P. Outputs: ``gradient``, shaped as the image, and ``content_error_l`` [], the
    sum over positions of weight times ||F - P||^2.
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(forward.graph)
    builder = GraphBuilder.extending(graph)
    values = {value.name: value for value in graph.output}
    inputs = [graph.input[0]]
    gradient_value = _value("gradient", [])
    gradient_value.type.CopyFrom(graph.input[0].type)
    outputs = [gradient_value]
    seeds: dict[str, Seed] = {}
    terms: list[_Tap] = []
    split = split_pooled_convolutions(builder, "image")
    for tap in taps:
        channels = values[f"tap_{tap}"].type.tensor_type.shape.dim[1].dim_value
        space: list[int | str] = [f"tap_{tap}_height", f"tap_{tap}_width"]
        inputs += [
            _value(f"mixing_{tap}", [f"mixing_{tap}_regions", channels, channels]),
            _value(f"shift_{tap}", [f"shift_{tap}_regions", channels, 1]),
            _value(f"guides_{tap}", [f"guides_{tap}_regions", 1, *space]),
            _value(f"features_{tap}", [f"features_{tap}_count", channels, *space]),
            _value(f"content_weight_{tap}", []),
            _value(f"counted_{tap}", [f"counted_{tap}_count", 1, *space]),
        ]
        outputs.append(_value(f"content_error_{tap}", []))
        parts = split.get(f"tap_{tap}", [f"tap_{tap}"])
        terms.append(_Tap(builder, tap, channels, parts))
        seeds |= terms[-1].seeds()
    gradient = append_gradient(builder, "image", seeds)
    builder.nodes.append(helper.make_node("Identity", [gradient], ["gradient"], "gradient"))
    for term in terms:
        term.sum_errors()
    result = helper.make_graph(
        builder.nodes, "pullback", inputs, outputs, initializer=builder.initializers
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        result, opset_imports=[opset], ir_version=IR_VERSION, producer_name="ortist"
    )


class _Tap:
    """What one tap adds to the cotangent; its features are one value or phases (phases.py)."""

    def __init__(self, builder: GraphBuilder, tap: int, channels: int, parts: list[str]) -> None:
        self._builder, self._tap, self._parts = builder, tap, parts
        self._flat = builder.integers([channels, -1])
        self._has = {
            name: builder.op(
                "Greater",
                builder.op("Size", f"{name}_{tap}", name="size"),
                builder.integers(0),
                name=f"has_{name}",
            )
            for name in ("mixing", "shift", "guides", "features")
        }
        self._errors: list[str] = []
        self._two_w = builder.op("Mul", builder.constant(2.0), f"content_weight_{tap}")

    def seeds(self) -> dict[str, Seed]:
        """For each part, what adds this tap's cotangent to the one from deeper layers."""

        def seed(index: int) -> Seed:
            return lambda deeper: self._cotangent(index, deeper)

        return {part: seed(index) for index, part in enumerate(self._parts)}

    def _cotangent(self, index: int, deeper: str | None) -> str:
        builder, part = self._builder, self._parts[index]
        op = builder.op
        shape = op("Shape", part, name="shape")
        if deeper is None:  # the deepest tap: nothing comes from below
            zero = helper.make_tensor("zero", builder.tensor_type(), [1], [0.0])
            deeper = op("ConstantOfShape", shape, value=zero, name="zeros")
        total = self._with_content(index, deeper)
        flat = op("Reshape", total, self._flat, name="d_flat")
        matrix = op("Reshape", part, self._flat, name="matrix")

        def styled() -> list[str]:
            return builder.branch(
                self._has["guides"],
                lambda: [self._guided(index, matrix, flat)],
                lambda: [self._everywhere(matrix, flat)],
                ["d_style"],
            )

        (total,) = self._if("mixing", styled, flat, "d_flat_tap")
        return op("Reshape", total, shape, name=f"d_tap_{self._tap}")

    def sum_errors(self) -> None:
        """Appends ``content_error``, once all parts have their cotangents."""
        error = self._errors[0]
        for other in self._errors[1:]:
            error = self._builder.op("Add", error, other)
        name = f"content_error_{self._tap}"
        self._builder.nodes.append(helper.make_node("Identity", [error], [name], name))

    def _with_content(self, index: int, deeper: str) -> str:
        """``deeper`` + 2 w (F - P)."""
        builder = self._builder

        def added() -> list[str]:
            op, target = builder.op, self._phase(f"features_{self._tap}", index)
            difference = op("Sub", self._parts[index], target, name="difference")
            squares = op("Mul", difference, difference, name="squares")
            by_position = op("ReduceSum", squares, builder.integers([1]), name="error_map")
            counted = op("Mul", by_position, self._phase(f"counted_{self._tap}", index))
            # By rows first: one long float32 sum would lose digits.
            rows = op("ReduceSum", counted, builder.integers([3]), name="error_rows")
            own = op("Mul", difference, self._two_w, name="d_content")
            return [
                op("Add", deeper, own, name="d_sum"),
                op("ReduceSum", rows, keepdims=0, name="error"),
            ]

        def unchanged() -> list[str]:
            nothing = builder.op("Identity", builder.constant(0.0), name="no_error")
            return [builder.op("Identity", deeper), nothing]

        names = ["d_with_content", f"content_error_{self._tap}_part"]
        total, error = builder.branch(self._has["features"], added, unchanged, names)
        self._errors.append(error)
        return total

    def _everywhere(self, matrix: str, flat: str) -> str:
        """``flat`` + M F + v 1^T of the one region."""
        op, tap = self._builder.op, self._tap

        def shifted() -> list[str]:
            column = op("Reshape", f"shift_{tap}", self._flat, name="shift")
            return [op("Add", flat, column, name="d_shifted")]

        mixing = op("Reshape", f"mixing_{tap}", self._flat, name="mixing")
        return op("Gemm", mixing, matrix, *self._if("shift", shifted, flat, "d_base"), name="d_mix")

    def _guided(self, index: int, matrix: str, flat: str) -> str:
        """``flat`` + sum_r T_r o (M_r F + v_r 1^T), as products of matrices.

        [M_1 … M_R] with the guided features one below the other, and [v_1 … v_R] with the guides.
        """
        builder, tap = self._builder, self._tap
        op = builder.op
        guides = self._phase(f"guides_{tap}", index)  # [R, 1, h, w]
        rows = op("Flatten", guides, axis=2, name="guide_rows")  # [R, h w], phases made compact
        columns = op("Unsqueeze", rows, builder.integers([1]), name="guide_columns")
        below = op("Flatten", op("Mul", columns, matrix), axis=2, name="guided")  # [R C, h w]

        def beside(name: str) -> str:
            turned = op("Transpose", f"{name}_{tap}", perm=[1, 0, 2], name=f"{name}_by_channel")
            return op("Reshape", turned, self._flat, name=f"{name}_beside")

        def shifted() -> list[str]:
            return [op("Gemm", beside("shift"), rows, flat, name="d_shifted")]

        (base,) = self._if("shift", shifted, flat, "d_base")
        return op("Gemm", beside("mixing"), below, base, name="d_mix")

    def _if(
        self, wanted: str, then: Callable[[], list[str]], otherwise: str, name: str
    ) -> list[str]:
        """An ``If`` on an input that is not empty; ``otherwise`` is a value's name."""
        unchanged = lambda: [self._builder.op("Identity", otherwise)]  # noqa: E731
        return self._builder.branch(self._has[wanted], then, unchanged, [name])

    def _phase(self, value: str, index: int) -> str:
        """The part of a map [.., h, w] that belongs to part ``index``: every second row, column."""
        if len(self._parts) == 1:
            return value
        builder = self._builder
        start = builder.integers([index // 2, index % 2])
        end, axes, steps = (builder.integers(v) for v in ([2**31 - 1] * 2, [2, 3], [2, 2]))
        return builder.op("Slice", value, start, end, axes, steps, name="phase")


def _value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
