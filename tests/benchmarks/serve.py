"""The HTTP service against the library: python -m tests.benchmarks.serve --rounds 15

Start to ready, what ``POST /v1/transfer`` adds to ``Engine.transfer``, how long a cancel takes,
jobs through the queue against ``ortist batch`` and threads, and the memory after many jobs.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import ortist
import typer

from tests.conftest import SAMPLES
from tests.engine.serve.serving import Server

__all__ = ["main"]

_CONTENT, _STYLE = str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg")


def _started(folder: Path, rounds: int) -> list[float]:
    """Seconds from the start of the process to the line that says it is ready."""
    found = []
    for number in range(rounds):
        with Server(folder / f"start-{number}") as server:
            found.append(server.seconds)
    return found


def _overhead(server: Server, size: int, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of a picture by the service, and by an engine here, by turns."""
    options = ortist.Options.of(size=size, iterations=0)  # what is added does not depend on them
    form = {"size": str(size), "iterations": "0"}
    files = {
        "content": ("content.jpg", Path(_CONTENT).read_bytes()),
        "style": ("style.jpg", Path(_STYLE).read_bytes()),
    }
    served, made = [], []
    with ortist.Engine() as engine, tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 2):
            began = time.perf_counter()
            assert server.client.post("/v1/transfer", files=files, data=form).status_code == 200
            served.append(time.perf_counter() - began)
            began = time.perf_counter()
            engine.transfer(_CONTENT, _STYLE, options).save(f"{folder}/out.png")
            made.append(time.perf_counter() - began)
    return served[2:], made[2:]  # the first ones open sessions, and look at the style


def _cancelled(server: Server, size: int, rounds: int) -> list[float]:
    """Seconds from a DELETE to its answer, with the work ended."""
    found = []
    for _ in range(rounds):
        job = server.submit(size=size, iterations=5000, smallest_size="none")
        server.wait_for_step(job, 2)
        began = time.perf_counter()
        assert server.client.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
        found.append(time.perf_counter() - began)
    return found


def _by_threads(jobs: int, count: int) -> float:
    """Seconds of so many pictures by two engines in threads of one process."""
    own = threading.local()

    def paint(seed: int) -> None:
        if not hasattr(own, "engine"):
            own.engine = ortist.Engine(threads=1)
        own.engine.transfer(_CONTENT, _STYLE, size=256, iterations=20, seed=seed)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(paint, range(count)))
        began = time.perf_counter()
        list(pool.map(paint, range(jobs)))
        return time.perf_counter() - began


def _by_processes(folder: Path, jobs: int, count: int) -> float:
    """Seconds of so many jobs through the queue of a service with two processes."""
    words = ["--jobs", str(count), "--threads", str(count), "--max-queue", "256"]
    form = {"size": "256", "iterations": "20", "style": "swirls"}
    with Server(folder / "queue", *words) as server:
        files = {"content": ("content.jpg", Path(_CONTENT).read_bytes())}

        def submit(seed: int) -> str:
            answer = server.client.post("/v1/jobs", files=files, data={**form, "seed": str(seed)})
            return str(answer.json()["id"])

        for job in [submit(seed) for seed in range(count)]:
            server.wait(job)
        began = time.perf_counter()
        for job in [submit(seed) for seed in range(jobs)]:
            assert server.wait(job, seconds=600)["state"] == "done"
        return time.perf_counter() - began


def _by_batch(folder: Path, jobs: int, count: int) -> float:
    """Seconds of so many pictures by ``ortist batch --jobs``, its start among them."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(jobs):
        shutil.copy(_CONTENT, photos / f"{number}.jpg")
    command = [sys.executable, "-m", "ortist", "batch", str(photos), "--style", _STYLE]
    command += ["--size", "256", "--iterations", "20", "--output", str(folder / "batch")]
    command += ["--jobs", str(count), "--threads", str(count)]
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


def _growth(folder: Path, jobs: int) -> dict[str, list[int]]:
    """Megabytes in memory after a twelfth of the jobs, and at the end, by process; of 12 sizes."""
    found: dict[str, list[int]] = {"server": [], "process": []}
    sizes = range(48, 48 + 12 * 8, 8)
    with Server(folder / "growth") as server:
        for number in range(jobs):
            job = server.submit(size=sizes[number % 12], iterations=2)
            assert server.wait(job, seconds=120)["state"] == "done"
            if number in (jobs // 12, jobs - 1):
                for name, pid in (("server", server.process.pid), ("process", server.workers()[0])):
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                    found[name].append(round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6))
    return found


def main(
    rounds: Annotated[int, typer.Option(help="Of each measurement.", min=1)] = 15,
    size: Annotated[int, typer.Option(help="The shorter side of the picture.")] = 256,
    jobs: Annotated[int, typer.Option(help="Jobs through the queue.")] = 24,
    many: Annotated[int, typer.Option(help="Jobs for the memory's growth.", min=24)] = 120,
) -> None:
    """Prints medians in milliseconds, and pictures a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        starts = _started(folder, max(3, rounds // 4))
        print(f"start to ready: {_shown(starts)}")
        with Server(folder / "state") as server:
            served, made = _overhead(server, size, rounds)
            print(f"POST /v1/transfer at {size}: {_shown(served)}; Engine.transfer {_shown(made)}")
            added = statistics.median(served) - statistics.median(made)
            least = min(served) - min(made)
            print(f"added: {1000 * added:.1f} ms by the medians, {1000 * least:.1f} by the least")
            print(f"cancel at {size}: {_shown(_cancelled(server, size, rounds))}")
        queue = _by_processes(folder, jobs, 2)
        batch, threads = _by_batch(folder, jobs, 2), _by_threads(jobs, 2)
        print(
            f"{jobs} pictures of 256: two processes {jobs / queue:.2f}, ortist batch --jobs 2 "
            f"{jobs / batch:.2f}, two threads {jobs / threads:.2f} pictures/s"
        )
        print(f"memory in MB, early and after {many} jobs of 12 sizes: {_growth(folder, many)}")


def _shown(seconds: list[float]) -> str:
    middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
    return f"{1000 * middle:.0f} ms ({1000 * least:.0f} to {1000 * most:.0f})"


if __name__ == "__main__":
    typer.run(main)
