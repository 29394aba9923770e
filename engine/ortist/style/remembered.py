"""What was found of styles, kept from one picture to the next."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np

from ..arrays import Array
from ..network.bundle import Model
from .descriptors import Basis
from .guides import Guides
from .moments import Moments
from .styles import Observer

__all__ = ["RememberedPlaces", "RememberingObserver", "StylePlaces", "hashed"]

_KEPT = 32
"""Pictures whose moments are kept: the scales of a few styles, some MiB at most."""
_PLACES_BYTES = 32 * 2**20
"""What descriptors of places may take that are kept: those of two or three styles at 512 pixels."""


class StylePlaces(NamedTuple):
    """``descriptors`` [h, w, D] of the places of each style, in the ``basis`` of them all."""

    basis: Basis
    descriptors: list[Array]

    @property
    def nbytes(self) -> int:
        """Bytes of the descriptors."""
        return sum(own.nbytes for own in self.descriptors)


class RememberedPlaces:
    """The places of the last styles that were described, by whatever tells these apart.

    May be used by several threads.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, StylePlaces] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> StylePlaces | None:
        """What was kept; None for what was not, or is no longer."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def keep(self, key: Hashable, places: StylePlaces) -> None:
        """Keeps them, unless they are large; those that were not asked for longest go."""
        if places.nbytes > _PLACES_BYTES // 4:
            return
        with self._lock:
            self._known[key] = places
            while sum(kept.nbytes for kept in self._known.values()) > _PLACES_BYTES:
                self._known.popitem(last=False)


class RememberingObserver:
    """What ``observer`` finds; what it found of the last pictures, without looking again.

    A picture is known by its values, so that a file that has changed is another picture.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._known: OrderedDict[tuple[object, ...], dict[int, list[Moments]]] = OrderedDict()

    @property
    def model(self) -> Model:
        """The model whose features are observed."""
        return self._observer.model

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        """The moments of ``image`` [1, 3, H, W], normalised: by tap, one for each region."""
        taps = tuple(taps)
        masks = None if guides is None else hashed(np.asarray(guides.masks))
        key = (hashed(image), masks, taps)
        found = self._known.pop(key, None)
        if found is None:
            found = self._observer.moments(image, taps, guides)
        self._known[key] = found
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found


def hashed(values: Array) -> tuple[bytes, tuple[int, ...]]:
    """What tells ``values`` from others: their hash and shape."""
    return hashlib.blake2b(np.ascontiguousarray(values).data).digest(), values.shape
