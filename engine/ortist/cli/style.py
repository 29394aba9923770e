"""``ortist style``: the built-in styles, taking a style from paintings, what a style file holds."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ModelError, OptionError
from ..options.choice import layered_options
from ..options.declaring import Heading
from ..options.fields import Options
from .arguments import PRESET, HeadedCommand, asked, file, flag, takes_options

if TYPE_CHECKING:
    from ..style.files import ExtractedStyle

__all__ = ["app"]

app = typer.Typer(
    help="List the built-in styles, take a style from paintings into a file, show such files.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
_SIZES = ("size", "smallest_size", "style_size", "style_scale")
_TAKEN = (*_SIZES, "style_weights", "model", "provider", "threads", "tile", "max_pixels")


@app.command("list")
def list_styles(
    output: Path | None = file(
        "Write one picture that shows them all.", Heading.FIRST, "--output", "-o"
    ),
    as_json: bool = flag("Print them as one JSON array on stdout.", "--json"),
) -> None:
    """Name the built-in styles, which can be given wherever a painting can."""
    from ..style.named import BUILT_IN

    if output is not None:
        from PIL import Image

        from ..files import check_apart, check_writable
        from ..pictures.outputs import picture_format, save_picture
        from ..pictures.raster import Painting
        from .report import picture_rows

        picture_format(output)
        check_writable(output)
        check_apart([output], [style.path for style in BUILT_IN.values()])
        cells = [(style.name, Image.open(style.path)) for style in BUILT_IN.values()]
        save_picture(Painting.of(picture_rows(cells)), output, depth=8)
    if as_json:
        told = [
            {"name": style.name, "description": style.description, "file": str(style.path)}
            for style in BUILT_IN.values()
        ]
        print(json.dumps(told))
        return
    for style in BUILT_IN.values():
        print(f"{style.name:<13}{style.description}")


@app.command("extract", cls=HeadedCommand)
@takes_options(without=[f.name for f in dataclasses.fields(Options) if f.name not in _TAKEN])
def extract(
    paintings: Annotated[
        list[str],
        typer.Argument(
            help="The painting or built-in style, or several to blend.", metavar="STYLE..."
        ),
    ],
    output: Path = asked(
        ..., "The style file to write.", Heading.FIRST, "FILE.ostyle", "--output", "-o"
    ),
    preset: str | None = PRESET,
    config: Path | None = file("Options from a TOML file, as a run takes them.", Heading.RECIPE),
    *,
    given: dict[str, Any],
) -> None:
    """Write STYLE, or several, to a file that stands for a style image.

    It holds the paintings, and their statistics for the sizes that a run with the same --size,
    --smallest-size, --style-size and --style-scale asks for; such a run gives the same bytes with
    it as with the paintings. A run of another size mixes the two sizes next to its own, and says so
    where it goes beyond them.
    """
    options = layered_options(preset, config, **given)
    from ..api import extract_style
    from ..files import check_apart, check_writable
    from ..network.bundle import find_model
    from ..style.files import SUFFIX

    if output.suffix.lower() != SUFFIX:
        raise OptionError(f"a style file's name ends in {SUFFIX}, unlike {str(output)!r}.")
    check_writable(output)
    read = [*paintings, *find_model(options.model).paths]
    check_apart([output], read if config is None else [*read, str(config)])
    extract_style(paintings, options).save(output)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A style file.", metavar="FILE.ostyle")],
    as_json: bool = flag("Print it as one JSON object on stdout.", "--json"),
) -> None:
    """Say what a style file was made of, with which model, and for which sizes."""
    from ..style.files import read_style

    style = read_style(file)
    models = _models(style)
    if as_json:
        report = {
            "paintings": [painting._asdict() for painting in style.paintings],
            "model": {"name": style.model_name, "sha256": style.model_sha256},
            "usable_with": models,
            "sizes": style.sides,
            "whole": style.whole,
            "patches": bool(style.patches),
            "layers": [tap._asdict() for tap in style.taps],
            "bytes": os.path.getsize(file),
        }
        print(json.dumps(report))
        return
    for painting in style.paintings:
        print(f"painting  {painting.name or 'no file'}, {painting.width} x {painting.height}")
    more = ", and whatever is larger" if style.whole else ""
    print(f"sizes     {', '.join(map(str, style.sides))} pixels{more}")
    patches = "can be matched" if style.patches else "none, so for --quality paper alone"
    print(f"patches   {patches}")
    print(f"layers    {', '.join(f'{tap.layer} {tap.name}' for tap in style.taps)}")
    usable = f"; usable with {', '.join(models)}" if models else "; no such model is installed"
    print(f"model     {style.model_name}{usable}")


def _models(style: ExtractedStyle) -> list[str]:
    """The installed models that have its backbone."""
    from ..network.bundle import installed_models, load_model
    from ..style.files import backbone_sha256

    names = []
    for name, folder in installed_models():
        try:
            if backbone_sha256(load_model(folder)) == style.model_sha256:
                names.append(name)
        except (ModelError, KeyError):
            continue
    return names
