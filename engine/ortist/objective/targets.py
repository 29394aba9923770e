"""What an image is compared with, and the losses that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..style.guides import Guides
from ..style.losses import StyleLoss
from .content import ContentFeatures

__all__ = ["Losses", "Targets"]


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
