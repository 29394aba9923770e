"""What a command is asked for besides the picture's options: each field is a command-line option.

Shared by ``transfer``, ``invert`` and ``texture``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..options.declaring import Heading
from ..options.presets import PRESETS

__all__ = ["PRESET", "Request"]

PRESET = typer.Option(
    help=f"A named set of options: {', '.join(PRESETS)}.",
    metavar="NAME",
    rich_help_panel=Heading.FIRST,
)
"""``--preset``, as every command has it."""


@dataclass(frozen=True)
class Request:
    """Where options come from, and what is written where."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture to write; its suffix names the format.",
            metavar="FILE",
            rich_help_panel=Heading.FIRST,
        ),
    ] = None
    preset: Annotated[str | None, PRESET] = None
    config: Annotated[
        Path | None,
        typer.Option(
            help="Options from a TOML file: over the preset's, under the command line's.",
            metavar="FILE",
            rich_help_panel=Heading.RECIPE,
        ),
    ] = None
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Repeat what this picture was made with: its options and inputs, where not given.",
            metavar="PICTURE",
            rich_help_panel=Heading.RECIPE,
        ),
    ] = None
    print_config: Annotated[
        bool,
        typer.Option(
            "--print-config",
            help="Print the options as a TOML file, and stop.",
            rich_help_panel=Heading.RECIPE,
        ),
    ] = False
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Print how the picture will fit into the memory (tiles, files), and stop.",
            rich_help_panel=Heading.MEMORY,
        ),
    ] = False
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write one picture that shows inputs, snapshots, result and loss curves.",
            metavar="FILE",
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write one HTML file with pictures, loss curves, times and settings.",
            metavar="FILE",
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = None
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Write one JSON object a step, as the run goes on.",
            metavar="FILE",
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = None
    preview_every: Annotated[
        int | None,
        typer.Option(
            help="Write the picture so far after every N steps.",
            metavar="N",
            min=1,
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = None
    preview: Annotated[
        Path | None,
        typer.Option(
            help="Where to; without it, the output file.",
            metavar="FILE",
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = None
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Keep the run's state here; the same command again goes on from it, to the same "
            "bytes. Removed when the run is finished.",
            metavar="FILE",
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = None
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            help="Steps from one checkpoint to the next. Without it, 50.",
            metavar="N",
            min=1,
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = None
    json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the result as one JSON object on stdout.",
            rich_help_panel=Heading.OUTPUT,
        ),
    ] = False
