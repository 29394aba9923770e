"""A worker process as the server sees it: started, spoken to, listened to, killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import threading
from typing import Any

from .entry import begin
from .own import Own

__all__ = ["WorkerProcess"]


class WorkerProcess:
    """One process, started; its messages come through ``message``, None for its end.

    ``listen`` is called once, in the event loop, before anything else.
    """

    def __init__(self, own: Own) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit the server's threads
        self._pipe, theirs = context.Pipe()
        self._messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._process = context.Process(target=begin, args=(theirs, own), daemon=True)
        self._process.start()
        theirs.close()

    def listen(self) -> None:
        """Begins to hear what the process says."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._listen, args=(loop,), daemon=True).start()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid or 0

    async def message(self) -> dict[str, Any] | None:
        """The next message; None where the process has ended."""
        return await self._messages.get()

    def send(self, message: dict[str, Any]) -> None:
        """Says something to the process; nothing where it has ended."""
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(json.dumps(message).encode())

    def kill(self) -> None:
        """Ends the process at once; files are whole or absent at any moment."""
        self._process.kill()

    def close(self) -> None:
        """Ends the process and lets go of it."""
        self.kill()
        self._process.join(5)
        with contextlib.suppress(OSError):
            self._pipe.close()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        def put(message: dict[str, Any] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._messages.put_nowait, message)

        try:
            while True:
                put(json.loads(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            put(None)
