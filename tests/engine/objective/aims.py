"""What the objective's tests aim at: pictures, and targets of about one loss each.

``sweeper`` has sessions of its own for each number of threads, which are opened once.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from ortist.arrays import Array
from ortist.network.bundle import Model, find_model
from ortist.objective.bands import BAND_PIXELS
from ortist.objective.objective import Manner, Objective
from ortist.objective.pieces import Piece, Terms
from ortist.objective.sweeper import Sweeper
from ortist.objective.targets import ByteBudget, ContentFeatures, Losses, Targets
from ortist.objective.weights import Weights
from ortist.style.guides import Guides
from ortist.style.losses import STYLE_LOSSES, StyleLoss
from ortist.style.moments import Statistics

from tests.conftest import small_pictures

TOLERANCE = 1e-5
"""Of the largest component of a gradient, or of a loss."""


def shipped() -> Model:
    return find_model("squeezenet1_1-procedural")


@functools.cache
def _sweeper(threads: int) -> Sweeper:
    return Sweeper(shipped(), "cpu", threads)


def sweeper(threads: int = 1, band_pixels: int = BAND_PIXELS) -> Sweeper:
    """The same for every call with these ``threads``, with bands of about so many pixels.

    One thread takes pictures that are small in one band.
    """
    found = _sweeper(threads)
    found.band_pixels = band_pixels
    return found


@dataclass
class Aimed:
    """An objective with what it is called with; several may share a sweeper with bands of its own.

    Content features that are kept fit the bands of the objective that they were made for.
    """

    objective: Objective
    targets: Targets
    weights: Weights

    def __call__(self, image: Any, into: Any = None) -> tuple[Losses, Any]:
        return self.objective(image, self.targets, self.weights, into)

    def weighing(self, **weights: Any) -> Aimed:
        return replace(self, weights=replace(self.weights, **weights))


def objective(tile: int | None = None, normalize: bool = False, **manner: Any) -> Objective:
    return Objective(sweeper(), Manner(tile, normalize=normalize, **manner))


@functools.cache
def noise(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 3, height, width), np.float32)


def normalised(pixels: Any) -> Array:
    """A picture uint8 [H, W, 3] as [1, 3, H, W], of about [-2, 2]."""
    return np.ascontiguousarray(pixels.astype(np.float32).transpose(2, 0, 1)[None] / 60 - 2)


@functools.cache
def pictures(height: int, width: int) -> tuple[Array, Array]:
    """A content, and one near it."""
    content, _ = small_pictures(160)
    cut = normalised(content[:height, :width])
    return cut, cut + np.float32(0.1) * noise(*cut.shape[2:])


@functools.cache
def _looker() -> Sweeper:
    """One that looks at styles, and leaves the bands of others as they are."""
    return Sweeper(shipped(), "cpu", 1)


@functools.cache
def statistics(taps: tuple[int, ...], regions: int) -> dict[int, list[Statistics]]:
    """Those of a painting; for each region of another part of it."""
    painting = normalised(small_pictures(96)[1])
    terms = Terms(moments=frozenset(taps), shifts=True)
    found = []
    for region in range(regions):
        part = np.ascontiguousarray(painting[..., : 60 + 30 * region])
        found.append(_looker().observe(Piece(part), terms).moments)
    return {tap: [part[tap][0].statistics() for part in found] for tap in taps}


def style_weight(loss: str, target: Statistics) -> float:
    """That with which the target is about as large as others, as balanced weights are."""
    if loss == "gram":
        return float(len(target.mean) ** 2 / np.square(target.second).sum())
    return float(64 / np.trace(target.second))


def aimed(
    at: Objective,
    content: Array,
    taps: Sequence[int],
    loss: str = "gram",
    masks: Array | None = None,
    content_taps: Sequence[int] | None = None,
    budget: int = 2**30,
) -> Aimed:
    """``at`` aimed at the content's features and, in each region, at a style's statistics."""
    if content_taps is None:
        content_taps = [min(3, *taps)] if taps else [3]
    regions = 1 if masks is None else len(masks)
    parts = statistics(tuple(sorted(taps)), regions)
    losses: dict[int, list[StyleLoss]] = {
        tap: [STYLE_LOSSES[loss](part) for part in own] for tap, own in parts.items()
    }
    guides = None if masks is None else Guides(masks)
    known = ContentFeatures(content, content_taps, ByteBudget(budget))
    targets = Targets(losses, known, guides)
    sizes = at.energies(targets)
    weights = Weights(
        {tap: 0.1 / sizes[tap] for tap in content_taps},
        {tap: style_weight(loss, own[0]) for tap, own in parts.items()},
        0.1 / content.size,
    )
    return Aimed(at, targets, weights)


def soft_masks(height: int, width: int) -> Array:
    """Two masks that overlap, [2, H, W]: one from left to right, one that leaves a part out."""
    right = np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))
    rows = np.linspace(0, 3, height, dtype=np.float32)[:, None]
    bump = np.clip(1 - np.abs(rows - 1), 0, 1) * np.clip(2 - 3 * right, 0, 1)
    return np.stack([right, bump])


def same(
    found: tuple[Losses, Any], expected: tuple[Losses, Any], tolerance: float = TOLERANCE
) -> None:
    """Losses and gradients, to rounding."""
    for name in ("content_by_layer", "style_by_layer"):
        ours, theirs = getattr(found[0], name), getattr(expected[0], name)
        assert ours.keys() == theirs.keys()
        for tap, loss in theirs.items():
            assert ours[tap] == pytest.approx(loss, rel=2 * tolerance, abs=1e-12), (name, tap)
    assert found[0].tv == pytest.approx(expected[0].tv, rel=tolerance)
    assert found[0].total == pytest.approx(expected[0].total, rel=tolerance)
    scale = np.abs(expected[1]).max()
    assert np.abs(found[1] - expected[1]).max() <= tolerance * scale
