"""``ortist transfer``, ``invert`` and ``texture``: run, show progress, write what was asked for."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import DivergedError, OptionError
from ..options.choice import layered_options
from ..options.declaring import Heading
from ..options.fields import STARTS, Options
from ..options.presets import CS231N_MODEL
from .arguments import takes_options
from .follow import Listener, every, follow, losses_as_json, traced
from .headings import HeadedCommand
from .named import Named, note, recorded_settings
from .request import Request

if TYPE_CHECKING:
    from ..run.loop import Run
    from ..run.result import Result

__all__ = ["TransferCommand", "invert", "texture", "transfer"]

_Content = Annotated[str | None, typer.Argument(help="The photo.", metavar="CONTENT")]
_Styles = Annotated[
    list[str] | None,
    typer.Argument(help="The painting or style file, or several to blend.", metavar="STYLE..."),
]
_Masks = Annotated[
    list[str] | None,  # of pairs, by TransferCommand
    typer.Option(
        "--mask",
        metavar="CONTENT_MASK STYLE_MASK",
        help="Two pictures, white where the content takes the style and where the style is taken "
        "from (a - for all of the style). Give it several times, for one style, or once for each "
        "style.",
        rich_help_panel=Heading.FIRST,
    ),
]
_PLAN = {"size", "smallest_size", "iterations", "time_limit", "seamless", "optimizer"}
"""Options without which a schedule in a picture is no longer the one to repeat."""
_CHECKPOINT_EVERY = 50
"""Steps; as the help of --checkpoint-every says."""
_STYLE_OPTIONS = [
    field.name for field in dataclasses.fields(Options) if field.name.startswith("style_")
]


@takes_options(without=("seamless",))
def transfer(
    content: _Content = None,
    style: _Styles = None,
    mask: _Masks = None,
    *,
    request: Request,
    given: dict[str, Any],
) -> None:
    """Paint CONTENT in the style of STYLE, or of several styles."""
    pairs = cast("list[tuple[str, str]]", mask or [])
    for content_mask, _ in pairs:
        if content_mask == "-":
            raise OptionError(
                "the content mask '-' is no picture: a - stands for all of the style only; give a "
                "white picture for all of the content."
            )
    _paint(Named("transfer", content, style or [], pairs), request, given)


class TransferCommand(HeadedCommand):
    """``--mask`` takes two values each time: typer itself knows pairs and lists, not both.

    In the help it stands behind what everybody needs.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mask = next(p for p in self.params if p.name == "mask")
        mask.nargs = 2
        self.params.remove(mask)
        self.params.append(mask)


@takes_options(without=(*_STYLE_OPTIONS, "strength", "colors", "seamless"))
def invert(content: _Content = None, *, request: Request, given: dict[str, Any]) -> None:
    """Find a picture, from noise, that has CONTENT's features (feature inversion)."""
    _paint(Named("invert", content, []), request, given)


@takes_options(without=("content_layers", "content_weight", "strength", "colors", "keep_metadata"))
def texture(style: _Styles = None, *, request: Request, given: dict[str, Any]) -> None:
    """Synthesise, from noise, a square texture in the style of STYLE, or of several styles."""
    _paint(Named("texture", None, style or []), request, given)


def _paint(named: Named, request: Request, given: dict[str, Any]) -> None:
    settings = recorded_settings(named.command, request, given)
    recorded = dict(settings.options) if settings else {}
    if settings and "init" in settings.inputs and "init" not in given:
        recorded["init"] = settings.find_input("init")
    options = layered_options(request.preset, request.config, **{**recorded, **given})
    if request.print_config:
        from ..options.toml import to_toml

        print(to_toml(options), end="")
        return
    if settings is None:
        named.checked()
    # The pictures on the way are files only where they were asked for, not just for a sheet.
    files = options.snapshots
    output, sheet, report = request.output, request.sheet, request.report
    if (sheet or report) and not files:
        middle, last = options.iterations // 2, options.iterations
        options = dataclasses.replace(options, snapshots=(0, middle, last))
    wanted = output or sheet or report or request.json or request.plan
    if not wanted and options.iterations > 0:
        raise OptionError("there is no place for the picture; name one with -o FILE.")
    preview = request.preview or output
    if request.preview_every and not preview:
        raise OptionError("there is no place for the preview; name one with --preview FILE.")
    if request.preview and not request.preview_every:
        raise OptionError("--preview FILE needs --preview-every N, which says how often.")
    if request.checkpoint_every and not request.checkpoint:
        raise OptionError("there is no place for the checkpoint; name one with --checkpoint FILE.")
    # Here, not above: these take half a second that the checks before need not wait for.
    from ..api import make_plan, prepare
    from ..arrays import Arrays
    from ..files import atomic_writer, check_writable
    from ..network.bundle import find_model
    from ..objective.opening import open_objective
    from ..pictures.outputs import holds_alpha, output_depth, save_picture, takes_rows
    from ..pictures.raster import Painting
    from ..pictures.reading import spool_picture
    from ..run.checkpoint import remove_checkpoint
    from ..style.files import load_style

    snapshots = {} if output is None else _snapshot_paths(output, files)
    painted = [p for p in (output, request.preview, *snapshots.values()) if p is not None]
    others = [p for p in (report, request.trace, request.checkpoint) if p is not None]
    pictures = [*painted, *([sheet] if sheet else [])]
    for path in pictures:
        output_depth(path, options.depth if path in painted else 8)
    for path in (*pictures, *others):
        check_writable(path)
    _check_distinct([*pictures, *others])
    if settings and "model" not in given:
        settings.check_model()
    if settings:
        named = named.filled(settings)
    sources = [*([] if named.content is None else [named.content]), *named.styles]
    needed = [*sources, *(path for pair in named.masks for path in pair if path != "-")]
    needed += [] if options.init is None or options.init in STARTS else [options.init]
    early = [preview] if request.preview_every else []
    early += [output] if request.checkpoint else []
    _check_inputs(needed, [*others, *(path for path in early if path is not None)])
    pairs = [(mask, None if part == "-" else part) for mask, part in named.masks]
    if output and options.scratch is None:
        options = dataclasses.replace(options, scratch=str(output.parent))
    model = find_model(options.model)
    by_rows = all(takes_rows(path) for path in painted)
    plan = make_plan(model, named.content, named.styles or None, options, pairs, by_rows)
    for picture in painted:
        output_depth(picture, options.depth, plan.size)
    if request.plan:
        print(json.dumps(plan.as_json()) if request.json else plan)
        return
    if plan.folder and (sheet or report):
        raise OptionError(
            "--sheet and --report hold pictures in memory, where this one has no room; leave them "
            "out, or give more by --max-memory."
        )
    options = plan.applied(options)
    objective = open_objective(model, options, masked=len(pairs) > 0)
    photo = None
    if named.content is not None:
        where = Arrays(plan.folder)
        photo = spool_picture(named.content, options.max_pixels, where, "content image")
    paintings = [load_style(path, options.max_pixels) for path in named.styles]
    inputs = {}
    if sheet or report:
        inputs = {} if photo is None else {"content": photo.image}
        for number, painting in enumerate(paintings, 1):
            inputs["style" if len(paintings) == 1 else f"style {number}"] = painting.image
    has_alpha = photo is not None and photo.alpha is not None
    run = prepare(objective, photo, paintings or None, options, pairs, plan=plan)
    del photo, paintings
    end = None
    if settings and not (settings.schedule and _PLAN & set(given)):
        end = settings.iteration
        if settings.schedule:
            run.reschedule(settings.schedule)
    if request.preset and run.model.name != CS231N_MODEL:
        note(
            f"the preset {request.preset} was made for the model {CS231N_MODEL}; with "
            f"{run.model.name}, the default options give a better picture."
        )
    for remark in run.notes:
        note(remark)
    if has_alpha and output and not holds_alpha(output):
        note(f"{output.suffix} holds no transparency; {str(output)!r} is laid over white.")
    checkpoint = request.checkpoint
    if checkpoint and checkpoint.exists():
        run.resume(checkpoint)
        note(f"going on from iteration {run.iteration} of the checkpoint {str(checkpoint)!r}.")
    diverged: DivergedError | None = None
    interrupted = False
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if request.trace:
            listeners.append(stack.enter_context(traced(request.trace, run.steps)))
        if request.preview_every and preview:
            place = preview
            show = functools.partial(_save_preview, run, place)
            listeners.append(every(request.preview_every, show))
        if checkpoint:
            save = functools.partial(run.save_checkpoint, checkpoint)
            listeners.append(every(request.checkpoint_every or _CHECKPOINT_EVERY, save))
        try:
            interrupted = follow(run, listeners, end)
        except DivergedError as error:
            if run.iteration < 0:
                raise
            diverged = error
    result = run.result()
    if output:
        result.save(output)
    snapshots = {n: path for n, path in snapshots.items() if n in result.snapshots}
    for iteration, path in snapshots.items():
        result.save(path, snapshot=iteration)
    if sheet:
        from .sheet import contact_sheet

        save_picture(Painting.of(contact_sheet(result, inputs)), sheet, depth=8)
    if report:
        from .report import html_report

        captions = zip(
            (f"{name}: {path}" for name, path in zip(inputs, sources, strict=True)),
            inputs.values(),
            strict=True,
        )
        with atomic_writer(report) as stream:
            stream.write(html_report(result, dict(captions)).encode(errors="replace"))
    if request.json:
        print(json.dumps(_summary(result, request, snapshots)))
    if checkpoint and run.finished:
        remove_checkpoint(checkpoint)
    elif checkpoint and diverged is None:
        run.save_checkpoint(checkpoint)
    if diverged is not None:
        raise DivergedError(f"{diverged} What is written is of iteration {result.iterations}.")
    if interrupted:
        note(f"interrupted after {result.iterations} of {options.iterations} iterations.")
        raise typer.Exit(130)


def _save_preview(run: Run, path: Path) -> None:
    from ..pictures.outputs import save_picture

    save_picture(run.painting(), path, run.options.depth)


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
    width, height = result.painting.size
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
