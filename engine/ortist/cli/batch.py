"""``ortist batch``: many pictures, one bar, what failed at the end."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options.declaring import Heading
from ..options.fields import Options
from .arguments import takes_options
from .bar import progress_bar
from .follow import losses_as_json
from .named import note
from .request import PRESET, asked

if TYPE_CHECKING:
    from ..jobs.batch import Batch
    from ..jobs.painting import Outcome

__all__ = ["batch"]

_FIRST, _OUTPUT = Heading.FIRST, Heading.OUTPUT


@takes_options(without=("snapshots", "seamless"))
def batch(
    contents: Annotated[
        list[str],
        typer.Argument(
            help="Photos: files, folders (their tree is kept), patterns.", metavar="CONTENT…"
        ),
    ],
    style: Annotated[
        list[str],
        asked(
            _FIRST, "A painting or style file, a folder or pattern of them; repeatable.", "STYLE"
        ),
    ],
    output: Annotated[
        Path,
        asked(_FIRST, "The folder to paint into, made if need be.", "FOLDER", "--output", "-o"),
    ],
    suffix: Annotated[str, asked(_OUTPUT, "Suffix of the paintings.", "SUFFIX")] = ".png",
    jobs: Annotated[
        int, asked(Heading.MEMORY, "Processes, among which --threads are divided.", "N", min=1)
    ] = 1,
    preset: Annotated[str | None, PRESET] = None,
    as_json: Annotated[
        bool, asked(_OUTPUT, "Print one JSON object a picture on stdout.", None, "--json")
    ] = False,
    *,
    given: dict[str, Any],
) -> None:
    """Paint every CONTENT in every STYLE, to FOLDER/CONTENT-STYLE.png.

    Started again, it paints only what is missing: pictures that are there, whole, and were made
    from the same files with the same options are kept. What cannot be painted is listed at the end.
    """
    options = Options.of(preset, **given)
    from ..jobs.batch import plan_batch

    plan = plan_batch(contents, style, output, options, suffix)
    counts: Counter[str] = Counter()
    failures: list[Outcome] = []
    notes: dict[str, None] = {}
    interrupted = False
    try:
        with (
            progress_bar(len(plan.tasks)) as show,
            contextlib.closing(plan.run(jobs=jobs)) as outcomes,
        ):
            for outcome in outcomes:
                counts[outcome.status] += 1
                if outcome.status == "failed":
                    failures.append(outcome)
                notes |= dict.fromkeys(outcome.notes)
                if as_json:
                    print(json.dumps(_report(outcome)), flush=True)
                show(counts.total(), f"{len(failures)} failed" if failures else None)
    except KeyboardInterrupt:
        interrupted = True
    _say(plan, counts, failures, list(notes), interrupted)
    if interrupted:
        raise typer.Exit(130)
    if failures:
        raise typer.Exit(1)


def _say(
    plan: Batch,
    counts: Counter[str],
    failures: list[Outcome],
    notes: list[str],
    interrupted: bool,
) -> None:
    """Says on stderr what was left out, and why; nothing where all went well."""
    said = list(notes)
    for outcome in failures:
        said.append(f"{os.path.relpath(outcome.output, plan.folder)}: {outcome.error}")
    if not interrupted and (failures or counts["kept"]):
        each = ", ".join(f"{counts[s]} {s}" for s in ("painted", "kept", "failed", "skipped"))
        said.append(f"of {len(plan.tasks)} pictures {each}.")
    if counts["skipped"]:
        said.append("make room, then start again for the rest.")
    if interrupted:
        done = counts["painted"] + counts["kept"]
        said.append(
            f"interrupted with {done} of {len(plan.tasks)} pictures there; start again for the "
            "rest."
        )
    for line in said:
        note(line)


def _report(outcome: Outcome) -> dict[str, Any]:
    return {
        "content": outcome.content,
        "style": outcome.style,
        "output": outcome.output,
        "status": outcome.status,
        "seconds": outcome.seconds,
        "iterations": outcome.iterations,
        "final": None if outcome.final is None else losses_as_json(outcome.final),
        "error": outcome.error,
    }
