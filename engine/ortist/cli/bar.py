"""The progress bar of every command that has one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(length: int) -> Iterator[Callable[[int, str | None], None]]:
    """Shows, on stderr, how much of ``length`` is done, with a note and the time left.

    The function that it yields is called with what is done in all (a resumed run begins further on)
    and the note, None for none. Nothing is shown where stderr is no terminal or ``length`` is 0.
    """
    if not sys.stderr.isatty() or length == 0:
        yield lambda done, note: None
        return
    bar: Any = typer.progressbar(
        length=length,
        label="painting",
        file=sys.stderr,
        show_eta=True,
        show_pos=True,
        item_show_func=lambda note: note,
    )
    with bar:

        def show(done: int, note: str | None) -> None:
            bar.current_item = note
            bar.update(done - bar.pos)

        yield show
