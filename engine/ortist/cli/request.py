"""What a command is asked for besides the picture's options: each field is a command-line option.

Shared by ``transfer``, ``invert`` and ``texture``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..presets import PRESETS

__all__ = ["Request"]


@dataclass(frozen=True)
class Request:
    """Where options come from, and what is written where."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The picture to write; its suffix names the format."),
    ] = None
    preset: Annotated[
        str | None, typer.Option(help=f"A named set of options: {', '.join(PRESETS)}.")
    ] = None
    config: Annotated[
        Path | None,
        typer.Option(help="Options from a TOML file: over the preset's, under the command line's."),
    ] = None
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the options as such a file, and stop.")
    ] = False
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write one picture that shows inputs, snapshots, result and loss curves."
        ),
    ] = None
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")
    ] = False
