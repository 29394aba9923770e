"""What tiles cost: python -m tests.benchmarks.tiles --sizes 1024,2048

One step of the CS231n recipe, untiled and in tiles of 512 and 1024 pixels. Each in a process of its
own; they take turns as in the race of steps. The gradients are compared first. Peak memory is that
of a process that does nothing else but two steps.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Annotated, Any

import typer

from .alone import run_alone
from .command import run
from .step import TOLERANCE, Worker

NAMES = ("ortist", "tiles-512", "tiles-1024")


def race(side: int, rounds: int, model: str | None) -> dict[str, Any]:
    """Seconds a step, their ratio to the untiled step's, and peak memory in MiB."""
    import numpy as np

    workers = {name: Worker(name, model, side, None) for name in NAMES}
    gradients = {name: worker.ask("gradient") for name, worker in workers.items()}
    scale = np.abs(gradients["ortist"]).max()
    for name in NAMES[1:]:
        error = float(np.abs(gradients[name] - gradients["ortist"]).max() / scale)
        assert error <= TOLERANCE, f"at {side} px the gradient of {name} is off by {error:.1e}"
    gradients.clear()
    times: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(rounds):
        for name, worker in workers.items():
            time.sleep(0.3)  # idle threads spin on for a while
            times[name].append(worker.ask(1))
    for worker in workers.values():
        worker.stop()
    ratios = {
        name: statistics.median(
            ours / whole for ours, whole in zip(times[name], times["ortist"], strict=True)
        )
        for name in NAMES
    }
    return {
        "size": side,
        "seconds": {name: statistics.median(taken) for name, taken in times.items()},
        "ratios": ratios,
        "peak_mib": {name: run_alone(name, side, 2, model)["peak_mib"] for name in NAMES},
    }


def main(
    sizes: Annotated[str, typer.Option(help="Shorter sides in pixels.")] = "1024,2048",
    rounds: Annotated[int, typer.Option(help="Rounds of one step each.", min=1)] = 5,
    model: Annotated[str | None, typer.Option(help="The model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Race steps in tiles against steps of the whole picture."""
    found = []
    for side in map(int, sizes.split(",")):
        result = race(side, rounds, model)
        found.append(result)
        if not as_json:
            for name in NAMES:
                print(
                    f"{side:>5} px {name:<11} {result['seconds'][name]:7.2f} s, "
                    f"{result['ratios'][name]:.2f} times the untiled, "
                    f"{result['peak_mib'][name]:6.0f} MiB"
                )
    if as_json:
        print(json.dumps({"sizes": found}))


if __name__ == "__main__":
    run(main)
