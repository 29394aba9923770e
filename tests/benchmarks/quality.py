"""Qualities side by side: python -m tests.benchmarks.quality --sheet sheet.jpg

Each pair is painted in each quality, in the paper's way and by L-BFGS, and judged: the four figures
of likeness.py, the share of the Gram distance to the style that is gone, and the grid. ``--judge``
is a model's folder or weights; nothing is trained against it. Where the shared pictures are, five
photos times the paintings at hand are the pairs, else the samples. Seconds are those of the call,
in one process.

``--curves`` draws every measure against the seconds: of each way at each of ``--sizes``, and of the
ways in ``--limited`` stopped after each of ``--limits``, at ``--size``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from ortist.errors import OptionError
from ortist.jobs.distances import gram_distance, grid_strength, statistics_of

from .command import run
from .curves import Point, drawn
from .judge import SAMPLES, SHARED, bundle, sheet
from .likeness import Likeness, best_cosines, colour_distance, edge_map, places

__all__ = ["MEASURES", "WAYS", "Eyes", "line_of", "main", "pairs"]

Pixels = NDArray[np.uint8]
WAYS: dict[str, dict[str, Any]] = {
    "draft": {"quality": "draft"},
    "standard": {"quality": "standard"},
    "best": {"quality": "best"},
    "paper": {"quality": "paper"},
    "lbfgs": {"quality": "paper", "optimizer": "lbfgs"},
}
MEASURES = ("seconds", "like", "cover", "colour", "edges", "gram", "grid")
_TAPS = (1, 3, 4, 6, 7)


class Eyes:
    """The judge's eyes on one pair of pictures, at one side."""

    def __init__(self, folder: Path, content: Path, style: Path, side: int) -> None:
        from ortist.network.bundle import load_model
        from ortist.objective.sweeper import Sweeper
        from ortist.pictures.raster import to_levels
        from ortist.pictures.reading import load_picture
        from ortist.pictures.values import shorter_side_to

        self._model = load_model(folder)
        self._sweeper = Sweeper(self._model, "cpu")
        self.content, self.style = (
            to_levels(shorter_side_to(load_picture(path, 10**9), side), 8)
            for path in (content, style)
        )
        features = self._features(self.style)
        self._means = {
            tap: values.reshape(values.shape[1], -1).mean(1, keepdims=True)
            for tap, values in features.items()
        }
        self._places = places(features, self._means)
        self._targets = {tap: statistics_of(values) for tap, values in features.items()}
        self._gram = self._apart(self._features(self.content))
        self._colour = colour_distance(self.content, self.style)
        self._edges = edge_map(self.content)

    def figures(self, pixels: Pixels) -> dict[str, float]:
        """``pixels`` is a picture of the content's size, uint8 [H, W, 3]."""
        features = self._features(pixels)
        like, cover = best_cosines(places(features, self._means), self._places)
        likeness = Likeness(
            like,
            cover,
            colour_distance(pixels, self.style) / self._colour,
            float(np.corrcoef(edge_map(pixels), self._edges)[0, 1]),
        )
        gram = float(1 - (self._apart(features) / self._gram).mean())
        return {**asdict(likeness), "gram": gram, "grid": grid_strength(pixels)}

    def _features(self, pixels: Pixels) -> dict[int, NDArray[np.float32]]:
        from ortist.pictures.values import normalize

        image = normalize(pixels.astype(np.float32) / np.float32(255), self._model)
        return self._sweeper.maps(image, _TAPS)

    def _apart(self, features: dict[int, NDArray[np.float32]]) -> NDArray[np.float64]:
        """[taps]: Gram distances to the style."""
        return np.array(
            [gram_distance(statistics_of(f), self._targets[tap]) for tap, f in features.items()]
        )


def pairs() -> list[tuple[Path, Path]]:
    """Photos times paintings, as far as they are at hand."""
    paintings = [SAMPLES / f"{name}.jpg" for name in ("swirls", "shards", "pencil")]
    photos = [SAMPLES / "harbour.jpg"]
    names = ("tubingen", "astronaut", "chelsea", "china")
    photos += [p for name in names if (p := SHARED / "images" / f"{name}.jpg").is_file()]
    night = SHARED / "images" / "starry_night.jpg"
    if night.is_file():
        paintings[0] = night
    return [(photo, painting) for photo in photos for painting in paintings]


def measured(
    chosen: list[tuple[Path, Path]],
    judge: Path,
    ways: dict[str, dict[str, Any]],
    size: int,
    told: Callable[[str], object],
) -> tuple[list[dict[str, Any]], list[dict[str, Pixels]]]:
    """A row for each pair and way, options by name, and each pair's pictures by way.

    ``told`` is called with a line for each row.
    """
    import ortist

    rows: list[dict[str, Any]] = []
    pictures: list[dict[str, Pixels]] = []
    for content, style in chosen:
        eyes = Eyes(judge, content, style, size)
        pictures.append({})
        for way, options in ways.items():
            began = time.perf_counter()
            asked = {"size": size, "provider": "cpu", **options}
            pixels = ortist.transfer(content, style, **asked).pixels
            seconds = time.perf_counter() - began
            row = {"content": content.stem, "style": style.stem, "way": way, "size": size}
            rows.append({**row, "seconds": seconds, **eyes.figures(pixels)})
            pictures[-1][way] = pixels
            told(line_of(f"{content.stem} x {style.stem}, {size} px: {way}", rows[-1]))
    return rows, pictures


def means_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The measures' means over the pairs, by way."""
    names = dict.fromkeys(row["way"] for row in rows)
    return {
        way: {n: float(np.mean([r[n] for r in rows if r["way"] == way])) for n in MEASURES}
        for way in names
    }


def line_of(name: str, figures: dict[str, Any]) -> str:
    """A line of a table: all figures that are no whole numbers."""
    numbers = [f"{key} {value:.3f}" for key, value in figures.items() if isinstance(value, float)]
    return f"{name:<48} {'  '.join(numbers)}"


def curves_of(
    chosen: list[tuple[Path, Path]],
    judge: Path,
    ways: dict[str, dict[str, Any]],
    sizes: list[int],
    limited: dict[str, dict[str, Any]],
    limits: list[float],
    size: int,
    told: Callable[[str], object],
) -> dict[str, list[Point]]:
    """Points by line: each way at each of ``sizes``, each limited one at ``size`` by its limits."""
    lines: dict[str, list[Point]] = {}
    for side in sizes:
        rows, _ = measured(chosen, judge, ways, side, told)
        for way, figures in means_of(rows).items():
            point = Point(f"{side}", figures["seconds"], figures)
            lines.setdefault(f"{way}, by size", []).append(point)
    for way, options in limited.items():
        stopped = {f"{way}, {limit:g} s": {**options, "time_limit": limit} for limit in limits}
        rows, _ = measured(chosen, judge, stopped, size, told)
        found = zip(limits, means_of(rows).values(), strict=True)
        lines[f"{way}, by time limit at {size} px"] = [
            Point(f"{limit:g} s", figures["seconds"], figures) for limit, figures in found
        ]
    return lines


def chosen_ways(names: str, model: str | None) -> dict[str, dict[str, Any]]:
    """Options by way, for names separated by commas; raises OptionError for others."""
    found = {}
    for name in filter(None, names.split(",")):
        if name not in WAYS:
            raise OptionError(f"there is no way {name!r}; choose from {', '.join(WAYS)}.")
        found[name] = {**WAYS[name], "model": model}
    return found


def main(
    judge: Annotated[
        str, typer.Option(help="The judge: SqueezeNet 1.1's weights, or a model's folder.")
    ] = str(SHARED / "weights" / "squeezenet1_1.pth"),
    ways: Annotated[str, typer.Option(help="Which ways, separated by commas.")] = ",".join(WAYS),
    model: Annotated[str | None, typer.Option(help="The model that paints.")] = None,
    size: Annotated[int, typer.Option(help="Shorter side in pixels.", min=64)] = 512,
    most: Annotated[int, typer.Option("--pairs", help="How many pairs at most.", min=1)] = 12,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    sheet_file: Annotated[
        Path | None, typer.Option("--sheet", help="Write the pictures side by side.")
    ] = None,
    curves: Annotated[
        Path | None, typer.Option(help="Draw measures against seconds to this file instead.")
    ] = None,
    sizes: Annotated[
        str, typer.Option(help="Shorter sides of the curves.")
    ] = "256,384,512,768,1024",
    limited: Annotated[str, typer.Option(help="Ways that are stopped in time.")] = "standard,paper",
    limits: Annotated[str, typer.Option(help="Seconds after which they are.")] = "1,2,4,8,16",
) -> None:
    """Measures of every pair, and their means by way."""
    import ortist

    chosen, painted = pairs()[:most], chosen_ways(ways, model)
    stopped = chosen_ways(limited, model)

    def told(line: str) -> None:
        if not as_json:
            print(line, flush=True)

    with bundle(judge) as folder:
        # Once uncounted: files come into the page cache, and modules into the process.
        ortist.transfer(*chosen[0], size=64, quality="draft", model=model)
        if curves is not None:
            sides, ends = list(map(int, sizes.split(","))), list(map(float, limits.split(",")))
            lines = curves_of(chosen, Path(folder), painted, sides, stopped, ends, size, told)
            drawn(lines, MEASURES[1:]).save(curves)
            if as_json:
                print(
                    json.dumps({name: [p._asdict() for p in line] for name, line in lines.items()})
                )
            return
        rows, pictures = measured(chosen, Path(folder), painted, size, told)
    if sheet_file is not None:
        sheet(chosen, pictures, size).save(sheet_file)
    means = means_of(rows)
    if as_json:
        print(json.dumps({"size": size, "means": means, "pairs": rows}))
        return
    for way, figures in means.items():
        print(line_of(f"mean: {way}", figures))


if __name__ == "__main__":
    run(main)
