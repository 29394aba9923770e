"""What a cluster would take for very much: python -m tests.benchmarks.scale

A simulation of the task graph of jobs/cluster.py, from measured figures, which are its options: no
such cluster was at hand. One sender reads pictures and puts them on its link one after the other; a
scheduler passes each on after a time of its own; workers paint, and send back over the same link.
"""

from __future__ import annotations

import heapq
import json
import math
from typing import Annotated

import typer

__all__ = ["batch_seconds", "main", "step_seconds"]

_DAY = 86_400.0


def batch_seconds(
    pictures: int, workers: int, painting: float, megabytes: float, link: float, overhead: float
) -> float:
    """Seconds for a batch: a picture takes ``painting`` seconds of a worker.

    ``megabytes`` of each cross the sender's ``link`` (bytes a second), and the scheduler takes
    ``overhead`` seconds for each. Two pictures for each worker are under way at a time.
    """
    wire = megabytes * 1e6 / link
    free = [0.0] * workers
    heapq.heapify(free)
    ends: list[float] = []
    sender = scheduler = last = 0.0
    for _ in range(pictures):
        if len(ends) >= 2 * workers:  # the next is sent when one has come back
            sender = max(sender, heapq.heappop(ends))
        sender += wire
        scheduler = max(scheduler, sender) + overhead
        began = max(scheduler, heapq.heappop(free))
        heapq.heappush(free, began + painting)
        heapq.heappush(ends, began + painting)
        last = max(last, began + painting)
    return last


def step_seconds(
    pixels: float, workers: int, tile: int, halo: int, seconds: float, link: float
) -> tuple[float, float]:
    """Seconds of a step of one picture in tiles, and terabytes that cross the driver's link.

    A tile's two tasks take ``seconds`` for each megapixel that they see. Each is sent its pixels;
    the second one the content's too, and it returns a gradient: float32 of three channels.
    """
    tiles = math.ceil(pixels / tile**2)
    seen = (tile + 2 * halo) ** 2
    computing = math.ceil(tiles / workers) * seen / 1e6 * seconds
    sent = 12.0 * tiles * (3 * seen + tile**2)
    return max(computing, sent / link), sent / 1e12


def main(
    painting: Annotated[float, typer.Option(help="CPU seconds of a picture.")] = 10.0,
    megabytes: Annotated[float, typer.Option(help="Of a picture on the link.")] = 0.7,
    overhead: Annotated[float, typer.Option(help="Scheduler's seconds a picture.")] = 0.002,
    gigabits: Annotated[float, typer.Option(help="Of the sender's link.")] = 10.0,
    sweep: Annotated[float, typer.Option(help="CPU seconds a step and megapixel seen.")] = 0.36,
    gigapixels: Annotated[float, typer.Option(help="Of the one large picture.")] = 100.0,
    steps: Annotated[int, typer.Option(help="Of the large picture.")] = 300,
) -> None:
    """Prints a JSON object for each number of workers of one thread."""
    link = gigabits * 1e9 / 8
    for workers in (2, 16, 64, 256, 512, 1024):
        sample = 40 * workers
        seconds = batch_seconds(sample, workers, painting, megabytes, link, overhead)
        a_day = sample / seconds * _DAY
        step, crossed = step_seconds(gigapixels * 1e9, workers, 512, 64, sweep, link)
        found = {
            "workers": workers,
            "pictures_an_hour": round(a_day / 24),
            "days_for_a_million": round(1e6 / a_day, 2),
            "large_step_hours": round(step / 3600, 2),
            "large_step_terabytes": round(crossed, 1),
            "large_days": round(steps * step / _DAY, 1),
        }
        print(json.dumps(found))


if __name__ == "__main__":
    typer.run(main)
