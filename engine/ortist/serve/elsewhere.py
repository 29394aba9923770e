"""What a cluster's worker does for the service: one job, from its files to its picture.

It is what a process of the server does (painter.py), with Dask's Queue in the place of its pipe.
There are no checkpoints: where a worker is gone, Dask gives the job to another, from its beginning.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..jobs.elsewhere import check_version, memory_share, place_here, unpacked
from .folders import JobFolder
from .order import Order
from .own import Own
from .painter import Painter

__all__ = ["Errand", "paint_errand", "prove_here"]

_LOOK_SECONDS = 0.3
"""Between two looks whether the job shall end."""
_own = threading.local()
"""The painter of each thread of a worker, which keeps its engine."""


@dataclass(frozen=True)
class Errand:
    """A job on its way: its order, and the name of its channel.

    What is said goes to Dask's Queue of that name; its Event says that the job shall end.
    """

    version: str
    own: Own
    order: dict[str, Any]
    channel: str
    watched: bool


def prove_here(version: str, own: Own, model: Mapping[str, bytes]) -> dict[str, Any]:
    """What a process says when it is ready to paint; raises OrtistError where it is not."""
    check_version(version)
    return _painter(own, model).prove()


def paint_errand(
    errand: Errand, model: Mapping[str, bytes], files: Mapping[str, bytes]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What became of the job, and the files that are to be kept of it."""
    from distributed import Queue, get_client

    check_version(errand.version)
    client, painter = get_client(), _painter(errand.own, model)
    queue = Queue(errand.channel, client=client)
    painter.send = lambda message: queue.put(json.dumps(message))
    with tempfile.TemporaryDirectory(dir=place_here()) as name:
        folder = JobFolder(Path(name))
        for file, data in files.items():
            (folder.path / Path(file).name).write_bytes(data)
        with _heeding(errand.channel, client, painter):
            answer = painter.paint(
                Order.from_json(errand.order), folder, errand.watched, keeps=False
            )
        made = [p for p in folder.path.iterdir() if p.name.startswith(("picture.", "report."))]
        return answer, {path.name: path.read_bytes() for path in made}


def _painter(own: Own, model: Mapping[str, bytes]) -> Painter:
    """The one of this thread, where it has that model."""
    own = replace(own, max_memory=memory_share())
    key = own, unpacked(place_here(), model)
    if getattr(_own, "key", None) != key:
        _own.painter, _own.key = Painter(own, lambda message: None, str(key[1])), key
    painter: Painter = _own.painter
    return painter


@contextlib.contextmanager
def _heeding(channel: str, client: Any, painter: Painter) -> Iterator[None]:
    """Meanwhile the painter ends early where the channel's Event says so."""
    from distributed import Event

    painter.begin()
    over, asked = threading.Event(), Event(channel, client=client)

    def look() -> None:
        with contextlib.suppress(Exception):  # the scheduler is gone, and nobody waits any more
            while not over.wait(_LOOK_SECONDS):
                if asked.is_set():
                    painter.ask("cancel")
                    return

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join(5)
