"""A model's program, as its manifest tells it: segments, and how they are joined.

A segment is an ONNX file. They are run one after the other, on one band of a picture's rows or on
all of it; what one makes is an input of later ones by name. ortist_export/program.py writes
programs and says what their inputs and outputs are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ortist_models.program import Exchange, Part

__all__ = ["Program", "Segment", "parse_program"]

_SIZES = range(1, 10**6)


@dataclass(frozen=True)
class Segment:
    """``file`` in the bundle's folder; ``switches`` are truth values to be given at opening."""

    file: str
    switches: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """``segments`` in the order of running.

    A band begins at a multiple of ``unit`` rows, and its features see ``reach`` rows beyond its
    own; without ``exchanges`` a picture is one band. ``taps`` are the parts that hold each tap's
    features, by index. For each pixel ``kept`` bytes are kept from segment to segment in a step,
    and ``working`` bytes are taken meanwhile, for each pixel of the bands that are worked on.
    """

    segments: tuple[Segment, ...]
    exchanges: tuple[Exchange, ...]
    taps: Mapping[int, tuple[Part, ...]]
    unit: int
    reach: int
    kept: int
    working: int


def parse_program(raw: Mapping[str, Any], taps: Collection[int]) -> Program:
    """The manifest's entry; raises ValueError, TypeError or KeyError where it is none of ours."""
    segments = tuple(
        Segment(str(s["file"]), tuple(map(str, s["switches"]))) for s in raw["segments"]
    )
    exchanges = tuple(_exchange(**exchange) for exchange in raw["exchanges"])
    parts = {int(tap): tuple(_part(part) for part in own) for tap, own in raw["taps"].items()}
    if parts.keys() != set(taps) or not all(parts.values()):
        raise ValueError("its program has other taps than the model")
    if not segments:
        raise ValueError("its program has no segments")
    reach = _one_of(raw["reach"], range(256))
    unit, kept, working = (_one_of(raw[key], _SIZES) for key in ("unit", "kept", "working"))
    return Program(segments, exchanges, parts, unit, reach, kept, working)


def _exchange(neighbour: Any, beyond: Any, **names: Any) -> Exchange:
    words = {key: str(name) for key, name in names.items()}
    return Exchange(neighbour=_one_of(neighbour, (-1, 1)), beyond=_one_of(beyond, (0, 1)), **words)


def _part(raw: Mapping[str, Any]) -> Part:
    down, right = (_one_of(number, (0, 1)) for number in raw["phase"])
    return Part(str(raw["value"]), (down, right), _one_of(raw["step"], (1, 2)))


def _one_of(value: Any, known: Collection[int]) -> int:
    if type(value) is not int or value not in known:
        raise ValueError(f"{value!r} in its program is none of {known}")
    return value
