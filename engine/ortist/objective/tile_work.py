"""The work of one tile: from its pixels to moments, and from matrices to its pixels' gradient.

Each is a method with one argument and one result, both made of arrays and numbers: what a tile sees
of the picture, the content's features and the masks, and C x C matrices. So the work can be done
by any worker that has the model, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ortist_models import PULLBACK

from ..arrays import Array
from ..network.bundle import Model, Tap
from ..network.sessions import available_cpus, open_session
from ..options.fields import Provider
from ..style.guides import Guides
from ..style.moments import Moments, sum_moments
from .feature_maps import FeatureMaps, check_interface, explain

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Content", "Look", "Pull", "Pulled", "Seen", "TapPull", "TileWorker"]

Positions = tuple[slice, slice]


@dataclass(frozen=True)
class Content:
    """The content's features P at ``taps``, over all that a tile sees: in ``features`` where they
    were kept, or else those of its ``pixels`` [1, 3, h, w], which are less to send.
    """

    taps: tuple[int, ...] = ()
    features: Mapping[int, Array] = field(default_factory=dict)
    pixels: Array | None = None


@dataclass(frozen=True)
class Look:
    """Pass 1 of a tile: ``pixels`` [1, 3, h, w] is what it sees, ``guides`` are over the same.

    ``own`` says, for each tap wanted, which of the positions seen are the tile's own. Those of
    ``style`` taps are summed into moments, those of the ``content``'s compared with its features,
    where the next pass must know how far off they are.
    """

    pixels: Array
    own: Mapping[int, Positions]
    style: tuple[int, ...]
    content: Content
    guides: Guides | None


@dataclass(frozen=True)
class Seen:
    """By tap: moments in each region, ||F - P||^2, ||P||^2 and number of the tile's own positions.

    ``shapes`` are the [h, w] of the maps that it sees.
    """

    moments: Mapping[int, list[Moments]]
    errors: Mapping[int, float]
    energies: Mapping[int, float]
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
    """Pass 2 of a tile: ``inside`` are its own pixels, ``own`` and ``guides`` those of ``Look``.

    ``shapes`` are those that pass 1 reported.
    """

    pixels: Array
    inside: Positions
    own: Mapping[int, Positions]
    taps: Mapping[int, TapPull]
    content: Content
    guides: Guides | None
    shapes: Mapping[int, tuple[int, int]]


@dataclass(frozen=True)
class Pulled:
    """The gradient [1, 3, h, w] of the inside; by tap, ||F - P||^2 of the tile's own positions."""

    gradient: Array
    errors: Mapping[int, float]


class TileWorker:
    """One model on one provider."""

    def __init__(self, model: Model, provider: Provider, threads: int | None) -> None:
        self.model = model
        self._threads = ThreadPoolExecutor(threads or available_cpus())
        self._maps = FeatureMaps(model, provider, threads, spinning=False)
        self._pullback = open_session(model.read(PULLBACK), provider, threads, spinning=False)
        taps = [tap.index for tap in model.taps]
        names = ("mixing", "shift", "guides", "features", "content_weight", "counted")
        inputs = {f"{name}_{tap}" for name in names for tap in taps}
        outputs = {"gradient", *(f"content_error_{tap}" for tap in taps)}
        check_interface(model, self._pullback, {"image", *inputs}, outputs)

    def provider(self) -> str:
        """The provider in use, in ONNX Runtime's words."""
        return str(self._pullback.get_providers()[0])

    def features(self, pixels: Array, taps: Iterable[int]) -> dict[int, Array]:
        """The feature maps [1, C, h, w] over ``pixels``, to be kept; raises as ``observe``."""
        # Copied out of ONNX Runtime's memory, which is in few pieces then.
        return {tap: found.copy() for tap, found in self._maps(pixels, taps).items()}

    def energies(self, content: Content, own: Mapping[int, Positions]) -> dict[int, float]:
        """||P||^2 of the tile's own positions, by tap; raises as ``observe``."""
        return {tap: _energy(p[(..., *own[tap])]) for tap, p in self._content(content).items()}

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        self._maps.release()

    def observe(self, look: Look) -> Seen:
        """Pass 1; raises ResourceError when memory runs out."""
        content = self._content(look.content)
        maps = self._maps(look.pixels, look.own)
        style = {tap: maps[tap] for tap in look.style}
        found = self._threads.map(lambda tap: self._moments(look, tap, style[tap]), style)
        own = {tap: features[(..., *look.own[tap])] for tap, features in maps.items()}
        targets = {tap: p[(..., *look.own[tap])] for tap, p in content.items()}
        return Seen(
            moments=dict(zip(style, found, strict=True)),
            errors={tap: _energy(own[tap] - target) for tap, target in targets.items()},
            energies={tap: _energy(target) for tap, target in targets.items()},
            positions={tap: features[0, 0].size for tap, features in own.items()},
            shapes={tap: (features.shape[2], features.shape[3]) for tap, features in maps.items()},
        )

    def _moments(self, look: Look, tap: int, features: Array) -> list[Moments]:
        """The moments of one tap in each region."""
        own = features[(..., *look.own[tap])]
        guides = _guides(look.guides, self._tap(tap), (features.shape[2], features.shape[3]))
        if guides is None:
            return [sum_moments(own)]
        return [sum_moments(own, guide[look.own[tap]]) for guide in guides]

    def pull(self, pull: Pull) -> Pulled:
        """Pass 2; raises ResourceError as ``observe``."""
        content = self._content(pull.content)
        feed: dict[str, Any] = {"image": pull.pixels}
        for tap in self.model.taps:
            t, channels = tap.index, tap.channels
            own = pull.taps.get(t) or TapPull(_none(channels, channels), _none(channels, 1), 0.0)
            guides = None
            if len(own.mixing):
                guides = _guides(pull.guides, tap, pull.shapes[t])
            feed[f"mixing_{t}"], feed[f"shift_{t}"] = own.mixing, own.shift
            feed[f"guides_{t}"] = _none(1, 1, 1) if guides is None else guides[:, None]
            feed[f"features_{t}"] = content.get(t, _none(channels, 1, 1))
            feed[f"content_weight_{t}"] = np.array(own.content_weight, np.float32)
            feed[f"counted_{t}"] = _none(1, 1, 1)
            if t in content:
                feed[f"counted_{t}"] = np.zeros((1, 1, *content[t].shape[2:]), np.float32)
                feed[f"counted_{t}"][(..., *pull.own[t])] = 1
        names = ["gradient", *(f"content_error_{tap}" for tap in content)]
        gradient, *errors = _run(self._pullback, names, feed)
        inside: Array = gradient[(..., *pull.inside)]
        return Pulled(inside, {t: float(e) for t, e in zip(content, errors, strict=True)})

    def _content(self, content: Content) -> Mapping[int, Array]:
        if content.pixels is None:
            return content.features
        return self.features(content.pixels, content.taps)

    def _tap(self, index: int) -> Tap:
        return next(tap for tap in self.model.taps if tap.index == index)


def _run(session: InferenceSession, names: list[str], feed: dict[str, Any]) -> list[Array]:
    try:
        found: list[Array] = session.run(names, feed)
    except Exception as error:
        explain(error, feed["image"])
        raise
    return found


def _energy(values: Array) -> float:
    return sum(float(np.square(channel, dtype=np.float64).sum()) for channel in values[0])


def _guides(guides: Guides | None, tap: Tap, shape: tuple[int, int]) -> Array | None:
    return None if guides is None else guides.over(tap, slice(0, shape[0]), slice(0, shape[1]))


def _none(*shape: int) -> Array:
    """An empty input, which the pullback passes over."""
    return np.zeros((0, *shape), np.float32)
