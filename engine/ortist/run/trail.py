"""What one picture of a film leaves to the next: where its patches lay, and what it came to."""

from __future__ import annotations

from typing import Any

from ..arrays import Field
from ..style.matching import Matches

__all__ = ["Trail"]


class Trail:
    """The matches and the painting of the last picture that was painted with it.

    All are of one size and in one style. Without a picture before, one is painted as any is.
    """

    def __init__(self) -> None:
        self.matches: dict[int, Matches] = {}
        """By the guide's scale, its shorter side in pixels (run/guide.py)."""
        self.target: Field | None = None
        """What the picture that is being painted keeps, [1, 3, H, W] in normalised units."""
        self._before: tuple[Any, Any] | None = None

    def start(self, target: Any) -> Any:
        """The last painting plus what changed between its target and this one; None at first."""
        if self._before is None:
            return None
        last, painted = self._before
        return painted + (target - last)

    def keep(self, painted: Any) -> None:
        """``painted`` [1, 3, H, W], normalised, is what became of the target.

        Where a limit of time ended the run at an earlier scale, the target is of that scale's size,
        and the next picture is painted as any is.
        """
        alike = self.target is not None and self.target.shape == painted.shape
        self._before = (self.target, painted) if alike else None
