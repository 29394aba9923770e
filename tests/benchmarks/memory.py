"""Peak memory at 512 px, Ortist against PyTorch: python -m tests.benchmarks.memory"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .alone import run_alone
from .command import run
from .requirements import require_torch


def main(
    sizes: Annotated[str, typer.Option(help="Shorter sides in pixels.")] = "512",
    model: Annotated[str | None, typer.Option(help="The model; its weights go to both.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Peak resident memory of a process that makes five steps, each contestant in its own."""
    require_torch()
    found = []
    for side in map(int, sizes.split(",")):
        names = ("ortist", "torch", "torch-channels-last")
        peaks = {name: run_alone(name, side, 5, model)["peak_mib"] for name in names}
        best = min(peaks["torch"], peaks["torch-channels-last"])
        found.append({"size": side, "peak_mib": peaks, "ratio": best / peaks["ortist"]})
        if not as_json:
            shown = ", ".join(f"{name} {peak:.0f} MiB" for name, peak in peaks.items())
            print(f"{side:>5} px: {shown}; torch / ortist = {best / peaks['ortist']:.2f}")
    if as_json:
        print(json.dumps({"sizes": found}))


if __name__ == "__main__":
    run(main)
