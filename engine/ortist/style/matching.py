"""Matches: which place of the styles each place of the content is most like.

At the first, coarsest scale all places are compared with all (``assign``). A bias for each place of
the pool, found by Sinkhorn-like rounds, sees to it that all of the pool is used, after the relaxed
earth mover's distance of Kolkin et al., "STROTSS" (CVPR 2019). At finer scales only what lies
around the coarser matches is tried, and what the neighbours have (``refine``; after Barnes et al.,
"PatchMatch", SIGGRAPH 2009), so that the cost grows with the number of places and no faster.

A match counts for more where the places beside it are matched with the places beside its own:
then the guide copies strokes whole (after Ashikhmin, "Synthesizing natural textures", I3D 2001).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Array
from ..network.arithmetic import Arithmetic
from .descriptors import Described

__all__ = ["Matches", "Pool", "assign", "enlarge", "hold", "refine", "spread"]

Ints = NDArray[np.int32]

_ROUNDS = 12
"""Steps of the search for the bias; more change no picture that could be seen."""
_SAMPLE = 700
"""About how many of the content's places are asked in each of them."""
_TEMPERATURE = 0.1
"""The softmax's in those rounds, in units of the cosine."""
_COHERENCE = 0.4
"""What a match gains, in units of the cosine, where all four neighbours agree with it and there is
nothing to see in the content; half of it at places of mean contrast, less where there is more."""
_HELD = 0.1
"""What another match must be better by to replace that of the picture before, in units of the
cosine."""
_BLOCK = 11_000
"""About how many places a thread refines at a time: of fewer, it is Python that takes the time."""
_FORBIDDEN = np.float32(-4)
"""The bias of a place that may not be taken; cosine, bias and coherence never make up for it."""


@dataclass(frozen=True)
class Pool:
    """The places that patches are taken from: those of several styles, one below the other.

    ``descriptors`` [rows, columns, D] are of length 1. ``top``, ``bottom`` and ``width`` [rows] are
    what the style that a row belongs to has: its first row, the row after its last, its columns.
    ``shares`` [regions, rows, columns] say how much of each region of the content each place is to
    have, summing to 1 for a region; a place of share 0 may not be taken.
    """

    descriptors: Array
    top: Ints
    bottom: Ints
    width: Ints
    shares: Array

    @classmethod
    def of(cls, styles: Sequence[Array], weights: Sequence[Sequence[Array]]) -> Pool:
        """The pool of these styles' descriptors [h, w, D].

        ``weights`` [h, w], by region and style, say how much a place counts; where all of a
        region's are 0, all places count alike.
        """
        rows, columns = sum(map(len, styles)), max(style.shape[1] for style in styles)
        descriptors = np.zeros((rows, columns, styles[0].shape[2]), np.float32)
        shares = np.zeros((len(weights), rows, columns), np.float32)
        anywhere = np.zeros((rows, columns), np.float32)
        top, bottom, width = (np.empty(rows, np.int32) for _ in range(3))
        start = 0
        for number, style in enumerate(styles):
            own, wide = slice(start, start + len(style)), style.shape[1]
            descriptors[own, :wide], anywhere[own, :wide] = style, 1
            top[own], bottom[own], width[own] = own.start, own.stop, wide
            for region, by_style in enumerate(weights):
                shares[region, own, :wide] = by_style[number]
            start = own.stop
        for share in shares:
            share[...] = share if share.any() else anywhere
            share /= share.sum()
        return cls(descriptors, top, bottom, width, shares)

    @property
    def tops(self) -> Ints:
        """The first row of each style."""
        return self.top[np.flatnonzero(np.diff(self.top, prepend=-1))]

    def style_of(self, rows: Ints) -> NDArray[np.intp]:
        """The number of the style that each of ``rows`` belongs to."""
        numbers: NDArray[np.intp] = np.searchsorted(self.tops, self.top[rows])
        return numbers

    @property
    def bias(self) -> Array:
        """[regions, rows, columns]: 0, or what keeps a place from being taken."""
        return np.where(self.shares > 0, np.float32(0), _FORBIDDEN)


@dataclass(frozen=True)
class Matches:
    """Row and column in the pool, int32 [h, w], of each place of the content.

    ``bias`` [regions, rows, columns] is what made all of the pool be used.
    """

    row: Ints
    column: Ints
    bias: Array


def assign(
    queries: Array, regions: Ints, pool: Pool, arithmetic: Arithmetic, strength: float = 1.0
) -> Matches:
    """Matches of ``queries`` [h, w, D], all places with all, within each of the ``regions`` [h, w].

    ``strength`` is how much of the bias is applied, 0 for none.
    """
    height, width, dimensions = queries.shape
    flat, region_of = queries.reshape(-1, dimensions), regions.reshape(-1)
    places = np.ascontiguousarray(pool.descriptors.reshape(-1, dimensions).T)
    match = np.zeros(len(flat), np.int64)
    bias = np.zeros(pool.shares.shape, np.float32)
    allowed = pool.bias.reshape(len(bias), -1)
    for region, share in enumerate(pool.shares.reshape(len(bias), -1)):
        chosen = np.flatnonzero(region_of == region)
        if not len(chosen):
            continue
        sample = flat[chosen[:: max(1, round(len(chosen) / _SAMPLE))]] / np.float32(_TEMPERATURE)
        lack = np.zeros(len(share), np.float32)
        wanted = len(sample) * np.where(share > 0, share, 1)
        for _ in range(_ROUNDS if strength > 0 else 0):
            load = arithmetic.load(
                sample, places, allowed[region] / np.float32(_TEMPERATURE) + lack
            )
            lack -= np.float32(0.5) * np.log(load / wanted + 0.05).astype(np.float32)
        own = np.float32(_TEMPERATURE * strength) * lack
        bias[region] = own.reshape(bias[region].shape)
        match[chosen] = arithmetic.best(flat[chosen], places, allowed[region] + own)
    row, column = divmod(match.reshape(height, width), pool.descriptors.shape[1])
    return Matches(row.astype(np.int32), column.astype(np.int32), bias)


def spread(matches: Matches, queries: Described, regions: Ints, pool: Pool) -> Matches:
    """Matches that go with their neighbours', where that costs little likeness.

    From the upper left corner to the lower right one, each place may take what the matches of the
    places above it and to its left come to here. A round of ``refine`` asks all places at once, and
    where there is nothing to see they all give one answer: the same patch over and over. Asked one
    after the other, as by PatchMatch, they go on with a stroke that one of them has begun. Those on
    a diagonal do not touch, and are asked together. To go the other way as well changed no picture
    that could be seen.
    """
    (height, width), bias = matches.row.shape, pool.bias + matches.bias
    row, column = (np.pad(part, 1, mode="edge") for part in (matches.row, matches.column))
    flat_bias, places = bias.reshape(-1), pool.descriptors.reshape(-1, pool.descriptors.shape[2])
    agreement = _agreement(queries)
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y

        def beside(down: int, right: int, y: Any = y, x: Any = x) -> tuple[Ints, Ints]:
            return row[y + 1 + down, x + 1 + right], column[y + 1 + down, x + 1 + right]

        own = beside(0, 0)
        above, left = beside(-1, 0), beside(0, -1)
        rows = np.stack([own[0], above[0] + 1, left[0]])
        columns = np.stack([own[1], above[1], left[1] + 1])
        rows, columns = _within(rows, columns, np.stack([own[0], above[0], left[0]]), pool)
        flat = rows * pool.descriptors.shape[1] + columns
        score = np.einsum("nd,cnd->cn", queries.descriptors[y, x], places.take(flat, axis=0))
        agreeing = _agreeing(rows, columns, beside)
        score += agreement[y, x] * agreeing
        score += flat_bias.take(regions[y, x] * bias[0].size + flat)
        best = score.argmax(axis=0)[None]  # the first of equals: what is there already
        row[y + 1, x + 1] = np.take_along_axis(rows, best, 0)[0]
        column[y + 1, x + 1] = np.take_along_axis(columns, best, 0)[0]
    inside = slice(1, -1), slice(1, -1)
    return Matches(row[inside].copy(), column[inside].copy(), matches.bias)


def enlarge(matches: Matches, pool: Pool, shape: tuple[int, int], larger: Pool) -> Matches:
    """``matches`` with places of ``pool`` as the matches of a grid of ``shape`` with ``larger``'s.

    A place between two keeps its distance to the nearer one. The bias is halved: what is fine
    is chosen by likeness, within what is coarse.
    """
    position = [_between(shape[axis], matches.row.shape[axis]) for axis in (0, 1)]
    (rows, down), (columns, right) = position
    row, column = (part[np.ix_(rows, columns)] for part in (matches.row, matches.column))
    # Styles stand one below the other in both pools, in the same order.
    top = larger.tops[pool.style_of(row)]
    tall = larger.bottom[top] - top
    vertical = tall / (pool.bottom[row] - pool.top[row])
    across = larger.width[top] / pool.width[row]
    row = top + ((row - pool.top[row] + 0.5 + down[:, None]) * vertical).astype(np.int32)
    column = ((column + 0.5 + right) * across).astype(np.int32)
    row, column = _within(row, column, top, larger)
    size = larger.shares.shape[:0:-1]
    resized = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
        for plane in matches.bias
    ]
    return Matches(row, column, np.float32(0.5) * np.stack(resized))


def refine(
    matches: Matches, queries: Described, regions: Ints, pool: Pool, rounds: int, threads: int
) -> Matches:
    """Better matches, each round out of the last one's: the neighbours', and those around its own.

    A score is the cosine, the bias, and what the share of the four neighbours that agree is worth:
    flat places go with their neighbours, the drawing is kept where there is one. ``threads`` share
    the rows, which gives the same matches for any number.
    """
    row, column, bias = matches.row, matches.column, pool.bias + matches.bias
    with ThreadPoolExecutor(threads) as executor:
        for _ in range(rounds):
            search = _Round(row, column, queries, regions, pool, bias)
            parts = list(executor.map(search.best, _blocks(row)))
            row, column = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Matches(row, column, matches.bias)


def hold(
    before: Matches, after: Matches, queries: Described, regions: Ints, pool: Pool, threads: int
) -> Matches:
    """The matches ``after``; where those ``before`` are hardly worse, those go on.

    Both are of places of ``pool``, for a picture that follows another, as in a film: a stroke stays
    where it is until what it stands for has changed.
    """
    bias, scores = pool.bias + after.bias, []
    with ThreadPoolExecutor(threads) as executor:
        for matches in (before, after):
            search = _Round(matches.row, matches.column, queries, regions, pool, bias)
            scores.append(np.concatenate(list(executor.map(search.own, _blocks(matches.row)))))
    kept = scores[0] + np.float32(_HELD) >= scores[1]
    row, column = (
        np.where(kept, old, new)
        for old, new in ((before.row, after.row), (before.column, after.column))
    )
    return Matches(row, column, after.bias)


class _Round:
    """One round of the refinement: candidates are looked up in the matches that it began with."""

    def __init__(
        self,
        row: Ints,
        column: Ints,
        queries: Described,
        regions: Ints,
        pool: Pool,
        bias: Array,
    ) -> None:
        self._row, self._column = (np.pad(part, 1, mode="edge") for part in (row, column))
        self._queries, self._regions, self._pool = queries.descriptors, regions, pool
        self._agreement = _agreement(queries)
        self._descriptors = pool.descriptors.reshape(-1, pool.descriptors.shape[2])
        self._bias = bias.reshape(len(bias), -1)

    def best(self, block: slice) -> tuple[Ints, Ints]:
        """The best match of each place in the rows of ``block``."""
        row, column = self._beside(block, 0, 0)
        best = self._score(block, row, column)
        for candidate in self._candidates(block, row, column):
            score = self._score(block, *candidate)
            better = score > best
            best = np.where(better, score, best)
            row, column = (
                np.where(better, new, old)
                for new, old in zip(candidate, (row, column), strict=True)
            )
        return row, column

    def own(self, block: slice) -> Array:
        """The scores of the matches that it began with."""
        return self._score(block, *self._beside(block, 0, 0))

    def _candidates(self, block: slice, row: Ints, column: Ints) -> Iterator[tuple[Ints, Ints]]:
        """What the eight neighbours' matches come to here, and the eight places around the own."""
        around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
        for down, right in around:
            there, beside = self._beside(block, down, right)
            yield _within(there - down, beside - right, there, self._pool)
        for down, right in around:
            yield _within(row + down, column + right, row, self._pool)

    def _beside(self, block: slice, down: int, right: int) -> tuple[Ints, Ints]:
        """The matches of the places that lie so far from those of the block."""
        width = self._row.shape[1] - 2
        rows = slice(block.start + 1 + down, block.stop + 1 + down)
        columns = slice(1 + right, 1 + right + width)
        return self._row[rows, columns], self._column[rows, columns]

    def _score(self, block: slice, row: Ints, column: Ints) -> Array:
        flat = row * self._pool.descriptors.shape[1] + column
        there = self._descriptors.take(flat, axis=0)  # twice as fast as by indices in brackets
        cosine = np.einsum("hwd,hwd->hw", self._queries[block], there)
        agreeing = _agreeing(row, column, functools.partial(self._beside, block))
        score: Array = cosine + self._agreement[block] * agreeing
        score += self._bias.take(self._regions[block] * self._bias.shape[1] + flat)
        return score


def _blocks(row: Ints) -> list[slice]:
    """The rows of blocks that threads share."""
    rows = max(1, _BLOCK // row.shape[1])
    return [slice(t, min(t + rows, len(row))) for t in range(0, len(row), rows)]


def _agreement(queries: Described) -> Array:
    """What a match gains by each neighbour that agrees with it, [h, w]."""
    return np.float32(_COHERENCE / 4) / (1 + queries.contrast)


def _agreeing(row: Ints, column: Ints, beside: Callable[[int, int], tuple[Ints, Ints]]) -> Array:
    """How many of the four neighbours agree with these matches; ``beside`` tells theirs."""
    agreeing = np.zeros(row.shape, np.float32)
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        rows, columns = beside(down, right)
        agreeing += (rows - down == row) & (columns - right == column)
    return agreeing


def _within(row: Ints, column: Ints, of: Ints, pool: Pool) -> tuple[Ints, Ints]:
    """Places moved into the style to which the rows ``of`` belong."""
    inside = np.clip(row, pool.top[of], pool.bottom[of] - 1)
    return inside.astype(np.int32), np.clip(column, 0, pool.width[of] - 1).astype(np.int32)


def _between(count: int, coarse: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For ``count`` places along ``coarse`` ones: the nearest, and how far beyond its middle."""
    at = (np.arange(count) + 0.5) * coarse / count
    nearest = np.minimum(at.astype(np.intp), coarse - 1)
    return nearest, at - nearest - 0.5
