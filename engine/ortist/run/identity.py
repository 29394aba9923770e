"""Whose checkpoint it is: all that decides the bytes of a run's result, by name."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from .._version import __version__
from ..arrays import chunks
from ..network.sessions import available_cpus, load_onnxruntime
from ..pictures.raster import Raster
from ..style.files import ExtractedStyle
from .tuning import Scale
from .view import Scene

__all__ = ["identity_of"]

_ELSEWHERE = {
    *("model", "provider", "threads", "max_pixels", "time_limit"),
    *("depth", "settings", "keep_metadata", "max_memory", "scratch", "tile"),
}
"""Options that a checkpoint may differ in, or that it names by what they came to."""


def identity_of(
    scene: Scene, inputs: Mapping[str, Raster | ExtractedStyle], scales: Sequence[Scale]
) -> dict[str, Any]:
    """Options, pictures (``inputs`` by role), model and versions, as JSON can hold them."""
    options = scene.options
    model = dataclasses.replace(scene.model, folder=Path())
    return {
        **{name: v for name, v in dataclasses.asdict(options).items() if name not in _ELSEWHERE},
        "provider": scene.objective.provider,
        "tile": options.tile_side or "off",
        "threads": options.threads or available_cpus(),
        "scales": [[scale.side, scale.iterations] for scale in scales],
        **{_name(role): _pixels_sha256(picture) for role, picture in inputs.items()},
        "model": hashlib.sha256(repr(model).encode()).hexdigest(),
        "ortist": __version__,
        "onnxruntime": load_onnxruntime().__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
    }


def _name(role: str) -> str:
    """The name in messages: "style image" of the first style or of the only one."""
    return role if "mask" in role else re.sub(r"^\w+", r"\g<0> image", role.removesuffix(" 1"))


def _pixels_sha256(picture: Raster | ExtractedStyle) -> str:
    """The SHA-256 of a picture's pixels, size and type, or of a style file's contents."""
    if isinstance(picture, ExtractedStyle):
        return picture.sha256
    digest = hashlib.sha256()
    for levels in (picture.pixels, picture.alpha):
        if levels is not None:
            # Rows of an alpha have a third axis, an array of it has none.
            digest.update(f"{levels.dtype} {levels.shape[:2]} ".encode())
            for part in chunks(levels):
                digest.update(part)
    return digest.hexdigest()
