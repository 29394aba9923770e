"""A judge of pictures: what a painting has of the style, and what it keeps of the photo.

A judge is a model at whose features pictures are looked at; nothing is trained against it. With X
the picture, C the content and S the style image, all at one size, and D the Gram or the W2 distance
in the judge's features (distances.py):

    style removed     1 - D(X, S) / D(C, S), averaged over both distances and all taps
    content distance  ||F(X) - F(C)|| / ||F(C)||, averaged over the taps but the first, and poolings
    grid              grid_strength(X) over the mean of grid_strength(C) and grid_strength(S)

Style that is removed is bought with content distance, so two painters are compared at an equal one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..network.bundle import Model
from ..objective.sweeper import Sweeper
from ..pictures.raster import Raster, to_levels
from ..pictures.values import normalize, shorter_side_to
from .distances import (
    Statistics,
    content_distance,
    gram_distance,
    grid_strength,
    statistics_of,
    wasserstein_distance,
)

__all__ = ["Figures", "Judge", "at_equal_content"]

_FACTOR = 4.0
"""Between the strengths that are tried one after another."""
_TRIES = 3


@dataclass(frozen=True)
class Figures:
    """Figures of one picture, painted with ``strength``; see the module's docstring."""

    strength: float
    style_removed: float
    content_distance: float
    grid: float
    pixels: NDArray[np.uint8] = field(repr=False)

    def numbers(self) -> dict[str, float]:
        """All but the pixels."""
        return {k: v for k, v in asdict(self).items() if k != "pixels"}


class Judge:
    """The judge's eyes on one pair of pictures, at ``side`` pixels; it sees by ``model``."""

    def __init__(self, model: Model, content: Raster, style: Raster, side: int) -> None:
        self._model, self._sweeper = model, Sweeper(model, "cpu")
        shown, aim = (to_levels(shorter_side_to(p, side), 8) for p in (content, style))
        features = self._features(shown)
        deep = [tap.index for tap in model.taps[1:] if not tap.name.startswith("pool")]
        self._content = {tap: features[tap] for tap in deep}
        self._targets = self._statistics(self._features(aim))
        self._start = self._apart(self._statistics(features))
        self._grid = (grid_strength(shown) + grid_strength(aim)) / 2

    def figures(self, pixels: NDArray[np.uint8], strength: float) -> Figures:
        """The figures of ``pixels``, uint8 [H, W, 3], of the content's size at the side given."""
        features = self._features(pixels)
        ratios = self._apart(self._statistics(features)) / self._start
        return Figures(
            strength,
            float(1 - ratios.mean()),
            content_distance(features, self._content),
            grid_strength(pixels) / self._grid,
            pixels,
        )

    def _features(self, pixels: NDArray[np.uint8]) -> dict[int, NDArray[np.float32]]:
        image = normalize(pixels.astype(np.float32) / np.float32(255), self._model)
        return self._sweeper.maps(image, [tap.index for tap in self._model.taps])

    def _statistics(self, features: dict[int, NDArray[np.float32]]) -> list[Statistics]:
        return [statistics_of(own) for own in features.values()]

    def _apart(self, statistics: list[Statistics]) -> NDArray[np.float64]:
        """[2, taps]: the Gram and the W2 distance to the style."""
        pairs = list(zip(statistics, self._targets, strict=True))
        distances = (gram_distance, wasserstein_distance)
        return np.array([[distance(a, b) for a, b in pairs] for distance in distances])


def at_equal_content(
    paint: Callable[[float], Figures], distance: float, strength: float = 1.0
) -> tuple[Figures, list[Figures]]:
    """Figures interpolated at that content distance, and all that were painted for them.

    Strengths 4^k times ``strength`` are tried, from that on up or down, until two bracket the
    distance; between those the figures are taken to be linear in it. Where three tries do not reach
    it, the nearest picture counts as it is. The picture of the interpolated figures is the nearest.
    """
    tried = [paint(strength)]
    below = tried[0].content_distance < distance
    while len(tried) < _TRIES:
        tried.append(paint(tried[-1].strength * (_FACTOR if below else 1 / _FACTOR)))
        if (tried[-1].content_distance < distance) != below:
            break
    near = min(tried, key=lambda figures: abs(figures.content_distance - distance))
    a, b = tried[-2:]
    if (a.content_distance < distance) == (b.content_distance < distance):
        return near, tried
    t = (distance - a.content_distance) / (b.content_distance - a.content_distance)
    between = Figures(
        math.exp((1 - t) * math.log(a.strength) + t * math.log(b.strength)),
        (1 - t) * a.style_removed + t * b.style_removed,
        distance,
        (1 - t) * a.grid + t * b.grid,
        near.pixels,
    )
    return between, tried
