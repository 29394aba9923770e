"""Whose checkpoint it is: all that decides the bytes of a run's result, by name."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from .._version import __version__
from ..network.sessions import available_cpus, load_onnxruntime
from ..options.fields import Options
from .scales import Scale
from .scene import Scene

__all__ = ["identity_of"]

_ELSEWHERE = {
    *("model", "provider", "threads", "max_pixels", "time_limit"),
    *("depth", "settings", "keep_metadata", "max_memory", "scratch", "tile"),
}
"""Options that a checkpoint may differ in, or that it names by what they came to."""


def identity_of(scene: Scene, options: Options, scales: Sequence[Scale]) -> dict[str, Any]:
    """Options, pictures, model and versions, as JSON can hold them."""
    values = dataclasses.asdict(options)
    model = dataclasses.replace(scene.model, folder=Path())
    return {
        **{name: value for name, value in values.items() if name not in _ELSEWHERE},
        "provider": scene.objective.provider,
        "tile": options.tile_side or "off",
        "threads": options.threads or available_cpus(),
        "scales": [[scale.side, scale.iterations] for scale in scales],
        **scene.fingerprints(),
        "model": hashlib.sha256(repr(model).encode()).hexdigest(),
        "ortist": __version__,
        "onnxruntime": load_onnxruntime().__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }
