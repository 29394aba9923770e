"""NumPy's BLAS, kept to one thread while a run computes.

Its threads wait by spinning, on the CPUs that the run's own threads work on: by the default way a
picture of 512 pixels took 2.0 s with them, and 1.5 without.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..forks import fresh_after_fork

__all__ = ["one_blas_thread"]

_PREFIXES, _SUFFIXES = ("scipy_openblas", "openblas"), ("64_", "")
"""What the functions of OpenBLAS are called around their names, in one or another NumPy."""

_changing = fresh_after_fork(__name__, "_changing", threading.Lock)
_held: list[int] = fresh_after_fork(__name__, "_held", list[int])
"""How many threads it had, once for each that keeps it to one; in a forked child those are gone."""


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Meanwhile BLAS has one thread, in all of this process; then as many as before.

    Several may ask for it at once. Where NumPy brings no OpenBLAS of its own nothing happens.
    """
    threads = _threads()
    if threads is None:
        yield
        return
    count, limit = threads
    with _changing:
        _held.append(count() if not _held else _held[0])
        limit(1)
    try:
        yield
    finally:
        with _changing:
            before = _held.pop() if _held else 1
            if not _held and count() == 1:  # nobody else has changed it
                limit(before)


@functools.cache
def _threads() -> tuple[Callable[[], int], Callable[[int], object]] | None:
    """How to ask NumPy's OpenBLAS for its number of threads, and how to set it."""
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        return None
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for path in folder.glob("*openblas*"):
            with contextlib.suppress(OSError):
                library = ctypes.CDLL(str(path))  # which NumPy has loaded
                for prefix in _PREFIXES:
                    for suffix in _SUFFIXES:
                        ask, tell = (
                            getattr(library, f"{prefix}_{verb}_num_threads{suffix}", None)
                            for verb in ("get", "set")
                        )
                        if ask is not None and tell is not None:
                            return ask, tell
    return None
