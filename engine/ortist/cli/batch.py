"""``ortist batch``: many pictures, one bar, what failed at the end."""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionError
from ..options.declaring import Heading
from ..options.fields import Options
from ..signals import end_in_order
from .arguments import PRESET, asked, flag, takes_options
from .cluster import SCHEDULER, connected
from .telling import be_quiet, interrupted, losses_as_json, note, progress_bar

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
    style: list[str] = asked(
        ...,
        "A painting, style file, built-in style, folder or pattern; repeatable.",
        _FIRST,
        "STYLE",
    ),
    output: Path = asked(
        ..., "The folder to paint into, made if need be.", _FIRST, "FOLDER", "--output", "-o"
    ),
    suffix: str = asked(".png", "Suffix of the paintings.", _OUTPUT, "SUFFIX"),
    jobs: int = asked(
        1, "Processes, among which --threads are divided.", Heading.MEMORY, "N", min=1
    ),
    scheduler: str | None = SCHEDULER,
    preset: str | None = PRESET,
    as_json: bool = flag("Print one JSON object a picture on stdout.", "--json"),
    quiet: bool = flag("Say nothing on stderr but errors.", "--quiet"),
    *,
    given: dict[str, Any],
) -> None:
    """Paint every CONTENT in every STYLE, to FOLDER/CONTENT-STYLE.png.

    Started again, it paints only what is missing: pictures that are there, whole, and were made
    from the same files with the same options are kept. What cannot be painted is listed at the end.
    """
    be_quiet(quiet)
    options = Options.of(preset, **given)
    if scheduler and jobs != 1:
        raise OptionError("give --jobs or --scheduler, but not both.")
    from ..jobs.batch import plan_batch

    plan = plan_batch(contents, style, output, options, suffix)
    if plan.passed:
        note(plan.passed)
    outcomes: list[Outcome] = []
    failures = 0
    stopped = False
    end_in_order()
    try:
        with contextlib.ExitStack() as stack:
            elsewhere = stack.enter_context(connected(scheduler)).paint if scheduler else None
            show = stack.enter_context(progress_bar(len(plan.tasks)))
            run = stack.enter_context(contextlib.closing(plan.run(None, jobs, elsewhere)))
            for outcome in run:
                outcomes.append(outcome)
                failures += outcome.status == "failed"
                if as_json:
                    print(json.dumps(_report(outcome)), flush=True)
                show(len(outcomes), f"{failures} failed" if failures else None)
    except KeyboardInterrupt:
        stopped = True
    _tell(plan, outcomes, stopped)
    if stopped:
        done = sum(outcome.status in ("painted", "kept") for outcome in outcomes)
        total = f"{done} of {len(plan.tasks)} pictures"
        raise interrupted(f"interrupted with {total} there; start again for the rest.")
    if failures:
        raise typer.Exit(1)


def _tell(plan: Batch, outcomes: list[Outcome], stopped: bool) -> None:
    """Says on stderr what was left out, and why; nothing where all went well."""
    counts: Counter[str] = Counter(outcome.status for outcome in outcomes)
    total = f"of {len(plan.tasks)} pictures"
    for remark in dict.fromkeys(remark for outcome in outcomes for remark in outcome.notes):
        note(remark)
    for outcome in outcomes:
        if outcome.status == "failed":
            note(f"{os.path.relpath(outcome.output, plan.folder)}: {outcome.error}")
    if not stopped and (counts["failed"] or counts["kept"]):
        each = ", ".join(f"{counts[s]} {s}" for s in ("painted", "kept", "failed", "skipped"))
        note(f"{total} {each}.")
    if counts["skipped"]:
        note("make room, then start again for the rest.")


def _report(outcome: Outcome) -> dict[str, Any]:
    names = ("content", "style", "output", "status", "seconds", "iterations", "final", "error")
    report = {name: getattr(outcome, name) for name in names}
    return {**report, "final": outcome.final and losses_as_json(outcome.final)}
