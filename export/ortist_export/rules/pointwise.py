"""Rows of ops that look at one place of one channel: activations, sums, factors."""

from __future__ import annotations

import numpy as np
import onnx

from ..graph import GraphBuilder
from .table import NoGradientRuleError, attributes, different, rule

__all__ = ["where_active"]


@rule("Relu")
def relu(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = dy [y > 0], from the output y, so that the input need not be kept.

    HardSigmoid(3e38 y) = min(1, max(0, 3e38 y)) is that step function for every normal float32 and
    five times faster in ONNX Runtime than Greater + Where.
    """
    return {node.input[0]: where_active(builder, node.output[0], cotangent)}


def where_active(builder: GraphBuilder, output: str, cotangent: str) -> str:
    """The cotangent where the ReLU's output is positive, and 0 elsewhere."""
    maker = builder.producer(cotangent)
    if maker is None or maker.op_type != "Reshape":
        active = builder.late_op("HardSigmoid", output, alpha=3e38, beta=0.0, name="active")
        return builder.op("Mul", cotangent, active, name="d_relu")
    # A cotangent in plain layout, from matrices. As a matrix the mask is made in that layout too;
    # otherwise ONNX Runtime would make it in the convolutions' blocked layout and copy it.
    matrix = builder.late_op("Flatten", output, axis=2, name="matrix")
    active = builder.late_op("HardSigmoid", matrix, alpha=3e38, beta=0.0, name="active")
    flat = builder.op("Flatten", cotangent, axis=2, name="d_flat")
    return builder.op("Reshape", builder.op("Mul", flat, active), maker.input[1], name="d_relu")


@rule("LeakyRelu")
def leaky_relu(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = dy where x > 0, and alpha dy elsewhere."""
    alpha = builder.constant(attributes(node, alpha=0.01)["alpha"], name="alpha")
    return {node.input[0]: _by_sign(builder, node.input[0], alpha, cotangent)}


@rule("PRelu")
def prelu(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = dy where x > 0, and dy times the slope elsewhere; the slope must be a constant."""
    if builder.value_of(node.input[1]) is None:
        raise NoGradientRuleError(node, "the slope must be a constant")
    return {node.input[0]: _by_sign(builder, node.input[0], node.input[1], cotangent)}


def _by_sign(builder: GraphBuilder, value: str, slope: str, cotangent: str) -> str:
    """The cotangent where ``value`` is positive, and times ``slope`` elsewhere."""
    positive = builder.late_op("HardSigmoid", value, alpha=3e38, beta=0.0, name="positive")
    one = builder.constant(1.0, name="one")
    beyond = builder.op("Mul", positive, builder.op("Sub", one, slope, name="d_slope"))
    factor = builder.op("Add", beyond, slope, name="slopes")
    return builder.op("Mul", cotangent, factor, name="d_leaky")


@rule("Clip")
def clip(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = dy strictly between the bounds, from the output; PyTorch has it so in ReLU6."""
    bounds = [*node.input[1:], "", ""][:2]
    gradient = cotangent
    for bound, ends in zip(bounds, ((0, 1), (1, 0)), strict=True):
        if bound:
            pair = (node.output[0], bound)
            inside = builder.late_op("Sub", pair[ends[0]], pair[ends[1]], name="inside")
            active = builder.late_op("HardSigmoid", inside, alpha=3e38, beta=0.0, name="active")
            gradient = builder.op("Mul", gradient, active, name="d_clip")
    return {node.input[0]: gradient}


@rule("Sigmoid")
def sigmoid(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = dy y (1 - y)."""
    rest = builder.op("Sub", builder.constant(1.0, name="one"), node.output[0], name="rest")
    slope = builder.op("Mul", node.output[0], rest, name="slope")
    return {node.input[0]: builder.op("Mul", cotangent, slope, name="d_sigmoid")}


@rule("HardSigmoid")
def hard_sigmoid(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = alpha dy where 0 < y < 1."""
    alpha = builder.constant(attributes(node, alpha=0.2, beta=0.5)["alpha"], name="alpha")
    rest = builder.op("Sub", builder.constant(1.0, name="one"), node.output[0], name="rest")
    slope = builder.op("Mul", cotangent, alpha, name="d_ramp")
    for side in (node.output[0], rest):
        active = builder.op("HardSigmoid", side, alpha=3e38, beta=0.0, name="active")
        slope = builder.op("Mul", slope, active, name="d_hard_sigmoid")
    return {node.input[0]: slope}


@rule("BatchNormalization")
def batch_normalization(
    builder: GraphBuilder, node: onnx.NodeProto, cotangent: str
) -> dict[str, str]:
    """dx = dy scale / sqrt(var + epsilon), a constant for each channel."""
    given = attributes(node, epsilon=1e-5, momentum=0.9, training_mode=0)
    scale, variance = (builder.value_of(node.input[index]) for index in (1, 4))
    if scale is None or variance is None or given["training_mode"]:
        raise NoGradientRuleError(node, "scale and variance must be constants")
    slope = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + given["epsilon"])
    factor = builder.constant(slope.reshape(-1, 1, 1), name="slope")
    return {node.input[0]: builder.op("Mul", cotangent, factor, name="d_norm")}


@rule("Add")
@rule("Sum")
def add(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Every input gets the cotangent; one of one place a channel, its sum over places."""
    return {name: _gathered(builder, node, name, cotangent) for name in different(node)}


@rule("Mul")
def multiply(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """Each factor gets the cotangent times the other one; a square, twice itself.

    A factor of one place a channel gets the sum over places.
    """
    left, right = node.input
    if left == right:
        twice = builder.op("Mul", builder.constant(2.0), left, name="twice")
        return {left: builder.op("Mul", cotangent, twice, name="d_square")}
    gradients = {}
    for value, factor in ((left, right), (right, left)):
        if builder.value_of(value) is None:
            product = builder.op("Mul", cotangent, factor, name="d_scale")
            gradients[value] = _gathered(builder, node, value, product)
    return gradients


def _gathered(builder: GraphBuilder, node: onnx.NodeProto, value: str, cotangent: str) -> str:
    """The cotangent of ``value``, summed over the places for which ``value`` has only one."""
    own, whole = builder.places(value), builder.places(node.output[0])
    if builder.channels(value) != builder.channels(node.output[0]):
        if builder.value_of(value) is not None:
            return cotangent  # nobody asks for it
        raise NoGradientRuleError(node, "no gradient rule where channels are repeated")
    if own == whole or own != (1, 1):
        return cotangent
    axes = builder.integers([2, 3])
    return builder.op("ReduceSum", cotangent, axes, keepdims=1, name="d_gathered")


@rule("Pow")
def power(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """dx = dy p x^(p - 1); the exponent p must be a constant number."""
    exponent = builder.value_of(node.input[1])
    if exponent is None or exponent.size != 1:
        raise NoGradientRuleError(node, "the exponent must be a constant number")
    number = float(exponent.flatten()[0])
    less = builder.constant(number - 1, name="exponent")
    slope = builder.op("Pow", node.input[0], less, name="power")
    slope = builder.op("Mul", slope, builder.constant(number, name="factor"), name="slope")
    return {node.input[0]: builder.op("Mul", cotangent, slope, name="d_power")}


@rule("Max")
def maximum(builder: GraphBuilder, node: onnx.NodeProto, cotangent: str) -> dict[str, str]:
    """The cotangent goes to the first input that equals the maximum; all inputs of one shape.

    HardSigmoid(3e38 (x - y) + 1) is 1 where x = y and 0 where x < y. What is left for the later
    inputs is what the earlier ones did not take, so that ties go to the first alone and the last
    input needs no comparison.
    """
    gradients: dict[str, str] = {}
    left = cotangent
    for name in node.input[:-1]:
        below = builder.late_op("Sub", name, node.output[0], name="below")
        taken = builder.late_op("HardSigmoid", below, alpha=3e38, beta=1.0, name="is_maximum")
        gradients[name] = builder.op("Mul", left, taken, name="d_max")
        left = builder.op("Sub", left, gradients[name], name="left")
    return gradients | {node.input[-1]: left}
