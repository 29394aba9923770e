"""The races run and report; their figures are nobody's business here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT


def race(*words: str) -> Any:
    command = [sys.executable, "-m", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_step() -> None:
    """Which also asserts that the gradients agree."""
    (found,) = race("tests.benchmarks.step", "--sizes", "64", "--rounds", "3")["sizes"]
    assert found["size"] == 64
    assert set(found["milliseconds"]) == {"ortist", "torch", "torch-channels-last"}
    assert found["ratio"] == min(found["ratios"].values()) > 0


def test_memory_and_cold_start() -> None:
    (found,) = race("tests.benchmarks.memory", "--sizes", "64")["sizes"]
    assert found["ratio"] > 1  # importing torch alone takes more than all of Ortist
    assert race("tests.benchmarks.coldstart", "--rounds", "1")["ratio"] > 1


def test_convergence() -> None:
    found = race("tests.benchmarks.convergence", "--rounds", "1")
    assert 0 < found["ortist_steps"] <= 1000
    assert found["ratio"] > 0


def test_size() -> None:
    found = race("tests.benchmarks.size")
    assert {"onnxruntime", "numpy", "pillow", "typer"} < set(found["packages"]["ortist"])
    assert "torch" not in found["packages"]["ortist"]
    assert found["ratio"] > 1


def test_profile() -> None:
    found = race("tests.benchmarks.profile", "--size", "64", "--steps", "2")
    assert {"Gemm", "Conv", "MaxPool"} < set(found["milliseconds_by_op"])
    slowest = [node["milliseconds"] for node in found["nodes"]]
    assert slowest == sorted(slowest, reverse=True)


def test_tiles() -> None:
    """Which also asserts that the gradients agree."""
    (found,) = race("tests.benchmarks.tiles", "--sizes", "600", "--rounds", "1")["sizes"]
    assert set(found["seconds"]) == {"general", "tiles-512", "tiles-1024", "ortist"}
    assert found["ratios"]["general"] == 1


def test_batch_and_flicker() -> None:
    words = ("--pictures", "2", "--size", "48", "--iterations", "2")
    assert race("tests.benchmarks.batch", *words)["ratio"] > 0
    words = ("--frames", "3", "--size", "48", "--iterations", "20")
    still = race("tests.benchmarks.flicker", *words)["still camera"]
    assert still["blend 0.5"]["difference"] < still["independent"]["difference"]


@pytest.mark.parametrize("name", ["step", "memory", "coldstart", "convergence", "size"])
def test_without_torch_one_sentence(name: str) -> None:
    code = (
        "import importlib.util, runpy, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
        "sys.modules['torch'] = None\n"
        f"sys.argv = ['{name}']\n"
        f"runpy.run_module('tests.benchmarks.{name}', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.returncode == 2
    assert done.stderr.startswith("this race needs torch; install Ortist with the extra")
    assert done.stderr.count("\n") == 1
