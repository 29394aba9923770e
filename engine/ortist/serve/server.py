"""The start of the server: the log, the socket, the first process that paints.

What takes long to import is in running.py, and is imported while that process opens the model.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import socket
import sys
import time
from typing import Any

from ..errors import OptionError
from .configuration import Configuration
from .starting import starter_of

__all__ = ["serve"]


def serve(configuration: Configuration, open_page: bool = False) -> None:
    """Serves until SIGTERM or Ctrl-C; what was accepted and not finished is kept for the next time.

    Raises OptionError for an address that is taken or not this machine's and for a state folder
    that cannot be used, and ModelError, ProviderError or ResourceError where nothing can paint.
    """
    _set_up_log(configuration.log)
    with contextlib.closing(_listener(configuration)) as listener:
        configuration.prepare_state()
        with contextlib.closing(starter_of(configuration)()) as first:
            from .running import run_server

            asyncio.run(run_server(configuration, listener, first, open_page))


def _listener(configuration: Configuration) -> socket.socket:
    """The socket to accept callers at; raises OptionError."""
    host, port = configuration.host, configuration.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4]
        created = socket.create_server(address[:2], family=family, backlog=1024)
        # Anew, so that it knows its protocol: asyncio turns Nagle's algorithm off, which holds
        # small answers back for 40 ms, only for sockets that say that theirs is TCP.
        listener = socket.socket(fileno=created.detach())
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
