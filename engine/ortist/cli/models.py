"""``ortist models``: which models there are, where they are, whether they are whole.

The docstrings of the commands are what ``--help`` shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ModelError
from ..network.bundle import default_model_name, find_model, installed_models, load_model
from .workshop import open_workshop

__all__ = ["app"]

app = typer.Typer(
    help="Get, list, find and verify models.", rich_markup_mode=None, no_args_is_help=True
)
_Name = Annotated[str | None, typer.Argument(help="A model's name. Without it, the default one.")]


@app.command("list")
def list_models() -> None:
    """List the models, the default one marked with *."""
    default = default_model_name()
    for name, folder in installed_models():
        mark = "*" if name == default else " "
        try:
            model = load_model(folder)
        except ModelError as error:
            print(f"{mark} {name:<28} unusable: {error}")
            continue
        taps = ",".join(str(tap.index) for tap in model.taps)
        backbone = model.backbone + (", average pooling" if model.pooling == "avg" else "")
        print(f"{mark} {name:<28} {backbone}, layers {taps}, weights {model.license}")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="squeezenet1_1, squeezenet1_0 or vgg19.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The file of weights, brought from elsewhere."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="ORTIST_MODELS_URL",
            help="A mirror: an address below which the files are, by their names. Their hash must "
            "be the official one.",
        ),
    ] = None,
) -> None:
    """Download a model's ImageNet weights, check their hash and convert them; needs 'onnx'."""
    open_workshop("ortist models get").get(name, source, url)


@app.command()
def path(name: _Name = None) -> None:
    """Print the folder of a model."""
    print(find_model(name).folder)


@app.command()
def verify(name: _Name = None) -> None:
    """Check a model's files against the hashes in its manifest."""
    model = find_model(name)
    model.verify()
    print(f"{model.name}: {len(model.hashes)} files are what the manifest says")
