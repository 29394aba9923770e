"""``ortist transfer``, ``invert`` and ``texture``: run, show progress, write what was asked for."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError
from ..options import Options
from ..presets import CS231N_MODEL
from .arguments import takes_options
from .follow import follow
from .request import Request

if TYPE_CHECKING:
    from ..objective import Losses
    from ..result import Result

__all__ = ["invert", "texture", "transfer"]

_Content = Annotated[str, typer.Argument(help="The photo.", metavar="CONTENT")]
_Style = Annotated[str, typer.Argument(help="The painting.", metavar="STYLE")]


@takes_options()
def transfer(content: _Content, style: _Style, *, request: Request, given: dict[str, Any]) -> None:
    """Paint CONTENT in the style of STYLE."""
    _paint(content, style, request, given)


@takes_options(without=("style_size", "style_layers", "strength"))
def invert(content: _Content, *, request: Request, given: dict[str, Any]) -> None:
    """Find a picture, from noise, that has CONTENT's features (feature inversion)."""
    _paint(content, None, request, given)


@takes_options(without=("content_layers", "content_weight", "strength"))
def texture(style: _Style, *, request: Request, given: dict[str, Any]) -> None:
    """Synthesise, from noise, a square texture in the style of STYLE."""
    _paint(None, style, request, given)


def _paint(content: str | None, style: str | None, request: Request, given: dict[str, Any]) -> None:
    options = Options.of(request.preset, request.config, **given)
    if request.print_config:
        from ..config import to_toml

        print(to_toml(options), end="")
        return
    # The pictures on the way are files only where they were asked for, not just for a sheet.
    files = options.snapshots
    if request.sheet and not files:
        middle, last = options.iterations // 2, options.iterations
        options = dataclasses.replace(options, snapshots=(0, middle, last))
    output, sheet = request.output, request.sheet
    if output is None and sheet is None and not request.json and options.iterations > 0:
        raise OptionError("there is no place for the picture; name one with -o FILE.")
    # Here, not above: these take half a second that the checks before need not wait for.
    from PIL import Image

    from ..api import iterate
    from ..files import check_writable
    from ..images import load_picture, picture_format, save_picture

    snapshots = {} if output is None else _snapshot_paths(output, files)
    outputs = [path for path in (output, sheet, *snapshots.values()) if path is not None]
    for path in outputs:
        picture_format(path)
        check_writable(path)
    _check_distinct(outputs)
    inputs = {
        name: load_picture(path, options.max_pixels, f"{name} image")
        for name, path in (("content", content), ("style", style))
        if path is not None
    }
    run = iterate(inputs.get("content"), inputs.get("style"), options)
    for picture in (output, *snapshots.values()):
        if picture is not None:
            picture_format(picture, run.canvas)
    if request.preset and run.model.name != CS231N_MODEL:
        _note(
            f"the preset {request.preset} was made for the model {CS231N_MODEL}; with "
            f"{run.model.name}, the default options give a better picture."
        )
    interrupted = follow(run)
    result = run.result()
    if output:
        result.save(output)
    snapshots = {n: path for n, path in snapshots.items() if n in result.snapshots}
    for iteration, path in snapshots.items():
        save_picture(Image.fromarray(result.snapshots[iteration]), path)
    if sheet:
        from ..sheet import contact_sheet

        save_picture(contact_sheet(result, inputs), sheet)
    if request.json:
        print(json.dumps(_report(result, output, snapshots, sheet)))
    if interrupted:
        _note(f"interrupted after {result.iterations} of {options.iterations} iterations.")
        raise typer.Exit(130)


def _check_distinct(outputs: list[Path]) -> None:
    """Raises OptionError where two outputs would be one file."""
    seen: set[str] = set()
    for path in outputs:
        resolved = os.path.realpath(path)
        if resolved in seen:
            raise OptionError(f"two outputs would both be written to {str(path)!r}; rename one.")
        seen.add(resolved)


def _snapshot_paths(output: Path, iterations: Sequence[int]) -> dict[int, Path]:
    """out.png -> out-0100.png."""
    return {n: output.with_name(f"{output.stem}-{n:04}{output.suffix}") for n in iterations}


def _report(
    result: Result, output: Path | None, snapshots: dict[int, Path], sheet: Path | None
) -> dict[str, Any]:
    height, width = result.pixels.shape[:2]
    return {
        "output": None if output is None else str(output),
        "size": [width, height],
        "iterations": result.iterations,
        "stopped": result.stopped,
        "seconds": round(result.seconds, 3),
        "provider": result.provider,
        "model": {"name": result.model.name, "sha256": result.model.sha256},
        "weights": {
            "content": dict(result.weights.content),
            "style": dict(result.weights.style),
            "tv": result.weights.tv,
        },
        "initial": _losses(result.initial),
        "final": _losses(result.final),
        "snapshots": {str(n): str(path) for n, path in snapshots.items()},
        "sheet": None if sheet is None else str(sheet),
    }


def _losses(losses: Losses) -> dict[str, Any]:
    return {
        "content": losses.content,
        "style": losses.style,
        "style_by_layer": {str(tap): value for tap, value in losses.style_by_layer.items()},
        "tv": losses.tv,
        "total": losses.total,
    }


def _note(message: str) -> None:
    print(f"ortist: {message}", file=sys.stderr)
