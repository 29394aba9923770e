"""Models side by side: python -m tests.benchmarks.backbones squeezenet1_1-procedural vgg19

Prints a table in Markdown, as docs/models.md has it: what each model takes on the disk, for a step
of its own recipe and in memory, each in a process of its own. With ``--judge MODEL`` it says, too,
what the models' pictures are worth to that one, as tests/benchmarks/judge.py does, and ``--sheet``
writes those pictures, a line for each pair.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import ortist
import typer
from numpy.typing import NDArray
from ortist.network.bundle import find_model

from .command import run
from .judge import SAMPLES, measure, pairs, sheet

__all__ = ["main"]

_LARGER = 1.5
"""The side at which memory is looked at again, to know what a pixel takes."""


def _painted(model: str, side: int, steps: int) -> tuple[float, float]:
    """Seconds a step, the first left out, and the peak of memory in bytes; of this process."""
    pictures = SAMPLES / "harbour.jpg", SAMPLES / "swirls.jpg"
    options = ortist.Options.of(
        model=model,
        size=side,
        iterations=steps,
        quality="paper",  # whose pictures are the model's alone
        smallest_size="none",
        provider="cpu",
    )
    moments = []
    for _ in ortist.iterate(*pictures, options):
        moments.append(time.perf_counter())
    seconds = statistics.median(np.diff(moments).tolist())
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # KiB on Linux


def _row(model: str, side: int, steps: int) -> dict[str, Any]:
    """Megabytes of the files, milliseconds a step, megabytes of memory, bytes for each pixel."""
    larger = round(_LARGER * side)
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        asked = [(model, side, steps), (model, larger, 2)]
        (seconds, peak), (_, more) = processes.starmap(_painted, asked, chunksize=1)
    return {
        "model": model,
        "megabytes": sum(p.stat().st_size for p in find_model(model).folder.iterdir()) / 1e6,
        "milliseconds": 1000 * seconds,
        "peak_megabytes": peak / 1e6,
        "bytes_a_pixel": (more - peak) / (4 / 3 * (larger**2 - side**2)),
    }


def _table(rows: list[dict[str, Any]], side: int) -> str:
    """The rows in Markdown; what was not judged has no figure."""
    heads = ["model", "files", f"a step at {side} px", "memory", "of it a pixel"]
    heads += ["style removed", "grid"]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        judged = [f"{row[what]:.2f}" if what in row else "" for what in ("style_removed", "grid")]
        lines.append(
            [
                f"`{Path(row['model']).name}`",
                f"{row['megabytes']:.1f} MB",
                f"{row['milliseconds']:.0f} ms",
                f"{row['peak_megabytes']:.0f} MB",
                f"{row['bytes_a_pixel']:.0f} bytes",
                *judged,
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(
    models: Annotated[list[str], typer.Argument(help="Names or folders of models.")],
    size: Annotated[int, typer.Option(help="Shorter side in pixels.", min=64)] = 512,
    steps: Annotated[int, typer.Option(help="Steps whose median is told.", min=3)] = 12,
    judge: Annotated[
        str | None, typer.Option(help="Whose eyes judge the pictures: a model, or weights (.pth).")
    ] = None,
    judged_size: Annotated[int, typer.Option(help="Side of the judged pictures.", min=64)] = 192,
    iterations: Annotated[int, typer.Option(help="Steps of the judged pictures.", min=1)] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    sheet_file: Annotated[
        Path | None, typer.Option("--sheet", help="Write the judged pictures side by side.")
    ] = None,
) -> None:
    """A line for each model."""
    rows = [_row(model, size, steps) for model in models]
    chosen = pairs([], [])
    pictures: list[dict[str, NDArray[np.uint8]]] = [{} for _ in chosen]
    for row in rows if judge is not None else []:
        found, painted = measure(row["model"], str(judge), chosen, judged_size, iterations)
        row |= {what: found[what] for what in ("style_removed", "grid")}
        for cells, own in zip(pictures, painted, strict=True):
            captions = list(own)
            cells[captions[0]] = own[captions[0]]
            cells[f"{Path(row['model']).name}, {captions[1]}"] = own[captions[1]]
    print(json.dumps({"models": rows}) if as_json else _table(rows, size))
    if sheet_file is not None:
        sheet(chosen, pictures).save(sheet_file)


if __name__ == "__main__":
    run(main)
