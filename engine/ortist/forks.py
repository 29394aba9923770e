"""What a process that was forked from another cannot have of it: locks, and ONNX Runtime's threads.

A lock that another thread held stays locked in the child for ever, and the threads themselves are
not there.
"""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - see _end_fork
import logging  # noqa: F401
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from .errors import ResourceError

__all__ = ["check_not_forked", "fresh_after_fork", "importing"]

importing = threading.RLock()
"""Held while Ortist imports what is imported late, and while this process is forked: a child would
wait for ever for a module that another thread was importing."""

_forked = False
"""Whether this process was forked from one in which ONNX Runtime was there already."""


def fresh_after_fork(module: str, name: str, make: Callable[[], Any]) -> Any:
    """``make()``, which in a forked child is made anew as ``module``'s variable ``name``."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: setattr(sys.modules[module], name, make()))
    return make()


def check_not_forked() -> None:
    """Raises ResourceError in a process whose parent had ONNX Runtime when it was forked.

    Its threads, and whoever held its locks, have stayed with the parent: a run would wait for ever.
    """
    if _forked:
        raise ResourceError(
            "ONNX Runtime was at work before this process was forked, and cannot go on in it; "
            "start workers by spawn, or fork them before the first picture is painted."
        )


def _note_fork() -> None:
    global _forked
    _forked = _forked or "onnxruntime" in sys.modules


def _begin_fork() -> None:
    importing.acquire()


def _end_fork() -> None:
    # The two modules above have locks of their own that are taken for a fork: imported while one
    # waits for ``importing``, they would be let go of without having been taken.
    importing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin_fork, after_in_parent=_end_fork, after_in_child=_end_fork)
    os.register_at_fork(after_in_child=_note_fork)
