"""The general objective: any loss of the moments, by regions, in tiles. Two passes a call.

The objective's one graph (objective.py) is the fast way for Gram matrices of whole pictures. Here
the work is split where the style loss is decided:

1. The features of each tile are summed into moments, each position counted once (moments.py).
2. From the moments of the whole picture come the losses and, for each tap and region, the M and v
   of dL/dF = T o (M F + v 1^T) (style_losses.py); the pullback carries them back to the pixels of
   each tile.

So the gradient of a picture in tiles is that of the whole, to rounding. All that a tile needs are
its pixels, its piece of the content's features and the masks, and the C x C matrices; what it gives
are moments and pixels: the work of ``_observe`` and ``_pull`` can be done anywhere, in any order.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ortist_models import FEATURES, PULLBACK

from .balance import Weights
from .guides import Guides
from .images import Array
from .models import Model, Tap
from .moments import Double, Moments, sum_moments
from .objective import Losses, Targets, check_interface, explain
from .options import Provider
from .runtime import open_session
from .tiles import Tile, plan_tiles

__all__ = ["GeneralObjective"]

_NEAR = 1e-4
"""A normalised gradient is not blown up where features are as near as this to the content's."""


@dataclass(frozen=True)
class _Observed:
    """Pass 1 of a tile, by tap.

    Of its own positions their moments in each region, ||F - P||^2 and their number; ``shapes`` are
    the [h, w] of the maps that it sees.
    """

    moments: Mapping[int, list[Moments]]
    errors: Mapping[int, float]
    positions: Mapping[int, int]
    shapes: Mapping[int, tuple[int, int]]


@dataclass(frozen=True)
class _Pull:
    """What the pullback is given for a tap: M [R, C, C], v [R, C, 1] and the content's weight."""

    mixing: Array
    shift: Array
    content_weight: float


def _nothing(tap: Tap) -> _Pull:
    """Neither style nor content."""
    mixing = np.zeros((0, tap.channels, tap.channels), np.float32)
    return _Pull(mixing, np.zeros((0, tap.channels, 1), np.float32), 0.0)


class GeneralObjective:
    """One model on one provider, called as ``Objective`` is.

    ``tile`` is the side of the tiles' insides in pixels, None for one tile. With ``normalize`` the
    gradient of every term is divided by its own norm before it is weighted: style and content at
    each tap, TV at the pixels (as --normalize_gradients does in jcjohnson/neural-style, which takes
    the L1 norm, here L2). What is then followed is no longer the gradient of the losses.
    """

    def __init__(
        self,
        model: Model,
        provider: Provider = "auto",
        threads: int | None = None,
        tile: int | None = None,
        normalize: bool = False,
    ) -> None:
        self.model = model
        self._tile, self._normalize = tile, normalize
        self._forward = open_session(model.read(FEATURES), provider, threads)
        self._pullback = open_session(model.read(PULLBACK), provider, threads)
        taps = [tap.index for tap in model.taps]
        check_interface(model, self._forward, {"image"}, {f"tap_{tap}" for tap in taps})
        names = ("mixing", "shift", "guides", "features", "content_weight")
        inputs = {f"{name}_{tap}" for name in names for tap in taps}
        check_interface(model, self._pullback, {"image", *inputs}, {"gradient"})
        self.provider: str = self._pullback.get_providers()[0]
        self._targets, self._weights = Targets(), Weights({}, {}, 0.0)

    def features(self, image: Array, taps: Iterable[int]) -> dict[int, Array]:
        """The feature maps [1, C, h, w] of the taps, put together from the tiles'."""
        chosen = self._chosen(taps)
        if not chosen:
            return {}
        rows: dict[int, list[list[Array]]] = {tap.index: [] for tap in chosen}
        for tile in self._tiles(image, chosen):
            for tap, found in self._see(tile, image, chosen).items():
                if tile.columns.begin == 0:
                    rows[tap.index].append([])
                rows[tap.index][-1].append(_own(found, tile, tap))
        return {
            tap: np.concatenate([np.concatenate(row, 3) for row in found], 2)
            for tap, found in rows.items()
        }

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        """The moments of the features of the taps, region by region."""
        chosen = self._chosen(taps)
        targets = Targets(losses={tap.index: () for tap in chosen}, guides=guides)
        if not chosen:
            return {}
        tiles = self._tiles(image, chosen)
        return _total([self._observe(tile, image, chosen, targets) for tile in tiles])

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        self._targets, self._weights = targets, weights

    def __call__(self, image: Array) -> tuple[Losses, Array]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        Raises ResourceError when memory runs out.
        """
        targets, weights = self._targets, self._weights
        tv, gradient = self._total_variation(image)
        taps = self._chosen({*targets.content, *targets.losses})
        if not taps:
            return Losses(0.0, 0.0, {}, tv), gradient
        tiles = self._tiles(image, taps)
        seen = [self._observe(tile, image, taps, targets) for tile in tiles]
        moments = _total(seen)
        style: dict[int, float] = {}
        content = 0.0
        pulls: dict[int, _Pull] = {}
        for tap in taps:
            pull = _nothing(tap)
            if tap.index in targets.losses:
                positions = sum(part.positions[tap.index] for part in seen)
                value, mixing, shift = self._style(tap, moments[tap.index], positions)
                style[tap.index] = value
                pull = replace(pull, mixing=mixing.astype(np.float32))
                if shift.any():
                    pull = replace(pull, shift=shift.astype(np.float32))
            if tap.index in targets.content:
                error = sum(part.errors[tap.index] for part in seen)
                content += weights.content[tap.index] * error
                pull = replace(pull, content_weight=self._content_weight(tap.index, error))
            pulls[tap.index] = pull
        for tile, part in zip(tiles, seen, strict=True):
            gradient[(..., *tile.inside)] += self._pull(tile, image, part.shapes, pulls)
        return Losses(content, float(sum(style.values())), style, tv), gradient

    def _chosen(self, taps: Iterable[int]) -> list[Tap]:
        wanted = set(taps)
        return [tap for tap in self.model.taps if tap.index in wanted]

    def _tiles(self, image: Array, taps: Sequence[Tap]) -> list[Tile]:
        height, width = image.shape[2:]
        return plan_tiles(height, width, self._tile, taps, self.model.smallest_side)

    def _see(self, tile: Tile, image: Array, taps: Sequence[Tap]) -> dict[Tap, Array]:
        pixels = np.ascontiguousarray(image[(..., *tile.seen)])
        try:
            found = self._forward.run([f"tap_{tap.index}" for tap in taps], {"image": pixels})
        except Exception as error:
            explain(error, pixels)
            raise
        return dict(zip(taps, found, strict=True))

    def _observe(
        self, tile: Tile, image: Array, taps: Sequence[Tap], targets: Targets
    ) -> _Observed:
        """Pass 1: what the tile adds to the moments and the content's errors."""
        moments: dict[int, list[Moments]] = {}
        errors: dict[int, float] = {}
        positions: dict[int, int] = {}
        shapes: dict[int, tuple[int, int]] = {}
        for tap, features in self._see(tile, image, taps).items():
            height, width = features.shape[2:]
            shapes[tap.index] = (height, width)
            own = _own(features, tile, tap)
            positions[tap.index] = own[0, 0].size
            if tap.index in targets.losses:
                guides = _guides(targets.guides, tile, tap, height, width)
                if guides is None:
                    moments[tap.index] = [sum_moments(own)]
                else:
                    moments[tap.index] = [
                        sum_moments(own, _own(guide, tile, tap)) for guide in guides
                    ]
            if tap.index in targets.content:
                target = targets.content[tap.index][
                    (..., tile.rows.own(tap), tile.columns.own(tap))
                ]
                errors[tap.index] = float(np.square(own - target).sum(dtype=np.float64))
        return _Observed(moments, errors, positions, shapes)

    def _pull(
        self,
        tile: Tile,
        image: Array,
        shapes: Mapping[int, tuple[int, int]],
        pulls: Mapping[int, _Pull],
    ) -> Array:
        """Pass 2: the gradient of the tile's inside."""
        targets = self._targets
        pixels = np.ascontiguousarray(image[(..., *tile.seen)])
        feed: dict[str, Any] = {"image": pixels}
        for tap in self.model.taps:
            t, channels = tap.index, tap.channels
            pull = pulls.get(t) or _nothing(tap)
            guides, features = None, None
            if t in pulls:
                height, width = shapes[t]
                if len(pull.mixing):
                    guides = _guides(targets.guides, tile, tap, height, width)
                if t in targets.content:
                    covered = tile.rows.covered(tap, height), tile.columns.covered(tap, width)
                    features = np.ascontiguousarray(targets.content[t][(..., *covered)])
            empty = np.zeros((0, channels, 1, 1), np.float32)
            feed[f"mixing_{t}"], feed[f"shift_{t}"] = pull.mixing, pull.shift
            feed[f"guides_{t}"] = empty[:, :1] if guides is None else guides[:, None]
            feed[f"features_{t}"] = empty if features is None else features
            feed[f"content_weight_{t}"] = np.array(pull.content_weight, np.float32)
        try:
            (gradient,) = self._pullback.run(["gradient"], feed)
        except Exception as error:
            explain(error, pixels)
            raise
        inside: Array = gradient[(..., *tile.inside_of_seen)]
        return inside

    def _style(
        self, tap: Tap, regions: Sequence[Moments], positions: int
    ) -> tuple[float, Double, Double]:
        """The weighted loss of a tap, M [R, C, C] and v [R, C, 1].

        A region's loss counts by its share of the positions, mass / N, so that the style pulls as
        hard at a pixel of a small region as at one of a large one: M = 2 w / N dL/dQ and v = w / N
        dL/dmu. A region that the image does not show has no loss.
        """
        losses, channels = self._targets.losses[tap.index], tap.channels
        mixing = np.zeros((len(losses), channels, channels))
        shift = np.zeros((len(losses), channels, 1))
        value = 0.0
        for region, (loss, found) in enumerate(zip(losses, regions, strict=True)):
            if found.mass > 0:
                own, d_second, d_mean = loss(found.statistics())
                value += own * found.mass / positions
                mixing[region], shift[region, :, 0] = 2 * d_second / positions, d_mean / positions
        weight = self._weights.style[tap.index]
        scale = weight
        if self._normalize:
            scale /= _norm(mixing, shift, regions) or 1.0
        return weight * value, scale * mixing, scale * shift

    def _content_weight(self, tap: int, error: float) -> float:
        """w of 2 w (F - P)."""
        weight = self._weights.content[tap]
        if not self._normalize:
            return weight
        near = _NEAR**2 * float(np.square(self._targets.content[tap]).sum(dtype=np.float64))
        return weight / (2 * float(np.sqrt(max(error, near))) or 1.0)

    def _total_variation(self, image: Array) -> tuple[float, Array]:
        """w times the sum of squared differences of neighbouring pixels, and its gradient."""
        gradient = np.zeros_like(image)
        loss = 0.0
        for plane, slope in zip(image[0], gradient[0], strict=True):
            for axis in (0, 1):
                difference = np.diff(plane, axis=axis)
                loss += float(np.square(difference).sum(dtype=np.float64))
                difference *= 2
                ahead, behind = slope.swapaxes(0, axis)[1:], slope.swapaxes(0, axis)[:-1]
                ahead += difference.swapaxes(0, axis)
                behind -= difference.swapaxes(0, axis)
        weight = scale = self._weights.tv
        if self._normalize:
            scale /= float(np.linalg.norm(gradient)) or 1.0
        gradient *= np.float32(scale)
        return weight * loss, gradient


def _own(values: Array, tile: Tile, tap: Tap) -> Array:
    """The tile's own positions of a map [.., h, w] over what it sees."""
    return values[(..., tile.rows.own_of_seen(tap), tile.columns.own_of_seen(tap))]


def _guides(guides: Guides | None, tile: Tile, tap: Tap, height: int, width: int) -> Array | None:
    if guides is None:
        return None
    return guides.over(tap, tile.rows.covered(tap, height), tile.columns.covered(tap, width))


def _total(parts: Sequence[_Observed]) -> dict[int, list[Moments]]:
    """The moments of the whole picture, by tap and region."""
    return {
        tap: [
            functools.reduce(operator.add, found)
            for found in zip(*(part.moments[tap] for part in parts), strict=True)
        ]
        for tap in parts[0].moments
    }


def _norm(mixing: Double, shift: Double, regions: Sequence[Moments]) -> float:
    """||dL/dF|| from the moments: the sum over regions of tr(M S M) + 2 v' M m + mass v' v.

    Exact where guides are 0 or 1 and regions do not overlap; else squares count by the guide.
    """
    square = 0.0
    for matrix, column, found in zip(mixing, shift[..., 0], regions, strict=True):
        square += float(((matrix @ found.second) * matrix).sum())
        square += float(2 * column @ matrix @ found.first + found.mass * column @ column)
    return float(np.sqrt(max(square, 0.0)))
