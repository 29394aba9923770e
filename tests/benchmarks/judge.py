"""What a model's pictures are worth to a judge: python -m tests.benchmarks.judge

The judge is SqueezeNet 1.1 with ImageNet's weights (``--judge``), which paints the same pairs with
its own best recipe. For each pair the candidate paints at several strengths, until its pictures'
content distance brackets that of the judge's own picture; its figures are interpolated there, so
that both are compared at equal content distance. What is measured stands in ortist/jobs/judging.py.

``style_removed`` and ``grid`` of the report are the candidate's averages over the pairs, divided by
the judge's. The judge measures; nothing is trained against it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from ortist.jobs.judging import Figures, Judge, at_equal_content
from ortist.network.bundle import find_model
from ortist.pictures.reading import load_picture
from PIL import Image, ImageDraw, ImageFont

from .command import run

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "docs" / "samples"
SHARED = ROOT.parent / "shared"

__all__ = ["bundle", "main", "pairs", "sheet"]


def pairs(contents: list[Path], styles: list[Path]) -> list[tuple[Path, Path]]:
    """The pairs given, or the samples' three and three more where the shared pictures are."""
    if contents or styles:
        if len(contents) != len(styles):
            raise typer.BadParameter("give as many --content as --style")
        return list(zip(contents, styles, strict=True))
    harbour = SAMPLES / "harbour.jpg"
    found = [(harbour, SAMPLES / f"{name}.jpg") for name in ("swirls", "shards", "pencil")]
    town, night = (SHARED / "images" / name for name in ("tubingen.jpg", "starry_night.jpg"))
    if town.is_file() and night.is_file():
        found += [(harbour, night), (town, night), (town, SAMPLES / "shards.jpg")]
    return found


@contextmanager
def bundle(given: str) -> Iterator[Path | str]:
    """A model's name or folder as it is; weights (.pth) or "random", exported for the time being.

    "random" is He et al.'s initialisation (2015), biases zero.
    """
    if given != "random" and not given.endswith(".pth"):
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(given)
        if given == "random":
            weights = Path(folder) / "random.pth"
            _write_random_weights(weights)
        command = [sys.executable, "-m", "ortist", "export", "squeezenet1_1"]
        command += ["--weights", str(weights), "--output", folder]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stderr, file=sys.stderr, end="")
            raise typer.Exit(done.returncode)
        yield Path(folder) / "squeezenet1_1"


def _write_random_weights(path: Path) -> None:
    import torch
    from ortist_export.modules import build_module

    torch.manual_seed(0)
    state = build_module("squeezenet1_1").state_dict()
    for value in state.values():
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
        else:
            value.zero_()
    torch.save({f"features.{key}": value for key, value in state.items()}, path)


def measure(
    model: str, judge: str, chosen: list[tuple[Path, Path]], side: int, iterations: int
) -> tuple[dict[str, Any], list[dict[str, NDArray[np.uint8]]]]:
    """The report, and for each pair the pictures of the sheet by caption."""
    import ortist

    def paint(
        model: Path | str, pair: tuple[Path, Path], eyes: Judge
    ) -> Callable[[float], Figures]:
        def at(strength: float) -> Figures:
            result = ortist.transfer(
                *pair,
                model=model,
                strength=strength,
                size=side,
                iterations=iterations,
                provider="cpu",
            )
            return eyes.figures(result.pixels, strength)

        return at

    rows: list[dict[str, Any]] = []
    pictures = []
    with bundle(judge) as judge_folder, bundle(model) as candidate:
        for pair in chosen:
            shown = [load_picture(path, 10**9) for path in pair]
            eyes = Judge(find_model(str(judge_folder)), shown[0], shown[1], side)
            own = paint(judge_folder, pair, eyes)(1.0)
            found, tried = at_equal_content(paint(candidate, pair, eyes), own.content_distance)
            rows.append(
                {
                    "content": pair[0].stem,
                    "style": pair[1].stem,
                    "judge": own.numbers(),
                    "model": found.numbers(),
                    "tried": [one.numbers() for one in tried],
                }
            )
            cells = {f"judge {own.style_removed:.2f}": own.pixels}
            for one in tried[:2]:
                caption = f"strength {one.strength:.2g}: {one.style_removed:.2f}"
                cells[caption] = one.pixels
            pictures.append(cells)

    def average(who: str, what: str) -> float:
        return float(np.mean([row[who][what] for row in rows]))

    report = {
        "model": model,
        "size": side,
        "style_removed": average("model", "style_removed") / average("judge", "style_removed"),
        "grid": average("model", "grid") / average("judge", "grid"),
        "pairs": rows,
    }
    return report, pictures


def sheet(
    chosen: list[tuple[Path, Path]], rows: list[dict[str, NDArray[np.uint8]]], side: int = 256
) -> Image.Image:
    """One line a pair: content, style and what was painted, by caption, ``side`` pixels high."""
    caption, gap = 20, 8
    font = ImageFont.load_default(12)
    lines = []
    for (content, style), painted in zip(chosen, rows, strict=True):
        cells: dict[str, Image.Image] = {p.stem: Image.open(p) for p in (content, style)}
        cells |= {name: Image.fromarray(pixels) for name, pixels in painted.items()}
        lines.append({name: _fitted(image, side) for name, image in cells.items()})
    width = max(sum(image.width + gap for image in line.values()) for line in lines) + gap
    page = Image.new("RGB", (width, len(lines) * (side + caption) + gap), "white")
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        top, left = number * (side + caption) + gap, gap
        for name, image in line.items():
            page.paste(image, (left, top))
            draw.text((left, top + side + 2), name, "black", font)
            left += image.width + gap
    return page


def _fitted(image: Image.Image, height: int) -> Image.Image:
    width = round(image.width * height / image.height)
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def main(
    model: Annotated[
        str,
        typer.Option(help="The candidate: a model's name or folder, weights (.pth), or random."),
    ] = "squeezenet1_1-procedural",
    judge: Annotated[
        str, typer.Option(help="The judge: SqueezeNet 1.1 with ImageNet's weights, likewise.")
    ] = str(SHARED / "weights" / "squeezenet1_1.pth"),
    content: Annotated[list[Path] | None, typer.Option(help="A pair's photo; else a set.")] = None,
    style: Annotated[list[Path] | None, typer.Option(help="That pair's painting.")] = None,
    size: Annotated[int, typer.Option(help="Shorter side in pixels.", min=64)] = 192,
    iterations: Annotated[int, typer.Option(help="Steps a picture.", min=1)] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    sheet_file: Annotated[
        Path | None, typer.Option("--sheet", help="Write the pictures side by side.")
    ] = None,
) -> None:
    """Style removed and grid, relative to the ImageNet model's at equal content distance."""
    if judge.endswith(".pth") and not Path(judge).is_file():
        print(
            f"there is no judge {judge!r}; name weights or a model's folder with --judge.",
            file=sys.stderr,
        )
        raise typer.Exit(2)
    chosen = pairs(content or [], style or [])
    report, pictures = measure(model, judge, chosen, size, iterations)
    if sheet_file is not None:
        sheet(chosen, pictures).save(sheet_file)
    if as_json:
        print(json.dumps(report))
        return
    print("pair                       style removed   content distance   grid            strength")
    for row in report["pairs"]:
        own, found = row["judge"], row["model"]
        default = row["tried"][0]
        print(
            f"{row['content'] + ' x ' + row['style']:<26} "
            f"{found['style_removed']:5.2f} / {own['style_removed']:4.2f}   "
            f"{default['content_distance']:7.2f} / {own['content_distance']:4.2f}   "
            f"{found['grid']:5.2f} / {own['grid']:4.2f}   {found['strength']:6.2f}"
        )
    print(
        f"style removed {report['style_removed']:.2f} and grid {report['grid']:.2f} of the judge's "
        "own (content distance is that at the default strength)"
    )


if __name__ == "__main__":
    run(main)
