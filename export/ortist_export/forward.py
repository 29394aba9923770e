"""torch -> ONNX: a backbone with named taps and free height and width."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch

from .backbones import Taps
from .graph import OPSET

__all__ = ["forward_model"]


def forward_model(taps: Taps) -> onnx.ModelProto:
    """The graph ``image`` [1, 3, height, width] -> ``tap_<index>`` [1, C, h, w] for every tap.

    All is float32; height and width are free. Notes for debugging are left out.
    """
    names = [f"tap_{index}" for index in taps.taps]
    free = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            taps.eval(),
            (torch.zeros(1, 3, 67, 91),),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=names,
            dynamic_shapes=({2: free, 3: free},),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    _name_axes(model.graph.input[0], "height", "width")
    for value in model.graph.output:
        _name_axes(value, f"{value.name}_height", f"{value.name}_width")
    onnx.checker.check_model(model, full_check=True)
    return model


def _strip(model: onnx.ModelProto) -> None:
    """Drops, in place, what the exporter notes for debugging.

    Stack traces among it hold the paths of a machine.
    """
    del model.metadata_props[:], model.graph.metadata_props[:], model.functions[:]
    del model.graph.value_info[:]
    for item in (*model.graph.node, *model.graph.input, *model.graph.output):
        del item.metadata_props[:]
        item.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.graph.name = "features"


def _name_axes(value: onnx.ValueInfoProto, height: str, width: str) -> None:
    """Names the free axes 2 and 3 of a value."""
    axes = value.type.tensor_type.shape.dim
    axes[2].dim_param, axes[3].dim_param = height, width


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's remarks (a missing torchvision, its own deprecations)."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
