"""kill -9 in the middle of a batch, again and again: python -m tests.attacks.kill --rounds 50"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from tests.conftest import SAMPLES

__all__ = ["kill_and_go_on"]

_CONTENTS = ("harbour", "pencil", "shards", "swirls")
_STYLES = ("swirls", "shards")


def kill_and_go_on(folder: Path, rounds: int, jobs: int, seed: int) -> int:
    """Kills a batch ``rounds`` times at random moments, then lets it end; the pictures kept.

    Asserts that at no time a picture is torn, and that in the end all are there, with the bytes of
    a batch that nobody killed, and nothing else is. Whenever all were painted it begins anew.
    """
    chance = random.Random(seed)
    whole, out = folder / "whole", folder / "out"
    began = time.perf_counter()
    assert _start(whole, jobs).wait(timeout=300) == 0
    seconds = time.perf_counter() - began
    wanted = _pictures(whole)
    assert len(wanted) == len(_CONTENTS) * len(_STYLES)
    for _ in range(rounds):
        process = _start(out, jobs)
        # Mostly while it paints; starting takes a good part of a short batch.
        time.sleep(chance.uniform(0.1, 1) * seconds)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) in (0, -signal.SIGKILL), "it failed by itself"
        found = _pictures(out)
        for name, data in found.items():
            assert data == wanted[name], f"{name} is torn"
        if len(found) == len(wanted):
            for name in chance.sample(sorted(found), len(found) - 1):
                (out / name).unlink()
    kept = len(_pictures(out))
    assert _start(out, jobs).wait(timeout=300) == 0
    assert _pictures(out) == wanted
    assert sorted(os.listdir(out)) == sorted([*wanted, ".ortist-batch.jsonl"])
    return kept


def _start(out: Path, jobs: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ortist", "batch"]
    command += [str(SAMPLES / f"{name}.jpg") for name in _CONTENTS]
    for name in _STYLES:
        command += ["--style", str(SAMPLES / f"{name}.jpg")]
    command += ["-o", str(out), "--size", "64", "--iterations", "8"]
    command += ["--jobs", str(jobs), "--threads", str(jobs)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


def _pictures(folder: Path) -> dict[str, bytes]:
    """Name -> bytes of every finished picture; each is decoded."""
    found = {}
    for path in folder.glob("[!.]*.png"):  # not what it was writing when it was killed
        found[path.name] = path.read_bytes()
        with Image.open(path) as image:
            image.load()
    return found


def main(
    rounds: Annotated[int, typer.Option(help="How often it is killed.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """One process first, then two, for half of the rounds each."""
    for jobs in (1, 2):
        with tempfile.TemporaryDirectory() as name:
            share = rounds // 2 if jobs == 1 else rounds - rounds // 2
            kept = kill_and_go_on(Path(name), share, jobs, seed)
            print(f"{jobs} process(es): killed {share} times, no torn file, {kept} kept at last")


if __name__ == "__main__":
    typer.run(main)
