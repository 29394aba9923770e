"""Predicted against measured peaks of memory: python -m tests.benchmarks.budget

Every case is a whole ``ortist transfer`` or ``texture`` in a process of its own, a few steps at one
scale: the whole picture at once, in tiles, or in tiles with the state in files, each with what the
``KINDS`` of runs ask for. The prediction is that of ``--plan``, the peak is what the system says of
the process when it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image

from .command import run

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"

MODES: dict[str, list[str]] = {
    "whole": ["--tile", "off"],
    "tiles": ["--tile", "384"],
    "files": ["--tile", "384"],
}

KINDS: dict[str, list[str]] = {
    "standard": ["--quality", "standard"],
    "draft": ["--quality", "draft", "--iterations", "0"],
    "paper": ["--quality", "paper"],
    "w2": ["--quality", "paper", "--style-loss", "w2"],
    "meanstd": ["--quality", "paper", "--style-loss", "meanstd"],
    "normalised": ["--quality", "paper", "--normalize-gradients"],
    "masks": ["--quality", "paper", *("--mask", "MASK", "-"), *("--mask", "REST", "-")],
    "one thread": ["--quality", "paper", "--threads", "1"],
    "lbfgs": ["--quality", "paper", "--optimizer", "lbfgs", "--iterations", "12"],
    "texture": ["--quality", "paper"],
    "seamless": ["--quality", "paper", "--seamless"],
}
IN_MEMORY = ("lbfgs", "seamless")
"""Kinds whose state cannot be in files."""


def peak_of(folder: Path, side: int, kind: str, words: list[str], files: bool) -> dict[str, Any]:
    """Predicted and measured bytes, and seconds, of one run; the state is in ``files`` or not."""
    texture = kind in ("texture", "seamless")
    pictures = [str(SAMPLES / "swirls.jpg")]
    pictures = pictures if texture else [str(SAMPLES / "harbour.jpg"), *pictures]
    own = [{"MASK": _mask(folder, False), "REST": _mask(folder, True)}.get(w, w) for w in words]
    command = [sys.executable, "-m", "ortist", "texture" if texture else "transfer", *pictures]
    command += ["-o", str(folder / "out.tif"), "--size", str(side), "--max-pixels", str(10**9)]
    command += ["--smallest-size", "none", "--scratch", str(folder), "--json", *own]
    command += ["--max-memory", str(_tight(command))] if files else []
    plan = json.loads(subprocess.check_output([*command, "--plan"]))
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen([*command, "--quiet"], stdout=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    measured = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    predicted = plan["memory"]["predicted"]
    return {
        "size": plan["size"],
        "tile": plan["tile"],
        "files": plan["state"] == "files",
        "predicted": predicted,
        "measured": measured,
        "error": predicted / measured - 1,
        "seconds": usage.ru_utime + usage.ru_stime,
    }


def _mask(folder: Path, lower: bool) -> str:
    """A soft mask of the upper or the ``lower`` half."""
    levels = np.repeat(np.linspace(255, 0, 480)[:, None], 640, 1).astype(np.uint8)
    path = folder / f"mask-{lower}.png"
    Image.fromarray(levels[::-1] if lower else levels).save(path)
    return str(path)


def _tight(command: list[str]) -> int:
    """The least budget that is not refused: the state then lies in files."""
    low, high = 10**6, 64 * 10**9
    while high - low > 10**6:
        middle = (low + high) // 2
        asked = [*command, "--max-memory", str(middle), "--plan"]
        refused = subprocess.run(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        low, high = (middle, high) if refused.returncode else (low, middle)
    return high


def main(
    sizes: Annotated[str, typer.Option(help="Shorter sides in pixels.")] = "512,1024",
    modes: Annotated[str, typer.Option(help="Of whole, tiles and files.")] = "whole,tiles,files",
    kinds: Annotated[str, typer.Option(help=f"Of {', '.join(KINDS)}.")] = ",".join(KINDS),
    iterations: Annotated[int, typer.Option(help="Steps of each.", min=0)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Compare predictions with measured peaks."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        for kind in kinds.split(","):
            for mode in modes.split(","):
                if mode == "files" and kind in IN_MEMORY:
                    continue
                for side in map(int, sizes.split(",")):
                    words = ["--iterations", str(iterations), *MODES[mode], *KINDS[kind]]
                    case = peak_of(Path(name), side, kind, words, mode == "files")
                    found.append({"kind": kind, "mode": mode, **case})
                    if not as_json:
                        _tell(found[-1])
    worst = max(abs(case["error"]) for case in found)
    print(json.dumps({"cases": found, "worst": worst}) if as_json else f"worst {worst:.0%}")


def _tell(case: dict[str, Any]) -> None:
    width, height = case["size"]
    print(
        f"{case['kind']:<10} {case['mode']:<5} {width:>5} x {height:<5} predicted "
        f"{case['predicted'] / 1e6:6.0f} MB, measured {case['measured'] / 1e6:6.0f} MB "
        f"({case['error']:+.0%})",
        flush=True,
    )


if __name__ == "__main__":
    run(main)
