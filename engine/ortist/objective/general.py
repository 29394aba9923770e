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

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import Array, Field
from ..network.bundle import Model, Tap
from ..options.fields import Provider, TvLossName
from ..style.guides import Guides
from ..style.moments import Double, Moments
from .targets import Losses, Room, Targets
from .tile_work import Content, Look, Pull, Seen, TapPull, TileWorker
from .tiles import Tile, plan_tiles
from .total_variation import variation, variation_slope
from .weights import Weights
from .workers import Workers

__all__ = ["GeneralObjective", "Photo"]

_NEAR = 1e-4
"""A normalised gradient is not blown up where features are as near as this to the content's."""


class Photo:
    """The content of a window, whose features at ``taps`` are kept as far as ``room`` has it."""

    def __init__(self, pixels: Field, taps: tuple[int, ...], room: Room) -> None:
        self.pixels, self.taps, self._room = pixels, taps, room
        self._kept: dict[Tile, Content] = {}

    def over(self, tile: Tile, workers: Workers, taps: Sequence[Tap]) -> Content:
        """What the tile sees of it."""
        if not self.taps:
            return Content()
        if tile not in self._kept:
            pixels = _pixels(tile, self.pixels)
            area = pixels.shape[2] * pixels.shape[3]
            size = sum(4 * t.channels * area // t.stride**2 for t in taps if t.index in self.taps)
            if not self._room.claim(size):
                return Content(self.taps, pixels=pixels)
            features = workers.ask(TileWorker.features, pixels, self.taps)
            self._kept[tile] = Content(self.taps, features)
        return self._kept[tile]


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
        executor: Executor | None = None,
    ) -> None:
        self.model = model
        self._tile, self._normalize = tile, normalize
        self._wraps, self._tv_loss = wraps, tv_loss
        self._workers = Workers(model, provider, threads, executor)
        self.provider: str = self._workers.provider
        self._targets, self._weights = Targets(), Weights({}, {}, 0.0)

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        """The moments of the features of the taps, region by region."""
        chosen = self._chosen(taps)
        targets = Targets(losses={tap.index: () for tap in chosen}, guides=guides)
        tiles = self._tiles(image, chosen, self._wraps and guides is None) if chosen else []
        looks = (
            (_look(tile, _pixels(tile, image, mirrored=True), chosen, targets, Content()),)
            for tile in tiles
        )
        total: dict[int, list[Moments]] = {}
        for seen in self._workers.each(TileWorker.observe, looks, len(tiles)):
            _add(total, seen.moments)
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
        tiles = self._tiles(photo.pixels, chosen)
        tasks = ((photo.over(tile, self._workers, chosen), _own(tile, chosen)) for tile in tiles)
        for found in self._workers.each(TileWorker.energies, tasks, len(tiles)):
            _increase(total, found)
        return total

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        self._workers.release()

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        self._targets, self._weights = targets, weights

    def __call__(self, image: Field, into: Field | None = None) -> tuple[Losses, Any]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is ``into``, if given, written tile by tile. Raises ResourceError when memory runs out.
        """
        photo = self._targets.photo
        wanted = {*(() if photo is None else photo.taps), *self._targets.losses}
        taps = self._chosen(wanted)
        tiles = self._tiles(image, taps, self._wraps)
        seen = self._look_at(image, tiles, taps)
        style: dict[int, float] = {}
        given: dict[int, TapPull] = {}
        for own in taps:
            mixing, shift = np.zeros((0, own.channels, own.channels)), np.zeros(0)
            if own.index in self._targets.losses:
                found = self._style(own, seen.moments[own.index], seen.positions[own.index])
                style[own.index], mixing, shift = found
            shift = shift if shift.any() else np.zeros((0, own.channels, 1))
            weight = 0.0
            if photo is not None and own.index in photo.taps:
                error, energy = seen.errors.get(own.index, 0.0), seen.energies.get(own.index, 0.0)
                weight = self._content_weight(own.index, error, energy)
            given[own.index] = TapPull(mixing.astype(np.float32), shift.astype(np.float32), weight)
        scale = self._weights.tv
        if self._normalize:
            scale /= float(np.sqrt(seen.slope)) or 1.0
        gradient: Any = np.zeros(image.shape, np.float32) if into is None else into
        errors = self._pull_back(image, tiles, taps, given, seen.shapes, scale, gradient)
        content = {tap: self._weights.content[tap] * error for tap, error in errors.items()}
        return Losses(content, style, self._weights.tv * seen.tv), gradient

    def _look_at(self, image: Field, tiles: Sequence[Tile], taps: Sequence[Tap]) -> _Sums:
        """Pass 1: what all tiles see, in sum."""
        sums = _Sums()

        def looks() -> Iterator[tuple[Look]]:
            for tile in tiles:
                pixels = _pixels(tile, image)
                sums.tv += variation(pixels, self._tv_loss, *tile.inside_of_seen)
                if self._normalize:
                    raw = variation_slope(pixels, self._tv_loss, *tile.inside_of_seen)
                    sums.slope += float(np.square(raw, dtype=np.float64).sum())
                if taps:
                    content = self._content(tile, taps) if self._normalize else Content()
                    yield (_look(tile, pixels, taps, self._targets, content),)

        for seen in self._workers.each(TileWorker.observe, looks(), len(tiles)):
            sums.include(seen)
        return sums

    def _pull_back(
        self,
        image: Field,
        tiles: Sequence[Tile],
        taps: Sequence[Tap],
        given: Mapping[int, TapPull],
        shapes: Sequence[Mapping[int, tuple[int, int]]],
        tv_scale: float,
        gradient: Any,
    ) -> dict[int, float]:
        """Pass 2: writes the ``gradient``, tile by tile, and returns ||F - P||^2 by content tap."""
        slopes: deque[Array] = deque()  # of the tiles under way

        def pulls() -> Iterator[tuple[Pull]]:
            for index, tile in enumerate(tiles):
                pixels = _pixels(tile, image)
                slope = variation_slope(pixels, self._tv_loss, *tile.inside_of_seen)
                slope *= np.float32(tv_scale)
                if not taps:
                    gradient[(..., *tile.inside)] = slope
                    continue
                slopes.append(slope)
                content = self._content(tile, taps)
                yield (_pull(tile, pixels, taps, self._targets, given, content, shapes[index]),)

        errors: dict[int, float] = {}
        results = self._workers.each(TileWorker.pull, pulls(), len(tiles))
        for tile, pulled in zip(tiles, results, strict=False):  # no results where there are no taps
            gradient[(..., *tile.inside)] = slopes.popleft() + pulled.gradient
            _increase(errors, pulled.errors)
        return errors

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

    def _content(self, tile: Tile, taps: Sequence[Tap]) -> Content:
        photo = self._targets.photo
        return Content() if photo is None else photo.over(tile, self._workers, taps)

    def _content_weight(self, tap: int, error: float, energy: float) -> float:
        """w of 2 w (F - P), for these ||F - P||^2 and ||P||^2."""
        weight = self._weights.content[tap]
        if not self._normalize:
            return weight
        return weight / (2 * float(np.sqrt(max(error, _NEAR**2 * energy))) or 1.0)


@dataclass
class _Sums:
    """Of pass 1 over all tiles: as in ``Seen``, and the total variation with ||its gradient||^2.

    ``errors`` and ``energies`` only where pass 2 must know them; ``shapes`` by tile.
    """

    tv: float = 0.0
    slope: float = 0.0
    moments: dict[int, list[Moments]] = field(default_factory=dict)
    errors: dict[int, float] = field(default_factory=dict)
    energies: dict[int, float] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)
    shapes: list[Mapping[int, tuple[int, int]]] = field(default_factory=list)

    def include(self, seen: Seen) -> None:
        _add(self.moments, seen.moments)
        _increase(self.errors, seen.errors)
        _increase(self.energies, seen.energies)
        _increase(self.positions, seen.positions)
        self.shapes.append(seen.shapes)


def _area(tile: Tile) -> int:
    rows, columns = tile.rows, tile.columns
    return (rows.last - rows.first) * (columns.last - columns.first)


def _look(
    tile: Tile,
    pixels: Array,
    taps: Sequence[Tap],
    targets: Targets,
    content: Content,
) -> Look:
    return Look(
        pixels=pixels,
        own=_own(tile, taps),
        style=tuple(tap.index for tap in taps if tap.index in targets.losses),
        content=content,
        guides=_guides(tile, targets),
    )


def _pull(
    tile: Tile,
    pixels: Array,
    taps: Sequence[Tap],
    targets: Targets,
    given: Mapping[int, TapPull],
    content: Content,
    shapes: Mapping[int, tuple[int, int]],
) -> Pull:
    return Pull(
        pixels=pixels,
        inside=tile.inside_of_seen,
        own=_own(tile, taps),
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


def _increase(total: dict[int, Any], part: Mapping[int, Any]) -> None:
    """Adds a tile's numbers to those of the tiles before, by tap."""
    for tap, number in part.items():
        total[tap] = total.get(tap, 0) + number


def _own(tile: Tile, taps: Sequence[Tap]) -> dict[int, tuple[slice, slice]]:
    """The positions that are the tile's own among those that it sees, by tap."""
    return {tap.index: (tile.rows.own_of_seen(tap), tile.columns.own_of_seen(tap)) for tap in taps}


def _norm(mixing: Double, shift: Double, regions: Sequence[Moments]) -> float:
    """||dL/dF|| from the moments: the sum over regions of tr(M S M) + 2 v' M m + mass v' v.

    Exact where guides are 0 or 1 and regions do not overlap; else squares count by the guide.
    """
    square = 0.0
    for matrix, column, found in zip(mixing, shift[..., 0], regions, strict=True):
        square += float(((matrix @ found.second) * matrix).sum())
        square += float(2 * column @ matrix @ found.first + found.mass * column @ column)
    return float(np.sqrt(max(square, 0.0)))
