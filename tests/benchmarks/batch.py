"""Processes against threads, and the kept style: python -m tests.benchmarks.batch"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image

from tests.conftest import SAMPLES

from .command import run


def main(
    pictures: Annotated[int, typer.Option(help="How many contents.", min=1)] = 32,
    size: Annotated[int, typer.Option(help="Shorter side in pixels.")] = 256,
    iterations: Annotated[int | None, typer.Option(help="Steps a picture.")] = None,
    threads: Annotated[int, typer.Option(help="Threads in all, and processes.", min=2)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Pictures a second of a whole ``ortist batch``, starts of processes included.

    N processes of one thread, against one process of N threads, against as many single runs.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        with Image.open(SAMPLES / "harbour.jpg") as image:
            for i in range(pictures):  # shifted, so that no two are the same
                image.crop((i % 64, i // 64, 576 + i % 64, 432 + i // 64)).save(
                    folder / "in" / f"{i:04}.png"
                )
        options = ["--size", str(size), "--threads", str(threads)]
        options += [] if iterations is None else ["--iterations", str(iterations)]
        style = str(SAMPLES / "swirls.jpg")
        seconds = {}
        for jobs in (threads, 1):
            out = str(folder / f"out{jobs}")
            words = ["batch", str(folder / "in"), "--style", style, "-o", out, *options]
            seconds[f"{jobs} processes"] = _timed([*words, "--jobs", str(jobs)])
        began = time.perf_counter()
        singles = sorted((folder / "in").iterdir())[: max(1, pictures // 8)]
        for path in singles:
            _timed(["transfer", str(path), style, "-o", str(folder / "one.png"), *options])
        single = (time.perf_counter() - began) * pictures / len(singles)
    many, one = seconds.values()
    found: dict[str, Any] = {
        "pictures_per_second": {
            "processes": pictures / many,
            "threads": pictures / one,
            "single runs": pictures / single,
        },
        "ratio": one / many,
        "batch_over_single_runs": single / one,
    }
    if as_json:
        print(json.dumps(found))
        return
    for what, rate in found["pictures_per_second"].items():
        print(f"{what:<12} {rate:.2f} pictures/s")
    print(f"processes / threads = {one / many:.2f}, threads / single runs = {single / one:.2f}")


def _timed(words: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "ortist", *words], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    run(main)
