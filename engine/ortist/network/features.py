"""Feature maps of a whole picture, by one graph from the image to the taps.

The program (program.py) gives features too, but it is made for losses and their gradient: cut into
bands and segments, with sessions by thread. Where a picture's features are wanted once and nothing
else, this is ten times as fast (docs/design.md).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ortist_models import FEATURES

from ..arrays import Array
from .bundle import Model
from .sessions import load_onnxruntime, open_session

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["FeatureMaps"]


class FeatureMaps:
    """The features of a ``model`` that has such a graph, on the CPU with so many ``threads``."""

    def __init__(self, model: Model, threads: int) -> None:
        self._model, self._threads = model, threads

    def of(self, pixels: Array, taps: Sequence[int]) -> dict[int, Array]:
        """The maps [1, C, h, w] of these taps, over normalised ``pixels`` [1, 3, H, W].

        Raises ModelError for a graph that ONNX Runtime cannot load.
        """
        maps = self._session.run([f"tap_{tap}" for tap in taps], {"image": pixels}, self._options)
        return dict(zip(taps, maps, strict=True))

    @functools.cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return open_session(self._model.read(FEATURES), "cpu", self._threads, spinning=False)

    @functools.cached_property
    def _options(self) -> onnxruntime.RunOptions:
        """What makes a run give its memory back: the next picture has another size."""
        options = load_onnxruntime().RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options
