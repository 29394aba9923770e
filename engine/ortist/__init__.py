"""Ortist: neural style transfer on ONNX Runtime and NumPy.

>>> import ortist
>>> result = ortist.transfer("photo.jpg", "painting.jpg", size=48, iterations=4)
>>> result.save("painted.png")

The names below are imported on first use, so that ``import ortist`` and ``ortist --help`` do not
wait for NumPy, Pillow and ONNX Runtime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .forks import importing

if TYPE_CHECKING:
    from .api import extract_style, invert, iterate, texture, transfer
    from .engine import Engine
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
    from .jobs.batch import batch
    from .jobs.painting import Outcome
    from .jobs.video import Frame, Painter, video
    from .objective.targets import Losses
    from .options.fields import Options
    from .options.presets import PRESETS
    from .run.loop import Run
    from .run.result import Result
    from .run.stepping import Progress
    from .style.files import ExtractedStyle, read_style

__all__ = [
    "PRESETS",
    "CheckpointError",
    "DivergedError",
    "Engine",
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

_MODULES = {
    "api": ("extract_style", "invert", "iterate", "texture", "transfer"),
    "engine": ("Engine",),
    "jobs.batch": ("batch",),
    "jobs.painting": ("Outcome",),
    "objective.targets": ("Losses",),
    "options.fields": ("Options",),
    "options.presets": ("PRESETS",),
    "run.loop": ("Run",),
    "run.result": ("Result",),
    "run.stepping": ("Progress",),
    "style.files": ("ExtractedStyle", "read_style"),
    "jobs.video": ("Frame", "Painter", "video"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'ortist' has no attribute {name!r}")
    module = next((module for module, names in _MODULES.items() if name in names), "errors")
    with importing:
        value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
