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
that one graph serves every choice of taps and unused taps cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from .differentiate import Seed, append_gradient
from .graph import GraphBuilder

__all__ = ["OPSET", "objective_model"]

OPSET = 18
IR_VERSION = 10


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
    inputs = [graph.input[0], _value("tv_weight", [])]
    outputs = [_value("gradient", ["", "", "height", "width"]), _value("tv_loss", [])]
    outputs[0].type.CopyFrom(graph.input[0].type)
    seeds: dict[str, Seed] = {"image": _tv(builder)}
    for tap in taps:
        shape = values[f"tap_{tap}"].type.tensor_type.shape.dim
        channels = shape[1].dim_value
        inputs += [
            _value(f"gram_{tap}", [f"gram_{tap}_rows", f"gram_{tap}_rows"]),
            _value(f"style_weight_{tap}", []),
            _value(f"features_{tap}", [f"features_{tap}_count", channels, *_space(tap)]),
            _value(f"content_weight_{tap}", []),
        ]
        outputs += [_value(f"style_loss_{tap}", []), _value(f"content_loss_{tap}", [])]
        seeds[f"tap_{tap}"] = _tap(builder, tap)
    gradient = append_gradient(builder, "image", seeds)
    builder.nodes.append(helper.make_node("Identity", [gradient], ["gradient"], "gradient"))
    result = helper.make_graph(
        builder.nodes, "objective", inputs, outputs, initializer=builder.initializers
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(
        result, opset_imports=[opset], ir_version=IR_VERSION, producer_name="ortist"
    )


def _tap(builder: GraphBuilder, tap: int) -> Seed:
    """The seed of one tap: style first, then content, each behind its ``If``."""

    def seed(cotangent: str | None) -> str:
        features = f"tap_{tap}"
        shape = builder.op("Shape", features, name="shape")
        if cotangent is None:  # the deepest tap: nothing comes from below
            zero = helper.make_tensor("zero", builder.tensor_type(), [1], [0.0])
            cotangent = builder.op("ConstantOfShape", shape, value=zero, name="zeros")
        cotangent = _optional(
            builder,
            f"gram_{tap}",
            f"style_loss_{tap}",
            cotangent,
            lambda g: _style(builder, tap, features, shape, g),
        )
        return _optional(
            builder,
            f"features_{tap}",
            f"content_loss_{tap}",
            cotangent,
            lambda g: _content(builder, tap, features, g),
        )

    return seed


def _optional(
    builder: GraphBuilder,
    target: str,
    loss: str,
    cotangent: str,
    term: Callable[[str], list[str]],
) -> str:
    """``If(target is not empty)``: the loss and the cotangent with the loss's own added."""
    wanted = builder.op(
        "Greater", builder.op("Size", target, name="size"), builder.integers(0), name="wanted"
    )

    def skip() -> list[str]:
        return [
            builder.op("Identity", cotangent, name="d_same"),
            builder.op("Identity", builder.constant(0.0), name="no_loss"),
        ]

    outputs = builder.branch(wanted, lambda: term(cotangent), skip, [f"d_{loss}", loss])
    return outputs[0]


def _style(builder: GraphBuilder, tap: int, features: str, shape: str, cotangent: str) -> list[str]:
    channels = builder.op("Shape", features, start=1, end=2, name="channels")
    matrix_shape = builder.op("Concat", channels, builder.integers([-1]), axis=0, name="cn")
    matrix = builder.op("Reshape", features, matrix_shape, name="matrix")
    count = builder.op("Cast", builder.op("Size", features, name="size"), to=builder.tensor_type())
    per_value = builder.op("Reciprocal", count, name="per_value")
    moments = builder.op("Gemm", matrix, matrix, transB=1, name="moments")
    gram = builder.op("Mul", moments, per_value, name="gram")
    difference = builder.op("Sub", gram, f"gram_{tap}", name="gram_difference")
    weight = f"style_weight_{tap}"
    error = _sum(builder, builder.op("ReduceSumSquare", difference, builder.integers([1])))
    loss = builder.op("Mul", error, weight, name="weighted")
    four = builder.op("Mul", builder.constant(4.0), weight, name="four_w")
    scale = builder.op("Mul", four, per_value, name="four_w_per_value")
    mixing = builder.op("Mul", difference, scale, name="mixing")
    flat = builder.op("Reshape", cotangent, matrix_shape, name="d_matrix_deeper")
    summed = builder.op("Gemm", mixing, matrix, flat, name="d_matrix")
    return [builder.op("Reshape", summed, shape, name="d_style"), loss]


def _content(builder: GraphBuilder, tap: int, features: str, cotangent: str) -> list[str]:
    difference = builder.op("Sub", features, f"features_{tap}", name="difference")
    weight = f"content_weight_{tap}"
    error = _sum(builder, builder.op("ReduceSumSquare", difference, builder.integers([3])))
    loss = builder.op("Mul", error, weight, name="weighted")
    two = builder.op("Mul", builder.constant(2.0), weight, name="two_w")
    own = builder.op("Mul", difference, two, name="d_own")
    return [builder.op("Add", cotangent, own, name="d_content"), loss]


def _tv(builder: GraphBuilder) -> Seed:
    """Total variation through the grid Laplacian: one 3 x 3 Conv gives the loss and its gradient.

    Replicated borders make the missing neighbour's difference zero, as the sum over existing pairs
    has it.
    """

    def seed(cotangent: str | None) -> str:
        if cotangent is None:
            raise ValueError("the taps do not depend on the image")
        shape = builder.op("Shape", "image", name="shape")
        planes_shape = builder.op(
            "Concat",
            builder.integers([-1, 1]),
            builder.op("Shape", "image", start=2, end=4, name="size"),
            axis=0,
            name="planes_shape",
        )
        planes = builder.op("Reshape", "image", planes_shape, name="planes")
        border = builder.integers([0, 0, 1, 1, 0, 0, 1, 1])
        padded = builder.op("Pad", planes, border, mode="edge", name="padded")
        laplacian = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
        kernel = builder.constant(laplacian[None, None], name="laplacian")
        variation = builder.op(
            "Reshape", builder.op("Conv", padded, kernel, name="k_planes"), shape, name="k_image"
        )
        product = builder.op("Mul", "image", variation, name="x_k_x")
        total = _sum(builder, builder.op("ReduceSum", product, builder.integers([3])))
        builder.nodes.append(helper.make_node("Mul", [total, "tv_weight"], ["tv_loss"], "tv_loss"))
        two = builder.op("Mul", builder.constant(2.0), "tv_weight", name="two_w")
        own = builder.op("Mul", variation, two, name="d_tv")
        return builder.op("Add", cotangent, own, name="d_image")

    return seed


def _sum(builder: GraphBuilder, rows: str) -> str:
    """The sum of sums by rows: one long float32 sum would lose 5e-5 of a 256 px content loss."""
    return builder.op("ReduceSum", rows, keepdims=0, name="total")


def _value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _space(tap: int) -> list[str]:
    return [f"tap_{tap}_height", f"tap_{tap}_width"]
