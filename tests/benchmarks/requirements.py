"""What a race needs beyond the core, said in one sentence where it is missing."""

from __future__ import annotations

import importlib.util
import sys

import typer

__all__ = ["require_torch"]


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
