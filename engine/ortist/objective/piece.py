"""A piece of a picture, what is asked of it, and what it answers.

All of it is made of arrays and numbers, so that a piece can be worked on by whoever has the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..arrays import Array
from ..style.guides import Guides
from ..style.moments import Moments
from .bands import Features

__all__ = ["Piece", "Positions", "Pull", "Sums", "Terms"]

Positions = tuple[slice, slice]
"""Rows and columns of a map, or of pixels."""


@dataclass(frozen=True, eq=False)
class Piece:
    """``pixels`` [1, 3, h, w], and what is known of the same place.

    ``own`` are the positions that count, for each tap and, at 0, for the pixels; None: all. Where a
    piece ``wraps``, its first row follows its last one. ``guides`` are the regions' masks over the
    pixels; None: one region, everywhere. ``content`` are the content's features, or else its pixels
    [1, 3, h, w], which are less to keep and to send.
    """

    pixels: Any
    own: Mapping[int, Positions] | None = None
    wraps: bool = False
    guides: Guides | None = None
    content: Features | Array | None = None


@dataclass(frozen=True)
class Terms:
    """What a piece is asked for: moments and errors (F - P) of these taps, first moments or not."""

    moments: frozenset[int] = frozenset()
    errors: frozenset[int] = frozenset()
    shifts: bool = False


@dataclass
class Sums:
    """What a piece, or several, gave; by tap.

    ``moments`` in each region, ``errors`` ||F - P||^2, the number of ``positions``, and the total
    ``variation`` of the pixels (sum of squared differences), all of those that count.
    """

    moments: dict[int, list[Moments]] = field(default_factory=dict)
    errors: dict[int, float] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    variation: float = 0.0

    def include(self, other: Sums) -> None:
        """Adds those of another piece."""
        for tap, regions in other.moments.items():
            before = self.moments.get(tap)
            if before is not None:
                regions = [a + b for a, b in zip(before, regions, strict=True)]
            self.moments[tap] = regions
        for tap, error in other.errors.items():
            self.errors[tap] = self.errors.get(tap, 0.0) + error
        for tap, count in other.positions.items():
            self.positions[tap] = self.positions.get(tap, 0) + count
        self.variation += other.variation


@dataclass(frozen=True)
class Pull:
    """What is decided for a tap: M [R, C, C], v [R, C] and w; None where it has no such term.

    dL/dF = sum_r T_r o (M_r F + v_r 1^T) + 2 w (F - P).
    """

    mixing: Array | None = None
    shift: Array | None = None
    content_weight: float | None = None
