"""A server of weights, which cuts, lies and answers web pages; and what is asked of it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import pytest
from ortist_export.backbones import BACKBONES
from ortist_export.errors import ExportError
from ortist_export.getting import fetched, get_model

__all__ = ["NAME", "Files", "Handler", "Server", "got", "refused"]

NAME = "squeezenet1_1"


@dataclass
class Server:
    """Serves ``files`` by name; ``cut`` bytes at most in one answer, with ``page`` only HTML.

    The first answers are those of ``raw``, as they are, and an empty one is a file as ever.
    """

    files: dict[str, bytes]
    address: str = ""
    cut: int | None = None
    ranges: bool = True
    page: bool = False
    length: bool = True
    raw: list[bytes] = field(default_factory=list)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    served: Server

    def do_GET(self) -> None:
        name, server = self.path.rsplit("/", 1)[1], self.served
        server.asked.append((name, self.headers.get("Range")))
        if server.raw and (answer := server.raw.pop(0)):
            self.wfile.write(answer)
            return
        data, kind = server.files.get(name), "application/octet-stream"
        if server.page:
            data, kind = b"<!DOCTYPE html><title>Log in to the network</title>", "text/html"
        if data is None:
            self.send_error(404)
            return
        begin = 0
        if server.ranges and (found := re.match(r"bytes=(\d+)-$", self.headers.get("Range") or "")):
            begin = int(found[1])
        if begin > len(data):
            self.send_error(416)
            return
        self.send_response(206 if begin else 200)
        self.send_header("Content-Type", kind)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        if server.length:
            self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who saw enough hangs up
            self.wfile.write(data[begin:][: server.cut])

    def log_message(self, *_: Any) -> None:
        pass


class Files(NamedTuple):
    pth: bytes
    zoo: bytes


def refused(*arguments: Any, **named: Any) -> str:
    """The error's sentence, which is one line that no server can make long."""
    with pytest.raises(ExportError) as caught:
        get_model(*arguments, **named)
    said = str(caught.value)
    assert said.endswith(".")
    assert said.isprintable()
    assert not re.search(r"[.!?] ", said), said
    assert len(said) < 1000
    return said


def got(server: Server) -> str:
    """Which file's weights can be had, without the time that making a model of them takes."""
    with fetched(BACKBONES[NAME], url=server.address) as weights:
        return weights.source
