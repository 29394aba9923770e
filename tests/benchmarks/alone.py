"""One contestant in a process of its own: python -m tests.benchmarks.alone NAME SIDE STEPS [MODEL]

Prints "done" when the steps are made, then the peak memory of the process in MiB. Used by the
races of memory and of cold start, which must not share a process with anything else.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import Any

from .failures import FAILURES, exit_code

__all__ = ["run_alone"]


def run_alone(name: str, side: int, steps: int, model: str | None) -> dict[str, Any]:
    """Seconds from the start of the process to its last step, and its peak memory in MiB.

    Exits with its code where the process failed; it has said why on stderr.
    """
    command = [sys.executable, "-m", "tests.benchmarks.alone", name, str(side), str(steps)]
    command += [model] if model else []
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - began
        rest = process.stdout.read()
    if process.returncode:
        sys.exit(process.returncode)
    return {"seconds": seconds, **json.loads(rest)}


def _main(name: str, side: str, steps: str, model: str | None = None) -> None:
    from .contestants import CONTESTANTS

    contestant = CONTESTANTS[name](model, int(side), None)
    for _ in range(int(steps)):
        contestant.step()
    print("done", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    print(json.dumps({"peak_mib": peak}))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except FAILURES as error:
        print(error, file=sys.stderr)
        sys.exit(exit_code(error))
