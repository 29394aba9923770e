"""``ortist doctor``: what is here, and does it work."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import time

from .. import __version__

__all__ = ["doctor"]


def doctor() -> None:
    """Show versions, providers, threads and models, and prove them by one small step."""
    import numpy as np

    from ..models import find_model, installed_models, load_model
    from ..objective import Objective, Targets, gram_matrix
    from ..runtime import available_cpus, load_onnxruntime

    runtime = load_onnxruntime()
    print(
        f"ortist       {__version__} on Python {platform.python_version()}, {platform.platform()}"
    )
    for package in ("onnxruntime", "onnxruntime-gpu", "numpy", "pillow", "typer"):
        try:
            print(f"{package:<12} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    providers = [
        name.removesuffix("ExecutionProvider") for name in runtime.get_available_providers()
    ]
    print(f"providers    {', '.join(providers)}")
    print(f"threads      {available_cpus()} of {os.cpu_count()} CPUs")
    print(f"telemetry    {'off' if os.environ['ORT_DISABLE_TELEMETRY'] == '1' else 'ON'}")
    has_export = importlib.util.find_spec("torch") and importlib.util.find_spec("onnx")
    print(f"export       {'available' if has_export else 'needs pip install ortist[export]'}")
    default = find_model()
    for name, folder in installed_models():
        model = load_model(folder)
        model.verify()
        print(f"model        {name}: whole, {folder}{'  (default)' if model == default else ''}")
    objective = Objective(default)
    image = np.random.default_rng(0).random((1, 3, 64, 64), dtype=np.float32)
    taps = list(default.recipe.style_shares)
    grams = {tap: gram_matrix(f) for tap, f in objective.features(image, taps).items()}
    from ..balance import Weights

    objective.aim(Targets({}, grams), Weights({}, dict.fromkeys(taps, 1.0), 0.0))
    began = time.perf_counter()
    losses, gradient = objective(image)
    seconds = time.perf_counter() - began
    fine = losses.style == 0 or losses.style < 1e-6
    print(
        f"step         {seconds * 1e3:.1f} ms at 64 x 64 on {objective.provider}: "
        f"{'right' if fine and np.isfinite(gradient).all() else 'WRONG RESULT'}"
    )
