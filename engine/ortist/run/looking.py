"""What a network sees of a picture, as what is matched needs it: whole, or tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..arrays import Array
from ..network.arithmetic import Arithmetic
from ..network.bundle import Tap
from ..network.features import FeatureMaps
from ..objective.pieces import plan_tiles
from ..objective.sweeper import Sweeper
from ..style.descriptors import Basis, mirrored

__all__ = ["Looker", "Seen"]

Seen = Callable[[int], Array]
"""From a tap's index to what a basis sees of its features, [d, h, w]; each can be had once."""


class Looker:
    """The features at ``taps`` of pictures with mirrored edges, by the ``sweeper``'s model.

    ``tile`` is the side of the tiles in pixels, None for whole pictures. The features of a tile are
    those of the whole, to rounding. Several threads may look at once.
    """

    def __init__(
        self, sweeper: Sweeper, taps: Sequence[Tap], arithmetic: Arithmetic, tile: int | None
    ) -> None:
        self._sweeper, self._taps, self._arithmetic = sweeper, taps, arithmetic
        self._features = FeatureMaps(sweeper.model, arithmetic.threads)
        self._in_tiles = tile is not None
        # What sees the whole picture sees another in every tile.
        self._tile = None if any(tap.sees_everything for tap in taps) else tile

    def maps(self, pixels: Array) -> dict[int, Array]:
        """The feature maps [1, C, h, w] over normalised ``pixels`` [1, 3, H, W], by tap."""
        return self._maps(mirrored(pixels))

    def seen(self, basis: Basis, maps: dict[int, Array]) -> Seen:
        """What ``basis`` sees of each of the ``maps``, which is used up."""
        return lambda tap: basis.project(maps.pop(tap), tap, self._arithmetic)

    def over(self, basis: Basis, pixels: Array) -> Seen:
        """What ``basis`` sees over normalised ``pixels`` [1, 3, H, W]."""
        shown, taps = mirrored(pixels), self._taps
        height, width = shown.shape[2:]
        least = self._sweeper.model.smallest_side
        tiles = plan_tiles(height, width, self._tile, taps, least, observing=True)
        if len(tiles) == 1:
            return self.seen(basis, self._maps(shown))
        whole = {
            tap.index: np.empty(
                (basis.dimensions(tap.index), tap.length(height), tap.length(width)), np.float32
            )
            for tap in taps
        }
        for tile in tiles:
            seen = self.seen(basis, self._maps(np.ascontiguousarray(shown[(..., *tile.seen)])))
            own = tile.own(taps)
            assert own is not None
            for tap in taps:
                part = seen(tap.index)[(..., *own[tap.index])]
                down, right = (span.begin // tap.stride for span in (tile.rows, tile.columns))
                place = slice(down, down + part.shape[1]), slice(right, right + part.shape[2])
                whole[tap.index][(..., *place)] = part
        return whole.pop

    def _maps(self, shown: Array) -> dict[int, Array]:
        taps = [tap.index for tap in self._taps]
        if not self._sweeper.model.has_features:
            return self._sweeper.maps(shown, taps)
        # Of a picture in tiles the session goes with it, of which some 30 MB would stay.
        return (self._once if self._in_tiles else self._features).of(shown, taps)

    @property
    def _once(self) -> FeatureMaps:
        return FeatureMaps(self._sweeper.model, self._arithmetic.threads)
