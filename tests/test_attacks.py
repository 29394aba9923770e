"""The short form of tests/attacks/shoot.py; the long one is a command whose figures are in docs."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.long
def test_nothing_breaks() -> None:
    """In a process of its own, as limits, memory and forks are those of a whole process."""
    few = ["--hostile", "250", "--inputs", "20", "--ended", "5", "--full", "12", "--children", "4"]
    few += ["--batches", "50", "--limits", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.shoot", *few],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 7
