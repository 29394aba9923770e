"""Descriptors of a picture's places: what patches are matched by.

A place is a point of a grid over the picture, and its descriptor the features there, of several
taps side by side (a hypercolumn; Hariharan et al., CVPR 2015). Each tap is centred and brought to
one energy by its own picture's statistics, since a photo's features and a painting's lie elsewhere
(Kolkin et al., "Neural Neighbor Style Transfer", 2022, centre them likewise). Before they are
compared they are reduced to the principal components of the style's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array
from ..network.arithmetic import Arithmetic
from ..network.bundle import Tap

__all__ = ["MARGIN", "Basis", "Described", "Grid", "mirrored", "principal_basis"]

MARGIN = 16
"""Pixels by which a picture is mirrored at its edges before the network sees it, as a multiple of
all strides: else its zero padding would make all edges alike, and match them with edges."""

_LEAST = 1e-12
"""Energies below this are those of a picture without any."""


@dataclass(frozen=True)
class Grid:
    """The places of a picture of height x width pixels: every ``stride`` pixels, from ``first`` on.

    The last ones may lie beyond the picture by less than ``stride``.
    """

    stride: int
    first: int
    shape: tuple[int, int]

    @classmethod
    def of(cls, taps: Sequence[Tap], height: int, width: int) -> Grid:
        """The positions of the tap with the largest stride up to 4, or the smallest above."""
        tap = min(taps, key=lambda tap: (tap.stride > 4, abs(tap.stride - 4)))
        stride = tap.stride
        first = round(_centre(tap)) % stride
        return cls(stride, first, (-(-height // stride), -(-width // stride)))

    def centres(self, axis: int) -> NDArray[np.intp]:
        """The pixels at which the places of that axis are."""
        return self.first + self.stride * np.arange(self.shape[axis])


class Described(NamedTuple):
    """``descriptors`` [h, w, D] of places, float32 of length 1 (or 0).

    ``contrast`` [h, w] is how much there is to see at a place: its energy, over the mean energy.
    """

    descriptors: Array
    contrast: Array


@dataclass(frozen=True)
class Basis:
    """Vectors [C, d] by tap, in float32: the features' principal directions, of all taps together.

    ``energy`` is the share of all energy that each tap's vectors see.
    """

    vectors: Mapping[int, Array]
    energy: Mapping[int, float]

    def dimensions(self, tap: int) -> int:
        """How many vectors a tap has."""
        return int(self.vectors[tap].shape[1])

    def project(self, features: Array, tap: int, arithmetic: Arithmetic) -> Array:
        """What a tap's vectors see in its ``features`` [1, C, h, w]: [d, h, w]."""
        _, channels, height, width = features.shape
        vectors = self.vectors[tap]
        if not vectors.shape[1]:
            return np.zeros((0, height, width), np.float32)
        seen = arithmetic.product(vectors.T, features.reshape(channels, -1))
        return seen.reshape(-1, height, width)

    def describe(
        self, seen: Callable[[int], Array], taps: Sequence[Tap], grid: Grid, threads: int
    ) -> Described:
        """The grid's places described.

        ``seen`` gives what is projected of a tap, [d, h_t, w_t], of a picture with ``MARGIN``
        mirrored pixels around it. So many ``threads`` work on the taps.
        """

        def part_of(tap: Tap) -> Array:
            """What is seen by the tap's vectors at the places, [d, h, w]."""
            projected = seen(tap.index)
            if not len(projected):
                return np.zeros((0, *grid.shape), np.float32)
            part = _at_places(projected, tap, grid)
            part -= part.mean(axis=(1, 2), keepdims=True)
            mean_energy = float(np.square(part).sum(axis=0).mean())
            part *= np.float32(np.sqrt(self.energy[tap.index] / max(mean_energy, _LEAST)))
            return part

        with ThreadPoolExecutor(threads) as executor:
            parts = list(executor.map(part_of, taps))
        together = np.concatenate(parts).transpose(1, 2, 0)
        energy = np.square(together).sum(axis=2)
        lengths = np.sqrt(np.maximum(energy, np.float32(_LEAST)))
        contrast = energy / max(float(energy.mean()), _LEAST)
        return Described(np.ascontiguousarray(together / lengths[..., None]), contrast)


def principal_basis(
    pictures: Sequence[Mapping[int, Array]], dimensions: int, arithmetic: Arithmetic
) -> Basis:
    """The ``dimensions`` directions in which the feature maps of ``pictures`` vary most.

    The maps are [1, C, h, w], by tap. Each tap counts with the same energy, tr(covariance) = 1; one
    that does not vary has no directions.
    """
    spectra = {}
    for tap in pictures[0]:
        covariance = np.mean([_covariance(maps[tap], arithmetic) for maps in pictures], axis=0)
        values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values[::-1], 0)
        spectra[tap] = values / max(values.sum(), _LEAST), vectors[:, ::-1]
    ranked = np.sort(np.concatenate([values for values, _ in spectra.values()]))[::-1]
    least = max(ranked[min(dimensions, len(ranked)) - 1], _LEAST)
    vectors_of, energy = {}, {}
    for tap, (values, vectors) in spectra.items():
        count = int((values >= least).sum())
        vectors_of[tap] = np.ascontiguousarray(vectors[:, :count], np.float32)
        energy[tap] = float(values[:count].sum())
    return Basis(vectors_of, energy)


def _covariance(values: Array, arithmetic: Arithmetic) -> NDArray[np.float64]:
    """[C, C], of every other row and column of a map [1, C, h, w], in float64."""
    flat = values[0, :, ::2, ::2].reshape(values.shape[1], -1)
    mean = flat.mean(axis=1, dtype=np.float64)
    second = arithmetic.product(flat, flat.T) / np.float64(flat.shape[1])
    covariance: NDArray[np.float64] = second - np.outer(mean, mean)
    return covariance


def mirrored(values: Array) -> Array:
    """Normalised values [1, 3, H, W] with ``MARGIN`` pixels more on each side, mirrored."""
    around = ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
    return np.pad(values, around, mode="symmetric")


def _centre(tap: Tap) -> float:
    """The pixel in the middle of what the tap's first feature sees."""
    return tap.receptive_start + (tap.receptive_field - 1) / 2


def _at_places(values: Array, tap: Tap, grid: Grid) -> Array:
    """``values`` [D, h_t, w_t] of a tap at the places of ``grid``: [D, h, w].

    Linear between positions that are further apart than places, a triangle of theirs otherwise.
    """
    for axis in (0, 1):
        at = (grid.centres(axis) + MARGIN - _centre(tap)) / tap.stride
        values = _resampled(values, at, max(1.0, grid.stride / tap.stride), axis + 1)
    return values


def _resampled(values: Array, at: NDArray[np.float64], radius: float, axis: int) -> Array:
    total: Array | None = None
    weight = np.zeros(len(at), np.float32)
    length = values.shape[axis]
    shape = [1, 1, 1]
    shape[axis] = -1
    for offset in range(-int(radius), int(radius) + 2):
        index = np.floor(at).astype(np.intp) + offset
        share = np.maximum(0, 1 - np.abs(index - at) / radius).astype(np.float32)
        if not share.any():
            continue
        part = values.take(np.clip(index, 0, length - 1), axis) * share.reshape(shape)
        total = part if total is None else total + part
        weight += share
    assert total is not None
    return total / weight.reshape(shape)
