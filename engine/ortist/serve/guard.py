"""What stands before every route: token, origin, headers of safety, the log, errors as problems."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .metrics import Metrics
from .problems import Problem

__all__ = ["Guard"]

_OPEN = ("/", "/healthz", "/readyz", "/favicon.ico")
"""Paths that need no token: the page itself, which then asks for one, and probes."""
_LINGER, _LINGER_BYTES = 2.0, 16_000_000
"""Seconds, and bytes, for which a request is read on that was answered before its end."""
_PROBES = ("/healthz", "/readyz")
"""Paths that may be asked for under any name, and are answered before all others."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""On every answer. There are none that would let another origin's page read one (CORS)."""
_log = logging.getLogger("ortist.serve")


class Guard:
    """The application behind its checks.

    Where ``token`` is None anybody may call, by an address or one of the ``hosts``: a page of
    another name that was made to lead here (DNS rebinding) would pass for the service's own.
    """

    def __init__(
        self, application: ASGIApp, token: str | None, hosts: Collection[str], metrics: Metrics
    ) -> None:
        self._application, self._metrics = application, metrics
        self._token = None if token is None else token.encode()
        self._hosts = frozenset(host.lower() for host in hosts)
        self._beginning = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        began, question = time.monotonic(), _Question(scope, receive)
        if scope["path"] not in _PROBES:
            async with self._beginning:  # one in a pass of the loop: a crowd's would make it long
                await asyncio.sleep(0)
        answer = _Answer(question, send)
        try:
            self._check(scope)
            await self._application(scope, question, answer)
        except Exception as error:
            problem = problem_of(error)
            if problem.status == 500:
                _log.exception("a request failed: %s %s", scope["method"], scope["path"][:200])
            if not answer.status:
                await problem.response(scope, question, answer)
        finally:
            took = round(1000 * (time.monotonic() - began), 1)
            self._count(scope, answer, took)

    def _check(self, scope: Scope) -> None:
        """Raises Problem, 401, 403 or 421, for a caller who may not."""
        headers, path = Headers(scope=scope), scope["path"]
        if self._token is None and path not in _PROBES:
            self._check_host(headers.get("host", ""))
        if scope["method"] not in _SAFE:
            _check_origin(headers)
        needs_token = path not in _OPEN and not path.startswith("/page/")
        if self._token is None or not needs_token:
            return
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        given = shown.strip().encode("utf-8", "replace")
        # Compared first, and in constant time: neither says whether, or where, a token is wrong.
        same = hmac.compare_digest(given, self._token)
        if not same or scheme.lower() != "bearer":
            raise Problem(
                401,
                "this service wants its token, as the header Authorization: Bearer TOKEN.",
                {"WWW-Authenticate": "Bearer"},
            )

    def _check_host(self, host: str) -> None:
        """Raises Problem, 421, for a name that is not the service's."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            name = ""
        if name in self._hosts or name.endswith(".localhost") or _is_address(name):
            return
        raise Problem(
            421,
            "this service does not go by the name of the header Host; call it by its address, or "
            "start it with --name for that name.",
        )

    def _count(self, scope: Scope, answer: _Answer, took: float) -> None:
        method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE") else "other"
        self._metrics.requests.labels(method, str(answer.status)).inc()
        self._metrics.sent.inc(answer.size)
        path = scope["path"][:200].encode("unicode_escape").decode("ascii")
        facts = {"status": answer.status, "ms": took, "bytes": answer.size}
        _log.info("%s %s", method, path, extra={"facts": facts})


class _Question:
    """Passes a request on; ``whole`` once all of its body was read, or it has none."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        has_body = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self._receive, self.whole = receive, not has_body

    async def __call__(self) -> Message:
        message = await self._receive()
        self.whole = self.whole or not message.get("more_body", False)
        return message

    async def drop(self) -> None:
        """Reads on for a little while, and forgets it.

        A connection that is closed with bytes unread is reset, and its caller may never see the
        answer that it is still sending against.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER):
                left = _LINGER_BYTES
                while not self.whole and left > 0:
                    left -= len((await self()).get("body", b""))


class _Answer:
    """Passes an answer on, with the headers of safety; knows its status and size."""

    def __init__(self, question: _Question, send: Send) -> None:
        self._question, self._send = question, send
        self.status = self.size = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            if not self._question.whole:
                headers["Connection"] = "close"
        else:
            self.size += len(message.get("body", b""))
            if not self._question.whole and not message.get("more_body", False):
                await self._send({**message, "more_body": True})
                await self._question.drop()
                message = {"type": "http.response.body", "body": b""}
        await self._send(message)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _check_origin(headers: Headers) -> None:
    """Raises Problem, 403, for what a page of another origin makes a browser send."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    try:
        other = origin is not None and urlsplit(origin).netloc != headers.get("host", "")
    except ValueError:
        other = True
    if other or site not in (None, "same-origin", "none"):
        raise Problem(403, "a page of another origin may not send this; use the service's own.")


def problem_of(error: Exception) -> Problem:
    """What an exception is to the caller."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        said = {
            404: "there is nothing at this path; /openapi.json lists what there is.",
            405: "this path does not take that method; /openapi.json lists what it takes.",
        }
        headers = dict(error.headers or {})
        return Problem(error.status_code, said.get(error.status_code, str(error.detail)), headers)
    return Problem(500, "something went wrong here; it is in the service's log.")
