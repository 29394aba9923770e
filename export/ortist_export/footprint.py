"""How much memory a graph takes for each pixel of the image, measured.

A process of its own runs the graph at one size, as the engine does (one pool of memory that grows
by what is asked for, no plan of all buffers), and prints the peak of its resident memory. What two
sizes differ by, divided by the pixels they differ by, is the graph's share; the interpreter and the
libraries cancel out.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from .errors import ExportError

__all__ = ["measure_footprint"]

_SIDES = (384, 896)
_RUNS = 3
_STEP = 10
"""Figures are rounded up to multiples of so many bytes."""


def measure_footprint(files: Mapping[str, bytes]) -> dict[str, int]:
    """Bytes per pixel of the image, by file, while the graph runs with every style term on.

    Raises ExportError where a graph cannot be run. Empty on systems that do not say how much memory
    a process has had (Windows).
    """
    if sys.platform == "win32":
        return {}
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for file, data in files.items():
            path = Path(name) / file
            path.write_bytes(data)
            small, large = (min(_peak(path, side) for _ in range(2)) for side in _SIDES)
            own = (large - small) / (_SIDES[1] ** 2 - _SIDES[0] ** 2)
            found[file] = max(_STEP, -int(-own // _STEP) * _STEP)
    return found


def _peak(path: Path, side: int) -> int:
    """In bytes, of a process that runs the graph."""
    command = [sys.executable, "-m", "ortist_export.footprint", str(path), str(side)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportError(f"cannot measure the memory of {path.name}: {last}")
    return int(done.stdout)


def _run(path: str, side: int) -> None:
    import os

    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import numpy as np
    import onnxruntime as ort

    ort.set_default_logger_severity(4)
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"arena_extend_strategy": 1}))
    options = ort.SessionOptions()
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.use_env_allocators", "1")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {}
    for value in session.get_inputs():
        name = value.name.partition("_")[0]
        shape = [size if isinstance(size, int) else 0 for size in value.shape]
        if name == "image":
            feed[value.name] = np.random.default_rng(0).random((1, 3, side, side), np.float32)
        elif name == "mixing":  # of one region, that is everywhere
            feed[value.name] = np.eye(shape[1], dtype=np.float32)[None]
        elif name == "gram":
            channels = next(
                other.shape[1]
                for other in session.get_inputs()
                if other.name == value.name.replace("gram", "features")
            )
            feed[value.name] = np.eye(channels, dtype=np.float32)
        elif not shape:  # a weight
            feed[value.name] = np.array(1, np.float32)
        else:
            feed[value.name] = np.zeros([0, *(size or 1 for size in shape[1:])], np.float32)
    for _ in range(_RUNS):
        session.run(None, feed)
    print(_own_peak())


def _own_peak() -> int:
    """Peak resident memory in bytes. On Linux, what getrusage says may be the parent's."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]))
