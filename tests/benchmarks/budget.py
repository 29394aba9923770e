"""Predicted against measured peaks of memory: python -m tests.benchmarks.budget

Every case is a whole ``ortist transfer`` in a process of its own, three steps at one scale: the
whole picture at once, in tiles, and in tiles with the state in files. The prediction is that of
``--plan``, the peak is what the system says of the process when it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"

MODES: dict[str, list[str]] = {
    "whole": ["--tile", "off"],
    "tiles": ["--tile", "384"],
    "files": ["--tile", "384"],
}


def peak_of(folder: Path, side: int, words: list[str], quality: str) -> dict[str, Any]:
    """Predicted and measured bytes, and seconds, of one run."""
    pictures = [str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg")]
    command = [sys.executable, "-m", "ortist", "transfer", *pictures]
    command += ["-o", str(folder / "out.tif"), "--size", str(side), "--max-pixels", str(10**9)]
    command += ["--smallest-size", "none", "--quality", quality, "--json", *words]
    plan = json.loads(subprocess.check_output([*command, "--plan"]))
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    measured = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    predicted = plan["memory"]["predicted"]
    return {
        "size": plan["size"],
        "tile": plan["tile"],
        "files": plan["files"] is not None,
        "predicted": predicted,
        "measured": measured,
        "error": predicted / measured - 1,
        "seconds": usage.ru_utime + usage.ru_stime,
    }


def main(
    sizes: Annotated[str, typer.Option(help="Shorter sides in pixels.")] = "512,768,1024,1536,2048",
    modes: Annotated[str, typer.Option(help="Of whole, tiles and files.")] = "whole,tiles,files",
    iterations: Annotated[int, typer.Option(help="Steps of each.", min=0)] = 3,
    quality: Annotated[str, typer.Option(help="As --quality of a run.")] = "standard",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Compare predictions with measured peaks."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        for mode in modes.split(","):
            for side in map(int, sizes.split(",")):
                words = ["--iterations", str(iterations), *MODES[mode]]
                if mode == "files":
                    words += ["--max-memory", str(_tight(Path(name), side, words, quality))]
                case = {"mode": mode, **peak_of(Path(name), side, words, quality)}
                found.append(case)
                if not as_json:
                    width, height = case["size"]
                    print(
                        f"{mode:<6} {width:>5} x {height:<5} predicted "
                        f"{case['predicted'] / 1e6:6.0f} MB, measured "
                        f"{case['measured'] / 1e6:6.0f} MB ({case['error']:+.0%})",
                        flush=True,
                    )
    worst = max(abs(case["error"]) for case in found)
    print(json.dumps({"cases": found, "worst": worst}) if as_json else f"worst {worst:.0%}")


def _tight(folder: Path, side: int, words: list[str], quality: str) -> int:
    """The least budget that is not refused: the state then lies in files."""
    from ortist.network.bundle import find_model
    from ortist.options.fields import Options
    from ortist.pictures.reading import read_header
    from ortist.run.memory import MemoryModel

    options = Options.of(
        size=side,
        smallest_size="none",
        tile=int(words[-1]),
        scratch=str(folder),
        quality=quality,
        iterations=int(words[1]),
    ).settled(True)
    content = read_header(str(SAMPLES / "harbour.jpg"), 10**9)
    style = read_header(str(SAMPLES / "swirls.jpg"), 10**9)
    return MemoryModel(find_model(), options, content, [style]).least()


if __name__ == "__main__":
    typer.run(main)
