"""A scene at one scale: what pictures of its size are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import Arrays, Field, crop, row_slices
from ..objective.objective import Objective
from ..objective.targets import ByteBudget, ContentFeatures, Losses, Targets
from ..objective.weights import Weights, resolve_weights
from ..options.fields import Options
from ..style.guides import Guides
from ..style.losses import STYLE_LOSSES, StyleLoss, energy
from ..style.moments import Statistics
from .tuning import Tuning

__all__ = ["KEPT_BYTES", "Shared", "View"]

KEPT_BYTES = 256 * 2**20
"""Content features are kept up to this size, then computed at every step."""


@dataclass(frozen=True)
class Shared:
    """What all scales of a run have in common.

    ``kept_bytes`` of content features are kept from step to step at most; ``emphasis`` is what each
    region's style loss is multiplied by.
    """

    objective: Objective
    options: Options
    tuning: Tuning
    arrays: Arrays
    kept_bytes: int
    emphasis: Sequence[float]


class View:
    """A scene at one scale: pictures of the size ``canvas`` (width, height) can be evaluated.

    ``style`` are the statistics that each region shall have, by tap; ``masks`` [R, H, W] say where
    the regions are, None that there is one, everywhere.
    """

    def __init__(
        self,
        shared: Shared,
        canvas: tuple[int, int],
        content: Field | None,
        content_taps: list[int],
        style: dict[int, list[Statistics]],
        masks: Field | None,
    ) -> None:
        self.canvas = canvas
        self.content = content
        self._shared, self._content_taps = shared, content_taps
        make = STYLE_LOSSES[shared.options.style_loss]
        self._losses: dict[int, list[StyleLoss]] = {
            tap: [
                replace(make(part), factor=by)
                for part, by in zip(parts, shared.emphasis, strict=True)
            ]
            for tap, parts in style.items()
        }
        self._masks = masks
        self._kept: dict[tuple[int, int], Targets] = {}
        self._budget = ByteBudget(shared.kept_bytes)
        self._whole = self._seen_from(None)
        areas = np.ones(1) if masks is None else _areas(masks)
        shares = (areas / areas.sum()).tolist()
        energies = {
            tap: sum(
                area * energy(loss, len(parts[0].mean))
                for area, loss in zip(shares, self._losses[tap], strict=True)
            )
            for tap, parts in style.items()
        }
        content_energies = shared.objective.energies(self._whole)
        values = 3 * canvas[0] * canvas[1]
        self.weights: Weights = resolve_weights(
            shared.options, shared.objective.model, content_energies, energies, values
        )

    def evaluate(
        self, values: Field, offset: tuple[int, int] | None = None
    ) -> tuple[Losses, Field]:
        """Losses and gradient of ``values``, [1, 3, H, W] normalised.

        With ``offset`` only a window is seen, ``jitter`` - 1 pixels smaller each way and shifted
        down and right by that much, against the content seen through the same window. The network's
        stride makes the gradient uneven on a grid of pixels; shifting evens it out over the steps
        (as in Olah et al., "Feature Visualization", Distill 2017, but by a window: rolling the
        picture would carry one border onto the other). A seamless one has no border, and is rolled.
        """
        objective, arrays = self._shared.objective, self._shared.arrays
        targets = self._whole if offset is None else self._targets(offset)
        if self._shared.options.seamless and offset is not None:
            rolled: Any = np.roll(np.asarray(values), (-offset[0], -offset[1]), (2, 3))
            losses, rolled = objective(rolled, targets, self.weights)
            return losses, np.roll(rolled, offset, (2, 3))
        seen: Any = self._window(values, offset)
        if offset is None and not arrays.on_disk:
            return objective(seen, targets, self.weights)
        gradient: Field = arrays.zeros(values.shape)
        losses, _ = objective(seen, targets, self.weights, self._window(gradient, offset))
        return losses, gradient

    def _window(self, values: Field, offset: tuple[int, int] | None) -> Any:
        """A part of ``values``, not a copy."""
        if offset is None:
            return values
        down, right = offset
        less = self._shared.tuning.jitter - 1
        height, width = values.shape[-2] - less, values.shape[-1] - less
        return crop(values, slice(down, down + height), slice(right, right + width))

    def _targets(self, offset: tuple[int, int]) -> Targets:
        if offset in self._kept:
            return self._kept[offset]
        targets = self._seen_from(offset)
        size = 0
        if targets.guides is not None and not self._shared.arrays.on_disk:
            size = targets.guides.masks.nbytes  # all taps' guides have fewer values than these
        if self._budget.claim(size):
            self._kept[offset] = targets
        return targets

    def _seen_from(self, offset: tuple[int, int] | None) -> Targets:
        guides = None if self._masks is None else Guides(self._window(self._masks, offset))
        if self.content is None:
            return Targets(self._losses, guides=guides)
        pixels = self._window(self.content, offset)
        content = ContentFeatures(pixels, self._content_taps, self._budget)
        return Targets(self._losses, content, guides)


def _areas(masks: Field) -> Any:
    """The mean of each mask, in float64."""
    total = np.zeros(masks.shape[0])
    for rows in row_slices(masks):
        total += masks[(..., rows, slice(None))].sum(axis=(1, 2), dtype=np.float64)
    return total / (masks.shape[1] * masks.shape[2])
