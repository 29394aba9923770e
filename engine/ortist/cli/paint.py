"""``ortist transfer``, ``invert`` and ``texture``: run, show progress, write what was asked for."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from ..errors import DivergedError, OptionError
from ..options import Options
from ..presets import CS231N_MODEL
from .arguments import takes_options
from .follow import Listener, every, follow, losses_as_json, traced
from .request import Request

if TYPE_CHECKING:
    from ..result import Result

__all__ = ["TransferCommand", "invert", "texture", "transfer"]

_Content = Annotated[str, typer.Argument(help="The photo.", metavar="CONTENT")]
_Styles = Annotated[
    list[str], typer.Argument(help="The painting, or several to blend.", metavar="STYLE...")
]
_Masks = Annotated[
    list[str] | None,  # of pairs, by TransferCommand
    typer.Option(
        "--mask",
        metavar="CONTENT_MASK STYLE_MASK",
        help="Two pictures, white where the content takes the style and where the style is taken "
        "from (a - for all of it). Give it several times, for one style, or once for each style.",
    ),
]
_STYLE_OPTIONS = [
    field.name for field in dataclasses.fields(Options) if field.name.startswith("style_")
]


@takes_options()
def transfer(
    content: _Content,
    style: _Styles,
    mask: _Masks = None,
    *,
    request: Request,
    given: dict[str, Any],
) -> None:
    """Paint CONTENT in the style of STYLE, or of several styles."""
    pairs = cast("list[tuple[str, str]]", mask or [])
    _paint(content, style, request, given, pairs)


class TransferCommand(TyperCommand):
    """``--mask`` takes two values each time: typer itself knows pairs and lists, not both."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        next(p for p in self.params if p.name == "mask").nargs = 2


@takes_options(without=(*_STYLE_OPTIONS, "strength"))
def invert(content: _Content, *, request: Request, given: dict[str, Any]) -> None:
    """Find a picture, from noise, that has CONTENT's features (feature inversion)."""
    _paint(content, [], request, given)


@takes_options(without=("content_layers", "content_weight", "strength"))
def texture(style: _Styles, *, request: Request, given: dict[str, Any]) -> None:
    """Synthesise, from noise, a square texture in the style of STYLE, or of several styles."""
    _paint(None, style, request, given)


def _paint(
    content: str | None,
    styles: list[str],
    request: Request,
    given: dict[str, Any],
    masks: Sequence[tuple[str, str]] = (),
) -> None:
    options = Options.of(request.preset, request.config, **given)
    if request.print_config:
        from ..config import to_toml

        print(to_toml(options), end="")
        return
    # The pictures on the way are files only where they were asked for, not just for a sheet.
    files = options.snapshots
    output, sheet, report = request.output, request.sheet, request.report
    if (sheet or report) and not files:
        middle, last = options.iterations // 2, options.iterations
        options = dataclasses.replace(options, snapshots=(0, middle, last))
    if not (output or sheet or report or request.json) and options.iterations > 0:
        raise OptionError("there is no place for the picture; name one with -o FILE.")
    preview = request.preview or output
    if request.preview_every and not preview:
        raise OptionError("there is no place for the preview; name one with --preview FILE.")
    if request.preview and not request.preview_every:
        raise OptionError("--preview FILE needs --preview-every N, which says how often.")
    # Here, not above: these take half a second that the checks before need not wait for.
    from PIL import Image

    from ..api import iterate
    from ..checkpoint import remove_checkpoint
    from ..files import atomic_writer, check_writable
    from ..images import load_picture, picture_format, save_picture

    snapshots = {} if output is None else _snapshot_paths(output, files)
    pictures = [p for p in (output, sheet, request.preview, *snapshots.values()) if p is not None]
    others = [p for p in (report, request.trace, request.checkpoint) if p is not None]
    for path in pictures:
        picture_format(path)
    for path in (*pictures, *others):
        check_writable(path)
    sources = [*([] if content is None else [content]), *styles]
    needed = [*sources, *(path for pair in masks for path in pair if path != "-")]
    _check_distinct([*pictures, *others])
    early = [preview] if request.preview_every else []
    early += [output] if request.checkpoint else []
    _check_inputs(needed, [*others, *(path for path in early if path is not None)])
    photo = None
    if content is not None:
        photo = load_picture(content, options.max_pixels, "content image")
    paintings = [load_picture(path, options.max_pixels, "style image") for path in styles]
    inputs = {} if photo is None else {"content": photo}
    for number, painting in enumerate(paintings, 1):
        inputs["style" if len(paintings) == 1 else f"style {number}"] = painting
    pairs = [(mask, None if part == "-" else part) for mask, part in masks]
    run = iterate(photo, paintings or None, options, masks=pairs)
    for picture in (output, request.preview, *snapshots.values()):
        if picture is not None:
            picture_format(picture, run.canvas)
    if request.preset and run.model.name != CS231N_MODEL:
        _note(
            f"the preset {request.preset} was made for the model {CS231N_MODEL}; with "
            f"{run.model.name}, the default options give a better picture."
        )
    checkpoint = request.checkpoint
    if checkpoint and checkpoint.exists():
        run.resume(checkpoint)
        _note(f"going on from iteration {run.iteration} of the checkpoint {str(checkpoint)!r}.")
    diverged: DivergedError | None = None
    interrupted = False
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if request.trace:
            listeners.append(stack.enter_context(traced(request.trace, run.steps)))
        if request.preview_every and preview:
            place = preview
            listeners.append(
                every(
                    request.preview_every,
                    lambda: save_picture(Image.fromarray(run.pixels()), place),
                )
            )
        if checkpoint:
            save = functools.partial(run.save_checkpoint, checkpoint)
            listeners.append(every(request.checkpoint_every, save))
        try:
            interrupted = follow(run, listeners)
        except DivergedError as error:
            if run.iteration < 0:
                raise
            diverged = error
    result = run.result()
    if output:
        result.save(output)
    snapshots = {n: path for n, path in snapshots.items() if n in result.snapshots}
    for iteration, path in snapshots.items():
        save_picture(Image.fromarray(result.snapshots[iteration]), path)
    if sheet:
        from ..sheet import contact_sheet

        save_picture(contact_sheet(result, inputs), sheet)
    if report:
        from ..report import html_report

        named = zip(
            (f"{name}: {path}" for name, path in zip(inputs, sources, strict=True)),
            inputs.values(),
            strict=True,
        )
        with atomic_writer(report) as stream:
            stream.write(html_report(result, dict(named)).encode(errors="replace"))
    if request.json:
        print(json.dumps(_summary(result, request, snapshots)))
    if checkpoint and run.finished:
        remove_checkpoint(checkpoint)
    elif checkpoint and diverged is None:
        run.save_checkpoint(checkpoint)
    if diverged is not None:
        raise DivergedError(f"{diverged} What is written is of iteration {result.iterations}.")
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


def _check_inputs(sources: list[str], outputs: list[Path]) -> None:
    """Raises OptionError where a picture would be replaced that the run, gone on with, needs.

    (A result may replace the content: it is written when that is no longer needed.)
    """
    inputs = {os.path.realpath(source) for source in sources}
    for path in outputs:
        if os.path.realpath(path) in inputs:
            raise OptionError(f"{str(path)!r} is a picture that the run needs; name another file.")


def _snapshot_paths(output: Path, iterations: Sequence[int]) -> dict[int, Path]:
    """out.png -> out-0100.png."""
    return {n: output.with_name(f"{output.stem}-{n:04}{output.suffix}") for n in iterations}


def _summary(result: Result, request: Request, snapshots: dict[int, Path]) -> dict[str, Any]:
    height, width = result.pixels.shape[:2]
    return {
        "output": None if request.output is None else str(request.output),
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
        "initial": losses_as_json(result.initial),
        "final": losses_as_json(result.final),
        "snapshots": {str(n): str(path) for n, path in snapshots.items()},
        "sheet": None if request.sheet is None else str(request.sheet),
    }


def _note(message: str) -> None:
    print(f"ortist: {message}", file=sys.stderr)
