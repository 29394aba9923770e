"""What an image is compared with, and the losses that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..arrays import Array, Field
from ..network.bundle import Tap
from ..style.guides import Guides
from ..style.losses import StyleLoss
from .bands import Features
from .pieces import Tile
from .sweeper import Sweeper

__all__ = ["ByteBudget", "ContentFeatures", "Losses", "Targets"]


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
        self._kept: dict[Tile, Features] = {}
        self.energies: dict[int, float] | None = None
        """The sum of their squares by tap, once somebody has counted it."""

    def over(self, tile: Tile, pixels: Array, sweeper: Sweeper, taps: Sequence[Tap]) -> Any:
        """What ``tile``, which sees these ``pixels`` of the content, has of it (Piece, content)."""
        if tile not in self._kept:
            area = pixels.shape[2] * pixels.shape[3]
            size = sum(4 * t.channels * area // t.stride**2 for t in taps if t.index in self.taps)
            if not self._budget.claim(size):
                return pixels
            self._kept[tile] = sweeper.features(pixels, self.taps)
        return self._kept[tile]


@dataclass(frozen=True)
class Losses:
    """The weighted losses of one image, by term; those of features also by layer (tap)."""

    content_by_layer: Mapping[int, float]
    style_by_layer: Mapping[int, float]
    tv: float

    @property
    def content(self) -> float:
        """The sum over the layers."""
        return float(sum(self.content_by_layer.values()))

    @property
    def style(self) -> float:
        """The sum over the layers."""
        return float(sum(self.style_by_layer.values()))

    @property
    def total(self) -> float:
        """What is minimised."""
        return self.content + self.style + self.tv


@dataclass(frozen=True)
class Targets:
    """A loss of the statistics for each region, by tap; the content's features; the regions.

    Without ``guides`` there is one region, everywhere.
    """

    style: Mapping[int, Sequence[StyleLoss]] = field(default_factory=dict)
    content: ContentFeatures | None = None
    guides: Guides | None = None
