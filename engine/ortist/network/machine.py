"""The memory that this machine, and this process's control groups, have left."""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

from .sessions import control_groups

__all__ = ["available_memory", "give_back_memory", "return_large_blocks"]

_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
"""Where control groups of version 2, and the tree of the memory's of version 1, have what counts:
the limit, what is used, and, of the statistics, what of that is cached."""
_MMAP_THRESHOLD = -3
"""What mallopt calls the least size of blocks that are mapped by themselves (malloc.h)."""
_NO_LIMIT = 2**60
"""Bytes; version 1 says so many, or more, where there is no limit."""


def available_memory() -> int:
    """Bytes that this process may take without others being pushed out; 0 where nothing says."""
    free = _machine_memory()
    for controller, names in _FILES.items():
        for folder in control_groups(controller):
            try:
                limit, used = (int(_read(folder / name)) for name in names[:2])
                words = _read(folder / "memory.stat").split()
                cached = int(words[words.index(names[2]) + 1])  # given back when asked for
            except (OSError, ValueError):  # no such file, or "max": no limit
                continue
            if limit < _NO_LIMIT:
                left = max(1, limit - used + cached)
                free = min(free, left) if free else left
    return free


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii")


def _machine_memory() -> int:
    """Bytes that the machine has left, whatever this process is allowed; 0 where nothing says."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(
            next(line for line in lines if line.startswith("MemAvailable")).split()[1]
        )
    except (OSError, ValueError, StopIteration):
        pass
    try:  # without it, half of what is built in
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return 0


def give_back_memory() -> None:
    """Returns to the system what was freed, where the C library (glibc) keeps it in between.

    It keeps what lies between two pieces that are in use. What comes next is of other sizes, and
    would be added to it.
    """
    _call("malloc_trim", 0)


def return_large_blocks() -> None:
    """Has blocks of 1 MiB and more return to the system as soon as they are freed, from now on.

    By itself glibc keeps freed blocks of up to 32 MiB, for each thread apart. What is done is done
    for the whole process, and for as long as it lives.
    """
    _call("mallopt", _MMAP_THRESHOLD, 2**20)


def _call(name: str, *arguments: int) -> None:
    """Calls a function of glibc; nothing where the C library is another."""
    function = _functions().get(name)
    if function is not None:
        function(*arguments)


@functools.cache
def _functions() -> dict[str, Callable[..., int]]:
    """The functions of glibc that are there."""
    if not sys.platform.startswith("linux"):
        return {}
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return {}
    return {name: getattr(library, name) for name in ("malloc_trim", "mallopt")}
