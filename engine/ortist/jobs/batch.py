"""Many pictures: contents x styles, painted by the processes of any executor.

What a worker gets is small: two paths in, one out, the options, and the hashes of style and model.
Each process (each thread, if the executor has threads) is a worker. Only the caller writes the
ledger.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import OptionError, OutputError
from ..files import check_apart
from ..network.bundle import find_model
from ..network.machine import available_memory
from ..network.providers import check_provider
from ..network.sessions import available_cpus
from ..options.choice import choose_options
from ..options.fields import Options
from ..pictures.outputs import picture_format
from ..run.setup import load_init
from ..style.files import ExtractedStyle, load_style
from ..style.styles import Styles
from .finding import find_pictures, told_of
from .ledger import LEDGER, Ledger, file_sha256
from .painting import Outcome, Outcomes, Task, check_may_start, outcomes_of, processes

__all__ = ["Batch", "batch", "plan_batch"]

_Names = str | PathLike[str] | Iterable[str | PathLike[str]]
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""What fails for one picture of a folder and will fail for all."""


@dataclass(frozen=True)
class Batch:
    """What is to be painted into ``folder``, checked: iterate over ``run()``.

    ``passed`` is a sentence on files that were passed over, None where there were none.
    """

    folder: str
    tasks: tuple[Task, ...]
    passed: str | None = None

    def run(
        self,
        executor: Executor | None = None,
        jobs: int = 1,
        elsewhere: Callable[[Sequence[Task]], Outcomes] | None = None,
    ) -> Outcomes:
        """The outcomes, kept ones first, the others as they come.

        Runs in this process, or in ``jobs`` new ones among which the threads (all that this process
        may use, or the option) are divided, or wherever ``executor`` runs things; it must see the
        same files. Or else it is painted ``elsewhere``, as by a cluster (cluster.py), which is
        given what is missing and writes it. A closed iterator stops the workers at once. Raises
        OptionError for more jobs than threads and while another batch has the folder, OutputError
        where nothing can be written, and ResourceError where a worker was killed.
        """
        threads, memory = self.tasks[0].options.threads, self.tasks[0].options.max_memory
        total = threads or available_cpus()
        if executor is None and elsewhere is None:
            if not 1 <= jobs <= total:
                raise OptionError(
                    f"{jobs} jobs cannot share {total} threads; give --jobs from 1 to {total}."
                )
            threads = total // jobs
        elif jobs != 1:
            raise OptionError("give jobs, or an executor or a cluster, but not both.")
        if jobs > 1:  # they share it
            check_may_start()
            memory = (memory or int(0.9 * available_memory())) // jobs or None
        folders = {os.path.dirname(task.output) for task in self.tasks}
        with Ledger(self.folder, folders) as ledger, contextlib.ExitStack() as stack:
            missing: dict[str, Task] = {}
            for task in self.tasks:
                if ledger.holds(task.output, task.made_from(file_sha256(task.content))):
                    yield task.outcome("kept")
                    continue
                scratch = task.options.scratch or os.path.dirname(task.output)
                options = dataclasses.replace(
                    task.options, threads=threads, max_memory=memory, scratch=scratch
                )
                missing[task.output] = dataclasses.replace(task, options=options)
            if executor is None and jobs > 1 and missing:
                executor = stack.enter_context(processes(min(jobs, len(missing))))
            paint = elsewhere or functools.partial(outcomes_of, executor=executor)
            outcomes = paint(list(missing.values()))
            for outcome in stack.enter_context(contextlib.closing(outcomes)):
                task = missing.pop(outcome.output)
                if outcome.status == "painted":
                    try:
                        made_from = task.made_from(outcome.content_sha256)
                        ledger.record(task.output, outcome.sha256, made_from)
                    except OutputError as error:
                        outcome = task.failed(error)
                yield outcome
                if outcome.errno in _FULL:
                    break
            for task in missing.values():
                yield task.outcome("skipped")


def plan_batch(
    contents: _Names,
    styles: _Names,
    output: str | PathLike[str],
    options: Options,
    suffix: str = ".png",
) -> Batch:
    """Every content in every style, each to ``output``/its place-style``suffix``.

    Contents and styles are files, folders and glob patterns (finding.py), and styles also names of
    built-in ones. Refuses what cannot end
    well before anything is painted: raises OptionError where two pictures would have one name or
    an output would replace an input, PictureError or StyleFileError for a style that cannot be
    used, and as ``find_pictures``, ``find_model`` and ``Styles`` do. A content that cannot be read
    is noticed by its worker.
    """
    if options.snapshots:
        raise OptionError("a batch keeps no snapshots; leave them out.")
    if options.init == "image":
        raise OptionError(
            "init 'image' stands for a picture, and a batch was given none; give its path as init."
        )
    picture_format(Path(f"x{suffix}"))
    folder = os.path.abspath(output)
    passed: Counter[str] = Counter()
    photos = find_pictures(contents, folder, passed=passed)
    paintings = find_pictures(styles, folder, styles=True, passed=passed)
    model = find_model(options.model)
    check_provider(options.provider)  # said once, and not of every picture
    for style in paintings:
        loaded = load_style(style.path, options.max_pixels, options.style_side)
        if isinstance(loaded, ExtractedStyle):
            loaded.check(model)
        Styles([loaded], options)
    starts = [] if load_init(options)[1] is None else find_pictures(str(options.init))
    if starts:
        options = dataclasses.replace(options, init=starts[0].path)
    hashes = {read.path: file_sha256(read.path) for read in (*paintings, *starts)}
    tasks = []
    places = _without_suffixes([content.place for content in photos])
    looks = _without_suffixes([os.path.basename(style.path) for style in paintings])
    for style, look in zip(paintings, looks, strict=True):
        for content, place in zip(photos, places, strict=True):
            task = Task(
                content.path,
                style.path,
                os.path.join(folder, f"{place}-{look}{suffix}"),
                options,
                hashes[style.path],
                model.sha256,
                (content.name, style.name, *(start.name for start in starts)),
                hashes.get(str(options.init), ""),
            )
            tasks.append(task)
    _check_outputs(tasks)
    written = [os.path.join(folder, LEDGER), *(task.output for task in tasks)]
    read = [found.path for found in (*photos, *paintings, *starts)]
    check_apart(written, [*read, *model.paths])
    return Batch(folder, tuple(tasks), told_of(passed))


def _without_suffixes(names: Sequence[str]) -> list[str]:
    """The names without their suffixes; those that differ in these alone keep them."""
    bare = [os.path.splitext(name)[0] for name in names]
    counts = Counter(bare)
    return [stem if counts[stem] == 1 else name for stem, name in zip(bare, names, strict=True)]


def _check_outputs(tasks: Sequence[Task]) -> None:
    taken: dict[str, Task] = {}
    for task in tasks:
        other = taken.setdefault(task.output, task)
        if other is not task:
            both = [other.content, task.content]
            if other.content == task.content:
                both = [other.style, task.style]
            raise OptionError(
                f"{both[0]!r} and {both[1]!r} would both be painted to {task.output!r}; rename "
                "one, or give the folder around them, whose tree is kept."
            )


def batch(
    contents: _Names,
    styles: _Names,
    output: str | PathLike[str],
    options: Options | None = None,
    *,
    preset: str | None = None,
    suffix: str = ".png",
    jobs: int = 1,
    executor: Executor | None = None,
    on_outcome: Callable[[Outcome], object] | None = None,
    **overrides: Any,
) -> list[Outcome]:
    """Paints every content in every style into the folder ``output``; what is there is kept.

    >>> outcomes = batch("*.jpg", ["painting.jpg"], "painted", size=48, iterations=4)
    >>> [outcome.status for outcome in outcomes]
    ['painted', 'painted']

    Contents and styles are files, folders or glob patterns, one or several, among the styles style
    files and names of built-in styles too; a folder's tree is kept. ``jobs`` processes share the
    CPUs, or the work goes through ``executor``, whose workers must have Ortist, the same model and
    the same files. A picture that fails does not stop the others: its outcome says why.
    ``on_outcome`` is called with each as it comes. As with every use of processes, the script that
    calls this with ``jobs`` needs ``if __name__ == "__main__":``.
    Raises as ``plan_batch`` and ``Batch.run`` do.
    """
    options = choose_options(options, preset, overrides)
    plan = plan_batch(contents, styles, output, options, suffix)
    outcomes = []
    with contextlib.closing(plan.run(executor, jobs)) as run:
        for outcome in run:
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    return outcomes
