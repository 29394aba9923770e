"""How much memory a program takes for each pixel of the image: counted from the shapes of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx

from .one_piece import Values, all_switches, run_one_piece
from .program import Program
from .segments import reads

__all__ = ["measure_footprint"]

_SIDE = 384
_BAND, _SIZES = 45_000, 4
"""Pixels of a band, and how many sizes of bands are counted, over an octave from there."""
_SMALL, _WASTE = 16384, 1.5
"""Bytes from which on the engine uses memory again, and how much larger than needed it may be."""
_LEFT_OUT = ("with_shifts", "with_guides", "with_inside", "with_error", "with_content")
"""Switches of what a plain Gram run does not have, or for one tap alone."""


def measure_footprint(program: Program) -> dict[str, int]:
    """Bytes per pixel: ``kept`` from segment to segment, and ``working``, a thread's pool.

    With style terms of all taps; both are the most that there is at once. A value is kept from
    where it is made to where it is read last, in memory that is used again as the engine does it;
    what is an output of the whole, to the end. ONNX Runtime's pool of memory has chunks for what is
    within the largest segment, and for the outputs of the first run, which are not those.
    """
    nodes = [node for segment in program.segments for node in segment.graph.node]
    everything = [name for node in nodes for name in node.output]
    values = _run(program, everything)
    sizes = {name: value.nbytes / _SIDE**2 for name, value in values.items()}
    within = max(_peak_within(segment, sizes) for segment in program.segments)
    made = ({value.name for value in segment.graph.output} for segment in program.segments)
    beside = max(sum(sizes[name] for name in names) for names in made)
    areas = (_BAND * 2 ** (step / _SIZES) for step in range(_SIZES))
    kept = [_taken(program, sizes, area) / area for area in areas]
    return {"kept": math.ceil(sum(kept) / _SIZES), "working": math.ceil(within + beside)}


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


def _taken(program: Program, sizes: Mapping[str, float], pixels: float) -> int:
    """Bytes that a band of so many ``pixels`` takes; ``sizes`` are bytes a pixel, by value.

    Sizes are rounded up to four binary digits, and what no later segment reads is taken again for
    values of about its size.
    """
    read = [{value.name for value in s.graph.input} for s in program.segments]
    last = {name: index for index, names in enumerate(read) for name in names}
    ends = {name for exchange in program.exchanges for name in (exchange.row, exchange.gradient)}
    free, taken, total = Counter[int](), dict[str, int](), 0
    for index, segment in enumerate(program.segments):
        for name in (value.name for value in segment.graph.output):
            size = round(sizes[name] * pixels)
            digit = 1 << max(0, size.bit_length() - 4)
            rounded = -(-size // digit) * digit
            fitting = (own for own in range(rounded, int(_WASTE * size) + 1, digit) if free[own])
            again = next(fitting, None) if size >= _SMALL else None
            if again is None:
                total += rounded
            else:
                free[again] -= 1
            taken[name] = rounded if again is None else again
        for name in read[index] & taken.keys() - ends:
            if last[name] == index:
                free[taken.pop(name)] += 1
    return total


def _peak_within(segment: onnx.ModelProto, sizes: Mapping[str, float]) -> float:
    """Bytes a pixel of a segment's values that are neither its inputs nor its outputs."""
    outside = {value.name for value in (*segment.graph.input, *segment.graph.output)}
    last = {name: i for i, node in enumerate(segment.graph.node) for name in reads(node)}
    live, most = 0.0, 0.0
    inner: set[str] = set()
    for index, node in enumerate(segment.graph.node):
        made = {name for name in node.output if name not in outside and name in last}
        live += sum(sizes[name] for name in made)
        most, inner = max(most, live), inner | made
        live -= sum(sizes[n] for n in {*reads(node)} & inner if last[n] == index)
    return most
