"""Running to the end: a progress bar, and what is written on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import unwritable
from .bar import progress_bar

if TYPE_CHECKING:
    from ..objective.targets import Losses
    from ..run.loop import Run
    from ..run.stepping import Progress

__all__ = ["Listener", "every", "follow", "losses_as_json", "traced"]

Listener = Callable[["Progress"], None]


def follow(run: Run, listeners: Sequence[Listener], last: int | None = None) -> bool:
    """Runs to the end, with a progress bar on a terminal; True where Ctrl-C cut it short.

    ``last`` is where to stop before, to repeat a snapshot or what had been cut short.
    """
    with progress_bar(run.options.iterations) as show:
        try:
            for progress in run:
                show(progress.iteration, f"loss {progress.losses.total:.4g}")
                for listener in listeners:
                    listener(progress)
                if progress.iteration == last:
                    break
        except KeyboardInterrupt:
            if run.iteration < 0:
                raise
            return True
    return False


def every(steps: int, act: Callable[[], object]) -> Listener:
    """Calls ``act`` after every so many steps, counted from the start of the run."""

    def listen(progress: Progress) -> None:
        if progress.iteration and progress.iteration % steps == 0:
            act()

    return listen


@contextmanager
def traced(path: Path, before: Sequence[Progress]) -> Iterator[Listener]:
    """Writes one JSON object a step, at once; those ``before`` are of a resumed run."""
    try:
        stream = path.open("w", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error

    def write(progress: Progress) -> None:
        record = {
            "iteration": progress.iteration,
            "scale": progress.scale,
            "losses": losses_as_json(progress.losses),
            "seconds": round(progress.seconds, 6),
        }
        try:
            stream.write(json.dumps(record) + "\n")
            stream.flush()
        except OSError as error:
            raise unwritable(path, error) from error

    try:
        for progress in before:
            write(progress)
        yield write
    finally:
        stream.close()


def losses_as_json(losses: Losses) -> dict[str, Any]:
    """The weighted losses by their names, as every command's JSON has them."""

    def named(by_layer: Mapping[int, float]) -> dict[str, float]:
        return {str(tap): value for tap, value in by_layer.items()}

    return {
        "content": losses.content,
        "content_by_layer": named(losses.content_by_layer),
        "style": losses.style,
        "style_by_layer": named(losses.style_by_layer),
        "tv": losses.tv,
        "total": losses.total,
    }
