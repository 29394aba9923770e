"""The work of one tile: from its pixels to moments, and from matrices to its pixels' gradient.

Each is a method with one argument and one result, both made of arrays and numbers: what a tile sees
of the picture, the content's features and the masks, and C x C matrices. So the work can be done
by any worker that has the model, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ortist_models import FEATURES, PULLBACK

from .guides import Guides
from .images import Array
from .models import Model, Tap
from .moments import Moments, sum_moments
from .objective import check_interface, explain
from .options import Provider
from .runtime import available_cpus, open_session, shrinking

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Look", "Pull", "Seen", "TapPull", "TileWorker"]

Positions = tuple[slice, slice]


@dataclass(frozen=True)
class Look:
    """Pass 1 of a tile: ``pixels`` [1, 3, h, w] is what it sees, ``guides`` are over the same.

    ``own`` says, for each tap wanted, which of the positions seen are the tile's own. Those of
    ``style`` taps are summed into moments, those of ``content`` taps compared with the content's
    features, which are over all that it sees.
    """

    pixels: Array
    own: Mapping[int, Positions]
    style: tuple[int, ...]
    content: Mapping[int, Array]
    guides: Guides | None


@dataclass(frozen=True)
class Seen:
    """By tap: moments in each region, ||F - P||^2 and number of the tile's own positions.

    ``shapes`` are the [h, w] of the maps that it sees.
    """

    moments: Mapping[int, list[Moments]]
    errors: Mapping[int, float]
    positions: Mapping[int, int]
    shapes: Mapping[int, tuple[int, int]]


@dataclass(frozen=True)
class TapPull:
    """A tap's M [R, C, C] and v [R, C, 1], and the weight of its content loss.

    Without style R = 0; where v is all zero its R may be 0.
    """

    mixing: Array
    shift: Array
    content_weight: float


@dataclass(frozen=True)
class Pull:
    """Pass 2 of a tile: ``content`` are features over all that it sees, ``inside`` its own pixels.

    ``shapes`` are those that pass 1 reported.
    """

    pixels: Array
    inside: Positions
    taps: Mapping[int, TapPull]
    content: Mapping[int, Array]
    guides: Guides | None
    shapes: Mapping[int, tuple[int, int]]


class TileWorker:
    """One model on one provider."""

    def __init__(self, model: Model, provider: Provider, threads: int | None) -> None:
        self.model = model
        self._threads = ThreadPoolExecutor(threads or available_cpus())
        self._forward = open_session(model.read(FEATURES), provider, threads, spinning=False)
        self._pullback = open_session(model.read(PULLBACK), provider, threads, spinning=False)
        taps = [tap.index for tap in model.taps]
        check_interface(model, self._forward, {"image"}, {f"tap_{tap}" for tap in taps})
        names = ("mixing", "shift", "guides", "features", "content_weight")
        inputs = {f"{name}_{tap}" for name in names for tap in taps}
        check_interface(model, self._pullback, {"image", *inputs}, {"gradient"})
        self.provider: str = self._pullback.get_providers()[0]

    def maps(self, pixels: Array, taps: Iterable[int]) -> dict[int, Array]:
        """The feature maps [1, C, h, w] over ``pixels``; raises ResourceError as ``observe``."""
        names = {tap: f"tap_{tap}" for tap in taps}
        found = _run(self._forward, list(names.values()), {"image": pixels})
        return dict(zip(names, found, strict=True))

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        side = self.model.smallest_side
        image = np.zeros((1, 3, side, side), np.float32)
        self._forward.run([f"tap_{self.model.taps[0].index}"], {"image": image}, shrinking())

    def observe(self, look: Look) -> Seen:
        """Pass 1; raises ResourceError when memory runs out."""
        maps = self.maps(look.pixels, look.own)
        found = self._threads.map(lambda tap: self._observed(look, tap, maps[tap]), maps)
        moments: dict[int, list[Moments]] = {}
        errors: dict[int, float] = {}
        positions: dict[int, int] = {}
        for tap, (own_moments, error, count) in zip(maps, found, strict=True):
            positions[tap] = count
            if own_moments:
                moments[tap] = own_moments
            if error is not None:
                errors[tap] = error
        shapes = {tap: (features.shape[2], features.shape[3]) for tap, features in maps.items()}
        return Seen(moments, errors, positions, shapes)

    def _observed(
        self, look: Look, tap: int, features: Array
    ) -> tuple[list[Moments], float | None, int]:
        """The moments of one tap, ||F - P||^2 and the number of positions."""
        own = features[(..., *look.own[tap])]
        moments: list[Moments] = []
        if tap in look.style:
            shape = features.shape[2], features.shape[3]
            guides = _guides(look.guides, self._tap(tap), shape)
            if guides is None:
                moments = [sum_moments(own)]
            else:
                moments = [sum_moments(own, g[look.own[tap]]) for g in guides]
        error = None
        if tap in look.content:
            difference = own - look.content[tap][(..., *look.own[tap])]
            error = float(np.square(difference, out=difference).sum(dtype=np.float64))
        return moments, error, own[0, 0].size

    def pull(self, pull: Pull) -> Array:
        """Pass 2: the gradient [1, 3, h, w] of the inside; raises ResourceError as ``observe``."""
        feed: dict[str, Any] = {"image": pull.pixels}
        for tap in self.model.taps:
            t, channels = tap.index, tap.channels
            own = pull.taps.get(t) or TapPull(_none(channels, channels), _none(channels, 1), 0.0)
            guides = None
            if len(own.mixing):
                guides = _guides(pull.guides, tap, pull.shapes[t])
            feed[f"mixing_{t}"], feed[f"shift_{t}"] = own.mixing, own.shift
            feed[f"guides_{t}"] = _none(1, 1, 1) if guides is None else guides[:, None]
            feed[f"features_{t}"] = pull.content.get(t, _none(channels, 1, 1))
            feed[f"content_weight_{t}"] = np.array(own.content_weight, np.float32)
        (gradient,) = _run(self._pullback, ["gradient"], feed)
        inside: Array = gradient[(..., *pull.inside)]
        return inside

    def _tap(self, index: int) -> Tap:
        return next(tap for tap in self.model.taps if tap.index == index)


def _run(session: InferenceSession, names: list[str], feed: dict[str, Any]) -> list[Array]:
    try:
        found: list[Array] = session.run(names, feed)
    except Exception as error:
        explain(error, feed["image"])
        raise
    return found


def _guides(guides: Guides | None, tap: Tap, shape: tuple[int, int]) -> Array | None:
    return None if guides is None else guides.over(tap, slice(0, shape[0]), slice(0, shape[1]))


def _none(*shape: int) -> Array:
    """An empty input, which the pullback passes over."""
    return np.zeros((0, *shape), np.float32)
