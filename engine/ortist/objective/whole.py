"""The objective of a picture in one piece: losses and pixel gradient by one graph.

The graph itself, with the losses' formulas, is written by ortist_export/objective.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from ortist_models import OBJECTIVE

from ..arrays import Array
from ..network.bundle import Model
from ..network.sessions import open_session
from ..options.fields import Provider
from .binding import Binding
from .feature_maps import check_interface, explain
from .targets import Losses, Targets
from .weights import Weights

__all__ = ["WholeObjective"]


class WholeObjective:
    """One model on one provider. Targets and weights stay bound; each call gets a new image."""

    def __init__(
        self, model: Model, provider: Provider, threads: int | None, profile: str | None
    ) -> None:
        self._model = model
        self._session = open_session(model.read(OBJECTIVE), provider, threads, profile)
        names = [tap.index for tap in model.taps]
        self._loss_names = ["tv_loss"]
        self._loss_names += [f"{term}_loss_{tap}" for term in ("style", "content") for tap in names]
        outputs = {"gradient", *self._loss_names}
        check_interface(model, self._session, self._inputs(), outputs)
        self.provider: str = self._session.get_providers()[0]
        self._binding = Binding(self._session)
        self._constant: dict[str, Any] = {}

    def aim(self, targets: Targets, weights: Weights) -> None:
        """Sets what the next calls compare with."""
        feed: dict[str, NDArray[Any]] = {"tv_weight": np.array(weights.tv, np.float32)}
        for tap in self._model.taps:
            t, channels = tap.index, tap.channels
            gram = targets.style.get(t, np.zeros((0, 0), np.float32))
            features = targets.content.get(t, np.zeros((0, channels, 1, 1), np.float32))
            if isinstance(features, tuple):
                features = np.concatenate(features, axis=2)
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
            taps = [tap.index for tap in self._model.taps]
            wanted = [tap for tap in taps if self._constant[f"{target}_{tap}"].size]
            return {tap: by_name[f"{term}_loss_{tap}"] for tap in wanted}

        content, style = by_layer("content", "features"), by_layer("style", "gram")
        if into is not None:
            into[...] = gradient
            gradient = into
        return Losses(content, style, by_name["tv_loss"]), gradient

    def end_profiling(self) -> list[str]:
        """The paths of the records of the calls so far, where ``profile`` asked for them."""
        return [str(self._session.end_profiling())]

    def _inputs(self) -> set[str]:
        inputs = {"image", "tv_weight"}
        for tap in self._model.taps:
            for name in ("gram", "style_weight", "features", "content_weight"):
                inputs.add(f"{name}_{tap.index}")
        return inputs
