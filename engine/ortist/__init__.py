"""Ortist: neural style transfer on ONNX Runtime and NumPy.

>>> import ortist
>>> result = ortist.transfer("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
>>> result.save("painted.png")  # doctest: +SKIP

The names below are imported on first use, so that ``import ortist`` and ``ortist --help`` do not
wait for NumPy, Pillow and ONNX Runtime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import invert, iterate, texture, transfer
    from .batches import Outcome, batch
    from .errors import (
        CheckpointError,
        DivergedError,
        InputError,
        ModelError,
        OptionError,
        OrtistError,
        OutputError,
        PictureError,
        ProviderError,
        ResourceError,
        StyleFileError,
    )
    from .extraction import extract_style
    from .loop import Run
    from .options import Options
    from .presets import PRESETS
    from .result import Progress, Result
    from .style_files import ExtractedStyle, read_style
    from .targets import Losses
    from .videos import Frame, Painter, video

__all__ = [
    "PRESETS",
    "CheckpointError",
    "DivergedError",
    "ExtractedStyle",
    "Frame",
    "InputError",
    "Losses",
    "ModelError",
    "OptionError",
    "Options",
    "OrtistError",
    "Outcome",
    "OutputError",
    "Painter",
    "PictureError",
    "Progress",
    "ProviderError",
    "ResourceError",
    "Result",
    "Run",
    "StyleFileError",
    "__version__",
    "batch",
    "extract_style",
    "invert",
    "iterate",
    "read_style",
    "texture",
    "transfer",
    "video",
]

__version__ = "0.1.0"

_MODULES = {
    "api": ("invert", "iterate", "texture", "transfer"),
    "batches": ("Outcome", "batch"),
    "extraction": ("extract_style",),
    "objective": ("Losses",),
    "options": ("Options",),
    "presets": ("PRESETS",),
    "loop": ("Run",),
    "result": ("Progress", "Result"),
    "style_files": ("ExtractedStyle", "read_style"),
    "videos": ("Frame", "Painter", "video"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ortist' has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "errors")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
