"""Time to the loss where the CS231n recipe ends: python -m tests.benchmarks.convergence

PyTorch runs the notebook's loop, 200 steps of Adam with its clamps and its last phase; Ortist runs
L-BFGS within the same bounds until its loss is no higher. Loops alone are timed, in turn.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import run
from .contestants import PRESET, SAMPLES, TorchStep
from .requirements import require_torch


def notebook_loop(model: str | None, pictures: tuple[Path, Path]) -> tuple[float, float]:
    """(seconds, last loss) of the 200 steps, in PyTorch's faster memory layout."""
    import torch

    contestant = TorchStep(model, PRESET["size"], pictures, channels_last=True)
    began = time.perf_counter()
    for step in range(PRESET["iterations"]):
        if step == PRESET["iterations"] - PRESET["final_iterations"]:
            contestant.restart(PRESET["final_learning_rate"])
        contestant.step(clamp=step + 1 < PRESET["iterations"] - PRESET["free_iterations"])
    seconds = time.perf_counter() - began
    with torch.no_grad():
        return seconds, contestant.loss()


def lbfgs_loop(model: str | None, pictures: tuple[Path, Path], loss: float) -> dict[str, Any]:
    """Seconds and steps until the loss is reached; ModelError where 1000 do not suffice."""
    import ortist
    from ortist.errors import ModelError

    options: dict[str, Any] = {"model": model, "optimizer": "lbfgs", "free_iterations": 0}
    options["iterations"] = 1000
    run = ortist.iterate(*pictures, preset="cs231n-starry-night", provider="cpu", **options)
    began = time.perf_counter()
    for progress in run:
        if progress.losses.total <= loss:
            return {"seconds": time.perf_counter() - began, "steps": progress.iteration}
    raise ModelError(
        f"{run.iteration} steps of L-BFGS, in the box of the preset, do not reach the loss of "
        f"{loss:.4g} that the notebook's unclamped last steps do with the model {run.model.name}; "
        "the preset was made for ImageNet's weights, so name such a --model."
    )


def main(
    rounds: Annotated[int, typer.Option(help="Rounds, the contestants in turn.", min=1)] = 3,
    model: Annotated[str | None, typer.Option(help="The model; its weights go to both.")] = None,
    content: Annotated[Path | None, typer.Option(help="A picture; else the sample.")] = None,
    style: Annotated[Path | None, typer.Option(help="A painting; else the sample.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Time to the loss where the notebook's 200 steps end, PyTorch's over Ortist's."""
    require_torch()
    pictures = (content or SAMPLES / "harbour.jpg", style or SAMPLES / "swirls.jpg")
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(notebook_loop(model, pictures))
        ours.append(lbfgs_loop(model, pictures, theirs[-1][1]))
    ratio = statistics.median(t[0] / o["seconds"] for t, o in zip(theirs, ours, strict=True))
    found = {
        "torch_seconds": statistics.median(t[0] for t in theirs),
        "ortist_seconds": statistics.median(o["seconds"] for o in ours),
        "ortist_steps": statistics.median(o["steps"] for o in ours),
        "loss": theirs[0][1],
        "ratio": ratio,
    }
    if as_json:
        print(json.dumps(found))
    else:
        print(
            f"loss {found['loss']:.4g}: torch {found['torch_seconds']:.2f} s (200 steps), ortist "
            f"{found['ortist_seconds']:.2f} s ({found['ortist_steps']} steps of L-BFGS); "
            f"torch / ortist = {ratio:.1f}"
        )


if __name__ == "__main__":
    run(main)
