"""Where a process that paints begins: a module that imports next to nothing.

The server hands ``begin`` over without having what the process needs, and the process does not
import the server's asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from .own import Own

__all__ = ["begin"]


def begin(pipe: Connection, own: Own) -> None:
    """Paints what comes through the pipe until that closes."""
    from .worker import work

    work(pipe, own)
