"""What every command tells in one way: remarks and progress on stderr, losses as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..objective.targets import Losses

__all__ = ["losses_as_json", "note", "progress_bar"]

_LOSSES = ("content", "content_by_layer", "style", "style_by_layer", "tv", "total")


def note(message: str) -> None:
    """A remark on stderr."""
    print(f"ortist: {message}", file=sys.stderr)


def losses_as_json(losses: Losses) -> dict[str, Any]:
    """The weighted losses by their names; a layer's number becomes text in JSON."""
    return {name: getattr(losses, name) for name in _LOSSES}


@contextmanager
def progress_bar(length: int) -> Iterator[Callable[[int, str | None], None]]:
    """Shows, on stderr, how much of ``length`` is done, with a note and the time left.

    The function that it yields is called with what is done in all (a resumed run begins further on)
    and the note, None for none. Nothing is shown where stderr is no terminal, or a dumb one, or
    where ``length`` is 0.
    """
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb" or length == 0:
        yield lambda done, note: None
        return
    bar: Any = typer.progressbar(
        length=length, label="painting", file=sys.stderr, show_pos=True, item_show_func=lambda n: n
    )

    def show(done: int, note: str | None) -> None:
        bar.current_item = note
        bar.update(done - bar.pos)

    with bar:
        yield show
