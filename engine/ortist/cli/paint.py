"""``ortist transfer``, ``invert`` and ``texture``: run, show progress, write what was asked for."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from typer.core import TyperCommand

from .. import __version__
from ..errors import OptionError
from ..options import Options
from ..presets import CS231N_MODEL, PRESETS
from .arguments import takes_options

if TYPE_CHECKING:
    from ..loop import Progress, Result, Run
    from ..objective import Losses
    from ..settings import Settings

__all__ = ["TransferCommand", "invert", "texture", "transfer"]

_Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="The picture to write; its suffix names the format."),
]
_Sheet = Annotated[
    Path | None,
    typer.Option(help="Write one picture that shows inputs, snapshots, result and loss curves."),
]
_Json = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")
]
_Preset = Annotated[str | None, typer.Option(help=f"A named set of options: {', '.join(PRESETS)}.")]
_From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Repeat what this picture was made with: its options and inputs, where not given.",
        metavar="PICTURE",
    ),
]
_Content = Annotated[str | None, typer.Argument(help="The photo.", metavar="CONTENT")]
_Styles = Annotated[
    list[str] | None,
    typer.Argument(help="The painting, or several to blend.", metavar="STYLE..."),
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


@takes_options()
def transfer(
    content: _Content = None,
    style: _Styles = None,
    output: _Output = None,
    mask: _Masks = None,
    preset: _Preset = None,
    source: _From = None,
    sheet: _Sheet = None,
    as_json: _Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Paint CONTENT in the style of STYLE, or of several styles."""
    pairs = cast("list[tuple[str, str]]", mask or [])
    named = _Named("transfer", content, style or [], pairs)
    _paint(named, output, preset, source, sheet, as_json, given)


class TransferCommand(TyperCommand):
    """``--mask`` takes two values each time: typer itself knows pairs and lists, not both."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        next(p for p in self.params if p.name == "mask").nargs = 2


_STYLE_OPTIONS = [field.name for field in fields(Options) if field.name.startswith("style_")]


@takes_options(without=(*_STYLE_OPTIONS, "strength", "colors"))
def invert(
    content: _Content = None,
    output: _Output = None,
    preset: _Preset = None,
    source: _From = None,
    sheet: _Sheet = None,
    as_json: _Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Find a picture, from noise, that has CONTENT's features (feature inversion)."""
    named = _Named("invert", content, [])
    _paint(named, output, preset, source, sheet, as_json, given)


@takes_options(without=("content_layers", "content_weight", "strength", "colors", "keep_metadata"))
def texture(
    style: _Styles = None,
    output: _Output = None,
    preset: _Preset = None,
    source: _From = None,
    sheet: _Sheet = None,
    as_json: _Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Synthesise, from noise, a square texture in the style of STYLE, or of several styles."""
    named = _Named("texture", None, style or [])
    _paint(named, output, preset, source, sheet, as_json, given)


_ROLES = {"transfer": ("content", "style"), "invert": ("content",), "texture": ("style",)}


@dataclasses.dataclass(frozen=True)
class _Named:
    """The pictures named on the command line; a style mask of - stands for all of the style."""

    command: str
    content: str | None
    styles: list[str]
    masks: Sequence[tuple[str, str]] = ()

    def checked(self) -> _Named:
        """Raises OptionError where one is missing."""
        for role, there in (("content", self.content), ("style", self.styles)):
            if not there and role in _ROLES[self.command]:
                raise OptionError(
                    f"Missing argument {role.upper()!r}; see ortist {self.command} --help, or give "
                    "--from a picture that has it."
                )
        return self

    def filled(self, settings: Settings) -> _Named:
        """With the recorded files, verified, for what was not named; new styles, no old masks."""
        roles = _ROLES[self.command]
        content, styles, masks = self.content, self.styles, self.masks
        if content is None and "content" in roles:
            content = settings.find_input("content")
        if not styles and "style" in roles:
            styles = [settings.find_input(role) for role in settings.styles]
            if not masks:
                masks = [
                    (settings.find_input(mask), settings.find_input(part) if part else "-")
                    for mask, part in settings.masks
                ]
        return _Named(self.command, content, styles, masks)


def _paint(
    named: _Named,
    output: Path | None,
    preset: str | None,
    source: Path | None,
    sheet: Path | None,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    settings = _settings(named.command, source, preset, given)
    if settings is None:
        named.checked()
    recorded = dict(settings.options) if settings else {}
    options = Options.of(preset, **{**recorded, **given})
    if sheet and not options.snapshots:
        middle, last = options.iterations // 2, options.iterations
        options = dataclasses.replace(options, snapshots=(0, middle, last))
    if output is None and sheet is None and not as_json and options.iterations > 0:
        raise OptionError("there is no place for the picture; name one with -o FILE.")
    # Here, not above: these take half a second that the checks before need not wait for.
    from ..files import check_writable
    from ..images import Painting, load_picture
    from ..loop import iterate
    from ..outputs import holds_alpha, output_depth, picture_format, save_picture

    snapshots = {} if output is None else _snapshot_paths(output, given, options)
    pictures = [path for path in (output, *snapshots.values()) if path is not None]
    outputs = [*pictures, *([sheet] if sheet else [])]
    for path in outputs:
        output_depth(path, options.depth if path in pictures else 8)
        check_writable(path)
    _check_distinct(outputs)
    if settings and "model" not in given:
        settings.check_model()
    if settings:
        named = named.filled(settings)
    photo = None
    if named.content is not None:
        photo = load_picture(named.content, options.max_pixels, "content image")
    paintings = [load_picture(path, options.max_pixels, "style image") for path in named.styles]
    pairs = [(mask, None if part == "-" else part) for mask, part in named.masks]
    run = iterate(photo, paintings or None, options, masks=pairs)
    for picture in pictures:
        picture_format(picture, run.canvas)
    if preset and run.model.name != CS231N_MODEL:
        _note(
            f"the preset {preset} was made for the model {CS231N_MODEL}; with {run.model.name}, "
            "the default options give a better picture."
        )
    if photo is not None and photo.alpha is not None and output and not holds_alpha(output):
        _note(f"{output.suffix} holds no transparency; {str(output)!r} is laid over white.")
    interrupted = _follow(run, settings.iteration if settings else None)
    result = run.result()
    if output:
        result.save(output)
    snapshots = {n: path for n, path in snapshots.items() if n in result.snapshots}
    for iteration, path in snapshots.items():
        result.save(path, snapshot=iteration)
    if sheet:
        from ..sheet import contact_sheet

        shown = {} if photo is None else {"content": photo.image}
        for number, painting in enumerate(paintings, 1):
            shown["style" if len(paintings) == 1 else f"style {number}"] = painting.image
        save_picture(Painting.of(contact_sheet(result, shown)), sheet, depth=8)
    if as_json:
        print(json.dumps(_report(result, output, snapshots, sheet)))
    if interrupted:
        _note(f"interrupted after {result.iterations} of {options.iterations} iterations.")
        raise typer.Exit(130)


def _settings(
    command: str, source: Path | None, preset: str | None, given: dict[str, Any]
) -> Settings | None:
    """Those in the picture ``source``, if any; raises OptionError for another command's."""
    if source is None:
        return None
    if preset is not None:
        raise OptionError("give --from or --preset, but not both.")
    from ..settings import read_settings

    settings = read_settings(source, given.get("max_pixels", Options.max_pixels))
    if settings.command != command:
        raise OptionError(
            f"{str(source)!r} was made by ortist {settings.command}; repeat it with ortist "
            f"{settings.command} --from."
        )
    if settings.version != __version__:
        _note(
            f"{str(source)!r} was made by ortist {settings.version}, this is {__version__}: the "
            "picture may differ."
        )
    return settings


def _check_distinct(outputs: list[Path]) -> None:
    """Raises OptionError where two outputs would be one file."""
    seen: set[str] = set()
    for path in outputs:
        resolved = os.path.realpath(path)
        if resolved in seen:
            raise OptionError(f"two outputs would both be written to {str(path)!r}; rename one.")
        seen.add(resolved)


def _follow(run: Run, last: int | None) -> bool:
    """Runs to the end, with a progress bar on a terminal; True where Ctrl-C cut it short.

    ``last`` is where to stop before, to repeat a snapshot or what had been cut short.
    """
    with _progress_bar(run.options.iterations) as show:
        try:
            for progress in run:
                show(progress)
                if progress.iteration == last:
                    break
        except KeyboardInterrupt:
            if run.iteration < 0:
                raise
            return True
    return False


@contextmanager
def _progress_bar(iterations: int) -> Iterator[Any]:
    """A bar with the loss and the time left on stderr; nothing where stderr is no terminal."""
    if not sys.stderr.isatty() or iterations == 0:
        yield lambda progress: None
        return
    bar: Any = typer.progressbar(
        length=iterations,
        label="painting",
        file=sys.stderr,
        show_eta=True,
        show_pos=True,
        item_show_func=lambda p: f"loss {p.losses.total:.4g}" if p else None,
    )
    with bar:

        def show(progress: Progress) -> None:
            bar.current_item = progress
            bar.update(1 if progress.iteration else 0)

        yield show


def _snapshot_paths(output: Path, given: dict[str, Any], options: Options) -> dict[int, Path]:
    """out.png -> out-0100.png; only where snapshots were asked for, and not just for a sheet."""
    if "snapshots" not in given:
        return {}
    return {n: output.with_name(f"{output.stem}-{n:04}{output.suffix}") for n in options.snapshots}


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
