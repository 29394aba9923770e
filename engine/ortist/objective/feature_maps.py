"""Feature maps of an image, by the shortest of a model's graphs that has them.

And what holds for all graphs of a model: that they are the ones that its manifest describes, and
what it means when they fail.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from ortist_models import CONTENT, FEATURES

from ..arrays import Array
from ..errors import ModelError, ResourceError
from ..network.bundle import Model
from ..network.sessions import open_session, shrinking
from ..options.fields import Provider

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

__all__ = ["FeatureMaps", "check_interface", "explain"]


class FeatureMaps:
    """One model on one provider. Sessions are opened when they are first needed."""

    def __init__(
        self, model: Model, provider: Provider, threads: int | None, spinning: bool = True
    ) -> None:
        self._model = model
        self._open = functools.partial(
            open_session, provider=provider, threads=threads, spinning=spinning
        )

    def __call__(
        self, image: Array, taps: Iterable[int], options: RunOptions | None = None
    ) -> dict[int, Array]:
        """The maps [1, C, h, w] of the taps; raises ResourceError when memory runs out."""
        names = {tap: f"tap_{tap}" for tap in taps}
        if not names:
            return {}
        session, known = self._first_layers
        if not known >= {*names.values()}:
            session = self._all_layers
        try:
            found = session.run([*names.values()], {"image": image}, options)
        except Exception as error:
            explain(error, image)
            raise
        return dict(zip(names, found, strict=True))

    def release(self) -> None:
        """Gives back what memory the calls before have left, for calls with other sizes."""
        side = self._model.smallest_side
        self(np.zeros((1, 3, side, side), np.float32), [self._model.taps[0].index], shrinking())

    @functools.cached_property
    def _all_layers(self) -> InferenceSession:
        session = self._open(self._model.read(FEATURES))
        taps = {f"tap_{tap.index}" for tap in self._model.taps}
        check_interface(self._model, session, {"image"}, taps)
        return session

    @functools.cached_property
    def _first_layers(self) -> tuple[InferenceSession, set[str]]:
        """The graph that ends where the recipe's content layers do, and the outputs that it has."""
        if CONTENT not in self._model.hashes:  # an older model
            return self._all_layers, set()
        session = self._open(self._model.read(CONTENT))
        found = {value.name for value in session.get_outputs()}
        every = {f"tap_{tap.index}" for tap in self._model.taps}
        check_interface(self._model, session, {"image"}, found & every)
        return session, found


def check_interface(
    model: Model, session: InferenceSession, inputs: set[str], outputs: set[str]
) -> None:
    """Refuses (ModelError) a graph whose inputs or outputs are not those of the manifest's taps."""
    found = {value.name for value in (*session.get_inputs(), *session.get_outputs())}
    if found != inputs | outputs:
        odd = ", ".join(sorted(found ^ (inputs | outputs)))
        raise ModelError(
            f"the model {model.name} is not one that Ortist can run (inputs or outputs "
            f"differ in {odd}); export it again."
        )


def explain(error: Exception, image: Array) -> None:
    """Raises ResourceError for want of memory, and ModelError for a graph that does not fit."""
    height, width = image.shape[2:]
    text = str(error)
    if isinstance(error, MemoryError) or "bad_alloc" in text or "allocate" in text.lower():
        raise ResourceError(
            f"there is not enough memory for a picture of {width} x {height}; "
            "give a smaller --size."
        ) from error
    if type(error).__module__.startswith("onnxruntime"):
        line = text.strip().splitlines()[0]
        raise ModelError(f"ONNX Runtime cannot run the model: {line}") from error
