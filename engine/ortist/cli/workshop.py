"""The one place where the engine reaches for the workshop, which makes models and needs onnx."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from ..errors import OptionError

__all__ = ["open_workshop"]


def open_workshop(command: str) -> Any:
    """The workshop's commands; raises OptionError where what ``command`` needs is not installed."""
    if importlib.util.find_spec("onnx") is None:
        raise OptionError(
            f"{command} needs onnx; install Ortist with the extra that brings it, in a checkout: "
            "pip install '.[onnx]'"
        )
    return importlib.import_module("ortist_export.cli")
