"""A real scheduler and workers of Dask, processes of their own, for the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Nodes", "kill"]


class Nodes:
    """A scheduler and so many workers of one thread each, in ``folder``; ended with the block.

    ``words`` are further ones for both commands, ``env`` is the workers' alone.
    """

    def __init__(self, folder: Path, count: int, *words: str, **env: str) -> None:
        self._folder, self._words, self._env = folder, words, env
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        where = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(where)
        )
        self.address = str(json.loads(_text_of(where))["address"])
        for _ in range(count):
            self.add_worker()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(20)

    def add_worker(self, **env: str) -> subprocess.Popen[bytes]:
        """Starts one more, without a nanny that would start it again."""
        number = len(self._processes)
        place = str(self._folder / f"worker-{number}")
        words = ("--no-nanny", "--nthreads", "1", "--local-directory", place)
        process = self._start("worker", self.address, *words, **{**self._env, **env})
        self.workers.append(process)
        return process

    @property
    def logs(self) -> str:
        """What all of them wrote."""
        return "".join(path.read_text() for path in sorted(self._folder.glob("*.log")))

    def at_work(self, file: str = "content*", seconds: float = 60) -> subprocess.Popen[bytes]:
        """A worker that is at work on a picture now: it has such a file."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for number, process in enumerate(self._processes):
                place = self._folder / f"worker-{number}"
                if process.poll() is None and any(place.glob(f"**/ortist/*/{file}")):
                    return process
            time.sleep(0.02)
        raise AssertionError(self.logs)

    def _start(self, kind: str, *words: str, **env: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard"]
        with (self._folder / f"{kind}-{len(self._processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*command, *words, *self._words],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
            )
        self._processes.append(process)
        return process


def kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a process at once, and waits for it."""
    process.send_signal(signal.SIGKILL)
    process.wait(20)


def _text_of(path: Path, seconds: float = 60) -> str:
    end = time.monotonic() + seconds
    while not (path.exists() and path.read_text().strip().endswith("}")):
        assert time.monotonic() < end
        time.sleep(0.05)
    return path.read_text()
