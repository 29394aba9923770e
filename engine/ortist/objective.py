"""The objective: losses and pixel gradient of an image, one graph run a call.

The graph itself, with the losses' formulas, is written by ortist_export/objective.py.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ortist_models import OBJECTIVE

from .balance import Weights
from .binding import Binding
from .feature_maps import FeatureMaps, check_interface, explain
from .guides import Guides
from .images import Array
from .models import Model
from .moments import Moments, sum_moments
from .options import Provider, TvLossName
from .runtime import open_session, shrinking
from .style_losses import StyleLoss
from .total_variation import total_variation

if TYPE_CHECKING:
    from .general import Photo

__all__ = ["Losses", "Objective", "Room", "Targets", "gram_matrix"]


@dataclass(frozen=True)
class Losses:
    """The weighted losses of one image, by term; those of features also by layer (tap)."""

    content_by_layer: Mapping[int, float]
    style_by_layer: Mapping[int, float]
    tv: float

    @property
    def content(self) -> float:
        return float(sum(self.content_by_layer.values()))

    @property
    def style(self) -> float:
        return float(sum(self.style_by_layer.values()))

    @property
    def total(self) -> float:
        return self.content + self.style + self.tv


@dataclass(frozen=True)
class Targets:
    """What an image is compared with, by tap.

    For ``Objective`` the features [1, C, h, w] in ``content`` and the Gram matrices [C, C] in
    ``style``. For ``GeneralObjective`` (general.py) the content as ``photo``, and a loss for each
    region in ``losses``, with the regions' guides, or with None one region that is everywhere.
    """

    content: Mapping[int, Array] = field(default_factory=dict)
    style: Mapping[int, Array] = field(default_factory=dict)
    photo: Photo | None = None
    losses: Mapping[int, Sequence[StyleLoss]] = field(default_factory=dict)
    guides: Guides | None = None


class Room:
    """How many more bytes may be kept, by those who could also compute them anew."""

    def __init__(self, size: int) -> None:
        self._left = size

    def claim(self, size: int) -> bool:
        """Whether there is room for so many; then they are taken."""
        if size > self._left:
            return False
        self._left -= size
        return True


def gram_matrix(features: Array) -> Array:
    """[1, C, h, w] -> F F^T / (C h w), [C, C]: Gatys et al. eq. 3, divided as CS231n does."""
    matrix = features.reshape(features.shape[1], -1)
    gram: Array = matrix @ matrix.T
    gram /= np.float32(matrix.size)
    return gram


_KEPT_MOMENTS = 32
"""Pictures whose moments are kept: the scales of a few styles, some MiB at most."""


class Objective:
    """One model on one provider. Targets and weights stay bound; each call gets a new image.

    ``profile`` is where ONNX Runtime shall record what it does.
    """

    def __init__(
        self,
        model: Model,
        provider: Provider = "auto",
        threads: int | None = None,
        profile: str | None = None,
        tv_loss: TvLossName = "squares",
    ) -> None:
        self.model = model
        self._tv_loss, self._tv_weight = tv_loss, 0.0
        self._maps = FeatureMaps(model, provider, threads)
        self._session = open_session(model.read(OBJECTIVE), provider, threads, profile)
        names = [tap.index for tap in model.taps]
        self._loss_names = ["tv_loss"]
        self._loss_names += [f"{term}_loss_{tap}" for term in ("style", "content") for tap in names]
        outputs = {"gradient", *self._loss_names}
        check_interface(model, self._session, self._inputs(), outputs)
        self.provider: str = self._session.get_providers()[0]
        self._binding = Binding(self._session)
        self._constant: dict[str, Any] = {}
        self._seen: OrderedDict[tuple[object, ...], dict[int, list[Moments]]] = OrderedDict()

    def features(self, image: Array, taps: Iterable[int], shrink: bool = True) -> dict[int, Array]:
        """The feature maps [1, C, h, w] of the taps; raises ResourceError when memory runs out.

        With ``shrink`` the memory that other sizes left unused is given back.
        """
        return self._maps(image, taps, shrinking() if shrink else None)

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        self._maps.release()

    def moments(
        self, image: Array, taps: Iterable[int], guides: Guides | None = None
    ) -> dict[int, list[Moments]]:
        """The moments of the features of the taps, of the one region that this objective knows.

        Those of the last images are kept, so that the second picture in a style finds them made.
        """
        assert guides is None
        taps = tuple(taps)
        key = (hashlib.blake2b(np.ascontiguousarray(image).data).digest(), image.shape, taps)
        found = self._seen.pop(key, None)
        if found is None:
            features = self.features(image, taps)
            found = {tap: [sum_moments(values)] for tap, values in features.items()}
        self._seen[key] = found
        if len(self._seen) > _KEPT_MOMENTS:
            self._seen.popitem(last=False)
        return found

    def seeing(self, targets: Targets, pixels: Array, taps: Iterable[int], room: Room) -> Targets:
        """``targets`` with the features of the content ``pixels`` [1, 3, H, W] at those taps.

        They are copied out of ONNX Runtime's memory, which is in few pieces then.
        """
        found = self.features(np.ascontiguousarray(pixels), taps, shrink=False)
        return replace(targets, content={tap: features.copy() for tap, features in found.items()})

    def energies(self, targets: Targets) -> dict[int, float]:
        """||P||^2 of the content's features P, by tap."""
        return {
            tap: float(np.square(features, dtype=np.float64).sum())
            for tap, features in targets.content.items()
        }

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        # The graph knows one total variation; another is added beside it.
        in_graph = self._tv_loss == "squares"
        self._tv_weight = 0.0 if in_graph else weights.tv
        tv_weight = np.array(weights.tv if in_graph else 0, np.float32)
        feed: dict[str, NDArray[Any]] = {"tv_weight": tv_weight}
        for tap in self.model.taps:
            t, channels = tap.index, tap.channels
            gram = targets.style.get(t, np.zeros((0, 0), np.float32))
            features = targets.content.get(t, np.zeros((0, channels, 1, 1), np.float32))
            feed[f"gram_{t}"] = np.ascontiguousarray(gram)
            feed[f"features_{t}"] = np.ascontiguousarray(features)
            feed[f"style_weight_{t}"] = np.array(weights.style.get(t, 0), np.float32)
            feed[f"content_weight_{t}"] = np.array(weights.content.get(t, 0), np.float32)
        self._constant = feed
        self._binding.hold(feed)

    def __call__(self, image: Array, into: Array | None = None) -> tuple[Losses, Array]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is copied to ``into``, if given. Raises ResourceError when memory runs out.
        """
        image = np.ascontiguousarray(image)
        try:
            gradient, found = self._binding.run(image, "gradient", self._loss_names)
        except Exception as error:
            explain(error, image)
            raise
        by_name = dict(zip(self._loss_names, found, strict=True))

        def by_layer(term: str, target: str) -> dict[int, float]:
            taps = [tap.index for tap in self.model.taps]
            wanted = [tap for tap in taps if self._constant[f"{target}_{tap}"].size]
            return {tap: by_name[f"{term}_loss_{tap}"] for tap in wanted}

        content, style = by_layer("content", "features"), by_layer("style", "gram")
        tv = by_name["tv_loss"]
        if self._tv_weight:
            loss, slope = total_variation(image, self._tv_loss)
            tv = self._tv_weight * loss
            gradient += np.float32(self._tv_weight) * slope
        if into is not None:
            into[...] = gradient
        return Losses(content, style, tv), gradient

    def end_profiling(self) -> str:
        """The path of the record of the calls so far, where ``profile`` asked for one."""
        return str(self._session.end_profiling())

    def _inputs(self) -> set[str]:
        inputs = {"image", "tv_weight"}
        for tap in self.model.taps:
            for name in ("gram", "style_weight", "features", "content_weight"):
                inputs.add(f"{name}_{tap.index}")
        return inputs
