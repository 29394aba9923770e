"""The objective: losses of an image and their gradient, by observing, deciding and pulling.

1. Observe: the sums of every piece of the image (sweeper.py), each position counted once.
2. Decide: losses from the sums over all pieces, and how each tap pulls (decide.py).
3. Pull: what that makes of the pixels of every piece.

An image that is one piece goes both ways in one sweep. Of one in several the way there is gone
twice, and its gradient is that of the whole, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..arrays import Array, Field
from ..network.bundle import Model, Tap
from ..options.fields import TvLossName
from ..style.guides import Guides
from ..style.moments import Moments
from .decide import Decider
from .pieces import Piece, Sums, Terms, Tile, plan_tiles
from .sweeper import Sweeper
from .targets import ContentFeatures, Losses, Targets
from .total_variation import add_variation, variation, variation_norm
from .weights import Weights
from .workers import Workers

__all__ = ["Manner", "Objective"]


@dataclass(frozen=True)
class Manner:
    """How an image is looked at.

    ``tile`` is about the side of the tiles' insides in pixels, None for one piece. Where it
    ``wraps``, the image's opposite edges meet, its sides are multiples of the taps' strides, and
    there is neither content nor region; a style's edges are mirrors then. ``normalize``: each
    term's gradient is divided by its own norm (decide.py). ``tv_loss`` is a form of total
    variation.
    """

    tile: int | None = None
    wraps: bool = False
    normalize: bool = False
    tv_loss: TvLossName = "squares"


class Objective:
    """What ``sweeper`` finds of images, looked at in a ``manner``.

    Several tiles are worked on wherever ``executor`` runs things, if there is one. Methods may be
    called by several threads; they raise what a Sweeper raises.
    """

    def __init__(
        self, sweeper: Sweeper, manner: Manner | None = None, executor: Executor | None = None
    ) -> None:
        self.model: Model = sweeper.model
        self.provider: str = sweeper.provider
        self.sweeper, self._manner = sweeper, manner or Manner()
        self._workers = Workers(sweeper, executor)
        self._wraps_by_rows = (
            self._manner.wraps and self._manner.tile is None and sweeper.program.in_bands
        )
        """Whether the last band meets the first one, and no halo is needed above and below."""

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        """The moments of the features of the taps, region by region, of a style's image."""
        mirrored = self._manner.wraps and guides is None
        terms = Terms(moments=frozenset(taps), shifts=True)
        return self._observed(image, Targets(guides=guides), terms, mirrored).moments

    def energies(self, targets: Targets) -> dict[int, float]:
        """||P||^2 of the content's features P, by tap; counted once."""
        content = targets.content
        if content is None or not content.taps:
            return {}
        if content.energies is None:
            content.energies = self._energies(content, targets)
        return content.energies

    def _energies(self, content: ContentFeatures, targets: Targets) -> dict[int, float]:
        total = dict.fromkeys(content.taps, 0.0)
        # In the tiles of a step, which then has their features.
        chosen = self._chosen({*targets.style, *content.taps})
        tiles = self._tiles(content.pixels.shape, chosen)
        tasks = ((self._piece(t, content.pixels, targets, chosen), content.taps) for t in tiles)
        if self._workers.elsewhere:
            found = self._workers.each(Sweeper.energies, tasks)
        else:
            found = (self.sweeper.energies(*task) for task in tasks)
        for energies in found:
            for tap, energy in energies.items():
                total[tap] += energy
        return total

    def __call__(
        self, image: Field, targets: Targets, weights: Weights, into: Any = None
    ) -> tuple[Losses, Any]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is ``into``, if given, written piece by piece.
        """
        gradient: Any = np.empty(image.shape, np.float32) if into is None else into
        taps = () if targets.content is None else targets.content.taps
        energies = self.energies(targets) if self._manner.normalize else None
        decider = Decider(targets.style, taps, weights, energies)
        form, wraps = self._manner.tv_loss, self._manner.wraps
        in_graph = form == "squares" and not self._manner.normalize
        scale = weights.tv
        sums = self._evaluated(image, targets, decider, scale if in_graph else 0.0, gradient)
        if not in_graph:
            if self._manner.normalize:
                scale /= variation_norm(image, form, wraps) or 1.0
            sums.variation = add_variation(image, gradient, form, scale, wraps)
        return _losses(decider, sums), gradient

    def losses(self, image: Field, targets: Targets, weights: Weights) -> Losses:
        """The losses alone, which takes about half of the time; with their gradient they differ
        from these by rounding.
        """
        decider = Decider(targets.style, targets.content.taps if targets.content else (), weights)
        # A picture that is one piece is seen as a step sees it, which has made the arrays for that.
        chosen = self._chosen({*targets.style, *decider.taps})
        as_a_step = len(self._tiles(image.shape, chosen)) == 1
        sums = self._observed(image, targets, _terms(targets, decider), as_a_step=as_a_step)
        for tap in targets.style:
            decider.value(tap, sums)
        sums.variation = variation(image, self._manner.tv_loss, self._manner.wraps)
        return _losses(decider, sums)

    def _evaluated(
        self, image: Field, targets: Targets, decider: Decider, tv_weight: float, gradient: Any
    ) -> Sums:
        """Writes the gradient, with that weight for the graph's total variation."""
        chosen = self._chosen({*targets.style, *decider.taps})
        terms = _terms(targets, decider)
        tiles = self._tiles(image.shape, chosen)
        if len(tiles) == 1 and not self._workers.elsewhere:
            piece = self._piece(tiles[0], image, targets, chosen)
            if piece.own is None and isinstance(gradient, np.ndarray):
                return self.sweeper.step(piece, terms, decider, tv_weight, gradient)
            whole = np.empty(piece.pixels.shape, np.float32)
            sums = self.sweeper.step(piece, terms, decider, tv_weight, whole)
            inside = piece.own[0] if piece.own else (slice(None), slice(None))
            gradient[(..., *tiles[0].inside)] = whole[(..., *inside)]
            return sums
        known = targets
        if not self._manner.normalize:
            # Nothing is decided by the content's errors, which come with the gradient.
            known, terms = replace(targets, content=None), replace(terms, errors=frozenset())
        observed = self._observed(image, known, terms, as_a_step=len(tiles) == 1)
        pulls = {tap.index: decider(tap.index, observed) for tap in chosen}
        tasks = ((self._piece(tile, image, targets, chosen), pulls, tv_weight) for tile in tiles)
        total = Sums()
        for tile, (part, sums) in zip(tiles, self._workers.each(Sweeper.pull, tasks), strict=True):
            gradient[(..., *tile.inside)] = part
            total.include(sums)
        return total

    def _observed(
        self,
        image: Field,
        targets: Targets,
        terms: Terms,
        mirrored: bool | None = None,
        as_a_step: bool = False,
    ) -> Sums:
        """The sums over all pieces; a style's image is ``mirrored`` at its edges or not.

        Where sums are all that is wanted a piece sees less beyond itself, unless it shall see as
        much ``as_a_step``'s.
        """
        taps, total = self._chosen(terms.moments | terms.errors), Sums()
        if not taps:
            return total
        observing = not terms.errors and not as_a_step
        tiles = self._tiles(image.shape, taps, observing, mirrored)
        tasks = ((self._piece(tile, image, targets, taps, mirrored), terms) for tile in tiles)
        if len(tiles) == 1 and not self._workers.elsewhere:
            return self.sweeper.observe(*next(tasks))
        for sums in self._workers.each(Sweeper.observe, tasks):
            total.include(sums)
        return total

    def _piece(
        self,
        tile: Tile,
        image: Field,
        targets: Targets,
        taps: Sequence[Tap],
        mirrored: bool | None = None,
    ) -> Piece:
        content, guides, known = targets.content, targets.guides, None
        if content is not None and content.taps:
            known = _pixels(tile, content.pixels)
            if not self._workers.elsewhere:  # there each tile's is looked at, side by side
                known = content.over(tile, known, self.sweeper, taps)
        if guides is not None and not tile.whole:
            guides = guides.within(*tile.seen)
        wraps = self._wraps_by_rows and mirrored is None
        return Piece(_pixels(tile, image, bool(mirrored)), tile.own(taps), wraps, guides, known)

    def _chosen(self, taps: Iterable[int]) -> list[Tap]:
        wanted = set(taps)
        return [tap for tap in self.model.taps if tap.index in wanted]

    def _tiles(
        self,
        shape: Sequence[int],
        taps: Sequence[Tap],
        observing: bool = False,
        mirrored: bool | None = None,
    ) -> list[Tile]:
        """Tiles of an image of that shape."""
        wraps = (self._manner.wraps and not self._wraps_by_rows, self._manner.wraps)
        if mirrored is not None:
            wraps = (mirrored, mirrored)
        side, least = self._manner.tile, self.model.smallest_side
        return plan_tiles(shape[2], shape[3], side, taps, least, wraps, observing)


def _terms(targets: Targets, decider: Decider) -> Terms:
    """What is to be observed of an image for its losses."""
    shifts = any(loss.shifts for own in targets.style.values() for loss in own)
    return Terms(frozenset(targets.style), frozenset(decider.taps), shifts)


def _losses(decider: Decider, sums: Sums) -> Losses:
    """The losses by the sums of all of an image, once all of its taps are decided."""
    weights = decider.weights
    content = {tap: weights.content[tap] * sums.errors[tap] for tap in sorted(decider.taps)}
    style = dict(sorted(decider.style.items()))  # which tap is decided first is chance
    return Losses(content, style, weights.tv * sums.variation)


def _pixels(tile: Tile, image: Any, mirrored: bool = False) -> Any:
    """What the tile sees; beyond the edges the other side, or what is before them in a mirror."""
    if tile.whole and isinstance(image, np.ndarray):
        return image
    spans = tile.rows, tile.columns
    if all(span.first >= 0 and span.last <= span.length for span in spans):
        return np.ascontiguousarray(image[(..., *tile.seen)])
    for axis, span in zip((2, 3), spans, strict=True):
        period = [*range(span.length), *(reversed(range(span.length)) if mirrored else ())]
        places = [period[i % len(period)] for i in range(span.first, span.last)]
        image = image.take(places, axis)
    return image
