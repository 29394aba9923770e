"""Files in the form of the ONNX model zoo's, made of weights in torchvision's form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from ortist_export.backbones import BACKBONES, Convolution, Fire, Pool
from ortist_export.modules import build_module

__all__ = ["random_state", "zoo_file"]


def random_state(name: str, classifier: bool = True) -> dict[str, torch.Tensor]:
    """Weights after He et al. under torchvision's names, with something of a classifier's."""
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    for key, value in build_module(name).state_dict().items():
        state[f"features.{key}"] = value
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
    if classifier:
        state["classifier.1.weight"] = torch.zeros(10, 512, 1, 1)
    return state


def zoo_file(name: str, state: Mapping[str, Any], path: Path) -> Path:
    """Opset 7, IR 3, ``data`` of one size, weights that are inputs too, no ceil mode, a classifier.

    As the files whose names end in ``-7`` are, exported from MXNet.
    """
    backbone, prefix = BACKBONES[name], name.split("1")[0] + "0"
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, NDArray[np.float32]] = {}
    counts: dict[str, int] = {}

    def add(op: str, kind: str, *inputs: str, **attributes: Any) -> str:
        number = counts[kind] = counts.get(kind, -1) + 1
        label = f"{prefix}_{kind}{number}"
        node = helper.make_node(op, list(inputs), [f"{label}_fwd"], f"{label}_fwd", **attributes)
        nodes.append(node)
        return f"{label}_fwd"

    def conv(key: str, layer: Convolution, value: str) -> str:
        own = [f"{prefix}_conv{counts.get('conv', -1) + 1}_{part}" for part in ("weight", "bias")]
        for part, full in zip(("weight", "bias"), own, strict=True):
            weights[full] = np.asarray(state[f"{key}.{part}"], np.float32)
        sizes = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2}
        pads = [layer.pad] * 4
        made = add("Conv", "conv", value, *own, dilations=[1, 1], group=1, pads=pads, **sizes)
        return add("Relu", "relu", made)

    value = "data"
    for index, layer in enumerate(backbone.features):
        key = f"features.{index}"
        if isinstance(layer, Convolution):
            value = conv(key, layer, value)
        elif isinstance(layer, Fire):
            squeezed = conv(f"{key}.squeeze", layer.squeeze, value)
            both = [conv(f"{key}.{own}", e, squeezed) for own, e in layer.expands.items()]
            value = add("Concat", "concat", *both, axis=1)
        elif isinstance(layer, Pool):
            window = {"kernel_shape": [layer.kernel] * 2, "strides": [2, 2], "pads": [0] * 4}
            value = add("MaxPool", "pool", value, **window)
    value = add("Flatten", "flatten", add("Dropout", "dropout", value, ratio=0.5))
    nodes[-1].output[0] = "out"
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, 224, 224])]
    inputs += [helper.make_tensor_value_info(k, 1, v.shape) for k, v in weights.items()]
    graph = helper.make_graph(
        nodes,
        "mxnet_converted_model",
        inputs,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, "features"])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    opset = helper.make_opsetid("", 7)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=3), path)
    return path
