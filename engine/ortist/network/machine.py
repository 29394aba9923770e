"""The memory that this machine, and this process's control groups, have left."""

from __future__ import annotations

import os
from pathlib import Path

from .sessions import control_groups

__all__ = ["available_memory"]


def available_memory() -> int:
    """Bytes that this process may take without others being pushed out; 0 where nothing says."""
    free = _machine_memory()
    for folder in control_groups():
        try:
            limit = int((folder / "memory.max").read_text(encoding="ascii"))
            used = int((folder / "memory.current").read_text(encoding="ascii"))
            words = (folder / "memory.stat").read_text(encoding="ascii").split()
            cached = int(words[words.index("inactive_file") + 1])  # given back when asked for
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
        left = max(1, limit - used + cached)
        free = min(free, left) if free else left
    return free


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
