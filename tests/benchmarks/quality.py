"""Qualities side by side: python -m tests.benchmarks.quality --sheet sheet.jpg

Each pair is painted in each quality and in the paper's way, and judged: the four figures of
likeness.py, the share of the Gram distance to the style that is gone, and the grid (distances.py).
``--judge`` is a model's folder or weights; nothing is trained against it. Where the shared pictures
are, five photos times the paintings at hand are the pairs, else the samples.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from ortist.jobs.distances import gram_distance, grid_strength, statistics_of

from .command import run
from .judge import SAMPLES, SHARED, bundle, sheet
from .likeness import Likeness, best_cosines, colour_distance, edge_map, places

__all__ = ["Eyes", "main"]

Pixels = NDArray[np.uint8]
WAYS: dict[str, dict[str, Any]] = {
    "draft": {"quality": "draft"},
    "standard": {"quality": "standard"},
    "best": {"quality": "best"},
    "paper": {"quality": "paper"},
}
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
) -> None:
    """Measures of every pair, and their means by way."""
    import ortist

    chosen = pairs()[:most]
    rows: list[dict[str, Any]] = []
    pictures: list[dict[str, Pixels]] = []
    with bundle(judge) as folder:
        for content, style in chosen:
            eyes = Eyes(Path(folder), content, style, size)
            pictures.append({})
            for way in ways.split(","):
                began = time.perf_counter()
                options = {**WAYS[way], "size": size, "model": model, "provider": "cpu"}
                pixels = ortist.transfer(content, style, **options).pixels
                seconds = time.perf_counter() - began
                row = {"content": content.stem, "style": style.stem, "way": way}
                rows.append({**row, "seconds": seconds, **eyes.figures(pixels)})
                pictures[-1][way] = pixels
                if not as_json:
                    print(_line(f"{content.stem} x {style.stem}: {way}", rows[-1]), flush=True)
    names = ("seconds", "like", "cover", "colour", "edges", "gram", "grid")
    means = {
        way: {n: float(np.mean([r[n] for r in rows if r["way"] == way])) for n in names}
        for way in ways.split(",")
    }
    if sheet_file is not None:
        sheet(chosen, pictures, size).save(sheet_file)
    if as_json:
        print(json.dumps({"size": size, "means": means, "pairs": rows}))
        return
    for way, figures in means.items():
        print(_line(f"mean: {way}", figures))


def _line(name: str, figures: dict[str, Any]) -> str:
    numbers = [f"{key} {value:.3f}" for key, value in figures.items() if isinstance(value, float)]
    return f"{name:<40} {'  '.join(numbers)}"


if __name__ == "__main__":
    run(main)
