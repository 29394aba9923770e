"""A place among a cluster's workers, as the server sees it: what process.py has of a process.

A job is one task of Dask's, with its pictures and the model as bytes. What its worker says comes
through a Queue of Dask's; a worker that is gone is Dask's to replace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import OrtistError, OutputError, ResourceError
from ..files import atomic_writer
from ..jobs.cluster import Cluster
from ..network.bundle import find_model
from .elsewhere import Errand, paint_errand, prove_here
from .own import Own

if TYPE_CHECKING:
    import distributed

__all__ = ["ClusterWorker"]

_KEPT = ("checkpoint", "picture.", "report.", "preview.")
"""Files of a job that no worker needs."""


class ClusterWorker:
    """One job at a time on some worker; messages come through ``message``, None for its end.

    The connection is its own, and made by ``listen``.
    """

    pid = 0

    def __init__(self, address: str, own: Own) -> None:
        self._address, self._own = address, own
        self._messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._cluster: Cluster | None = None
        self._channel = ""
        self._future: distributed.Future | None = None
        self._begun = self._ending = False  # of the job: said something; shall end

    def listen(self) -> None:
        """Connects, and proves that a worker can paint."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._connect, daemon=True).start()

    async def message(self) -> dict[str, Any] | None:
        """The next message; None where the scheduler is gone."""
        return await self._messages.get()

    def send(self, message: dict[str, Any]) -> None:
        """Says something: a job to paint, or that the one that is painted shall end."""
        if message["type"] == "paint":
            self._channel = f"ortist-{secrets.token_hex(8)}"
            self._future, self._begun, self._ending = None, False, False
            threading.Thread(target=self._paint, args=(message,), daemon=True).start()
        else:
            threading.Thread(target=self._end, args=(self._channel,), daemon=True).start()

    def kill(self) -> None:
        """Forgets the job; its worker ends it when it sees that."""
        threading.Thread(target=self._end, args=(self._channel, True), daemon=True).start()

    def close(self) -> None:
        """Ends the connection."""
        if self._cluster is not None:
            with contextlib.suppress(Exception):  # the scheduler is gone
                self._cluster.close()

    def _connect(self) -> None:
        try:
            cluster = self._cluster = Cluster(self._address)
            cluster.wait_for_workers()
            model = cluster.sent_model(find_model())
            proof = cluster.submit(prove_here, __version__, self._own, model, priority=10)
            self._put(cluster.result(proof))
        except OrtistError as error:
            self._put({"type": "unfit", "detail": str(error), "code": error.exit_code})

    def _paint(self, message: dict[str, Any]) -> None:
        """Hands a job to the cluster, and passes on what is said of it; in a thread of its own."""
        channel, folder = self._channel, Path(message["folder"])
        try:
            answer, files = self._painted(channel, folder, message)
            for name, data in files.items():
                with atomic_writer(folder / Path(name).name) as stream:
                    stream.write(data)
        except OutputError as error:
            answer = {"type": "failed", "status": 507, "detail": str(error)}
        except ResourceError:
            self._put(None)
            return
        except OrtistError as error:
            answer = {"type": "failed", "status": 503, "detail": str(error)}
        self._put(answer)

    def _painted(
        self, channel: str, folder: Path, message: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        from distributed import Queue

        cluster = self._cluster
        if cluster is None:
            raise ResourceError("there is no connection.")
        name = message["order"]["options"].get("model")
        files = {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(_KEPT)}
        errand = Errand(__version__, self._own, message["order"], channel, message["watched"])
        with cluster.explained():
            said = Queue(channel, client=cluster.client)
            future = self._future = cluster.submit(
                paint_errand, errand, cluster.sent_model(find_model(name)), files
            )
            if self._ending:  # it came while the job was on its way
                future.cancel()
            while not future.done():
                self._pass_on(said, "0.2s")
            while said.qsize():
                self._pass_on(said, "0.2s")
            said.close()
        if future.status == "cancelled" and self._ending:
            return {"type": "stopped"}, {}
        found: tuple[dict[str, Any], dict[str, bytes]] = cluster.result(future)
        return found

    def _pass_on(self, said: distributed.Queue, patience: str) -> None:
        with contextlib.suppress(TimeoutError):
            self._put(json.loads(said.get(timeout=patience)))
            self._begun = True

    def _end(self, channel: str, at_once: bool = False) -> None:
        from distributed import Event

        self._ending = True
        cluster, future = self._cluster, self._future
        if cluster is None or future is None:
            return
        with contextlib.suppress(Exception):  # the scheduler is gone, and with it the job
            Event(channel, client=cluster.client).set()
            if at_once or not self._begun:
                future.cancel()

    def _put(self, message: dict[str, Any] | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._messages.put_nowait, message)
