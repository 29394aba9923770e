"""A model's program, as its manifest tells it: segments, and how they are joined.

A segment is an ONNX file. They are run one after the other, on one band of a picture's rows or on
all of it; what one makes is an input of later ones by name. ortist_export/program.py writes
programs and says what their inputs and outputs are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Exchange", "Part", "Program", "Segment", "parse_program"]

_MOST = 10**6


@dataclass(frozen=True)
class Segment:
    """``file`` in the bundle's folder; ``switches`` are truth values to be given at opening."""

    file: str
    switches: tuple[str, ...]


@dataclass(frozen=True)
class Exchange:
    """A row that a band needs of a neighbour, and what the neighbour gets back.

    The input ``halo`` of a band is the output ``row`` of its ``neighbour`` (-1: above, 1: below);
    beyond the picture's border there are ``beyond`` rows of zeros. The output ``gradient`` is added
    to the first (of a neighbour below) or last row of that neighbour's output ``into``.
    """

    halo: str
    row: str
    neighbour: int
    beyond: int
    gradient: str
    into: str


@dataclass(frozen=True)
class Part:
    """A value with a tap's features: rows and columns ``phase``, ``phase`` + ``step``, …"""

    value: str
    phase: tuple[int, int]
    step: int

    def within(self, positions: range, axis: int) -> tuple[int, int]:
        """The first and the end of those ``positions`` of the map along ``axis`` in this part."""
        first, end = (
            -(-max(0, bound - self.phase[axis]) // self.step)
            for bound in (positions.start, positions.stop)
        )
        return first, max(first, end)


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
    sizes = [_number(raw[key]) for key in ("unit", "kept", "working")]
    segments = tuple(
        Segment(str(s["file"]), tuple(map(str, s["switches"]))) for s in raw["segments"]
    )
    exchanges = tuple(
        Exchange(
            str(e["halo"]),
            str(e["row"]),
            _one_of(e["neighbour"], (-1, 1)),
            _one_of(e["beyond"], (0, 1)),
            str(e["gradient"]),
            str(e["into"]),
        )
        for e in raw["exchanges"]
    )
    parts = {int(tap): tuple(_part(part) for part in own) for tap, own in raw["taps"].items()}
    if parts.keys() != set(taps) or not all(parts.values()):
        raise ValueError("its program has other taps than the model")
    if not segments:
        raise ValueError("its program has no segments")
    reach = _one_of(raw["reach"], range(256))
    return Program(segments, exchanges, parts, sizes[0], reach, sizes[1], sizes[2])


def _part(raw: Mapping[str, Any]) -> Part:
    down, right = (_one_of(number, (0, 1)) for number in raw["phase"])
    return Part(str(raw["value"]), (down, right), _one_of(raw["step"], (1, 2)))


def _number(value: Any) -> int:
    if type(value) is not int or not 0 < value < _MOST:
        raise ValueError(f"{value!r} in its program is not a number from 1 to {_MOST}")
    return value


def _one_of(value: Any, known: Collection[int]) -> int:
    if type(value) is not int or value not in known:
        raise ValueError(f"{value!r} stands in its program")
    return value
