"""The process that paints: one engine, one job after the other, a pipe to the server.

Processes, not threads of the server: NumPy's and ONNX Runtime's work would hold the interpreter
that answers requests; a picture that makes the process die takes no other job with it; and a step
that lasts too long for a cancel to wait for can be killed. Messages are JSON both ways. When the
pipe closes, because the server is gone, the process ends at once.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..errors import OrtistError
from .folders import JobFolder
from .order import Order
from .own import Own
from .painter import Painter

__all__ = ["work"]


def work(pipe: Connection, own: Own) -> None:
    """What the process does from its start to its end; the first message says it is ready."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # these reach all; the server decides
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _Worker(pipe, own).run()


class _Worker:
    """The jobs as they come; a thread of its own reads what the server says meanwhile."""

    def __init__(self, pipe: Connection, own: Own) -> None:
        self._pipe = pipe
        self._painter = Painter(own, self._send)
        self._jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._job = ""  # the id of the last one that came

    def run(self) -> None:
        """Proves that it can paint, then does so until the pipe closes."""
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._send(self._painter.prove())
        except OrtistError as error:
            self._send({"type": "unfit", "detail": str(error), "code": error.exit_code})
            return
        if self._jobs.empty():
            self._painter.warm_up()
        while True:
            message = self._jobs.get()
            folder, order = JobFolder(Path(message["folder"])), Order.from_json(message["order"])
            self._send(self._painter.paint(order, folder, bool(message["watched"])))

    def _listen(self) -> None:
        try:
            while True:
                message = json.loads(self._pipe.recv_bytes())
                if message["type"] == "paint":
                    self._job = message["id"]
                    self._painter.begin()
                    self._jobs.put(message)
                elif message["id"] == self._job:  # not of one that ended meanwhile
                    self._painter.ask(message["type"])
        except (EOFError, OSError):
            os._exit(0)  # the server is gone; files are whole or absent at any moment

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the listener sees that, too
            self._pipe.send_bytes(json.dumps(message).encode())
