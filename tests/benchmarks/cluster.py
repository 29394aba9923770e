"""Batches and tiles on workers of Dask: python -m tests.benchmarks.cluster --pictures 32 --size 128

One worker of one thread against two, with the bytes that crossed the loopback device. They are all
bytes that crossed it: run it in a network of its own, by unshare -n sh -c 'ip link set lo up; ...'.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from tests.conftest import SAMPLES
from tests.engine.jobs.clusters import Nodes

__all__ = ["main"]

_STYLE = str(SAMPLES / "swirls.jpg")


def _measured(folder: Path, workers: int, *words: str) -> dict[str, float]:
    """Seconds of a command on so many workers, and megabytes on the wire."""
    place = folder / f"nodes-{time.monotonic_ns()}"
    place.mkdir()
    with Nodes(place, workers) as nodes:
        warm = ["batch", str(folder / "photos" / "0.jpg"), "--style", _STYLE, "--size", "64"]
        warm += ["--iterations", "2", "--output", str(place / "warm")]
        _run(*warm, "--scheduler", nodes.address)
        before, began = _crossed(), time.perf_counter()
        _run(*words, "--scheduler", nodes.address)
        seconds, crossed = time.perf_counter() - began, _crossed() - before
    return {"workers": workers, "seconds": round(seconds, 2), "mb": round(crossed / 1e6, 1)}


def _run(*words: str) -> None:
    command = [sys.executable, "-m", "ortist", *words, "--threads", "1"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def _crossed() -> int:
    """Bytes that the loopback device has sent."""
    lines = Path("/proc/net/dev").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.strip().startswith("lo:"))
    return int(line.partition(":")[2].split()[8])


def main(
    pictures: Annotated[int, typer.Option(help="In the batch.", min=1)] = 32,
    size: Annotated[int, typer.Option(help="Their shorter side.")] = 128,
    iterations: Annotated[int, typer.Option(help="Of each.")] = 50,
    side: Annotated[int, typer.Option(help="Of the picture in tiles; 0 for none.")] = 4096,
    steps: Annotated[int, typer.Option(help="Of the picture in tiles.")] = 2,
    rounds: Annotated[int, typer.Option(help="Of all, by turns.", min=1)] = 1,
) -> None:
    """Prints a JSON object a measurement."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for number in range(pictures):
            shutil.copy(SAMPLES / "harbour.jpg", folder / "photos" / f"{number}.jpg")
        with Image.open(SAMPLES / "harbour.jpg") as image:
            image.resize((max(side, 64), max(side, 64))).save(folder / "large.jpg")
        batch = ["batch", str(folder / "photos"), "--style", _STYLE, "--size", str(size)]
        batch += ["--iterations", str(iterations), "--output"]
        tiles = ["transfer", str(folder / "large.jpg"), _STYLE, "--size", str(side)]
        tiles += ["--iterations", str(steps), "--smallest-size", "none", "--output"]
        for number in range(rounds):
            for workers in (1, 2):
                out = str(folder / f"out-{number}-{workers}")
                print(json.dumps({"batch": pictures, **_measured(folder, workers, *batch, out)}))
                if side:
                    found = _measured(folder, workers, *tiles, f"{out}.png")
                    print(json.dumps({"tiles": side, "steps": steps, **found}), flush=True)


if __name__ == "__main__":
    typer.run(main)
