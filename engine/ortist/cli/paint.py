"""``ortist transfer``, ``invert`` and ``texture``: run, show progress, write what was asked for."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import DivergedError, OptionError
from ..files import unwritable
from ..options.choice import layered_options
from ..options.declaring import Heading
from ..options.fields import Options
from ..options.parsing import shown
from ..options.presets import CS231N_MODEL
from ..signals import end_in_order
from .arguments import HeadedCommand, asked, takes_options
from .cluster import connected
from .request import Named, Places, Request, recorded_settings
from .streams import (
    FORMATS,
    STREAM,
    check_stdout,
    photo_from_stdin,
    picture_for_stdout,
    send,
)
from .telling import be_quiet, interrupted, losses_as_json, note, progress_bar

if TYPE_CHECKING:
    from PIL import Image

    from ..engine import Engine
    from ..run.loop import Run
    from ..run.plan import Plan
    from ..run.result import Result
    from ..run.settings import Settings
    from ..run.setup import Asked
    from ..run.stepping import Progress

__all__ = ["TransferCommand", "invert", "texture", "transfer"]

_Content = Annotated[
    str | None, typer.Argument(help="The photo; a - is standard input.", metavar="CONTENT")
]
_Styles = Annotated[
    list[str] | None,
    typer.Argument(
        help="The painting, style file or built-in style (ortist style list), or several to blend.",
        metavar="STYLE...",
    ),
]
_MASKS = asked(
    None,
    "Two pictures, white where the content takes the style and where the style is taken from "
    "(a - for all of the style). Give it several times, for one style, or once for each style.",
    Heading.FIRST,
    "CONTENT_MASK STYLE_MASK",
    "--mask",
)
_PLAN = {"size", "smallest_size", "iterations", "time_limit", "seamless", "optimizer"}
"""Options without which a schedule in a picture is no longer the one to repeat."""
_CHECKPOINT_EVERY = 50
"""Steps; as the help of --checkpoint-every says."""
_STYLE_OPTIONS = [f.name for f in dataclasses.fields(Options) if f.name.startswith("style_")]


@takes_options(without=("seamless",))
def transfer(
    content: _Content = None,
    style: _Styles = None,
    mask: list[str] | None = _MASKS,  # of pairs, by TransferCommand
    *,
    request: Request,
    given: dict[str, Any],
) -> None:
    """Paint CONTENT in the style of STYLE, or of several styles."""
    pairs = cast("list[tuple[str, str]]", mask or [])
    if "-" in (content_mask for content_mask, _ in pairs):
        raise OptionError(
            "the content mask '-' is no picture: a - stands for all of the style only; give a "
            "white picture for all of the content."
        )
    masks = [(mask, None if part == "-" else part) for mask, part in pairs]
    _paint(Named("transfer", content, style or [], masks), request, given)


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
    be_quiet(request.quiet)
    with contextlib.ExitStack() as stack:
        _painted(named, request, given, stack)


def _painted(
    named: Named, request: Request, given: dict[str, Any], stack: contextlib.ExitStack
) -> None:
    """Paints, with a connection to a cluster, if one is asked for, that ``stack`` closes."""
    settings = recorded_settings(named.command, request, given)
    # The options that were given, over those of a preset, a file, or the picture of --from.
    recorded = dict(settings.options) if settings else {}
    if settings and "init" in settings.inputs and "init" not in given:
        recorded["init"] = settings.find_input("init")
    options = layered_options(request.preset, request.config, **{**recorded, **given})
    if request.print_config:
        from ..options.toml import to_toml

        print(to_toml(options), end="")
        return
    if settings and "model" not in given:
        settings.check_model()
    named = named.completed(settings)
    from ..run.setup import settle

    options = settle(options, named.content, named.styles)
    told, request = request.output, request.placed(named)
    read = _received(named, options, stack)
    places = Places(request, options.snapshots, _for_stdout(request, options, stack))
    places.check(read, options)
    from ..engine import Engine

    with_inputs = request.sheet is not None or request.report is not None
    options = _for_outputs(options, request, with_inputs)
    with Engine(options.model, options.provider, options.threads) as engine:
        asked, plan = _planned(engine, read, places, options)
        if request.plan:
            print(json.dumps(plan.as_json()) if request.json else plan)
            return
        if plan.folder and with_inputs:
            raise OptionError(
                "--sheet and --report hold pictures in memory, where this one has no room; leave "
                "them out, or give more by --max-memory."
            )
        executor = None
        if request.scheduler:
            executor = stack.enter_context(connected(request.scheduler)).executor()
        run = engine.set_up(asked, options, executor, plan)
    roles = [role for role in run.inputs if role != "init" and "mask" not in role]
    inputs = {role: run.inputs[role].image for role in roles if with_inputs}
    end = _as_recorded(run, settings, given)
    _remark(run, places)
    end_in_order()
    stopped = _followed(run, places, end)
    result = run.result()
    if read is not named:  # a stream's photo has no path by which it could be read again
        result = dataclasses.replace(result, inputs={**result.inputs, "content": None})
    _write(result, places, inputs, named.sources)
    if request.output != told:
        note(f"the picture is {str(request.output)!r}.")
    _keep_checkpoint(run, request.checkpoint, stopped)
    _tell_end(stopped, result.iterations, options.steps)


def _tell_end(stopped: DivergedError | KeyboardInterrupt | None, done: int, steps: int) -> None:
    """Raises what the command ends with where something stopped it after so many steps."""
    if isinstance(stopped, DivergedError):
        raise DivergedError(f"{stopped} What is written is of iteration {done}.")
    if stopped is not None:
        raise interrupted(f"interrupted after {done} of {steps} iterations.")


def _as_recorded(run: Run, settings: Settings | None, given: dict[str, Any]) -> int | None:
    """The step at which the run of the settings ended early; its schedule is taken over.

    Unless options were given with which it would be another run.
    """
    if settings is None or (settings.schedule and _PLAN & set(given)):
        return None
    if settings.schedule:
        run.reschedule(settings.schedule)
    return settings.iteration


def _received(named: Named, options: Options, stack: contextlib.ExitStack) -> Named:
    """The pictures that are named, with a file in the place of a photo on standard input."""
    if named.content != STREAM:
        return named
    photo = photo_from_stdin(options.scratch, options.max_pixels)
    return dataclasses.replace(named, content=stack.enter_context(photo))


def _for_stdout(request: Request, options: Options, stack: contextlib.ExitStack) -> Path | None:
    """A file for the picture where it goes to standard output; raises OptionError, OutputError."""
    if request.output != Path(STREAM):
        if request.format is not None:
            raise OptionError(
                "--format is for a picture on standard output; end the file's name in a suffix."
            )
        return None
    form = request.format or FORMATS[0]
    if form not in FORMATS:
        raise OptionError(f"there is no format {shown(form)}; choose one of {', '.join(FORMATS)}.")
    check_stdout(request.json, form, options.depth, bool(options.snapshots))
    return stack.enter_context(picture_for_stdout(form, options.scratch))


def _for_outputs(options: Options, request: Request, with_inputs: bool) -> Options:
    """The options with the pictures on the way that a sheet needs, and a place for large arrays."""
    # They are files only where they were asked for, not just for a sheet.
    if with_inputs and not options.snapshots:
        middle, last = options.steps // 2, options.steps
        options = dataclasses.replace(options, snapshots=(0, middle, last))
    if request.output and options.scratch is None:
        options = dataclasses.replace(options, scratch=str(request.output.parent))
    return options


def _planned(engine: Engine, named: Named, places: Places, options: Options) -> tuple[Asked, Plan]:
    """What is asked of the engine; how it will fit into the memory, and the files it goes to."""
    from ..pictures.outputs import output_depth, takes_rows
    from ..run.setup import Asked

    by_rows = all(map(takes_rows, places.painted))
    asked = Asked(named.content, named.styles or None, named.masks)
    plan = engine.plan(asked, options, by_rows)
    for path in places.painted:
        output_depth(path, options.depth, plan.size)
    return asked, plan


def _remark(run: Run, places: Places) -> None:
    """Says on stderr what the run does in another way than might be thought."""
    from ..pictures.outputs import holds_alpha

    request = places.request
    if request.preset and run.model.name != CS231N_MODEL:
        note(
            f"the preset {request.preset} was made for the model {CS231N_MODEL}; with "
            f"{run.model.name}, the default options give a better picture."
        )
    for remark in run.notes:
        note(remark)
    content, output = run.inputs.get("content"), places.picture
    has_alpha = getattr(content, "alpha", None) is not None
    if has_alpha and output and not holds_alpha(output):
        name = "the picture" if places.streamed else repr(str(output))
        note(f"{output.suffix} holds no transparency; {name} is laid over white.")


def _followed(
    run: Run, places: Places, last: int | None
) -> DivergedError | KeyboardInterrupt | None:
    """Runs from the checkpoint, if any, to ``last`` or to the end; what cut it short, if begun.

    Trace, preview and checkpoint are written on the way.
    """
    from ..pictures.outputs import save_picture

    request, checkpoint = places.request, places.request.checkpoint
    if checkpoint and checkpoint.exists():
        run.resume(checkpoint)
        note(f"going on from iteration {run.iteration} of the checkpoint {str(checkpoint)!r}.")
    if request.trace:
        _trace(request.trace, run.steps, "w")
    try:
        with progress_bar(run.options.steps) as show:
            for progress in run:
                done = progress.iteration
                show(done, f"loss {progress.losses.total:.4g}")
                if request.trace:
                    _trace(request.trace, [progress], "a")
                if places.preview and _due(done, request.preview_every):
                    save_picture(run.painting(), places.preview, run.options.depth)
                if checkpoint and _due(done, request.checkpoint_every or _CHECKPOINT_EVERY):
                    run.save_checkpoint(checkpoint)
                if done == last:
                    break
    except (DivergedError, KeyboardInterrupt) as error:
        if run.iteration < 0:
            raise
        return error
    return None


def _due(iteration: int, every: int | None) -> bool:
    """Whether so many steps are done since the start, or since the last time."""
    return bool(iteration and every and iteration % every == 0)


def _trace(path: Path, steps: Iterable[Progress], mode: str) -> None:
    """Writes one JSON object a step to the file, opened in ``mode``; raises OutputError."""
    try:
        with path.open(mode, encoding="utf-8") as stream:
            for step in steps:
                record = {
                    "iteration": step.iteration,
                    "scale": step.scale,
                    "losses": losses_as_json(step.losses),
                    "seconds": round(step.seconds, 6),
                }
                stream.write(json.dumps(record) + "\n")
    except OSError as error:
        raise unwritable(path, error) from error


def _write(
    result: Result, places: Places, inputs: Mapping[str, Image.Image], sources: Iterable[str]
) -> None:
    """Writes all that was asked for; raises OutputError.

    ``inputs`` are the pictures that sheet and report show, by role, and ``sources`` their paths.
    """
    request = places.request
    snapshots = {n: path for n, path in places.snapshots.items() if n in result.snapshots}
    if places.picture:
        result.save(places.picture)
        if places.streamed:
            send(places.picture)
    for iteration, path in snapshots.items():
        result.save(path, snapshot=iteration)
    if request.sheet:
        from ..pictures.outputs import save_picture
        from ..pictures.raster import Painting
        from .report import contact_sheet

        save_picture(Painting.of(contact_sheet(result, inputs)), request.sheet, depth=8)
    if request.report:
        from ..files import atomic_writer
        from .report import html_report

        pairs = zip(inputs.items(), sources, strict=True)
        captions = {f"{role}: {path}": image for (role, image), path in pairs}
        with atomic_writer(request.report) as stream:
            stream.write(html_report(result, captions).encode(errors="replace"))
    if request.json:
        print(json.dumps(_summary(result, request, snapshots)))


def _keep_checkpoint(run: Run, checkpoint: Path | None, stopped: BaseException | None) -> None:
    """Writes what the same command can go on from; removes it where there is nothing left to do."""
    from ..run.checkpoint import remove_checkpoint

    if checkpoint and run.finished:
        remove_checkpoint(checkpoint)
    elif checkpoint and not isinstance(stopped, DivergedError):
        run.save_checkpoint(checkpoint)


def _summary(result: Result, request: Request, snapshots: Mapping[int, Path]) -> dict[str, Any]:
    weights = result.weights
    return {
        "output": request.output and str(request.output),
        "size": list(result.painting.size),
        "iterations": result.iterations,
        "stopped": result.stopped,
        "seconds": round(result.seconds, 3),
        "provider": result.provider,
        "model": {"name": result.model.name, "sha256": result.model.sha256},
        "weights": {"content": weights.content, "style": weights.style, "tv": weights.tv},
        "initial": losses_as_json(result.initial),
        "final": losses_as_json(result.final),
        "snapshots": {n: str(path) for n, path in snapshots.items()},
        "sheet": request.sheet and str(request.sheet),
    }
