"""What every command tells in one way: remarks and progress on stderr, losses as JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..objective.targets import Losses

__all__ = [
    "be_quiet",
    "interrupted",
    "losses_as_json",
    "note",
    "progress_bar",
    "shortened",
    "shows_lines",
    "told_of_interruption",
]

_LONGEST = 1000
"""Letters of a message; a path, which may be named in it twice, can have 4096."""
_MINUTE = 60.0
_quiet = _told = False
_LOSSES = ("content", "content_by_layer", "style", "style_by_layer", "tv", "total")


def be_quiet(quiet: bool) -> None:
    """Whether remarks and progress are left out from now on; errors are said anyway."""
    global _quiet
    _quiet = quiet


def note(message: str) -> None:
    """A remark on stderr."""
    if not _quiet:
        print(f"ortist: {shortened(message)}", file=sys.stderr)


def interrupted(message: str) -> typer.Exit:
    """The end of a command that was interrupted, with its one line, which is always said."""
    global _told
    _told = True
    print(f"ortist: {shortened(message)}", file=sys.stderr)
    return typer.Exit(130)


def told_of_interruption() -> bool:
    """Whether that line was said: typer, too, ends with 130, and without a word."""
    return _told


def shortened(message: str) -> str:
    """The message on one line, without its middle where it has more than 1000 letters."""
    line = "".join(c if c.isprintable() else " " for c in message)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}"


def shows_lines() -> bool:
    """Whether stderr is a terminal that can write over its last line."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not _quiet


def losses_as_json(losses: Losses) -> dict[str, Any]:
    """The weighted losses by their names; a layer's number becomes text in JSON."""
    return {name: getattr(losses, name) for name in _LOSSES}


@contextmanager
def progress_bar(length: int) -> Iterator[Callable[[int, str | None], None]]:
    """Shows, on stderr, how much of ``length`` is done, with a note and the time left.

    The function that it yields is called with what is done in all (a resumed run begins further on)
    and the note, None for none. Where stderr is no terminal, or a dumb one, a plain line is written
    once a minute; nothing where ``length`` is 0.
    """
    if length == 0:
        yield lambda done, note: None
        return
    if not shows_lines():
        yield _plain_lines(length)
        return
    bar: Any = typer.progressbar(
        length=length, label="painting", file=sys.stderr, show_pos=True, item_show_func=lambda n: n
    )

    def show(done: int, note: str | None) -> None:
        bar.current_item = note
        bar.update(done - bar.pos)

    with bar:
        yield show


def _plain_lines(length: int) -> Callable[[int, str | None], None]:
    """Says how far it is, at most once a minute."""
    last = time.monotonic()

    def show(done: int, said: str | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _MINUTE:
            last = time.monotonic()
            note(f"{done} of {length} done{f', {said}' if said else ''}.")

    return show
