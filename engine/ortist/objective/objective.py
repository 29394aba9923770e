"""The objective: losses and pixel gradient of an image, the whole of it or in bands of rows."""

from __future__ import annotations

import functools
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..arrays import Array
from ..network.bundle import Model
from ..network.sessions import available_cpus, shrinking
from ..options.fields import Provider, TvLossName
from ..style.guides import Guides
from ..style.moments import Moments, sum_moments
from .banded import BANDED_FROM, BandedObjective
from .feature_maps import FeatureMaps
from .targets import Losses, Room, Targets
from .total_variation import total_variation
from .weights import Weights
from .whole import WholeObjective

__all__ = ["Objective"]

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
        self._whole = WholeObjective(model, provider, threads, profile)
        self.provider: str = self._whole.provider
        self._threads, self._profile = threads or available_cpus(), profile
        self._aim: tuple[Targets, Weights] = (Targets(), Weights({}, {}, 0.0))
        self._aimed: set[WholeObjective | BandedObjective] = set()
        self._seen: OrderedDict[tuple[object, ...], dict[int, list[Moments]]] = OrderedDict()

    @functools.cached_property
    def _banded(self) -> BandedObjective | None:
        if self.model.bands is None or not self.provider.startswith("CPU"):
            return None
        return BandedObjective(self.model, self.model.bands, self._threads, self._profile)

    def _for(self, shape: tuple[int, ...]) -> WholeObjective | BandedObjective:
        """The one that is fastest for images of that shape."""
        large = shape[2] * shape[3] >= BANDED_FROM
        return (self._banded if large else None) or self._whole

    def features(self, image: Array, taps: Iterable[int], shrink: bool = True) -> dict[int, Array]:
        """The feature maps [1, C, h, w] of the taps; raises ResourceError when memory runs out.

        With ``shrink`` the memory that other sizes left unused is given back.
        """
        return self._maps(image, taps, shrinking() if shrink else None)

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        if (banded := self.__dict__.get("_banded")) is not None:
            banded.release()
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
        taps, objective = tuple(taps), self._for(pixels.shape)
        if isinstance(objective, BandedObjective):
            in_bands = objective.look(pixels, taps, targets.style)
            if in_bands is not None:
                return replace(targets, content=in_bands)
        found = self.features(np.ascontiguousarray(pixels), taps, shrink=False)
        return replace(targets, content={tap: features.copy() for tap, features in found.items()})

    def energies(self, targets: Targets) -> dict[int, float]:
        """||P||^2 of the content's features P, by tap."""
        return {
            tap: sum(float(np.square(part, dtype=np.float64).sum()) for part in parts)
            for tap, parts in targets.content.items()
        }

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        # The graphs know one total variation; another is added beside it.
        self._tv_weight = 0.0 if self._tv_loss == "squares" else weights.tv
        self._aim = targets, replace(weights, tv=weights.tv - self._tv_weight)
        self._aimed.clear()

    def __call__(self, image: Array, into: Array | None = None) -> tuple[Losses, Array]:
        """Losses and their gradient, shaped as ``image``, [1, 3, H, W] normalised values.

        It is ``into``, if given. Raises ResourceError when memory runs out.
        """
        objective = self._for(image.shape)
        if objective not in self._aimed:
            objective.aim(*self._aim)
            self._aimed.add(objective)
        losses, gradient = objective(image, into)
        if self._tv_weight:
            loss, slope = total_variation(image, self._tv_loss)
            losses = replace(losses, tv=losses.tv + self._tv_weight * loss)
            gradient += np.float32(self._tv_weight) * slope
        return losses, gradient

    def end_profiling(self) -> list[str]:
        """The paths of the records of the calls so far, where ``profile`` asked for them."""
        banded = self.__dict__.get("_banded")
        return self._whole.end_profiling() + ([] if banded is None else banded.end_profiling())
