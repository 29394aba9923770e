"""One file over https: resumed where it was cut, its hash proved before anybody reads it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from .catalogue import Source
from .errors import ExportError

__all__ = ["DownloadError", "Report", "download", "hash_of"]

Report = Callable[[int, int], None]
"""Is told how many bytes are there, and how many there will be."""

_TRIES = 5
"""How often a connection is opened anew that was cut."""
_PAUSE = 1.0
"""Seconds before it is, times the tries so far."""
_TIMEOUT = 30.0
_BLOCK = 2**18


class DownloadError(ExportError):
    """A file cannot be had from its address; the message says why, without a full stop."""


class _CutError(Exception):
    """The connection was lost on the way."""


def download(source: Source, url: str, target: Path, report: Report) -> None:
    """Writes the file of ``source`` from ``url`` to ``target``, which has its hash then.

    What was had before a connection was cut stays in ``target``.part, for the next time. Raises
    DownloadError where the file cannot be had or is another one, and ExportError where the disk has
    no room for it.
    """
    part = target.with_name(f"{target.name}.part")
    try:
        for attempt in range(1, _TRIES + 1):
            try:
                _fetch(source, url, part, report)
                break
            except _CutError as error:
                if attempt == _TRIES:
                    raise DownloadError(
                        f"the connection to {_host(url)} was cut ({error}), and what is there "
                        "already will be used the next time"
                    ) from error
                time.sleep(_PAUSE * attempt)
        if not source.is_hash(hash_of(part)):
            part.unlink()
            raise DownloadError(f"{_host(url)} gave another file, whose hash is wrong")
        os.replace(part, target)
    except OSError as error:
        raise _no_room(part.parent, error) from error


def hash_of(path: Path) -> str:
    """The SHA-256 of a file in hex; raises OSError where it cannot be read."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fetch(source: Source, url: str, part: Path, report: Report) -> None:
    """Adds to ``part`` what it lacks; raises _CutError where a connection is lost on the way."""
    begin = part.stat().st_size if part.exists() else 0
    if begin and begin == source.size:
        return
    try:
        with _opened(url, begin) as answer:
            begin = begin if answer.status == 206 else 0
            missing = _expected(source, url, answer, begin)
            _check_room(part.parent, missing)
            with open(part, "ab" if begin else "wb") as stream:
                _copy(source, url, answer, stream, (begin, begin + missing), report)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what is there is no beginning of that file
            part.unlink()
            raise _CutError("the file there is a shorter one") from error
        raise DownloadError(f"{_host(url)} answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, (TimeoutError, ConnectionError)) and begin:
            raise _CutError(error.reason) from error
        raise DownloadError(f"{_host(url)} cannot be reached ({error.reason})") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _CutError(str(error) or type(error).__name__) from error


def _copy(
    source: Source,
    url: str,
    answer: IO[bytes],
    stream: IO[bytes],
    span: tuple[int, int],
    report: Report,
) -> None:
    """Writes what the server gives, from the first byte of ``span`` to the last."""
    done, whole = span
    while block := answer.read(_BLOCK):
        if done == 0 and block.lstrip()[:1] == b"<":
            raise _page(url)
        done += len(block)
        if done > source.most:
            raise DownloadError(f"{_host(url)} gave a longer file than {source.file} is")
        stream.write(block)
        report(done, whole)
    stream.flush()
    os.fsync(stream.fileno())
    if done < whole:
        raise _CutError(f"after {done} of {whole} bytes")


def _expected(source: Source, url: str, answer: Any, begin: int) -> int:
    """The bytes that will come; raises DownloadError where they cannot be those of the file."""
    if answer.headers.get_content_type() == "text/html":
        raise _page(url)
    length = answer.headers.get("Content-Length") or ""
    count = int(length) if length.isdecimal() else (source.size or 0) - begin
    wrong = source.size is not None and begin + count != source.size
    if wrong or begin + count > source.most:
        raise DownloadError(f"{_host(url)} gave a file of {begin + count} bytes, which is another")
    return max(0, count)


def _opened(url: str, begin: int) -> Any:
    """The answer of the server, from byte ``begin`` on if it can."""
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("https", "http"):
        raise DownloadError(f"{url!r} is no https address")
    headers = {"User-Agent": "ortist", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    opener = urllib.request.build_opener(_Redirects())
    try:
        request = urllib.request.Request(url, headers=headers)
        return opener.open(request, timeout=_TIMEOUT)
    except (ValueError, http.client.InvalidURL) as error:
        raise DownloadError(f"{url!r} is no https address ({error})") from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but never from https to an address without it."""

    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any):  # type: ignore[no-untyped-def]
        """The next request, as the base class has it."""
        if req.type == "https" and not newurl.startswith("https:"):
            raise DownloadError(f"{_host(req.full_url)} leads to an address without https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_room(folder: Path, missing: int) -> None:
    with contextlib.suppress(OSError):  # where nobody knows, writing will tell
        if shutil.disk_usage(folder).free < missing:
            raise ExportError(
                f"there is no room in {str(folder)!r} for {missing / _MB:.0f} MB more; make some, "
                "or set ORTIST_HOME to a folder on another disk."
            )


_MB = 10**6


def _no_room(folder: Path, error: OSError) -> ExportError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ExportError(
            f"there is no room left in {str(folder)!r}; make some, or set ORTIST_HOME to a folder "
            "on another disk."
        )
    return ExportError(
        f"cannot write to {str(folder)!r} ({error.strerror or error}); set ORTIST_HOME to a folder "
        "that can be written."
    )


def _page(url: str) -> DownloadError:
    return DownloadError(
        f"{_host(url)}, or a proxy before it, answered with a web page instead of the file"
    )


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc or url
