"""The short form of tests/attacks/shoot.py; the long one is a command whose figures are in docs."""

from __future__ import annotations

import subprocess
import sys


def test_nothing_breaks() -> None:
    """In a process of its own, as limits, memory and forks are those of a whole process."""
    few = ["--hostile", "300", "--inputs", "24", "--ended", "6", "--full", "12", "--children", "4"]
    few += ["--batches", "100", "--limits", "8"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.shoot", *few],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 7
