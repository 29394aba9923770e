"""How much a painted film flickers, frame from frame: python -m tests.benchmarks.flicker"""

from __future__ import annotations

import json
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from ortist.jobs.video import Painter
from ortist.options.fields import Options
from PIL import Image, ImageDraw

from tests.conftest import SAMPLES

from .command import run


def clip(frames: int, size: int, still: bool) -> list[NDArray[np.uint8]]:
    """The sample harbour, still or panned by two pixels a frame, with a disc that crosses it."""
    with Image.open(SAMPLES / "harbour.jpg") as image:
        photo = image.convert("RGB").resize((size * 4 // 3 + 2 * frames, size))
    found = []
    for i in range(frames):
        left = 0 if still else 2 * i
        frame = photo.crop((left, 0, left + size * 4 // 3, size))
        x, y, r = size // 4 + 3 * i, size // 2, size // 10
        ImageDraw.Draw(frame).ellipse((x - r, y - r, x + r, y + r), fill=(200, 60, 40))
        found.append(np.asarray(frame))
    return found


def main(
    frames: Annotated[int, typer.Option(help="Length of the film.", min=2)] = 8,
    size: Annotated[int, typer.Option(help="Shorter side in pixels.")] = 128,
    quality: Annotated[str, typer.Option(help="How frames are painted.")] = "standard",
    iterations: Annotated[int | None, typer.Option(help="Steps of an independent frame.")] = None,
    frame_iterations: Annotated[
        int | None, typer.Option(help="Steps of a frame that follows.")
    ] = None,
    blends: Annotated[str, typer.Option(help="Shares of the last painting.")] = "0,0.5",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Mean absolute difference of neighbouring frames, in levels of 255, beside the film's own.

    Independent frames are painted as ``ortist transfer`` would, the others as ``ortist video``
    does. The loss says what it costs.
    """
    style = str(SAMPLES / "swirls.jpg")
    found: dict[str, Any] = {}
    for name, still in (("still camera", True), ("panning camera", False)):
        film = clip(frames, size, still)
        rows: dict[str, Any] = {"film": {"difference": _difference(film)}}
        ways = {"independent": None, **{f"blend {b}": float(b) for b in blends.split(",")}}
        for way, blend in ways.items():
            options = Options.of(quality=quality, size=size, iterations=iterations)
            painter = Painter(style, options, frame_iterations, blend or 0)
            painted = []
            for pixels in film:
                if blend is None:
                    painter = Painter(style, options)
                painted.append(painter(pixels))
            rows[way] = {
                "difference": _difference([frame.pixels for frame in painted]),
                "loss": float(np.mean([frame.losses.total for frame in painted[1:]])),
                "seconds": float(np.mean([frame.seconds for frame in painted[1:]])),
            }
        found[name] = rows
    if as_json:
        print(json.dumps(found))
        return
    for name, rows in found.items():
        print(name)
        for way, row in rows.items():
            cost = f", loss {row['loss']:.4f}, {row['seconds']:.2f} s" if "loss" in row else ""
            print(f"  {way:<12} {row['difference']:6.2f}{cost}")


def _difference(frames: list[NDArray[np.uint8]]) -> float:
    return float(np.abs(np.diff(np.stack(frames).astype(np.int16), axis=0)).mean())


if __name__ == "__main__":
    run(main)
