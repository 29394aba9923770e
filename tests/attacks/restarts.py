"""kill -9 of the service and of its processes, again and again: python -m tests.attacks.restarts

Twenty jobs are accepted, then something is killed at a random moment, until all have ended; and
again from new ones. A process is killed once for each job at most: a second time would fail it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.engine.serve.serving import Server

__all__ = ["kill_and_restart"]

_FORM: dict[str, Any] = {"size": 64, "iterations": 25}


def kill_and_restart(folder: Path, kills: int, count: int, seed: int) -> dict[str, int]:
    """So many kills while ``count`` jobs at a time are accepted: how many hit what, and the rounds.

    Asserts that each job ends once, as "done", with the bytes of a service that nobody killed.
    """
    chance, tally = random.Random(seed), {"server": 0, "process": 0, "rounds": 0}
    with Server(folder / "whole") as server:
        whole = [_picture(server, _submitted(server, number)) for number in range(count)]
    state, hit = folder / "state", set[str]()
    while tally["server"] + tally["process"] < kills:
        tally["rounds"] += 1
        server = Server(state)
        keys = [f"{tally['rounds']}-{number}" for number in range(count)]
        ids = [server.submit(key, seed=n, **_FORM) for n, key in enumerate(keys)]
        while tally["server"] + tally["process"] < kills and not _all_over(server, ids):
            time.sleep(chance.uniform(0, 4))
            running = _running(server, ids)
            workers = server.workers()
            if chance.random() < 0.5 and running and workers and running.isdisjoint(hit):
                os.kill(workers[0], signal.SIGKILL)
                hit |= running
                tally["process"] += 1
            else:
                with server:
                    server.kill()
                tally["server"] += 1
                server = Server(state)
        with server:
            for number, (key, job) in enumerate(zip(keys, ids, strict=True)):
                assert _picture(server, job) == whole[number], (key, job)
                assert server.submit(key, seed=number, **_FORM) == job
    with sqlite3.connect(state / "jobs.sqlite") as base:
        ends = base.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall()
    assert ends == [("done", count * tally["rounds"])], ends
    return tally


def _submitted(server: Server, number: int) -> str:
    return server.submit(seed=number, **_FORM)


def _picture(server: Server, job: str) -> bytes:
    done = server.wait(job, seconds=600)
    assert done["state"] == "done", done
    return server.client.get(f"/v1/jobs/{job}/picture").content


def _running(server: Server, ids: list[str]) -> set[str]:
    return {job for job in ids if server.job(job)["state"] == "running"}


def _all_over(server: Server, ids: list[str]) -> bool:
    return all(server.job(job)["state"] == "done" for job in ids)


def main(
    kills: Annotated[int, typer.Option(help="How often something is killed.", min=1)] = 100,
    jobs: Annotated[int, typer.Option(help="Accepted at a time.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """Prints how often what was killed."""
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(kill_and_restart(Path(name), kills, jobs, seed)))


if __name__ == "__main__":
    typer.run(main)
