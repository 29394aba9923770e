"""The general objective: any loss of the moments, by regions, in tiles. Two passes a call.

The objective's one graph (objective.py) is the fast way for Gram matrices of whole pictures. Here
the work is split where the style loss is decided:

1. The features of each tile are summed into moments, each position counted once (moments.py).
2. From the moments of the whole picture come the losses and, for each tap and region, the M and v
   of dL/dF = T o (M F + v 1^T) (style_losses.py); the pullback carries them back to the pixels of
   each tile.

So the gradient of a picture in tiles is that of the whole, to rounding. What is done for a tile is
in tile_work.py, what is decided for the picture here.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from .balance import Weights
from .guides import Guides
from .images import Array
from .models import Model, Tap
from .moments import Double, Moments
from .objective import Losses, Targets
from .options import Provider, TvLossName
from .tile_work import Look, Pull, Seen, TapPull, TileWorker
from .tiles import Tile, plan_tiles
from .total_variation import total_variation

__all__ = ["GeneralObjective"]

_NEAR = 1e-4
"""A normalised gradient is not blown up where features are as near as this to the content's."""


class GeneralObjective:
    """One model on one provider, called as ``Objective`` is.

    ``tile`` is the side of the tiles' insides in pixels, None for one tile. With ``wraps`` the
    picture's opposite edges meet (tiles.py), a style's do not; its sides are multiples of the taps'
    strides then, and there is neither content nor region. With ``normalize`` the
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
        wraps: bool = False,
        tv_loss: TvLossName = "squares",
    ) -> None:
        self.model = model
        self._tile, self._normalize = tile, normalize
        self._wraps, self._tv_loss = wraps, tv_loss
        self._worker = TileWorker(model, provider, threads)
        self.provider: str = self._worker.provider
        self._targets, self._weights = Targets(), Weights({}, {}, 0.0)

    def features(self, image: Array, taps: Iterable[int]) -> dict[int, Array]:
        """The feature maps [1, C, h, w] of the taps, put together from the tiles'."""
        chosen = self._chosen(taps)
        rows: dict[int, list[list[Array]]] = {tap.index: [] for tap in chosen}
        for tile in self._tiles(image, chosen):
            look = _look(tile, image, chosen, Targets())
            for tap, found in self._worker.features(look).items():
                if tile.columns.begin == 0:
                    rows[tap].append([])
                rows[tap][-1].append(found)
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
        tiles = self._tiles(image, chosen, self._wraps and guides is None)
        looks = (_look(tile, image, chosen, targets, mirrored=True) for tile in tiles)
        return _total(list(map(self._worker.observe, looks)))

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        self._targets, self._weights = targets, weights

    def __call__(self, image: Array) -> tuple[Losses, Array]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        Raises ResourceError when memory runs out.
        """
        targets = self._targets
        tv, gradient = self._total_variation(image)
        taps = self._chosen({*targets.content, *targets.losses})
        tiles = self._tiles(image, taps, self._wraps)
        looks = (_look(tile, image, taps, targets) for tile in tiles)
        seen = list(map(self._worker.observe, looks))
        moments = _total(seen)
        style: dict[int, float] = {}
        content: dict[int, float] = {}
        given: dict[int, TapPull] = {}
        for tap in taps:
            mixing, shift = np.zeros((0, tap.channels, tap.channels)), np.zeros(0)
            weight = 0.0
            if tap.index in targets.losses:
                positions = sum(part.positions[tap.index] for part in seen)
                found = self._style(tap, moments[tap.index], positions)
                style[tap.index], mixing, shift = found
            if tap.index in targets.content:
                error = sum(part.errors[tap.index] for part in seen)
                content[tap.index] = self._weights.content[tap.index] * error
                weight = self._content_weight(tap.index, error)
            shift = shift if shift.any() else np.zeros((0, tap.channels, 1))
            given[tap.index] = TapPull(mixing.astype(np.float32), shift.astype(np.float32), weight)
        pulls = (
            _pull(tile, image, taps, targets, given, part)
            for tile, part in zip(tiles, seen, strict=True)
        )
        for tile, found_gradient in zip(tiles, map(self._worker.pull, pulls), strict=True):
            gradient[(..., *tile.inside)] += found_gradient
        return Losses(content, style, tv), gradient

    def _chosen(self, taps: Iterable[int]) -> list[Tap]:
        wanted = set(taps)
        return [tap for tap in self.model.taps if tap.index in wanted]

    def _tiles(self, image: Array, taps: Sequence[Tap], wraps: bool = False) -> list[Tile]:
        """None where no tap is wanted."""
        if not taps:
            return []
        height, width = image.shape[2:]
        return plan_tiles(height, width, self._tile, taps, self.model.smallest_side, wraps)

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
        """The weighted loss and its gradient."""
        loss, gradient = total_variation(image, self._tv_loss, self._wraps)
        weight = scale = self._weights.tv
        if self._normalize:
            scale /= float(np.linalg.norm(gradient)) or 1.0
        gradient *= np.float32(scale)
        return weight * loss, gradient


def _look(
    tile: Tile, image: Array, taps: Sequence[Tap], targets: Targets, mirrored: bool = False
) -> Look:
    rows, columns = tile.rows, tile.columns
    content = {}
    for tap in taps:
        if tap.index in targets.content:
            own = rows.own(tap), columns.own(tap)
            content[tap.index] = targets.content[tap.index][(..., *own)]
    return Look(
        pixels=_pixels(tile, image, mirrored),
        own={tap.index: (rows.own_of_seen(tap), columns.own_of_seen(tap)) for tap in taps},
        style=tuple(tap.index for tap in taps if tap.index in targets.losses),
        content=content,
        guides=_guides(tile, targets),
    )


def _pull(
    tile: Tile,
    image: Array,
    taps: Sequence[Tap],
    targets: Targets,
    given: Mapping[int, TapPull],
    seen: Seen,
) -> Pull:
    content = {}
    for tap in taps:
        if tap.index in targets.content:
            height, width = seen.shapes[tap.index]
            covered = tile.rows.covered(tap, height), tile.columns.covered(tap, width)
            piece = targets.content[tap.index][(..., *covered)]
            content[tap.index] = np.ascontiguousarray(piece)
    return Pull(
        pixels=_pixels(tile, image),
        inside=tile.inside_of_seen,
        taps=given,
        content=content,
        guides=_guides(tile, targets),
        shapes=seen.shapes,
    )


def _pixels(tile: Tile, image: Array, mirrored: bool = False) -> Array:
    """What the tile sees; beyond the edges the other side, or what is before them in a mirror."""
    if not tile.wraps:
        return np.ascontiguousarray(image[(..., *tile.seen)])
    for axis, seen in zip((2, 3), tile.seen, strict=True):
        length = image.shape[axis]
        period = [*range(length), *(range(length - 1, -1, -1) if mirrored else ())]
        image = image.take([period[i % len(period)] for i in range(seen.start, seen.stop)], axis)
    return image


def _guides(tile: Tile, targets: Targets) -> Guides | None:
    return None if targets.guides is None else targets.guides.within(*tile.seen)


def _total(parts: Sequence[Seen]) -> dict[int, list[Moments]]:
    """The moments of the whole picture, by tap and region."""
    if not parts:
        return {}
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
