"""A backbone's layers -> ONNX: the graph from the picture to the taps, built node by node.

What stands for a window of features is its maximum, or, after Gatys et al. (CVPR 2016, section 2),
twice its mean. Weights behind a pooling expect activations the size of maxima: over photos and
paintings, the root mean square of SqueezeNet 1.1's maxima (ImageNet's weights) is 1.8 to 2.1 times
that of the means, and 2 is what crowsonkb/style-transfer-pytorch takes for VGG's 2 x 2 windows. A
window that reaches over the border is divided by what lies inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .backbones import Backbone, Convolution, Fire, Layer, Pool, Pooling
from .graph import GraphBuilder
from .segments import model_of
from .terms import value_info

__all__ = ["MEAN_SCALE", "backbone_model", "forward_of"]

MEAN_SCALE = 2.0
"""What the mean of a window is multiplied with where it stands for the maximum."""


def backbone_model(
    backbone: Backbone,
    weights: Mapping[str, NDArray[np.float32]],
    taps: Sequence[int],
    pooling: Pooling = "max",
) -> onnx.ModelProto:
    """The graph ``image`` [1, 3, height, width] -> ``tap_<index>`` [1, C, h, w] for every tap.

    All is float32; height and width are free. ``weights`` are named as ``Backbone.parameters`` has
    them; ``taps`` are indices into ``features``.
    """
    builder = GraphBuilder()
    value = builder.reserve("image")
    last = max(taps)
    for name in backbone.parameters(last):
        builder.store(numpy_helper.from_array(np.ascontiguousarray(weights[name]), name))
    channels, outputs = 3, {}
    for index, layer in enumerate(backbone.features[: last + 1]):
        value = _append(builder, layer, f"features.{index}", value, pooling)
        if isinstance(layer, Convolution):
            channels = layer.outputs
        elif isinstance(layer, Fire):
            channels = 2 * layer.expanded
        if index in taps:
            builder.rename(value, value := f"tap_{index}")
            outputs[value] = channels
    return forward_of(builder, outputs)


def forward_of(builder: GraphBuilder, outputs: Mapping[str, int]) -> onnx.ModelProto:
    """The model of the builder's nodes, from ``image`` to ``outputs`` with so many channels."""
    graph = helper.make_graph(
        builder.nodes,
        "features",
        [value_info("image", [1, 3, "height", "width"])],
        [
            value_info(name, [1, channels, f"{name}_height", f"{name}_width"])
            for name, channels in outputs.items()
        ],
        initializer=builder.initializers,
        # What ONNX would not infer of maps that are cut to the size of others.
        value_info=[
            value_info(name, [1, channels, f"{name}_height", f"{name}_width"])
            for name, channels in builder.told.items()
        ],
    )
    model = model_of(graph)
    onnx.checker.check_model(model, full_check=True)
    return model


def _append(builder: GraphBuilder, layer: Layer, name: str, value: str, pooling: Pooling) -> str:
    """Appends a layer on ``value`` and returns its output's name."""
    if isinstance(layer, Convolution):
        return _convolution(builder, layer, name, value)
    if isinstance(layer, Fire):
        squeezed = _active(builder, layer.squeeze, f"{name}.squeeze", value)
        expanded = [
            _active(builder, expand, f"{name}.{own}", squeezed)
            for own, expand in layer.expands.items()
        ]
        return builder.op("Concat", *expanded, axis=1, name=f"{name}.joined")
    if isinstance(layer, Pool):
        return _pool(builder, layer, name, value, pooling)
    return builder.op("Relu", value, name=f"{name}.relu")


def _convolution(builder: GraphBuilder, layer: Convolution, name: str, value: str) -> str:
    parameters = [f"{name}.weight", f"{name}.bias"]
    return builder.op(
        "Conv",
        value,
        *parameters,
        name=f"{name}.conv",
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[layer.pad] * 4,
    )


def _active(builder: GraphBuilder, layer: Convolution, name: str, value: str) -> str:
    return builder.op("Relu", _convolution(builder, layer, name, value), name=f"{name}.relu")


def _pool(builder: GraphBuilder, layer: Pool, name: str, value: str, pooling: Pooling) -> str:
    window = {
        "kernel_shape": [layer.kernel] * 2,
        "strides": [2, 2],
        "ceil_mode": int(layer.ceil_mode),
    }
    if pooling == "max":
        return builder.op("MaxPool", value, name=f"{name}.pool", **window)
    mean = builder.op("AveragePool", value, name=f"{name}.mean", **window)
    return builder.op("Mul", mean, builder.constant(MEAN_SCALE, "scale"), name=f"{name}.pool")
