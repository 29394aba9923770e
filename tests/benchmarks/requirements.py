"""What a race needs beyond the core, said in one sentence where it is missing."""

from __future__ import annotations

import importlib.util
import sys

import typer

__all__ = ["require_cuda", "require_torch"]


def require_torch() -> None:
    """Exits with 2 where torch or onnx is not installed."""
    missing = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        print(
            f"this race needs {' and '.join(missing)}; install Ortist with the extra that "
            "brings it: pip install '.[export]'",
            file=sys.stderr,
        )
        raise typer.Exit(2)


def require_cuda(model: str | None, provider: str) -> None:
    """Exits with 4 where Ortist or PyTorch finds no GPU, with 2 for an unknown provider."""
    import torch
    from ortist.errors import OptionError, ProviderError
    from ortist.network.bundle import find_model
    from ortist.objective.sweeper import Sweeper

    if provider != "cuda":
        raise OptionError(f"there is no provider {provider!r}; choose cpu or cuda.")
    Sweeper(find_model(model), "cuda")
    if not torch.cuda.is_available():
        raise ProviderError(f"this torch {torch.__version__} finds no GPU; install its CUDA build.")
