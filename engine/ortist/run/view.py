"""A scene at one scale: what pictures of its size are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Arrays, Field, crop, row_slices
from ..objective.content import ByteBudget
from ..objective.objective import Objective
from ..objective.targets import Losses, Targets
from ..objective.weights import Weights, resolve_weights
from ..options.fields import Options
from ..style.guides import Guides
from ..style.losses import StyleLoss, energy
from .tuning import tuned

__all__ = ["KEPT_BYTES", "View"]

KEPT_BYTES = 256 * 2**20
"""Content features are kept up to this size, then computed at every step."""


class View:
    """A scene at one scale: pictures of the size ``canvas`` (width, height) can be evaluated.

    ``style`` are the losses that each region has, by tap; ``masks`` [R, H, W] say where the regions
    are, None that there is one, everywhere. Up to ``kept_bytes`` of content features are kept.
    """

    def __init__(
        self,
        objective: Objective,
        options: Options,
        arrays: Arrays,
        canvas: tuple[int, int],
        content: Field | None,
        content_taps: list[int],
        style: dict[int, list[StyleLoss]],
        masks: Field | None,
        kept_bytes: int,
    ) -> None:
        self.canvas, self.content = canvas, content
        self._objective, self._arrays, self._wraps = objective, arrays, options.seamless
        self._jitter = tuned(options, objective.model.recipe).jitter
        self._content_taps, self._style, self._masks = content_taps, style, masks
        self._kept: dict[tuple[int, int], Targets] = {}
        self._budget = ByteBudget(kept_bytes)
        self._whole = self._seen_from(None)
        areas = np.ones(1) if masks is None else _areas(masks)
        shares = (areas / areas.sum()).tolist()
        energies = {}
        for tap, losses in style.items():
            by_region = [energy(loss, objective.model.tap(tap).channels) for loss in losses]
            energies[tap] = sum(a * e for a, e in zip(shares, by_region, strict=True))
        self.weights: Weights = resolve_weights(
            options,
            objective.model,
            objective.energies(self._whole),
            energies,
            values=3 * canvas[0] * canvas[1],
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
        objective = self._objective
        targets = self._whole if offset is None else self._targets(offset)
        if self._wraps and offset is not None:
            rolled: Any = np.roll(np.asarray(values), (-offset[0], -offset[1]), (2, 3))
            losses, rolled = objective(rolled, targets, self.weights)
            return losses, np.roll(rolled, offset, (2, 3))
        seen: Any = self._window(values, offset)
        if offset is None and not self._arrays.on_disk:
            return objective(seen, targets, self.weights)
        gradient: Field = self._arrays.zeros(values.shape)
        losses, _ = objective(seen, targets, self.weights, self._window(gradient, offset))
        return losses, gradient

    def _window(self, values: Field, offset: tuple[int, int] | None) -> Any:
        """A part of ``values``, not a copy."""
        if offset is None:
            return values
        down, right = offset
        less = self._jitter - 1
        height, width = values.shape[-2] - less, values.shape[-1] - less
        return crop(values, slice(down, down + height), slice(right, right + width))

    def _targets(self, offset: tuple[int, int]) -> Targets:
        if offset in self._kept:
            return self._kept[offset]
        targets = self._seen_from(offset)
        size = 0
        if targets.guides is not None and not self._arrays.on_disk:
            size = targets.guides.masks.nbytes  # all taps' guides have fewer values than these
        if self._budget.claim(size):
            self._kept[offset] = targets
        return targets

    def _seen_from(self, offset: tuple[int, int] | None) -> Targets:
        guides = None if self._masks is None else Guides(self._window(self._masks, offset))
        targets = Targets(self._style, guides=guides)
        if self.content is None:
            return targets
        pixels = self._window(self.content, offset)
        return self._objective.with_content(targets, pixels, self._content_taps, self._budget)


def _areas(masks: Field) -> Any:
    """The mean of each mask, in float64."""
    total = np.zeros(masks.shape[0])
    for rows in row_slices(masks):
        total += masks[(..., rows, slice(None))].sum(axis=(1, 2), dtype=np.float64)
    return total / (masks.shape[1] * masks.shape[2])
