"""The guide: the photo made of the style's patches, without one step of an optimiser.

From a small picture to the full size, each scale's places are matched with those of the styles
(style/matching.py), and the patches that they are matched with are laid (style/patchwork.py). What
a scale made goes into what the next one is matched by, and its matches are where that one begins
(after Kolkin et al., "Neural Neighbor Style Transfer", 2022, which optimises instead of laying).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Array, Arrays, Field, row_slices, whole
from ..network.arithmetic import Arithmetic
from ..network.bundle import Model
from ..network.machine import give_back_memory
from ..network.sessions import count_threads
from ..objective.objective import Objective
from ..options.fields import Options
from ..pictures.values import display_range, normalize
from ..style.descriptors import Basis, Grid, principal_basis
from ..style.guides import mask_values
from ..style.matching import Matches, Pool, assign, enlarge, hold, refine, spread
from ..style.patchwork import Canvas, Patchwork
from ..style.remembered import RememberedPlaces, StylePlaces, hashed
from ..style.styles import Styles
from .looking import Looker, Seen
from .trail import Trail

__all__ = ["MATCHED_PIXELS", "Ingredients", "guide_sides", "make_guide"]

_SMALLEST = 96
"""Shorter side, in pixels, that the first scale has at least."""
_CONTENT = 0.8
"""The content's part in what is matched; the rest is the guide of the scale before."""
_DIMENSIONS = 48
"""How many numbers describe a place."""
_ROUNDS = 2
"""How often matches are refined at each scale."""
MATCHED_PIXELS = 2_000_000
"""Pixels of a picture whose places are matched, at most; of the first scale they always are. What
is larger takes over the matches of the last scale below, as they are."""
_SMALL_PIXELS = 2**20
"""Pixels of a picture whose memory is not worth giving back between two scales."""


class Ingredients(Protocol):
    """What a guide is made of: a scene (view.py), as far as it is needed."""

    objective: Objective
    model: Model
    options: Options
    styles: Styles
    places: RememberedPlaces
    arrays: Arrays
    trail: Trail | None

    def canvas(self, side: int) -> tuple[int, int]:
        """(width, height) of the picture with ``side`` pixels on the shorter side."""
        ...

    def photo_at(self, side: int) -> Field:
        """The content in normalised units, [1, 3, H, W]."""
        ...

    def like(self, side: int) -> Any:
        """What the styles' colours are matched to, [H, W, 3] in [0, 1]; None where they are not."""
        ...

    def masks(self, canvas: tuple[int, int]) -> Field:
        """The regions' masks [R, H, W] in [0, 1]."""
        ...


def make_guide(scene: Ingredients, side: int) -> Field:
    """The guide [1, 3, H, W], in normalised units, with ``side`` pixels on the shorter side.

    ``scene`` has a content and styles of which the pixels are there; options ``detail``,
    ``detail_size``, ``coverage`` and ``seed`` are as Options has them. Raises what a Sweeper
    raises.
    """
    guide: Field | None = None
    maker, sides = _Maker(scene), guide_sides(side)
    with _styles_at(sides, maker) as waiting:
        for own in sides:
            guide = maker.next(own, guide, waiting.pop(0))
    assert guide is not None
    photo = scene.photo_at(side)
    drawn = _with_detail(scene, guide, photo)
    return _within_masks(scene, drawn, photo) if scene.styles.regions else drawn


@contextlib.contextmanager
def _styles_at(sides: Sequence[int], maker: _Maker) -> Iterator[list[Callable[[], _Styles]]]:
    """Functions that wait for the styles at one scale after the other.

    They are looked at while the photo is. A picture in tiles has no memory for that: there each is
    looked at when it is asked for.
    """
    if not maker.in_one_piece:
        yield [functools.partial(maker.styles, side) for side in sides]
        return
    ahead = ThreadPoolExecutor(1)
    try:
        yield [ahead.submit(maker.styles, side).result for side in sides]
    finally:
        ahead.shutdown(cancel_futures=True)


def guide_sides(side: int) -> list[int]:
    """The shorter sides of the guide's scales, from small to large."""
    sides = [side]
    while sides[0] // 2 >= _SMALLEST:
        sides.insert(0, sides[0] // 2)
    return sides


class _Styles(NamedTuple):
    """The styles at one scale: their normalised pixels, and what their places are matched by,
    [h, w, D], which is of no length where matches are taken over.
    """

    canvas: Canvas
    descriptors: list[Array]


class _Maker:
    """Goes from scale to scale, and keeps the last one's matches.

    ``styles`` is called for one scale after the other, ``next`` as well, and both by a thread of
    their own.
    """

    def __init__(self, scene: Ingredients) -> None:
        self._scene, self._options = scene, scene.options
        self._threads = count_threads(scene.options.threads)
        self._arithmetic = Arithmetic(self._threads)
        recipe = scene.model.recipe
        self._taps = [tap for tap in scene.model.taps if tap.index in recipe.style_shares]
        self._matches: Matches | None = None
        self._pool: Pool | None = None
        self._basis: Basis | None = None
        self._first: tuple[object, ...] = ()
        """What tells these styles, at the first scale, from others."""
        self.in_one_piece = scene.options.tile_side is None
        self._looker = Looker(
            scene.objective.sweeper, self._taps, self._arithmetic, scene.options.tile_side
        )

    def styles(self, side: int) -> _Styles:
        """What the styles have to match, and to take patches from, at a scale."""
        scene = self._scene
        pixels = scene.styles.pixels(side, scene.model.smallest_side, scene.like(side))
        values = [normalize(own, scene.model) for own in pixels]
        del pixels
        grids = [Grid.of(self._taps, *own.shape[2:]) for own in values]
        canvas = Canvas.of([own[0].transpose(1, 2, 0) for own in values], grids[0].stride)
        if not self._looked_at(side):
            return _Styles(canvas, [np.zeros((*grid.shape, 0), np.float32) for grid in grids])
        # In tiles what is seen differs by rounding, and pictures should have the same bytes again.
        keys = self._options.tile_side, *map(hashed, values)
        self._first = self._first or keys
        places = scene.places.find((self._first, keys))
        if places is None:
            places = self._described(values, grids)
            scene.places.keep((self._first, keys), places)
        self._basis = places.basis
        return _Styles(canvas, places.descriptors)

    def _described(self, values: list[Array], grids: list[Grid]) -> StylePlaces:
        """The places of styles with these pixels; the basis of the first scale serves all."""
        if self._basis is not None:
            seen = [self._looker.over(self._basis, own) for own in values]
            return StylePlaces(self._basis, self._descriptors(self._basis, seen, grids))
        maps = [self._looker.maps(own) for own in values]
        basis = principal_basis(maps, _DIMENSIONS, self._arithmetic)
        seen = [self._looker.seen(basis, own) for own in maps]
        return StylePlaces(basis, self._descriptors(basis, seen, grids))

    def _descriptors(self, basis: Basis, seen: list[Seen], grids: list[Grid]) -> list[Array]:
        return [
            basis.describe(own, self._taps, grid, self._threads).descriptors
            for own, grid in zip(seen, grids, strict=True)
        ]

    def next(self, side: int, before: Field | None, waiting: Callable[[], _Styles]) -> Field:
        """The guide at a scale, after the one of the scale before.

        ``waiting`` gives the styles at that scale, once they have been looked at.
        """
        scene = self._scene
        width, height = scene.canvas(side)
        grid = Grid.of(self._taps, height, width)
        # Of the first scale, which is small, content and styles are looked at side by side.
        ahead = before is None and self.in_one_piece
        maps = self._looker.maps(self._wanted(side, None)) if ahead else {}
        styles = waiting()
        pool = self._pool_of(styles.descriptors)
        if self._looked_at(side):
            assert self._basis is not None
            seen = self._looker.seen(self._basis, maps)
            wanted = None if maps else self._wanted(side, before)
            shown = seen if wanted is None else self._looker.over(self._basis, wanted)
            self._match(side, shown, grid, pool)
        else:
            self._take_over(grid, pool)
        assert self._matches is not None
        self._pool = pool
        work = Patchwork(self._matches, pool, styles.canvas, grid, self._options.seed)
        guide: Any = scene.arrays.zeros((1, 3, height, width))

        def lay(rows: slice) -> None:
            guide[(..., rows, slice(None))] = work.rows(rows, width)

        with ThreadPoolExecutor(self._threads) as executor:
            list(executor.map(lay, row_slices(guide)))
        laid: Field = guide
        return laid

    def _looked_at(self, side: int) -> bool:
        """Whether a scale's places are matched by what the network sees there."""
        width, height = self._scene.canvas(side)
        first = side == guide_sides(self._options.size)[0]
        return first or width * height <= MATCHED_PIXELS

    def _wanted(self, side: int, before: Field | None) -> Array:
        """The content, to which the guide ``before`` is mixed."""
        wanted = whole(self._scene.photo_at(side))
        if before is not None:
            size = self._scene.canvas(side)
            last = self._scene.arrays.resized(before, size, Image.Resampling.BICUBIC)
            wanted = np.float32(_CONTENT) * wanted + np.float32(1 - _CONTENT) * whole(last)
        return wanted

    def _match(self, side: int, seen: Seen, grid: Grid, pool: Pool) -> None:
        """Matches the places of a scale by what is ``seen`` of the content, which is used up."""
        self._give_back_memory()  # before more is taken
        assert self._basis is not None
        queries = self._basis.describe(seen, self._taps, grid, self._threads)
        del seen
        regions = self._regions(grid)
        if self._matches is None:
            strength = 1.0 if self._options.coverage is None else self._options.coverage
            matches = assign(queries.descriptors, regions, pool, self._arithmetic, strength)
            matches = spread(matches, queries, regions, pool)
        else:
            assert self._pool is not None
            matches = enlarge(self._matches, self._pool, grid.shape, pool)
        matches = refine(matches, queries, regions, pool, _ROUNDS, self._threads)
        trail = self._scene.trail
        if trail is not None:
            before = trail.matches.get(side)
            if before is not None:
                matches = hold(before, matches, queries, regions, pool, self._threads)
            trail.matches[side] = matches
        self._matches = matches
        del queries
        self._give_back_memory()

    def _give_back_memory(self) -> None:
        """Does so for a large picture; a small one's is taken again sooner than given back."""
        width, height = self._scene.canvas(self._options.size)
        if width * height > _SMALL_PIXELS:
            give_back_memory()

    def _take_over(self, grid: Grid, pool: Pool) -> None:
        """Matches a large picture's places as the scale before has them."""
        assert self._matches is not None
        assert self._pool is not None
        self._matches = enlarge(self._matches, self._pool, grid.shape, pool)

    def _pool_of(self, descriptors: Sequence[Array]) -> Pool:
        """The styles' places; each has its weight, or, with masks, its part of each region."""
        shapes = [(style.shape[1], style.shape[0]) for style in descriptors]
        return Pool.of(descriptors, self._scene.styles.shares(shapes))

    def _regions(self, grid: Grid) -> NDArray[np.int32]:
        """[h, w]: the region that each place of the content belongs to."""
        size = grid.shape[1], grid.shape[0]
        masks = [mask_values(region.content, size) for region in self._scene.styles.regions]
        if not masks:
            return np.zeros(grid.shape, np.int32)
        regions: NDArray[np.int32] = np.argmax(masks, axis=0).astype(np.int32)
        return regions


def _with_detail(scene: Ingredients, guide: Field, photo: Field) -> Field:
    """The guide with the photo's fine drawing, in shades of grey, and moved into the display's
    range.
    """
    arrays, options = scene.arrays, scene.options
    detail, finer = np.float32(options.detail or 0), options.detail_size or 1
    size = photo.shape[3], photo.shape[2]
    small = (max(1, size[0] // finer), max(1, size[1] // finer))
    coarse = arrays.resized(photo, small, Image.Resampling.BICUBIC)
    coarse = arrays.resized(coarse, size, Image.Resampling.BICUBIC)
    low, high = display_range(scene.model)

    def mixed(laid: Array, drawn: Array, plain: Array) -> tuple[Array, ...]:
        fine = (drawn - plain).mean(axis=1, keepdims=True)
        return (np.clip(laid + detail * fine, low, high),)

    drawn: Field
    (drawn,) = arrays.each(mixed, guide, photo, coarse)
    return drawn


def _within_masks(scene: Ingredients, guide: Field, photo: Field) -> Field:
    """The guide where regions are, and the photo where there is none."""
    masks = scene.masks((photo.shape[3], photo.shape[2]))

    def kept(painted: Array, plain: Array, regions: Array) -> tuple[Array, ...]:
        share = np.minimum(regions.sum(axis=0), np.float32(1))
        return (plain + share * (painted - plain),)

    within: Field
    (within,) = scene.arrays.each(kept, guide, photo, masks)
    return within
