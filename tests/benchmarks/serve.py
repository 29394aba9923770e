"""The HTTP service against the library: python -m tests.benchmarks.serve --rounds 15

Start to ready, what ``POST /v1/transfer`` adds to ``Engine.transfer``, how long a cancel takes, and
jobs through the queue in processes against threads.
"""

from __future__ import annotations

import statistics
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
        own.engine.transfer(_CONTENT, _STYLE, size=128, iterations=20, seed=seed)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(paint, range(count)))
        began = time.perf_counter()
        list(pool.map(paint, range(jobs)))
        return time.perf_counter() - began


def _by_processes(folder: Path, jobs: int, count: int) -> float:
    """Seconds of so many jobs through the queue of a service with two processes."""
    words = ["--jobs", str(count), "--threads", str(count), "--max-queue", str(jobs)]
    form = {"size": "128", "iterations": "20", "style": "swirls"}
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


def main(
    rounds: Annotated[int, typer.Option(help="Of each measurement.", min=1)] = 15,
    size: Annotated[int, typer.Option(help="The shorter side of the picture.")] = 256,
    jobs: Annotated[int, typer.Option(help="Jobs through the queue.")] = 24,
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
        processes, threads = _by_processes(folder, jobs, 2), _by_threads(jobs, 2)
        print(f"two processes {jobs / processes:.2f}, two threads {jobs / threads:.2f} pictures/s")


def _shown(seconds: list[float]) -> str:
    middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
    return f"{1000 * middle:.0f} ms ({1000 * least:.0f} to {1000 * most:.0f})"


if __name__ == "__main__":
    typer.run(main)
