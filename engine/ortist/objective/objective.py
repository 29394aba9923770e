"""The objective: losses of an image and their gradient, by observing, deciding and pulling.

1. Observe: the sums of every piece of the image (sweeper.py), each position counted once.
2. Decide: losses from the sums over all pieces, and how each tap pulls (decide.py).
3. Pull: what that makes of the pixels of every piece.

An image that is one piece goes both ways in one sweep. Of one in several the way there is gone
twice, and its gradient is that of the whole, to rounding.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, Field
from ..network.bundle import Model, Tap
from ..options.fields import TvLossName
from ..style.guides import Guides
from ..style.moments import Moments
from .content import ByteBudget, ContentFeatures
from .decide import Decider
from .piece import Content, Piece, Positions, Pull, Sums, Terms
from .pieces import Tile, plan_tiles
from .sweeper import Sweeper
from .targets import Losses, Targets
from .total_variation import add_variation, variation_norm
from .weights import Weights
from .workers import Workers

__all__ = ["Manner", "Objective"]


@dataclass(frozen=True)
class Manner:
    """How an image is looked at.

    ``tile`` is the side of the tiles' insides in pixels, None for one piece. Where it ``wraps``,
    the image's opposite edges meet, its sides are multiples of the taps' strides, and there is
    neither content nor region; a style's edges are mirrors then. ``normalize``: each term's
    gradient is divided by its own norm (decide.py). ``tv_loss`` is a form of total variation.
    """

    tile: int | None = None
    wraps: bool = False
    normalize: bool = False
    tv_loss: TvLossName = "squares"


class Objective:
    """What ``sweeper`` finds of images, looked at in a ``manner``.

    Its workers are elsewhere where there is an ``executor``. Methods may be called by several
    threads; they raise what a Sweeper raises.
    """

    def __init__(
        self, sweeper: Sweeper, manner: Manner | None = None, workers: Workers | None = None
    ) -> None:
        self.model: Model = sweeper.model
        self.provider: str = sweeper.provider
        self._sweeper, self._manner = sweeper, manner or Manner()
        self._workers = workers or Workers(sweeper)

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        """The moments of the features of the taps, region by region, of a style's image."""
        return self._observed(image, tuple(taps), guides)

    def with_content(
        self, targets: Targets, pixels: Field, taps: Iterable[int], budget: ByteBudget
    ) -> Targets:
        """``targets`` with the features of the content ``pixels`` [1, 3, H, W] at those taps.

        As much of them as the ``budget`` allows is kept from call to call.
        """
        return Targets(targets.style, ContentFeatures(pixels, tuple(taps), budget), targets.guides)

    def energies(self, targets: Targets) -> dict[int, float]:
        """||P||^2 of the content's features P, by tap."""
        content = targets.content
        if content is None or not content.taps:
            return {}
        chosen = self._chosen(content.taps)
        total = dict.fromkeys(content.taps, 0.0)
        for tile, own in self._tiles(content.pixels.shape, chosen, observing=False):
            pixels = _pixels(tile, content.pixels)
            known = content.over(tile, pixels, self._workers, chosen)
            part = self._sweeper.energies(Piece(pixels, own, content=known))
            for tap, energy in part.items():
                total[tap] += energy
        return total

    @property
    def seconds_opening(self) -> float:
        """What opening sessions has taken so far; they are opened when they are first needed."""
        return self._sweeper.seconds_opening

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        self._sweeper.release()

    def __call__(
        self, image: Field, targets: Targets, weights: Weights, into: Any = None
    ) -> tuple[Losses, Any]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is ``into``, if given, written piece by piece.
        """
        gradient: Any = np.empty(image.shape, np.float32) if into is None else into
        content = () if targets.content is None else targets.content.taps
        energies = self.energies(targets) if self._manner.normalize else None
        decider = Decider(self.model, targets.style, content, weights, energies)
        sums = self._evaluated(image, targets, decider, gradient)
        decider.count_errors(sums)
        variation = sums.variation
        if not self._tv_in_graph:
            form, wraps = self._manner.tv_loss, self._manner.wraps
            scale = weights.tv
            if self._manner.normalize:
                scale /= variation_norm(image, form, wraps) or 1.0
            variation = add_variation(image, gradient, form, scale, wraps)
        # Which tap is decided first is chance.
        style, content_by_layer = (
            dict(sorted(d.items())) for d in (decider.style, decider.content)
        )
        return Losses(content_by_layer, style, weights.tv * variation), gradient

    @property
    def _tv_in_graph(self) -> bool:
        """Whether the graph's total variation is the one that is wanted."""
        return self._manner.tv_loss == "squares" and not self._manner.normalize

    def _evaluated(self, image: Field, targets: Targets, decider: Decider, gradient: Any) -> Sums:
        """Writes the gradient, without a total variation that is not the graph's."""
        chosen = self._chosen({*targets.style, *decider.taps})
        tv_weight = decider.weights.tv if self._tv_in_graph else 0.0
        tiles = self._tiles(image.shape, chosen, observing=False)
        if len(tiles) == 1 and not self._workers.elsewhere:
            tile, own = tiles[0]
            piece = self._piece(tile, own, image, targets, chosen)
            terms = self._terms(targets, decider)
            if own is None:
                return self._sweeper.step(piece, terms, decider, tv_weight, gradient)
            whole = np.empty(piece.pixels.shape, np.float32)
            sums = self._sweeper.step(piece, terms, decider, tv_weight, whole)
            gradient[...] = whole[(..., *own[0])]
            return sums
        pulls = self._decided(image, targets, decider, chosen)
        pieces = (
            (self._piece(tile, own, image, targets, chosen), pulls, tv_weight)
            for tile, own in tiles
        )
        total = Sums()
        for (tile, _), (part, sums) in zip(
            tiles, self._workers.each(Sweeper.pull, pieces), strict=True
        ):
            gradient[(..., *tile.inside)] = part
            total.include(sums)
        return total

    def _decided(
        self, image: Field, targets: Targets, decider: Decider, chosen: Sequence[Tap]
    ) -> dict[int, Pull]:
        """How each tap pulls, after all pieces were observed."""
        # The content's errors are wanted before the decision only where they decide.
        normalize = self._manner.normalize
        terms = self._terms(targets, decider, errors=normalize)
        total = Sums(errors=dict.fromkeys(decider.taps, 0.0))
        if terms.moments or terms.errors:
            tiles = self._tiles(image.shape, chosen, observing=not terms.errors)
            known = targets if terms.errors else Targets(targets.style, None, targets.guides)
            pieces = ((self._piece(t, own, image, known, chosen), terms) for t, own in tiles)
            for sums in self._workers.each(Sweeper.observe, pieces):
                total.include(sums)
        return {tap.index: decider(tap.index, total) for tap in chosen}

    def _terms(self, targets: Targets, decider: Decider, errors: bool = True) -> Terms:
        return Terms(
            moments=frozenset(targets.style),
            errors=frozenset(decider.taps) if errors else frozenset(),
            shifts=any(loss.shifts for own in targets.style.values() for loss in own),
        )

    def _observed(
        self, image: Array, taps: Sequence[int], guides: Guides | None
    ) -> dict[int, list[Moments]]:
        chosen = self._chosen(taps)
        if not chosen:
            return {}
        mirrored = self._manner.wraps and guides is None
        tiles = self._tiles(image.shape, chosen, observing=True, around=mirrored)
        terms = Terms(moments=frozenset(taps), shifts=True)
        pieces = (
            (Piece(_pixels(t, image, mirrored), own, guides=_within(t, guides)), terms)
            for t, own in tiles
        )
        total = Sums()
        if len(tiles) == 1:
            return self._sweeper.observe(*next(pieces)).moments
        for sums in self._workers.each(Sweeper.observe, pieces):
            total.include(sums)
        return total.moments

    def _piece(
        self,
        tile: Tile,
        own: Mapping[int, Positions] | None,
        image: Field,
        targets: Targets,
        chosen: Sequence[Tap],
    ) -> Piece:
        known = Content()
        if targets.content is not None:
            content = _pixels(tile, targets.content.pixels)
            known = targets.content.over(tile, content, self._workers, chosen)
        wraps = self._wraps_by_rows
        return Piece(_pixels(tile, image), own, wraps, _within(tile, targets.guides), known)

    @property
    def _wraps_by_rows(self) -> bool:
        """Whether the last band meets the first one, and no halo is needed above and below."""
        return self._manner.wraps and self._manner.tile is None and self._sweeper.in_bands

    def _chosen(self, taps: Iterable[int]) -> list[Tap]:
        wanted = set(taps)
        return [tap for tap in self.model.taps if tap.index in wanted]

    def _tiles(
        self, shape: Sequence[int], taps: Sequence[Tap], observing: bool, around: bool | None = None
    ) -> list[tuple[Tile, Mapping[int, Positions] | None]]:
        """Tiles of an image of that shape, with the positions that are their own (None: all)."""
        wraps = (self._manner.wraps and not self._wraps_by_rows, self._manner.wraps)
        if around is not None:
            wraps = (around, around)
        side, least = self._manner.tile, self.model.smallest_side
        return _planned(shape[2], shape[3], side, tuple(taps), least, wraps, observing)


@functools.lru_cache(16)
def _planned(
    height: int,
    width: int,
    side: int | None,
    taps: tuple[Tap, ...],
    least: int,
    wraps: tuple[bool, bool],
    observing: bool,
) -> list[tuple[Tile, Mapping[int, Positions] | None]]:
    tiles = plan_tiles(height, width, side, taps, least, wraps, observing)
    # Those of one size one after the other: arrays of a size are made once for them.
    tiles = sorted(tiles, key=_size, reverse=True)
    return [(tile, None if tile.whole else tile.own(taps)) for tile in tiles]


def _size(tile: Tile) -> tuple[int, int, int]:
    height, width = (s.stop - s.start for s in tile.seen)
    return height * width, height, width


def _pixels(tile: Tile, image: Any, mirrored: bool = False) -> Any:
    """What the tile sees; beyond the edges the other side, or what is before them in a mirror."""
    if tile.whole:
        return image if isinstance(image, np.ndarray) else image[(..., *tile.seen)]
    for axis, seen in zip((2, 3), tile.seen, strict=True):
        if seen.start < 0 or seen.stop > image.shape[axis]:
            return _around(tile, image, mirrored)
    return np.ascontiguousarray(image[(..., *tile.seen)])


def _around(tile: Tile, image: Array, mirrored: bool) -> Array:
    for axis, seen in zip((2, 3), tile.seen, strict=True):
        length = image.shape[axis]
        period = [*range(length), *(range(length - 1, -1, -1) if mirrored else ())]
        image = image.take([period[i % len(period)] for i in range(seen.start, seen.stop)], axis)
    return image


def _within(tile: Tile, guides: Guides | None) -> Guides | None:
    return guides if guides is None or tile.whole else guides.within(*tile.seen)
