"""How much memory a program takes for each pixel of the image: counted from the shapes of a run."""

from __future__ import annotations

import numpy as np
import onnx

from .one_piece import Values, all_switches, run_one_piece
from .program import Program
from .segments import reads

__all__ = ["measure_footprint"]

_SIDE = 384
_LEFT_OUT = ("with_shifts", "with_guides", "with_inside", "with_error", "with_content")
"""Switches of what a plain Gram run does not have, or for one tap alone."""


def measure_footprint(program: Program) -> dict[str, int]:
    """Bytes per pixel: ``kept`` from segment to segment, and ``working``, taken while one runs.

    With style terms of all taps; both are the most that there is at once. A value is kept from
    where it is made to where it is read last; what is an output of the whole, to the end.
    """
    nodes = [node for segment in program.segments for node in segment.graph.node]
    everything = [name for node in nodes for name in node.output]
    values = _run(program, everything)
    working = max(_peak_within(segment, values) for segment in program.segments)
    return {
        "kept": -int(-_peak_between(program, values) // _SIDE**2),
        "working": -int(-working // _SIDE**2),
    }


def _run(program: Program, observed: list[str]) -> Values:
    feed = {"image": np.random.default_rng(0).random((1, 3, _SIDE, _SIDE), np.float32)}
    on = {name for name in all_switches(program) if not name.startswith(_LEFT_OUT)}
    for name in ("tv_weight", *(f"content_weight_{tap}" for tap in program.taps)):
        feed[name] = np.zeros((), np.float32)
    for value in (value for segment in program.segments for value in segment.graph.input):
        if value.name.startswith("mixing_"):
            channels = value.type.tensor_type.shape.dim[0].dim_value
            feed[value.name] = np.eye(channels, dtype=np.float32)
    return run_one_piece(program, feed, on, observed)


def _peak_between(program: Program, values: Values) -> int:
    made = [{value.name for value in s.graph.output} for s in program.segments]
    read = [{value.name for value in s.graph.input} for s in program.segments]
    last = {name: index for index, names in enumerate(read) for name in names}
    live, most = 0, 0
    known: set[str] = set()
    for index, names in enumerate(made):
        live += sum(values[name].nbytes for name in names)
        most, known = max(most, live), known | names
        live -= sum(values[name].nbytes for name in read[index] & known if last[name] == index)
    return most


def _peak_within(segment: onnx.ModelProto, values: Values) -> int:
    """The values of a segment that are neither its inputs nor its outputs."""
    outside = {value.name for value in (*segment.graph.input, *segment.graph.output)}
    last = {name: i for i, node in enumerate(segment.graph.node) for name in reads(node)}
    live, most = 0, 0
    inner: set[str] = set()
    for index, node in enumerate(segment.graph.node):
        made = {name for name in node.output if name not in outside and name in last}
        live += sum(values[name].nbytes for name in made)
        most, inner = max(most, live), inner | made
        live -= sum(values[n].nbytes for n in {*reads(node)} & inner if last[n] == index)
    return most
