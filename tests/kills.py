"""Kill a run again and again, and see that it ends with the same bytes: python -m tests.kills [N]

Each time the process gets SIGKILL at a random moment some random number of steps further on, and
the same command is started again. N is the number of kills, 20 unless given.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["killed_and_gone_on"]

SAMPLES = Path(__file__).resolve().parent.parent / "docs" / "samples"


def killed_and_gone_on(folder: Path, kills: int, iterations: int, *words: str) -> list[int]:
    """The sizes of the trace, in steps, at each kill; raises AssertionError where bytes differ."""
    rng = random.Random(0)
    paint = [sys.executable, "-m", "ortist", "transfer", "--iterations", str(iterations), *words]
    paint += [str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg"), "-o"]
    subprocess.run([*paint, str(folder / "whole.png")], check=True, timeout=300)
    out, trace, checkpoint = (folder / name for name in ("out.png", "trace.jsonl", "checkpoint"))
    paint += [str(out), "--trace", str(trace), "--checkpoint", str(checkpoint)]
    paint += ["--checkpoint-every", "1"]
    seen: list[int] = []
    for _ in range(kills):
        further = rng.randint(2, 2 * iterations // (kills + 1))
        wanted = min(further + (seen[-1] if seen else 0), iterations - 2)
        process = subprocess.Popen(paint, stderr=subprocess.DEVNULL)
        while process.poll() is None and _lines(trace) < wanted:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        if process.wait() != -9:
            break  # it was finished before
        seen.append(_lines(trace))
        assert not out.exists()
    done = subprocess.run(paint, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "going on from iteration" in done.stderr or not seen
    assert out.read_bytes() == (folder / "whole.png").read_bytes()
    assert sorted(os.listdir(folder)) == ["out.png", "trace.jsonl", "whole.png"]
    return seen


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    for optimizer in ("adam", "lbfgs"):
        with tempfile.TemporaryDirectory() as name:
            settings = ["--optimizer", optimizer, "--size", "128", "--smallest-size", "64"]
            found = killed_and_gone_on(Path(name), number, 200, *settings)
        print(f"{optimizer}: {len(found)} kills, at steps {found}: the same bytes")
