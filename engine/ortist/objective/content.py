"""The content's features, as far as they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays import Field
from ..network.bundle import Tap
from .piece import Content
from .pieces import Tile
from .sweeper import Sweeper
from .workers import Workers

__all__ = ["ByteBudget", "ContentFeatures"]


class ByteBudget:
    """How many more bytes may be kept, by those who could also compute them anew."""

    def __init__(self, size: int) -> None:
        self._left = size

    def claim(self, size: int) -> bool:
        """Whether so many are left; then they are taken."""
        if size > self._left:
            return False
        self._left -= size
        return True


class ContentFeatures:
    """The content ``pixels`` [1, 3, H, W], whose features at ``taps`` an image is compared with.

    They are kept as far as the ``budget`` goes, and computed anew where it does not.
    """

    def __init__(self, pixels: Field, taps: Sequence[int], budget: ByteBudget) -> None:
        self.pixels, self.taps = pixels, tuple(taps)
        self._budget = budget
        self._kept: dict[Tile, Content] = {}

    def over(self, tile: Tile, pixels: Any, workers: Workers, taps: Sequence[Tap]) -> Content:
        """What ``tile``, which sees these ``pixels`` of the content, has of it."""
        if not self.taps:
            return Content()
        if tile not in self._kept:
            area = pixels.shape[2] * pixels.shape[3]
            size = sum(4 * t.channels * area // t.stride**2 for t in taps if t.index in self.taps)
            if not self._budget.claim(size):
                return Content(self.taps, pixels=pixels)
            features = workers.ask(Sweeper.features, pixels, self.taps)
            self._kept[tile] = Content(self.taps, features)
        return self._kept[tile]
