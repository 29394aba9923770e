"""``ortist models`` and ``ortist doctor``: what is here, where it is, and does it work.

The docstrings of the commands are what ``--help`` shows.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Annotated

import typer

from .._version import __version__
from ..errors import ModelError, ResourceError
from ..network.bundle import default_model_name, find_model, installed_models, load_model
from .tune import tune
from .workshop import open_workshop

__all__ = ["doctor", "models"]

models = typer.Typer(
    help="Get, list, find and verify models.", rich_markup_mode=None, no_args_is_help=True
)
models.command("tune")(tune)
_Name = Annotated[str | None, typer.Argument(help="A model's name. Without it, the default one.")]


@models.command("list")
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


@models.command()
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


@models.command()
def path(name: _Name = None) -> None:
    """Print the folder of a model."""
    print(find_model(name).folder)


@models.command()
def verify(name: _Name = None) -> None:
    """Check a model's files against the hashes in its manifest."""
    model = find_model(name)
    model.verify()
    print(f"{model.name}: {len(model.hashes)} files are what the manifest says")


def doctor() -> None:
    """Show versions, providers, threads and models, and prove them."""
    import importlib.metadata  # 20 ms that no picture should wait for
    import importlib.util

    from ..network.sessions import available_cpus, load_onnxruntime

    runtime = load_onnxruntime()
    print(
        f"ortist       {__version__} on Python {platform.python_version()}, {platform.platform()}"
    )
    for package in ("onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "typer"):
        try:
            print(f"{package:<12} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    providers = [n.removesuffix("ExecutionProvider") for n in runtime.get_available_providers()]
    print(f"providers    {', '.join(providers)}")
    print(f"threads      {available_cpus()} of {os.cpu_count()} CPUs")
    print(f"telemetry    {'off' if os.environ['ORT_DISABLE_TELEMETRY'] == '1' else 'ON'}")
    has_export = importlib.util.find_spec("torch") and importlib.util.find_spec("onnx")
    print(f"export       {'available' if has_export else 'not installed (the extra export)'}")
    code = 0
    for name, folder in installed_models():
        try:
            load_model(folder).verify()
            default = "  (default)" if name == default_model_name() else ""
            print(f"model        {name}: whole, {folder}{default}")
        except ModelError as error:
            print(f"model        {name}: {error}")
            code = error.exit_code
    provider, seconds, difference = _one_step(find_model().name)
    fine = difference < 1e-4
    print(
        f"step         {seconds * 1e3:.1f} ms at 64 x 64 on {provider}: "
        f"{'right' if fine else f'WRONG, the loss is off by {difference:.1e}'}"
    )
    if not fine:
        raise ResourceError("ONNX Runtime computes wrongly here; install another version of it.")
    raise typer.Exit(code)


def _one_step(name: str) -> tuple[str, float, float]:
    """A step at 64 x 64 px: (provider, seconds, relative difference of its losses from NumPy's).

    The difference is the sum of the style loss's and the total variation's, infinite where the
    gradient is not finite.
    """
    import numpy as np

    from ..objective.objective import Objective
    from ..objective.sweeper import Sweeper
    from ..objective.targets import Targets
    from ..objective.weights import Weights
    from ..style.losses import STYLE_LOSSES

    model = find_model(name)
    sweeper = Sweeper(model)
    objective = Objective(sweeper)
    image, other = np.random.default_rng(0).random((2, 1, 3, 64, 64), dtype=np.float32)
    taps = list(model.recipe.style_shares)
    statistics = {t: m[0].statistics() for t, m in objective.moments(other, taps).items()}
    targets = Targets({tap: [STYLE_LOSSES["gram"](own)] for tap, own in statistics.items()})
    began = time.perf_counter()
    losses, gradient = objective(image, targets, Weights({}, dict.fromkeys(taps, 1.0), 1.0))
    seconds = time.perf_counter() - began
    style = 0.0
    for tap, features in sweeper.maps(image, taps).items():
        matrix = features.reshape(features.shape[1], -1).astype(np.float64)
        second = np.einsum("in,jn->ij", matrix, matrix) / matrix.shape[1]
        difference = (second - statistics[tap].second) / len(matrix)
        style += float(np.square(difference).sum())
    rows, columns = np.diff(image, axis=2), np.diff(image, axis=3)
    tv = float(np.square(rows).sum() + np.square(columns).sum())
    if not np.isfinite(gradient).all():
        return objective.provider, seconds, float("inf")
    difference = abs(losses.style - style) / style + abs(losses.tv - tv) / tv
    return objective.provider, seconds, difference
