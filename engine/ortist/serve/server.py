"""The server's life: the socket, the log, the line that says it is ready, its end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import signal
import socket
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from ..errors import OptionError
from .configuration import Configuration
from .guard import Guard, problem_of
from .information import information_routes
from .problems import Problem
from .routes import job_routes
from .service import Service

__all__ = ["application", "serve"]

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
    return Guard(inner, service.configuration.token, service.metrics)


def serve(configuration: Configuration, open_page: bool = False) -> None:
    """Serves until SIGTERM or Ctrl-C; what was accepted and not finished is kept for the next time.

    Raises OptionError for an address that is taken or not this machine's and for a state folder
    that cannot be used, and ModelError, ProviderError or ResourceError where nothing can paint.
    """
    _set_up_log(configuration.log)
    with contextlib.closing(_listener(configuration)) as listener:
        asyncio.run(_run(configuration, listener, open_page))


async def _run(configuration: Configuration, listener: socket.socket, open_page: bool) -> None:
    service = Service(configuration)
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
        timeout_graceful_shutdown=_CLOSING,
        timeout_keep_alive=15,
        backlog=1024,
    )


def _listener(configuration: Configuration) -> socket.socket:
    """The socket to accept callers at; raises OptionError."""
    host, port = configuration.host, configuration.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4]
        listener = socket.create_server(address[:2], family=family, backlog=1024)
        listener.setblocking(False)
        return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OptionError(
                f"port {port} of {host} is in use; name another by --port, 0 for any free one."
            ) from error
        reason = error.strerror or error
        raise OptionError(
            f"cannot listen at {host!r}, port {port} ({reason}); name another by --host and --port."
        ) from error


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


def _set_up_log(form: str) -> None:
    """Lines on stderr, of this server and of Uvicorn's warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if form == "json" else _TextLines())
    for name, level in (("ortist.serve", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return getattr(record, "facts", {})


class _TextLines(logging.Formatter):
    """A line for people: time, level, message, facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback of an error that nobody expected."""
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        facts = "".join(f" {name}={value}" for name, value in _facts(record).items())
        line = f"{at} {record.levelname.lower()} {record.getMessage()}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonLines(logging.Formatter):
    """A line for programs: one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, with the traceback of an error that nobody expected as one of its texts."""
        told = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told)
