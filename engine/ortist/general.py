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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .balance import Weights
from .guides import Guides
from .images import Array
from .models import Model, Tap
from .moments import Double, Moments
from .objective import Losses, Room, Targets
from .options import Provider, TvLossName
from .stored import Field
from .tile_work import Look, Pull, TapPull, TileWorker
from .tiles import Tile, plan_tiles
from .total_variation import variation, variation_slope

__all__ = ["GeneralObjective", "Photo"]

_NEAR = 1e-4
"""A normalised gradient is not blown up where features are as near as this to the content's."""


class Photo:
    """The content of a window, whose features at ``taps`` are had tile by tile.

    They are kept as far as ``room`` has it, the last tile's always, and else computed anew.
    """

    def __init__(self, pixels: Field, taps: tuple[int, ...], room: Room) -> None:
        self.pixels, self.taps, self._room = pixels, taps, room
        self._kept: dict[Tile, dict[int, Array]] = {}
        self._last: tuple[Tile, dict[int, Array]] | None = None

    def features(self, tile: Tile, worker: TileWorker) -> dict[int, Array]:
        """By tap, over all that the tile sees; true at the tile's own positions."""
        if tile in self._kept:
            return self._kept[tile]
        if self._last is None or self._last[0] != tile:
            self._last = None  # before its successor comes
            maps = worker.maps(_pixels(tile, self.pixels), self.taps)
            # Copied out of ONNX Runtime's memory, which is in few pieces then.
            found = {tap: features.copy() for tap, features in maps.items()}
            del maps
            if self._room.claim(sum(features.nbytes for features in found.values())):
                self._kept[tile] = found
                return found
            self._last = tile, found
        return self._last[1]


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
        tiles = self._tiles(image, chosen) if chosen else []
        for tile in sorted(tiles, key=lambda tile: (tile.rows.begin, tile.columns.begin)):
            maps = self._worker.maps(_pixels(tile, image), tuple(rows))
            for tap in chosen:
                if tile.columns.begin == 0:
                    rows[tap.index].append([])
                own = tile.rows.own_of_seen(tap), tile.columns.own_of_seen(tap)
                rows[tap.index][-1].append(maps[tap.index][(..., *own)])
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
        total: dict[int, list[Moments]] = {}
        for tile in self._tiles(image, chosen, self._wraps and guides is None) if chosen else ():
            look = _look(tile, _pixels(tile, image, mirrored=True), chosen, targets, {})
            _add(total, self._worker.observe(look).moments)
        return total

    def seeing(self, targets: Targets, pixels: Field, taps: Iterable[int], room: Room) -> Targets:
        """``targets`` with the features of the content ``pixels`` [1, 3, H, W] at those taps.

        As much of them as ``room`` allows is kept from call to call.
        """
        return replace(targets, photo=Photo(pixels, tuple(taps), room))

    def energies(self, targets: Targets) -> dict[int, float]:
        """||P||^2 of the content's features P, by tap."""
        photo = targets.photo
        if photo is None or not photo.taps:
            return {}
        chosen = self._chosen(photo.taps)
        total = dict.fromkeys(photo.taps, 0.0)
        for tile in self._tiles(photo.pixels, chosen):
            for tap, energy in _energies(tile, chosen, photo.features(tile, self._worker)).items():
                total[tap] += energy
        return total

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        self._worker.release()

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        self._targets, self._weights = targets, weights

    def __call__(self, image: Field, into: Field | None = None) -> tuple[Losses, Any]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is ``into``, if given, written tile by tile. Raises ResourceError when memory runs out.
        """
        targets = self._targets
        content_taps = () if targets.photo is None else targets.photo.taps
        taps = self._chosen({*content_taps, *targets.losses})
        tiles = self._tiles(image, taps, self._wraps)
        moments: dict[int, list[Moments]] = {}
        positions = dict.fromkeys((tap.index for tap in taps), 0)
        errors, energies = dict.fromkeys(content_taps, 0.0), dict.fromkeys(content_taps, 0.0)
        shapes: list[Mapping[int, tuple[int, int]]] = []
        tv = slope = 0.0
        for tile in tiles:
            pixels = _pixels(tile, image)
            tv += variation(pixels, self._tv_loss, *tile.inside_of_seen)
            if self._normalize:
                raw = variation_slope(pixels, self._tv_loss, *tile.inside_of_seen)
                slope += float(np.square(raw, dtype=np.float64).sum())
            if not taps:
                continue
            content = self._content(tile)
            seen = self._worker.observe(_look(tile, pixels, taps, targets, content))
            if self._normalize:
                for tap, energy in _energies(tile, taps, content).items():
                    energies[tap] += energy
            _add(moments, seen.moments)
            for tap in positions:
                positions[tap] += seen.positions[tap]
            for tap in errors:
                errors[tap] += seen.errors[tap]
            shapes.append(seen.shapes)
        style: dict[int, float] = {}
        given: dict[int, TapPull] = {}
        for own in taps:
            mixing, shift = np.zeros((0, own.channels, own.channels)), np.zeros(0)
            weight = 0.0
            if own.index in targets.losses:
                found = self._style(own, moments[own.index], positions[own.index])
                style[own.index], mixing, shift = found
            if own.index in errors:
                weight = self._content_weight(own.index, errors[own.index], energies[own.index])
            shift = shift if shift.any() else np.zeros((0, own.channels, 1))
            given[own.index] = TapPull(mixing.astype(np.float32), shift.astype(np.float32), weight)
        scale = self._weights.tv
        if self._normalize:
            scale /= float(np.sqrt(slope)) or 1.0
        gradient: Any = np.zeros(image.shape, np.float32) if into is None else into
        for index, tile in enumerate(tiles):
            pixels = _pixels(tile, image)
            pulled = variation_slope(pixels, self._tv_loss, *tile.inside_of_seen)
            pulled *= np.float32(scale)
            if taps:
                pull = _pull(tile, pixels, targets, given, self._content(tile), shapes[index])
                pulled += self._worker.pull(pull)
            gradient[(..., *tile.inside)] = pulled
        losses = {tap: self._weights.content[tap] * error for tap, error in errors.items()}
        return Losses(losses, style, self._weights.tv * tv), gradient

    def _chosen(self, taps: Iterable[int]) -> list[Tap]:
        wanted = set(taps)
        return [tap for tap in self.model.taps if tap.index in wanted]

    def _tiles(self, image: Field, taps: Sequence[Tap], wraps: bool = False) -> list[Tile]:
        """The largest first: what ONNX Runtime takes for it serves the others too."""
        height, width = image.shape[2:]
        tiles = plan_tiles(height, width, self._tile, taps, self.model.smallest_side, wraps)
        return sorted(tiles, key=_area, reverse=True)

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

    def _content(self, tile: Tile) -> dict[int, Array]:
        photo = self._targets.photo
        return {} if photo is None or not photo.taps else photo.features(tile, self._worker)

    def _content_weight(self, tap: int, error: float, energy: float) -> float:
        """w of 2 w (F - P), for these ||F - P||^2 and ||P||^2."""
        weight = self._weights.content[tap]
        if not self._normalize:
            return weight
        return weight / (2 * float(np.sqrt(max(error, _NEAR**2 * energy))) or 1.0)


def _area(tile: Tile) -> int:
    rows, columns = tile.rows, tile.columns
    return (rows.last - rows.first) * (columns.last - columns.first)


def _look(
    tile: Tile,
    pixels: Array,
    taps: Sequence[Tap],
    targets: Targets,
    content: Mapping[int, Array],
) -> Look:
    rows, columns = tile.rows, tile.columns
    return Look(
        pixels=pixels,
        own={tap.index: (rows.own_of_seen(tap), columns.own_of_seen(tap)) for tap in taps},
        style=tuple(tap.index for tap in taps if tap.index in targets.losses),
        content=content,
        guides=_guides(tile, targets),
    )


def _pull(
    tile: Tile,
    pixels: Array,
    targets: Targets,
    given: Mapping[int, TapPull],
    content: Mapping[int, Array],
    shapes: Mapping[int, tuple[int, int]],
) -> Pull:
    return Pull(
        pixels=pixels,
        inside=tile.inside_of_seen,
        taps=given,
        content=content,
        guides=_guides(tile, targets),
        shapes=shapes,
    )


def _pixels(tile: Tile, image: Any, mirrored: bool = False) -> Array:
    """What the tile sees; beyond the edges the other side, or what is before them in a mirror."""
    if not tile.wraps:
        return np.ascontiguousarray(image[(..., *tile.seen)])
    for axis, seen in zip((2, 3), tile.seen, strict=True):
        length = image.shape[axis]
        period = [*range(length), *(range(length - 1, -1, -1) if mirrored else ())]
        image = image.take([period[i % len(period)] for i in range(seen.start, seen.stop)], axis)
    found: Array = image
    return found


def _guides(tile: Tile, targets: Targets) -> Guides | None:
    return None if targets.guides is None else targets.guides.within(*tile.seen)


def _add(total: dict[int, list[Moments]], part: Mapping[int, list[Moments]]) -> None:
    """Adds a tile's moments to those of the tiles before, by tap and region."""
    for tap, regions in part.items():
        before = total.get(tap)
        if before is not None:
            regions = [a + b for a, b in zip(before, regions, strict=True)]
        total[tap] = regions


def _energies(tile: Tile, taps: Sequence[Tap], content: Mapping[int, Array]) -> dict[int, float]:
    """||P||^2 of the tile's own positions."""
    return {
        tap.index: float(
            np.square(
                content[tap.index][
                    (..., tile.rows.own_of_seen(tap), tile.columns.own_of_seen(tap))
                ],
                dtype=np.float64,
            ).sum()
        )
        for tap in taps
        if tap.index in content
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
