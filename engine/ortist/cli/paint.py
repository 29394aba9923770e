"""``ortist transfer``, ``invert`` and ``texture``: run, show progress, write what was asked for."""

from __future__ import annotations

import dataclasses
import functools
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import DivergedError, OptionError
from ..options.choice import layered_options
from ..options.declaring import Heading
from ..options.fields import Options
from ..options.presets import CS231N_MODEL
from .arguments import takes_options
from .follow import Listener, every, follow, traced
from .headings import HeadedCommand
from .named import Named, note, recorded_settings
from .places import Places, check_request
from .request import Request, asked
from .writing import write_result

if TYPE_CHECKING:
    from ..engine import Engine
    from ..run.loop import Run
    from ..run.plan import Plan
    from ..run.settings import Settings
    from ..run.setup import Asked

__all__ = ["TransferCommand", "invert", "texture", "transfer"]

_Content = Annotated[str | None, typer.Argument(help="The photo.", metavar="CONTENT")]
_Styles = Annotated[
    list[str] | None,
    typer.Argument(help="The painting or style file, or several to blend.", metavar="STYLE..."),
]
_Masks = Annotated[
    list[str] | None,  # of pairs, by TransferCommand
    asked(
        Heading.FIRST,
        "Two pictures, white where the content takes the style and where the style is taken from "
        "(a - for all of the style). Give it several times, for one style, or once for each style.",
        "CONTENT_MASK STYLE_MASK",
        "--mask",
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
    options = _chosen(request, given, settings)
    if request.print_config:
        from ..options.toml import to_toml

        print(to_toml(options), end="")
        return
    if settings is None:
        named.checked()
    # The pictures on the way are files only where they were asked for, not just for a sheet.
    places = Places.of(request, options.snapshots)
    shown = request.sheet is not None or request.report is not None
    if shown and not options.snapshots:
        middle, last = options.iterations // 2, options.iterations
        options = dataclasses.replace(options, snapshots=(0, middle, last))
    check_request(request, options)
    # Here, not above: this takes half a second that the checks before need not wait for.
    from ..engine import Engine

    places.check_writable(options)
    if settings:
        if "model" not in given:
            settings.check_model()
        named = named.filled(settings)
    places.check_inputs(named, options)
    if request.output and options.scratch is None:
        options = dataclasses.replace(options, scratch=str(request.output.parent))
    with Engine(options.model, options.provider, options.threads) as engine:
        asked, plan = _planned(engine, named, places, options)
        if request.plan:
            print(json.dumps(plan.as_json()) if request.json else plan)
            return
        if plan.folder and shown:
            raise OptionError(
                "--sheet and --report hold pictures in memory, where this one has no room; leave "
                "them out, or give more by --max-memory."
            )
        run = engine.set_up(asked, options, plan=plan)
    inputs = {}
    if shown:  # content and styles
        roles = [role for role in run.inputs if role != "init" and "mask" not in role]
        inputs = {role: run.inputs[role].image for role in roles}
    end = None
    if settings and not (settings.schedule and _PLAN & set(given)):
        end = settings.iteration
        if settings.schedule:
            run.reschedule(settings.schedule)
    _remark(run, request)
    _resume(run, request.checkpoint)
    diverged, interrupted = _followed(run, places, end)
    result = run.result()
    write_result(result, places, inputs, named.sources)
    _keep_checkpoint(run, request.checkpoint, diverged)
    if diverged is not None:
        raise DivergedError(f"{diverged} What is written is of iteration {result.iterations}.")
    if interrupted:
        note(f"interrupted after {result.iterations} of {options.iterations} iterations.")
        raise typer.Exit(130)


def _chosen(request: Request, given: dict[str, Any], settings: Settings | None) -> Options:
    """The options that were given, over those of a preset, a file, or the picture of --from."""
    recorded = dict(settings.options) if settings else {}
    if settings and "init" in settings.inputs and "init" not in given:
        recorded["init"] = settings.find_input("init")
    return layered_options(request.preset, request.config, **{**recorded, **given})


def _planned(engine: Engine, named: Named, places: Places, options: Options) -> tuple[Asked, Plan]:
    """What is asked of the engine; how it will fit into the memory, and the files it goes to."""
    from ..pictures.outputs import output_depth, takes_rows
    from ..run.setup import Asked

    by_rows = all(takes_rows(path) for path in places.painted)
    asked = Asked(named.content, named.styles or None, named.pairs)
    plan = engine.plan(asked, options, by_rows)
    for path in places.painted:
        output_depth(path, options.depth, plan.size)
    return asked, plan


def _remark(run: Run, request: Request) -> None:
    """Says on stderr what the run does in another way than might be thought."""
    from ..pictures.outputs import holds_alpha

    if request.preset and run.model.name != CS231N_MODEL:
        note(
            f"the preset {request.preset} was made for the model {CS231N_MODEL}; with "
            f"{run.model.name}, the default options give a better picture."
        )
    for remark in run.notes:
        note(remark)
    content, output = run.inputs.get("content"), request.output
    has_alpha = getattr(content, "alpha", None) is not None
    if has_alpha and output and not holds_alpha(output):
        note(f"{output.suffix} holds no transparency; {str(output)!r} is laid over white.")


def _resume(run: Run, checkpoint: Path | None) -> None:
    if checkpoint and checkpoint.exists():
        run.resume(checkpoint)
        note(f"going on from iteration {run.iteration} of the checkpoint {str(checkpoint)!r}.")


def _followed(run: Run, places: Places, end: int | None) -> tuple[DivergedError | None, bool]:
    """Runs to ``end``, or to the run's own; what it diverged with, and whether Ctrl-C ended it."""
    request = places.request
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if request.trace:
            listeners.append(stack.enter_context(traced(request.trace, run.steps)))
        if request.preview_every and places.preview:
            show = functools.partial(_save_preview, run, places.preview)
            listeners.append(every(request.preview_every, show))
        if request.checkpoint:
            save = functools.partial(run.save_checkpoint, request.checkpoint)
            listeners.append(every(request.checkpoint_every or _CHECKPOINT_EVERY, save))
        try:
            return None, follow(run, listeners, end)
        except DivergedError as error:
            if run.iteration < 0:
                raise
            return error, False


def _keep_checkpoint(run: Run, checkpoint: Path | None, diverged: DivergedError | None) -> None:
    """Writes what the same command can go on from; removes it where there is nothing left to do."""
    from ..run.checkpoint import remove_checkpoint

    if checkpoint and run.finished:
        remove_checkpoint(checkpoint)
    elif checkpoint and diverged is None:
        run.save_checkpoint(checkpoint)


def _save_preview(run: Run, path: Path) -> None:
    from ..pictures.outputs import save_picture

    save_picture(run.painting(), path, run.options.depth)
