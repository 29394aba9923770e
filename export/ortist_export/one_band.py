"""The segments of bands.py on a picture that is one band: for checks, and to count what is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from .bands import switches

__all__ = ["kept_bytes", "run_one_band"]

_SIDE = 512


def run_one_band(
    segments: Sequence[onnx.ModelProto], feed: Mapping[str, Any], observed: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """All that the segments give for the objective's inputs ``feed``, and its ``style_loss_l``.

    And the values ``observed``, in the order in which they are made.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import, or it is sent
    import onnxruntime

    taps = [name.removeprefix("gram_") for name in feed if name.startswith("gram_")]
    rows = np.pad(feed["image"], ((0, 0), (0, 0), (1, 1), (0, 0)), "edge")
    values: dict[str, Any] = {**feed, "rows": rows}
    for given_segment in segments:
        segment = onnx.ModelProto()
        segment.CopyFrom(given_segment)
        graph = segment.graph
        known = {value.name for value in graph.output}
        inner = [name for node in graph.node for name in node.output if name in observed]
        graph.output.extend(onnx.ValueInfoProto(name=n) for n in inner if n not in known)
        options, names = onnxruntime.SessionOptions(), switches(segment)
        options.add_external_initializers(names, [_switch(name, feed) for name in names])
        session = onnxruntime.InferenceSession(
            segment.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        given = {}
        for value in session.get_inputs():
            if value.name.startswith("halo"):
                edge = values[f"{value.name.partition('.')[0].replace('halo', 'edge')}.first"]
                height = 1 if value.shape[2] == 1 else 0
                shape = (*edge.shape[:2], height, edge.shape[3])
                values[value.name] = np.zeros(shape, edge.dtype)
            elif value.name.startswith("mixing_"):
                _mix(values, value.name.removeprefix("mixing_"))
            given[value.name] = values[value.name]
        names = [value.name for value in session.get_outputs()]
        values |= dict(zip(names, session.run(names, given), strict=True))
    for tap in taps:
        _mix(values, tap)
    return {name: value for name, value in values.items() if name not in feed}


def _switch(name: str, feed: Mapping[str, Any]) -> Any:
    """Whether a term is wanted: its target is not empty."""
    import onnxruntime

    term, _, tap = name.partition("_")
    target = feed[f"{'gram' if term == 'style' else 'features'}_{tap}"]
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.array(target.size > 0))


def _mix(values: dict[str, Any], tap: str) -> None:
    """M and the style loss (objective.py), of a tap that may have none."""
    gram, weight = values[f"gram_{tap}"], values[f"style_weight_{tap}"]
    size = np.float32(values[f"size_{tap}"])
    difference = values[f"moments_{tap}"] / size - gram
    values[f"mixing_{tap}"] = difference * (4 * weight / size)
    values[f"style_loss_{tap}"] = weight * np.square(difference).sum()


def kept_bytes(segments: Sequence[onnx.ModelProto], taps: Mapping[int, int]) -> int:
    """Bytes a pixel of what the segments hand on; ``taps`` are channels by index."""
    feed: dict[str, Any] = {"tv_weight": np.zeros((), np.float32)}
    feed["image"] = np.zeros((1, 3, _SIDE, _SIDE), np.float32)
    for tap, channels in taps.items():
        feed[f"gram_{tap}"] = np.zeros((0, 0), np.float32)
        feed[f"features_{tap}"] = np.zeros((0, channels, 1, 1), np.float32)
        feed[f"style_weight_{tap}"] = feed[f"content_weight_{tap}"] = np.zeros((), np.float32)
    made = {value.name for segment in segments for value in segment.graph.output}
    found = run_one_band(segments, feed)
    return -int(-sum(found[name].nbytes for name in made) // _SIDE**2)
