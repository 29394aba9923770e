"""The one place where the engine reaches for the workshop, which makes models and needs onnx."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import typer

from ..errors import OptionError

__all__ = ["HANDED_ON", "export", "open_workshop"]

HANDED_ON: dict[str, Any] = {
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
    "add_help_option": False,
    "help": "Make models of networks and weights; needs the extra 'onnx'.",
}
"""What typer is told of ``export``, whose options are the workshop's."""


def export(context: typer.Context) -> None:
    """Hands the rest of the line to the workshop."""
    raise typer.Exit(open_workshop("ortist export").run(context.args))


def open_workshop(command: str) -> Any:
    """The workshop's commands; raises OptionError where what ``command`` needs is not installed."""
    if importlib.util.find_spec("onnx") is None:
        raise OptionError(
            f"{command} needs onnx; install Ortist with the extra that brings it, in a checkout: "
            "pip install '.[onnx]'"
        )
    return importlib.import_module("ortist_export.cli")
