"""A program (program.py), run on a picture that is one piece and one band, for checks."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from .float64 import evaluator, in_float64
from .program import Program, switches

__all__ = ["Run", "all_switches", "run_one_piece"]

Values = dict[str, NDArray[Any]]
Run = Callable[[Values], Values]


def all_switches(program: Program) -> set[str]:
    """The names of all switches of a program."""
    return {name for segment in program.segments for name in switches(segment)}


def run_one_piece(
    program: Program,
    feed: Mapping[str, Any],
    on: Collection[str],
    observed: Sequence[str] = (),
    double: Collection[int] = (),
    until: Collection[str] = ("gradient",),
    opened: dict[int, Run] | None = None,
) -> Values:
    """All that the segments give for ``feed``, with the switches ``on`` and the others off.

    ``rows`` are made of ``image``, and inputs that are not given are empty. The values ``observed``
    are returned too, in the order in which they are made. The segments of the numbers ``double``
    are run in float64, by ONNX's reference evaluator. None is run once all of ``until`` are made.
    ``opened`` keeps what is opened for a segment, for further calls that differ in ``feed`` alone.
    """
    rows = np.pad(feed["image"], ((0, 0), (0, 0), (1, 1), (0, 0)), "edge")
    values: Values = {"rows": rows, **feed}
    halos = {exchange.halo: exchange for exchange in program.exchanges}
    for number, given_segment in enumerate(program.segments):
        if values.keys() >= {*until}:
            break
        segment = onnx.ModelProto()
        segment.CopyFrom(given_segment)
        graph = segment.graph
        known = {value.name for value in graph.output}
        inner = [name for node in graph.node for name in node.output if name in observed]
        graph.output.extend(onnx.ValueInfoProto(name=n) for n in inner if n not in known)
        run = None if opened is None else opened.get(number)
        if run is None:
            run = (_exact if number in double else _fast)(segment, on)
        if opened is not None:
            opened[number] = run
        for value in graph.input:
            if value.name in halos:
                exchange = halos[value.name]
                edge = values[exchange.row]
                shape = (*edge.shape[:2], exchange.beyond, edge.shape[3])
                values[value.name] = np.zeros(shape, edge.dtype)
            elif value.name not in values:
                values[value.name] = _empty(value)
        values |= run({value.name: values[value.name] for value in graph.input})
    return {name: value for name, value in values.items() if name not in feed}


def _fast(segment: onnx.ModelProto, on: Collection[str]) -> Run:
    """ONNX Runtime on a segment, as the engine has it."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import, or it is sent
    import onnxruntime

    options, names = onnxruntime.SessionOptions(), switches(segment)
    options.log_severity_level = 4  # unused inputs are no news
    opened = [onnxruntime.OrtValue.ortvalue_from_numpy(np.array(n in on)) for n in names]
    options.add_external_initializers(names, opened)
    session = onnxruntime.InferenceSession(
        segment.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    wanted = [value.name for value in session.get_inputs()]
    made = [value.name for value in session.get_outputs()]

    def run(given: Values) -> Values:
        found = session.run(made, {name: _float(given[name], np.float32) for name in wanted})
        return dict(zip(made, found, strict=True))

    return run


def _exact(segment: onnx.ModelProto, on: Collection[str]) -> Run:
    """The reference evaluator on a segment in float64."""
    running = evaluator(in_float64(segment, on))

    def run(given: Values) -> Values:
        doubled = {name: _float(value, np.float64) for name, value in given.items()}
        return dict(zip(running.output_names, running.run(None, doubled), strict=True))

    return run


def _float(value: NDArray[Any], kind: type[np.floating[Any]]) -> NDArray[Any]:
    return value.astype(kind, copy=False) if value.dtype.kind == "f" else value


def _empty(value: onnx.ValueInfoProto) -> NDArray[Any]:
    """An input without values, of the type and the fixed lengths that it must have."""
    kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    axes = value.type.tensor_type.shape.dim
    return np.zeros([axis.dim_value if axis.HasField("dim_value") else 0 for axis in axes], kind)
