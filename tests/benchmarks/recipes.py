"""Recipes side by side at equal wall time: python -m tests.benchmarks.recipes --sheet sheet.jpg

Each recipe paints each pair with as many steps as fit into ``--seconds``: two short runs before it
say how long its steps take. What it took is under the picture; which picture is the best one, the
eye has to say. ``--model`` may be given several times.

    paper              ``ortist transfer --quality paper``: scales, jitter, running average
    lbfgs              the same scales by L-BFGS, which has neither jitter nor average
    cs231n             the assignment's recipe, preset cs231n-starry-night, weights and all
    cs231n, balanced   its steps with the paper recipe's balanced weights: other models need them

``grid`` is the energy at the frequencies of the network's strides (distances.py), 1 for none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from ortist.files import check_writable
from ortist.jobs.distances import grid_strength
from ortist.network.bundle import find_model
from ortist.options.fields import Options
from ortist.pictures.outputs import picture_format

from .command import run
from .contestants import SAMPLES
from .judge import pairs, sheet

_TRIALS = (30, 90)
"""Steps of two short runs, of which each scale gets some: what they differ by is free of what it
costs to enter a scale."""

RECIPES: dict[str, dict[str, Any]] = {
    "paper": {"quality": "paper"},
    "lbfgs": {"optimizer": "lbfgs"},
    "cs231n": {"preset": "cs231n-starry-night"},
    "cs231n, balanced": {
        "preset": "cs231n-starry-night",
        "content_weight": None,
        "style_layers": (1, 4, 6, 7),
        "tv_weight": None,
    },
}


def paint(pair: tuple[Path, Path], options: Options, seconds: float) -> Any:
    """The result of as many steps as take so long, the set-up included."""
    import dataclasses

    import ortist

    def result(iterations: int) -> Any:
        return ortist.transfer(*pair, dataclasses.replace(options, iterations=iterations))

    few, more = (result(steps) for steps in _TRIALS)
    step = max(1e-4, (more.seconds - few.seconds) / (more.iterations - few.iterations or 1))
    return result(max(_TRIALS[0], more.iterations + round((seconds - more.seconds) / step)))


def compare(
    model: str, chosen: list[tuple[Path, Path]], size: int, seconds: float
) -> tuple[list[dict[str, Any]], list[dict[str, NDArray[np.uint8]]]]:
    """The figures of every picture, and for each pair the pictures by caption."""
    found = find_model(model)
    found.verify()
    figures, pictures = [], []
    for pair in chosen:
        cells = {}
        for name, given in RECIPES.items():
            sizes = {"size": size, "style_size": None, "model": model, "provider": "cpu"}
            result = paint(pair, Options.of(**{**given, **sizes}), seconds)
            grid = grid_strength(result.pixels)
            figures.append(
                {
                    "model": found.name,
                    "content": pair[0].stem,
                    "style": pair[1].stem,
                    "recipe": name,
                    "seconds": round(result.seconds, 2),
                    "iterations": result.iterations,
                    "grid": round(grid, 3),
                }
            )
            caption = f"{name}: {result.iterations} steps, {result.seconds:.1f} s"
            cells[caption] = result.pixels
        pictures.append(cells)
    return figures, pictures


def main(
    sheet_file: Annotated[
        Path, typer.Option("--sheet", help="Write the pictures side by side: .jpg or .png.")
    ],
    model: Annotated[
        list[str] | None, typer.Option(help="A model's name or folder; repeatable.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Wall time of a picture.", min=0.1)] = 10,
    size: Annotated[int, typer.Option(help="Shorter side in pixels.", min=64)] = 360,
    content: Annotated[
        list[Path] | None, typer.Option(help="A pair's photo; else samples.")
    ] = None,
    style: Annotated[list[Path] | None, typer.Option(help="That pair's painting.")] = None,
    cell: Annotated[int, typer.Option(help="Height of a picture on the sheet.", min=64)] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Default recipe, L-BFGS and the CS231n assignment's, each for so many seconds."""
    samples = [SAMPLES / f"{name}.jpg" for name in ("swirls", "shards", "pencil")]
    chosen = [(SAMPLES / "harbour.jpg", sample) for sample in samples]
    if content or style:
        chosen = pairs(content or [], style or [])
    picture_format(sheet_file)
    check_writable(sheet_file)
    figures: list[dict[str, Any]] = []
    pictures: list[dict[str, NDArray[np.uint8]]] = []
    models = model or ["squeezenet1_1-procedural"]
    for name in models:
        more, painted = compare(name, chosen, size, seconds)
        figures += more
        pictures += painted
    sheet(chosen * len(models), pictures, cell).save(sheet_file, quality=88)
    if as_json:
        print(json.dumps({"size": size, "seconds": seconds, "pictures": figures}))
        return
    for one in figures:
        print(
            f"{one['model']:<26} {one['content'] + ' x ' + one['style']:<24} "
            f"{one['recipe']:<17} {one['iterations']:>5} steps {one['seconds']:6.1f} s, "
            f"grid {one['grid']:.2f}"
        )


if __name__ == "__main__":
    run(main)
