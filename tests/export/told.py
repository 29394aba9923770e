"""What the doc strings of a program's graphs must say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

__all__ = ["check_doc_strings"]


def check_doc_strings(
    segments: Sequence[onnx.ModelProto], taps: Mapping[Any, Sequence[Mapping[str, Any]]]
) -> None:
    """Holds that every value is described, features as such, and what is handed on by its way."""
    makers = {value.name: i for i, s in enumerate(segments) for value in s.graph.output}
    told: dict[str, str] = {}
    for index, segment in enumerate(segments):
        for value in segment.graph.input:
            assert value.doc_string, value.name
            if value.doc_string.startswith("Handed on"):
                assert value.doc_string == f"Handed on by segment {makers[value.name]}."
                assert str(index) in re.findall(r"\d+", told[value.name])
        for value in segment.graph.output:
            assert value.doc_string, value.name
            assert not value.doc_string.endswith("segment .")
            told[value.name] = value.doc_string
    for tap, parts in taps.items():
        for index, part in enumerate(parts):
            assert told[part["value"]].startswith(f"F, features of tap {tap}, part {index}")
