"""A program (program.py), run on a picture that is one piece and one band, for checks."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .program import Program, switches

__all__ = ["all_switches", "run_one_piece"]

Values = dict[str, NDArray[Any]]


def all_switches(program: Program) -> set[str]:
    """The names of all switches of a program."""
    return {name for segment in program.segments for name in switches(segment)}


def run_one_piece(
    program: Program,
    feed: Mapping[str, Any],
    on: Collection[str],
    observed: Sequence[str] = (),
) -> Values:
    """All that the segments give for ``feed``, with the switches ``on`` and the others off.

    ``rows`` are made of ``image``, and inputs that are not given are empty. The values ``observed``
    are returned too, in the order in which they are made.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import, or it is sent
    import onnxruntime

    rows = np.pad(feed["image"], ((0, 0), (0, 0), (1, 1), (0, 0)), "edge")
    values: Values = {"rows": rows, **feed}
    halos = {exchange.halo: exchange for exchange in program.exchanges}
    for given_segment in program.segments:
        segment = onnx.ModelProto()
        segment.CopyFrom(given_segment)
        graph = segment.graph
        known = {value.name for value in graph.output}
        inner = [name for node in graph.node for name in node.output if name in observed]
        graph.output.extend(onnx.ValueInfoProto(name=n) for n in inner if n not in known)
        options, names = onnxruntime.SessionOptions(), switches(segment)
        options.log_severity_level = 4  # unused inputs are no news
        opened = [onnxruntime.OrtValue.ortvalue_from_numpy(np.array(n in on)) for n in names]
        options.add_external_initializers(names, opened)
        session = onnxruntime.InferenceSession(
            segment.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        wanted = [value.name for value in session.get_inputs()]
        for value in graph.input:
            if value.name in halos:
                exchange = halos[value.name]
                edge = values[exchange.row]
                shape = (*edge.shape[:2], exchange.beyond, edge.shape[3])
                values[value.name] = np.zeros(shape, edge.dtype)
            elif value.name not in values:
                values[value.name] = _empty(value)
        made = [value.name for value in session.get_outputs()]
        values |= dict(
            zip(made, session.run(made, {name: values[name] for name in wanted}), strict=True)
        )
    return {name: value for name, value in values.items() if name not in feed}


def _empty(value: onnx.ValueInfoProto) -> NDArray[Any]:
    """An input without values, of the type and the fixed lengths that it must have."""
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    axes = value.type.tensor_type.shape.dim
    return np.zeros([axis.dim_value if axis.HasField("dim_value") else 0 for axis in axes], kind)
