"""What an image is compared with, and the losses that are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array
from ..style.guides import Guides
from ..style.losses import StyleLoss

__all__ = ["Losses", "Room", "Targets", "gram_matrix"]


@dataclass(frozen=True)
class Losses:
    """The weighted losses of one image, by term; those of features also by layer (tap)."""

    content_by_layer: Mapping[int, float]
    style_by_layer: Mapping[int, float]
    tv: float

    @property
    def content(self) -> float:
        return float(sum(self.content_by_layer.values()))

    @property
    def style(self) -> float:
        return float(sum(self.style_by_layer.values()))

    @property
    def total(self) -> float:
        return self.content + self.style + self.tv


@dataclass(frozen=True)
class Targets:
    """What an image is compared with, by tap.

    For ``Objective`` the features [1, C, h, w] in ``content``, in one piece or in bands of rows,
    and the Gram matrices [C, C] in ``style``. For ``GeneralObjective`` (general.py) the content as
    ``photo``, and a loss for each region in ``losses``, with the regions' guides, or with None one
    region that is everywhere.
    """

    content: Mapping[int, Array | tuple[Array, ...]] = field(default_factory=dict)
    style: Mapping[int, Array] = field(default_factory=dict)
    photo: Any = None
    losses: Mapping[int, Sequence[StyleLoss]] = field(default_factory=dict)
    guides: Guides | None = None

    @property
    def content_bytes(self) -> int:
        """Of the features in ``content``."""
        found = self.content.values()
        return sum(sum(f.nbytes for f in (f if isinstance(f, tuple) else (f,))) for f in found)


class Room:
    """How many more bytes may be kept, by those who could also compute them anew."""

    def __init__(self, size: int) -> None:
        self._left = size

    def claim(self, size: int) -> bool:
        """Whether there is room for so many; then they are taken."""
        if size > self._left:
            return False
        self._left -= size
        return True


def gram_matrix(features: Array) -> Array:
    """[1, C, h, w] -> F F^T / (C h w), [C, C]: Gatys et al. eq. 3, divided as CS231n does."""
    matrix = features.reshape(features.shape[1], -1)
    gram: Array = matrix @ matrix.T
    gram /= np.float32(matrix.size)
    return gram
