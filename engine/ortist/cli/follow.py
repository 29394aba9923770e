"""Running to the end while showing how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..loop import Run
    from ..result import Progress

__all__ = ["follow"]


def follow(run: Run) -> bool:
    """Runs to the end, with a progress bar on a terminal; True where Ctrl-C cut it short."""
    with _progress_bar(run.options.iterations) as show:
        try:
            for progress in run:
                show(progress)
        except KeyboardInterrupt:
            if run.iteration < 0:
                raise
            return True
    return False


@contextmanager
def _progress_bar(iterations: int) -> Iterator[Any]:
    """A bar with the loss and the time left on stderr; nothing where stderr is no terminal."""
    if not sys.stderr.isatty() or iterations == 0:
        yield lambda progress: None
        return
    bar: Any = typer.progressbar(
        length=iterations,
        label="painting",
        file=sys.stderr,
        show_eta=True,
        show_pos=True,
        item_show_func=lambda p: f"loss {p.losses.total:.4g}" if p else None,
    )
    with bar:

        def show(progress: Progress) -> None:
            bar.current_item = progress
            bar.update(1 if progress.iteration else 0)

        yield show
