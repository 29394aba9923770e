"""The light models in the onnx wheel: nine networks of the zoo, given weights here.

In the files weights are made by ConstantOfShape, all alike. Here they are random, scaled so that a
deep network neither dies nor grows: variance 2 / inputs (He et al. 2015), or half of that where
sums of branches grow by themselves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = ["LIGHT", "light_file", "light_model"]

LIGHT = {
    "squeezenet": "r64",
    "vgg19": "r36",
    "resnet50": "r171",
    "densenet121": "r907",
    "inception_v1": "r137",
    "inception_v2": "r504",
    "shufflenet": "r198",
    "bvlc_alexnet": "r14",
    "zfnet512": "r14",
}
"""Model -> its deepest map that does not need pictures of 224 pixels."""

_MOST = 10**7
"""Numbers of a layer; those of classifiers stay as they are."""


def light_file(name: str) -> Path:
    """The file of the light model ``name``."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return folder / f"light_{name}.onnx"


def light_model(name: str) -> onnx.ModelProto:
    """The light model ``name`` with random weights, from a fixed seed."""
    model = onnx.load(light_file(name))
    model.ir_version = 4  # since which constants need not be inputs too
    rng, gain = np.random.default_rng(0), 1 if name in ("resnet50", "shufflenet") else 2
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    variances = {n.input[4] for n in model.graph.node if n.op_type == "BatchNormalization"}
    scales = {n.input[1] for n in model.graph.node if n.op_type == "BatchNormalization"}
    scales |= {n.input[1] for n in model.graph.node if n.op_type == "Mul"}
    scales |= {n.input[0] for n in model.graph.node if n.op_type == "Unsqueeze"}
    for node in list(model.graph.node):
        if node.op_type != "ConstantOfShape":
            continue
        shape, (output,) = [int(n) for n in shapes[node.input[0]]], node.output
        if np.prod(shape) > _MOST:
            continue
        values = rng.standard_normal(shape)
        if len(shape) > 1:
            values *= np.sqrt(gain / np.prod(shape[1:]))
        elif output in variances:
            values = 1 + 0.2 * np.abs(values)
        elif output in scales:
            values = 1 + 0.1 * values
        else:
            values *= 0.1
        model.graph.node.remove(node)
        tensor = numpy_helper.from_array(values.astype(np.float32), output)
        model.graph.initializer.append(tensor)
    return model
