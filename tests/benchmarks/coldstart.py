"""From the start of the process to the first step: python -m tests.benchmarks.coldstart"""

from __future__ import annotations

import json
import statistics
from typing import Annotated

import typer

from .alone import run_alone
from .command import run
from .requirements import require_torch


def main(
    rounds: Annotated[int, typer.Option(help="Rounds, the contestants in turn.", min=1)] = 5,
    model: Annotated[str | None, typer.Option(help="The model; its weights go to both.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Seconds from process start to one step done at 64 px; median of the paired ratios."""
    require_torch()
    names = ("ortist", "torch")
    for name in names:  # once uncounted: files come into the page cache
        run_alone(name, 64, 1, model)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            times[name].append(run_alone(name, 64, 1, model)["seconds"])
    ratio = statistics.median(t / o for t, o in zip(times["torch"], times["ortist"], strict=True))
    seconds = {name: statistics.median(found) for name, found in times.items()}
    if as_json:
        print(json.dumps({"seconds": seconds, "ratio": ratio}))
    else:
        shown = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
        print(f"{shown}; torch / ortist = {ratio:.2f}")


if __name__ == "__main__":
    run(main)
