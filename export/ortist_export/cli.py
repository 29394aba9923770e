"""``ortist export …`` and ``ortist models get``: the workshop's commands.

No ``from __future__ import annotations`` here: typer evaluates string annotations at module level,
where the help texts made per backbone do not exist.
"""

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from ortist_models import SHIPPED, model_home

from .backbones import BACKBONES, Backbone, Pooling, parse_taps
from .bundle import export_bundle, measure_bundle
from .differences import check_differences
from .download import Report
from .errors import ExportError, ExportUsageError
from .foreign import InputName, export_onnx, input_of, list_layers
from .getting import fetched, get_model
from .probes import TOLERANCE, Array, is_known, read_picture
from .weights import Weights

__all__ = ["app", "get", "run"]

app = typer.Typer(
    help="""Make models of networks and weights, and check them.

    Any feed-forward network in an ONNX file, FILE.onnx in the place of COMMAND:

    \b
      ortist export FILE.onnx --list          what it has to tap
      ortist export FILE.onnx --taps 3,relu4  a model with these taps
      ortist export onnx --help               the other options
    """,
    rich_markup_mode=None,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


_Output = Annotated[
    Path | None, typer.Option(help="The folder that gets NAME/. Without it, the model home.")
]
_Model = Annotated[str, typer.Argument(help="A model's name, or the path of its folder.")]


def run(words: Sequence[str]) -> int:
    """Runs ``ortist export`` with these words and returns its exit code.

    ``ortist export FILE.onnx`` is short for ``ortist export onnx FILE.onnx``, also with options
    before the file.
    """
    first, command = words[0] if words else "", _late_command(words)
    if first.startswith("-") and command is not None and "--help" not in words:
        print(
            f"ortist: {first} stands before the command; say ortist export {command} {first} ….",
            file=sys.stderr,
        )
        return ExportUsageError.exit_code
    named = [word for word in words if word.lower().endswith(".onnx")]
    if named and (first.startswith("-") or first in named):
        words = ["onnx", *words]
    return app(args=list(words), prog_name="ortist export", standalone_mode=False) or 0


def _late_command(words: Sequence[str]) -> str | None:
    """The first word that is a command and no option's value; None where there is none."""
    known = {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands}
    before = ["", *words]
    for last, word in zip(before, words, strict=False):
        if word in known and (not last.startswith("-") or last == "--list"):
            return word
    return None


def _reported(command: Callable[..., None]) -> Callable[..., None]:
    """ExportError -> one sentence on stderr and its exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ExportError as error:
            print(f"ortist: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from error

    return run


@contextlib.contextmanager
def _bar(label: str) -> Iterator[Report]:
    """A progress bar on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, whole: None
        return
    with typer.progressbar(length=1, label=label, file=sys.stderr, show_eta=True) as bar:

        def show(done: int, whole: int) -> None:
            bar.length = max(whole, done, 1)
            bar.update(done - bar.pos)

        yield show


@_reported
def get(name: str, given: Path | None, url: str | None) -> None:
    """Gets the model ``name`` into the model home: ``ortist models get``."""
    with _bar(f"fetching {name}") as report:
        folder, made = get_model(name, given, url, report)
    said = f"{name} is in {folder}" if made else f"{name} is there already, in {folder}"
    print(f"{said}; ortist transfer … --model {name} paints with it")


def _require_torch(what: str) -> None:
    if importlib.util.find_spec("torch") is None:
        raise ExportUsageError(
            f"{what} needs torch; install Ortist with the extra that brings it, in a checkout: "
            "pip install '.[export]'"
        )


def _add_backbone(backbone: Backbone) -> None:
    layers = ", ".join(f"{i} {layer}" for i, layer in enumerate(backbone.layers) if i)

    @_reported
    def command(
        weights: Annotated[
            Path | None,
            typer.Option(
                help="A state dict (.pth), of which tensors alone are read, or the ONNX model "
                "zoo's file. Without it, torchvision's ImageNet weights are downloaded and their "
                "hash is checked."
            ),
        ] = None,
        taps: Annotated[
            str, typer.Option(help=f"Layers to offer to the losses: {layers}.")
        ] = ",".join(map(str, backbone.default_taps)),
        pooling: Annotated[
            Pooling,
            typer.Option(
                help="What stands for a window of features: its maximum, as the weights were "
                "trained with, or twice its mean, after Gatys et al."
            ),
        ] = "max",
        name: Annotated[
            str | None,
            typer.Option(
                help="The model's name, as --model will take it.",
                show_default=f"{backbone.name}, or {backbone.name}-avg",
            ),
        ] = None,
        output: _Output = None,
        source: Annotated[
            str | None,
            typer.Option(help="For the manifest: where a --weights file came from."),
        ] = None,
        license: Annotated[
            str, typer.Option(help="For the manifest: the licence of a --weights file.")
        ] = "unknown",
    ) -> None:
        if name is None:
            name = backbone.name if pooling == "max" else f"{backbone.name}-{pooling}"
        name = _plain_name(name)
        chosen, parent = parse_taps(taps, backbone), output or model_home()
        if weights is not None:
            given = Weights(weights, source or weights.name, license)
            folder = export_bundle(backbone, given, chosen, name, parent, pooling)
        else:
            with _bar(f"fetching {backbone.name}") as report, fetched(backbone, report=report) as w:
                folder = export_bundle(backbone, w, chosen, name, parent, pooling)
        print(f"exported {name} with taps {','.join(map(str, chosen))} to {folder}")

    app.command(backbone.name, help=f"Export {backbone.name} and the graph of its pixel gradient.")(
        command
    )


for _backbone in BACKBONES.values():
    _add_backbone(_backbone)


@app.command("onnx")
@_reported
def onnx_command(
    file: Annotated[Path, typer.Argument(help="A network as an ONNX file, weights inside.")],
    taps: Annotated[
        str | None,
        typer.Option(help="Layers to offer to the losses, by names or by the numbers of --list."),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="List the layers that can be tapped, and do no more.")
    ] = False,
    input_: Annotated[
        InputName,
        typer.Option(
            "--input",
            help="What the network is shown: ImageNet's statistics, values from 0 to 1 (unit) or "
            "from -1 to 1 (symmetric), or bytes less ImageNet's mean with blue first (caffe); auto "
            "goes by the file's name.",
        ),
    ] = "auto",
    name: Annotated[
        str | None,
        typer.Option(
            help="The model's name, as --model will take it.", show_default="the file's name"
        ),
    ] = None,
    output: _Output = None,
    source: Annotated[
        str | None, typer.Option(help="For the manifest: where the file came from.")
    ] = None,
    license: Annotated[str, typer.Option(help="For the manifest: its licence.")] = "unknown",
) -> None:
    """Export any feed-forward CNN, with the graph of its pixel gradient."""
    if list_:
        for line in list_layers(file):
            print(line)
        return
    if taps is None:
        raise ExportUsageError(
            f"say with --taps which layers of {file.name} the losses look at; --list shows them."
        )
    name, shown = _plain_name(file.stem if name is None else name), input_of(file, input_)
    weights = Weights(file, source or file.name, license)
    folder = export_onnx(file, taps, name, output or model_home(), weights, shown)
    print(f"exported {name}, shown pictures as {shown} (--input), to {folder}")


def _plain_name(name: str) -> str:
    """The name, which must be one that a folder can have."""
    if not name or Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise ExportUsageError(f"--name {name!r} cannot name a folder; give a plain word.")
    return name


@app.command("train")
@_reported
def train_command(
    output: Annotated[Path, typer.Argument(help="The file of weights to write, NAME.pth.")],
    count: Annotated[
        int, typer.Option("--textures", help="How many textures are drawn.", min=32)
    ] = 400,
    seed: Annotated[int, typer.Option(help="Decides every texture and every draw.", min=0)] = 0,
) -> None:
    """Fit SqueezeNet 1.1 to drawn textures: the weights of squeezenet1_1-procedural, anew."""
    _require_torch("ortist export train")
    from .training import train

    train(output, count, seed, report=print)


@app.command()
@_reported
def measure(
    name: _Model,
) -> None:
    """Measure the memory that a model takes for each pixel here, into its manifest."""
    memory = measure_bundle(_folder(name))
    print(", ".join(f"{what} {size}" for what, size in memory.items()), "bytes per pixel")


def _folder(name: str) -> Path:
    folders = [model_home() / name, SHIPPED / name, Path(name)]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        raise ExportError(
            f"there is no model {name!r}; `ortist models list` shows those there are."
        )
    return folder


@app.command()
@_reported
def check(
    name: _Model,
    weights: Annotated[
        Path | None,
        typer.Option(help="The file it was exported from, to compare the weights as well."),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(help="A real picture to compare on, besides the built-in images."),
    ] = None,
) -> None:
    """Hold features, sums and gradient against float64, and against autograd where torch is."""
    folder = _folder(name)
    extra = {path.name: read_picture(path) for path in image or []}
    checks = [_check_differences]
    if importlib.util.find_spec("torch") is not None and is_known(folder):
        checks.append(_check_autograd)
    errors = [error for check in checks for error in check(folder, weights, extra)]
    print(f"worst {np.max([worst for _, worst in errors]):.1e}, tolerance {TOLERANCE:.0e}")
    failed = dict.fromkeys(image for image, worst in errors if not worst <= TOLERANCE)
    if failed:
        raise ExportError(f"{name} differs from what is right on {', '.join(failed)}.")


Checked = Iterator[tuple[str, float]]
"""Image by image the worst error, printed on the way."""


def _check_differences(folder: Path, weights: Path | None, extra: dict[str, Array]) -> Checked:
    print("against float64 and central differences:")
    print("relative errors               features      sums  gradient  difference")
    for found in check_differences(folder, weights, extra):
        print(
            f"{found.image:<20} {found.size[0]:>4}x{found.size[1]:<4} {found.features:9.1e} "
            f"{found.sums:9.1e} {found.gradient:9.1e} {found.difference:11.1e}",
            flush=True,
        )
        yield found.image, found.worst


def _check_autograd(folder: Path, weights: Path | None, extra: dict[str, Array]) -> Checked:
    from .check import check_bundle

    print("against PyTorch:              features      sums    guided  gradient   autograd's own")
    print(
        "                                                            (undecided)  float32  float64"
    )
    for found in check_bundle(folder, weights, extra):
        print(
            f"{found.image:<20} {found.size[0]:>4}x{found.size[1]:<4} {found.features:9.1e} "
            f"{found.sums:9.1e} {found.guided:9.1e} {found.gradient:9.1e} ({found.undecided:5}) "
            f"{found.float32:8.1e} {found.float64:8.1e} {found.autograd:8.1e}",
            flush=True,
        )
        yield found.image, found.worst
