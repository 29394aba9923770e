"""What the C library is told about memory."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

LEFT = """
import sys
import numpy as np
from ortist.network.machine import give_back_memory, return_large_blocks

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 / 2**20

if sys.argv[1] == "told":
    return_large_blocks()
large = np.ones(2**23, np.uint8)
del large  # from now on glibc keeps smaller blocks
before = resident()
blocks = [np.ones(2**21, np.uint8) for _ in range(80)]
del blocks[::2]
print(resident() - before)
give_back_memory()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_large_blocks_return_as_soon_as_they_are_freed() -> None:
    left = {}
    for how in ("untold", "told"):
        done = subprocess.run(
            [sys.executable, "-c", LEFT, how], capture_output=True, text=True, check=True
        )
        left[how] = [float(line) for line in done.stdout.split()]
    # Of 160 MiB every second block was freed.
    assert [round(size, -1) for size in left["untold"]] == [160, 80]
    assert [round(size, -1) for size in left["told"]] == [80, 80]
