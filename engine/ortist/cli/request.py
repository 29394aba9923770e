"""What a command is asked for besides the picture's options: each field is a command-line option.

Shared by ``transfer``, ``invert`` and ``texture``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from ..options.declaring import Heading
from ..options.presets import PRESETS

__all__ = ["PRESET", "Request", "asked"]


def asked(
    heading: Heading, help: str, metavar: str | None = None, *names: str, min: int | None = None
) -> Any:
    """A command-line option under ``heading``; ``names`` where they are not the parameter's own."""
    return typer.Option(*names, help=help, metavar=metavar, min=min, rich_help_panel=heading)


PRESET = asked(Heading.FIRST, f"A named set of options: {', '.join(PRESETS)}.", "NAME")
"""``--preset``, as every command has it."""
_FIRST, _RECIPE, _OUTPUT = Heading.FIRST, Heading.RECIPE, Heading.OUTPUT


@dataclass(frozen=True)
class Request:
    """Where options come from, and what is written where."""

    output: Annotated[
        Path | None,
        asked(
            _FIRST, "The picture to write; its suffix names the format.", "FILE", "--output", "-o"
        ),
    ] = None
    preset: Annotated[str | None, PRESET] = None
    config: Annotated[
        Path | None,
        asked(
            _RECIPE,
            "Options from a TOML file: over the preset's, under the command line's.",
            "FILE",
        ),
    ] = None
    source: Annotated[
        Path | None,
        asked(
            _RECIPE,
            "Repeat what this picture was made with: its options and inputs, where not given.",
            "PICTURE",
            "--from",
        ),
    ] = None
    print_config: Annotated[
        bool, asked(_RECIPE, "Print the options as a TOML file, and stop.", None, "--print-config")
    ] = False
    plan: Annotated[
        bool,
        asked(
            Heading.MEMORY,
            "Print how the picture will fit into the memory (tiles, files), and stop.",
            None,
            "--plan",
        ),
    ] = False
    sheet: Annotated[
        Path | None,
        asked(
            _OUTPUT,
            "Write one picture that shows inputs, snapshots, result and loss curves.",
            "FILE",
        ),
    ] = None
    report: Annotated[
        Path | None,
        asked(
            _OUTPUT, "Write one HTML file with pictures, loss curves, times and settings.", "FILE"
        ),
    ] = None
    trace: Annotated[
        Path | None, asked(_OUTPUT, "Write one JSON object a step, as the run goes on.", "FILE")
    ] = None
    preview_every: Annotated[
        int | None, asked(_OUTPUT, "Write the picture so far after every N steps.", "N", min=1)
    ] = None
    preview: Annotated[
        Path | None, asked(_OUTPUT, "Where to; without it, the output file.", "FILE")
    ] = None
    checkpoint: Annotated[
        Path | None,
        asked(
            _OUTPUT,
            "Keep the run's state here; the same command again goes on from it, to the same bytes. "
            "Removed when the run is finished.",
            "FILE",
        ),
    ] = None
    checkpoint_every: Annotated[
        int | None,
        asked(_OUTPUT, "Steps from one checkpoint to the next. Without it, 50.", "N", min=1),
    ] = None
    json: Annotated[
        bool, asked(_OUTPUT, "Print the result as one JSON object on stdout.", None, "--json")
    ] = False
