"""How the segments of a model's program are joined: what the manifest tells of it, in two records.

The workshop writes them (ortist_export/program.py), and the engine reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Exchange", "Part"]


@dataclass(frozen=True)
class Exchange:
    """A row that a band needs of a neighbour, and what the neighbour gets back.

    The input ``halo`` of a band is the output ``row`` of its ``neighbour`` (-1: above, 1: below);
    beyond the picture's border there are ``beyond`` rows of zeros. The output ``gradient`` is added
    to the first (of a neighbour below) or last row of that neighbour's output ``into``, before the
    neighbour's next segment is run.
    """

    halo: str
    row: str
    neighbour: int
    beyond: int
    gradient: str
    into: str


@dataclass(frozen=True)
class Part:
    """A value that holds a tap's features, or every second row and column of them.

    ``phase`` is its first row and column in the whole map, ``step`` the distance of both.
    """

    value: str
    phase: tuple[int, int] = (0, 0)
    step: int = 1

    def within(self, positions: range, axis: int) -> tuple[int, int]:
        """The first and the end of those ``positions`` of the map along ``axis`` in this part."""
        first, end = (
            -(-max(0, bound - self.phase[axis]) // self.step)
            for bound in (positions.start, positions.stop)
        )
        return first, max(first, end)
