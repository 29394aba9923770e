"""Installed size, Ortist against PyTorch: python -m tests.benchmarks.size

Adds up the files of a distribution and of everything that it requires here, as its installer
recorded them. PyTorch's side is torch with NumPy and Pillow, without which it reads no picture.
Compiled bytecode, which Python writes and may do without, is counted apart. Of an editable
installation Ortist's own 2 MiB are not in the records.
"""

from __future__ import annotations

import json
from importlib.metadata import PackagePath, distribution
from typing import Annotated

import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .command import run
from .requirements import require_torch


def required(*names: str) -> set[str]:
    """The distributions, and those that they need here, without extras; by canonical name."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name not in found:
            found.add(name)
            needs = map(Requirement, distribution(name).requires or ())
            waiting += [r.name for r in needs if not r.marker or r.marker.evaluate({"extra": ""})]
    return found


def mebibytes(name: str) -> tuple[float, float]:
    """Of one distribution's files: all but bytecode, and bytecode."""
    sizes = {False: 0, True: 0}
    for path in distribution(name).files or ():
        sizes[path.suffix == ".pyc"] += _size(path)
    return sizes[False] / 2**20, sizes[True] / 2**20


def _size(path: PackagePath) -> int:
    located = path.locate()
    try:
        return located.stat().st_size  # type: ignore[attr-defined, no-any-return]
    except FileNotFoundError:  # bytecode of another Python
        return 0


def main(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """MiB on disk of what each needs at run time, its own code and weights included."""
    require_torch()
    contestants = {"ortist": required("ortist"), "torch": required("torch", "numpy", "pillow")}
    found = {
        contestant: {name: mebibytes(name) for name in sorted(names)}
        for contestant, names in contestants.items()
    }
    totals = {
        name: [sum(kind) for kind in zip(*parts.values(), strict=True)]
        for name, parts in found.items()
    }
    ratio = totals["torch"][0] / totals["ortist"][0]
    if as_json:
        print(json.dumps({"mebibytes": totals, "packages": found, "ratio": ratio}))
        return
    for contestant, parts in found.items():
        largest = sorted(parts.items(), key=lambda item: -sum(item[1]))[:6]
        shown = ", ".join(f"{name} {sum(sizes):.0f}" for name, sizes in largest)
        files, bytecode = totals[contestant]
        print(f"{contestant}: {files:.0f} MiB and {bytecode:.0f} MiB of bytecode ({shown}, …)")
    print(f"torch / ortist = {ratio:.2f}")


if __name__ == "__main__":
    run(main)
