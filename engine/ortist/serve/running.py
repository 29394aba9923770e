"""The server while it runs: the application, its loop, the line that says it is ready, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import tempfile
import webbrowser
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from .configuration import Configuration
from .dispatcher import Worker
from .guard import Guard, problem_of
from .information import information_routes
from .problems import Problem
from .routes import job_routes
from .service import Service

__all__ = ["application", "run_server"]

_FINISHING, _CLOSING = 6.0, 8
"""Seconds that callers who wait have at the end, and that all connections have."""
_log = logging.getLogger("ortist.serve")


def application(service: Service) -> ASGIApp:
    """The ASGI application of a service, which the caller starts and stops."""

    async def answer(_: Request, error: Exception) -> Response:
        return problem_of(error).response

    inner = Starlette(
        routes=[*job_routes(service), *information_routes(service)],
        exception_handlers={Problem: answer, HTTPException: answer, Exception: answer},
    )
    inner.router.redirect_slashes = False  # it would tell the Host header back
    configuration = service.configuration
    hosts = {"localhost", socket.gethostname(), configuration.host, *configuration.names}
    return Guard(inner, configuration.token, hosts, service.metrics)


async def run_server(
    configuration: Configuration, listener: socket.socket, first: Worker, open_page: bool
) -> None:
    """Runs until it is told to end; ``first`` is what paints, started already.

    Raises OptionError, ModelError, ProviderError or ResourceError as ``serve`` does.
    """
    service = Service(configuration, first)
    tempfile.tempdir = str(service.folders.incoming)  # forms are read to the disk of the state
    for note in service.gallery.notes:
        _log.warning(note)
    server = _Server(_uvicorn_config(application(service)))
    ended = asyncio.Event()
    _on_signals(ended)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    starting = asyncio.create_task(service.start())
    ending = asyncio.create_task(ended.wait())
    tidying = asyncio.create_task(service.tidy())
    try:
        await asyncio.wait({starting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()  # raises why nothing can paint
            _say_ready(configuration, listener, open_page)
            await asyncio.wait({serving, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        starting.cancel()
        tidying.cancel()
        stopping = asyncio.create_task(service.stop(_FINISHING))
        server.should_exit = True
        await asyncio.gather(serving, stopping, starting, return_exceptions=True)


class _Server(uvicorn.Server):
    """Uvicorn's server without its own signal handlers: here they end jobs first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def _uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_CLOSING,
        timeout_keep_alive=15,
        backlog=1024,
    )


def _on_signals(ended: asyncio.Event) -> None:
    """SIGTERM and Ctrl-C end the server in order."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, ended.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(ended.set))


def _say_ready(configuration: Configuration, listener: socket.socket, open_page: bool) -> None:
    host, port = configuration.host, listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(f"ortist serves http://{shown}:{port}/", flush=True)
    if configuration.token is None and host not in ("127.0.0.1", "localhost", "::1"):
        _log.warning("everybody who reaches %s may paint here; --token-file asks for a token", host)
    if open_page:
        here = "127.0.0.1" if host in ("0.0.0.0", "::") else shown
        webbrowser.open(f"http://{here}:{port}/")
