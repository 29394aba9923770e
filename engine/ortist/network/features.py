"""Feature maps of a whole picture, by one graph from the image to the taps.

The program (program.py) gives features too, but it is made for losses and their gradient: cut into
bands and segments, with sessions by thread. Where a picture's features are wanted once and nothing
else, this takes a third of the time (docs/design.md).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ortist_models import FEATURES

from ..arrays import Array
from ..errors import ModelError, OrtistError, ResourceError, reason_of
from .bundle import Model
from .machine import available_memory
from .providers import CPU
from .sessions import (
    open_session,
    private_arena,
    refuses_to_run,
    run_options_giving_back,
    wants_memory,
)

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["FeatureMaps"]


class FeatureMaps:
    """The features of a ``model`` that has such a graph, on the CPU with so many ``threads``.

    What a run takes is given back with its end. Several threads may run it at once.
    """

    def __init__(self, model: Model, threads: int) -> None:
        self._model, self._threads = model, threads
        self._opening = threading.Lock()

    def of(self, pixels: Array, taps: Sequence[int]) -> dict[int, Array]:
        """The maps [1, C, h, w] of these taps, over normalised ``pixels`` [1, 3, H, W].

        Raises ModelError for a graph that ONNX Runtime cannot load or run, and ResourceError for
        want of memory.
        """
        try:
            names = [f"tap_{tap}" for tap in taps]
            maps = self._opened().run(names, {"image": pixels}, run_options_giving_back())
        except OrtistError:
            raise
        except Exception as error:  # ONNX Runtime's share no base class
            height, width = pixels.shape[2:]
            if wants_memory(error):
                raise ResourceError(
                    f"there is not enough memory to look at a picture of {width} x {height}; give "
                    "a smaller --size."
                ) from error
            if refuses_to_run(error):
                said = reason_of(error)
                raise ModelError(f"ONNX Runtime cannot run the model: {said}") from error
            raise
        return dict(zip(taps, maps, strict=True))

    def _opened(self) -> onnxruntime.InferenceSession:
        """The session, which two threads may be the first to ask for."""
        with self._opening:
            return self._session

    @functools.cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        """A session with memory of its own, which goes when the session goes."""
        with private_arena(available_memory()):
            return open_session(self._model.read(FEATURES), CPU, self._threads, spinning=False)
