"""Moments of styles, kept from one picture to the next."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

import numpy as np

from ..arrays import Array
from ..network.bundle import Model
from .guides import Guides
from .moments import Moments
from .styles import Observer

__all__ = ["RememberingObserver"]

_KEPT = 32
"""Pictures whose moments are kept: the scales of a few styles, some MiB at most."""


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
        masks = None if guides is None else _hashed(np.asarray(guides.masks))
        key = (_hashed(image), masks, taps)
        found = self._known.pop(key, None)
        if found is None:
            found = self._observer.moments(image, taps, guides)
        self._known[key] = found
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found


def _hashed(values: Array) -> tuple[bytes, tuple[int, ...]]:
    return hashlib.blake2b(np.ascontiguousarray(values).data).digest(), values.shape
