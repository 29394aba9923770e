"""One file over https: resumed where it was cut, its hash proved before anybody reads it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import itertools
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .catalogue import Source
from .errors import ExportError

__all__ = ["DownloadError", "Report", "download", "hash_of", "writing"]

Report = Callable[[int, int], None]
"""Is told how many bytes are there, and how many there will be."""

_TRIES = 5
"""How often a connection is opened anew that was cut."""
_PAUSE = 1.0
"""Seconds before it is, times the tries so far."""
_TIMEOUT = 30.0
_BLOCK = 2**18
_MOST_SAID = 120
"""Characters of what others say that a message repeats."""


class DownloadError(ExportError):
    """A file cannot be had from its address; the message says why, without a full stop."""


class _CutError(Exception):
    """The connection was lost on the way."""


class _UnfitError(_CutError):
    """What is there is no beginning of what the server has."""


def download(source: Source, url: str, target: Path, report: Report) -> None:
    """Writes the file of ``source`` from ``url`` to ``target``, which has its hash then.

    What was had before a connection was cut stays in ``target``.part, for the next time; where the
    file made of it has another hash, it is fetched once more from its first byte. Raises
    DownloadError where the file cannot be had or is another one, and ExportError where the disk has
    no room for it.
    """
    part = target.with_name(f"{target.name}.part")
    for _ in range(2):
        begin = _complete(source, url, part, report)
        with writing(part.parent):
            if source.is_hash(hash_of(part)):
                os.replace(part, target)
                return
            part.unlink()
        if begin == 0:  # so it is the server's file that is another, not its beginning
            break
    raise DownloadError(f"{_host(url)} gave another file, whose hash is wrong")


def hash_of(path: Path) -> str:
    """The SHA-256 of a file in hex; raises OSError where it cannot be read."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _complete(source: Source, url: str, part: Path, report: Report) -> int:
    """Has ``part`` whole, and returns the byte at which the last of its connections began."""
    attempt = 1
    while True:
        try:
            return _fetch(source, url, part, report)
        except _CutError as error:
            if attempt == _TRIES:
                kept = ", and what is there already will be used the next time"
                raise DownloadError(
                    f"the connection to {_host(url)} was cut ({_plain(error)})"
                    f"{kept if _size(part) else ''}"
                ) from error
        time.sleep(_PAUSE * attempt)
        attempt += 1


def _fetch(source: Source, url: str, part: Path, report: Report) -> int:
    """Adds to ``part`` what it lacks, and returns the byte at which that began.

    Raises _CutError where a connection is lost on the way.
    """
    begin = _size(part)
    if begin and begin == source.size:
        return begin
    try:
        with _opened(url, begin) as answer:
            begin = _begin(answer, begin)
            whole = begin + _expected(source, url, answer, begin)
            _check_room(part.parent, whole - begin)
            _copy(source, url, answer, part, (begin, whole), report)
    except _UnfitError:
        with writing(part.parent):
            part.unlink(missing_ok=True)
        raise
    return begin


def _copy(
    source: Source, url: str, answer: Any, part: Path, span: tuple[int, int], report: Report
) -> None:
    """Writes what the server gives to ``part``, from the first byte of ``span`` to the last.

    What is no file of weights is refused before ``part`` is touched, and a piece that cannot be one
    of the file is taken away again.
    """
    begin, whole = span
    done, blocks = begin, _blocks(answer)
    first = next(blocks, b"")
    if begin == 0 and (first or whole == 0) and not first.startswith(source.begins):
        raise _other(url, "a web page" if first.lstrip()[:1] == b"<" else "something else")
    with contextlib.ExitStack() as stack:
        with writing(part.parent):  # without a buffer, so that closing it writes nothing
            stream = stack.enter_context(open(part, "ab" if begin else "wb", buffering=0))
        for block in itertools.chain([first], blocks):
            done += len(block)
            if done > source.most:
                break
            with writing(part.parent):
                _write(stream, block)
            report(done, whole)
        with writing(part.parent):
            os.fsync(stream.fileno())
    complete = answer.chunked  # whose last chunk was there, else reading it had failed
    if done > source.most or (complete and done < whole):
        with writing(part.parent):
            os.truncate(part, begin)
        length = "longer" if done > whole else "shorter"
        raise DownloadError(f"{_host(url)} gave a {length} file than {source.file} is")
    if done < whole:
        raise _CutError(f"after {done} of {whole} bytes")


def _blocks(answer: Any) -> Iterator[bytes]:
    """The body; whatever fails in reading it is the network's."""
    while True:
        try:
            block = answer.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _cut(error) from error
        if not block:
            return
        yield block


def _write(stream: Any, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[stream.write(view) :]


def _begin(answer: Any, begin: int) -> int:
    """The byte at which an answer begins that was asked for from ``begin`` on.

    Raises _UnfitError where it says that it is another part.
    """
    if begin == 0 or answer.status != 206:
        return 0
    given = answer.headers.get("Content-Range")
    if given is not None and not given.lower().startswith(f"bytes {begin}-"):
        raise _UnfitError("it gave another part than it was asked for")
    return begin


def _expected(source: Source, url: str, answer: Any, begin: int) -> int:
    """The bytes that will come; raises DownloadError where they cannot be those of the file."""
    if answer.headers.get_content_type() == "text/html":
        raise _other(url, "a web page")
    said: int | None = answer.length  # None where the server does not say
    count = (source.size or begin) - begin if said is None else said
    wrong = source.size is not None and begin + count != source.size
    if wrong or begin + count > source.most:
        raise DownloadError(f"{_host(url)} gave a file of {begin + count} bytes, which is another")
    return count


@contextlib.contextmanager
def _opened(url: str, begin: int) -> Iterator[Any]:
    """The answer of the server, from byte ``begin`` on if it can."""
    answer = _asked(url, begin)
    try:
        yield answer
    finally:
        with contextlib.suppress(OSError):
            answer.close()


def _asked(url: str, begin: int) -> Any:
    """The server's answer; whatever fails before it has come is the network's."""
    headers = {"User-Agent": "ortist", "Accept-Encoding": "identity"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
    opener = urllib.request.build_opener(_Redirects())
    try:
        if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
            raise DownloadError(f"{url!r} is no https address")
        request = urllib.request.Request(url, headers=headers)
        return opener.open(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and begin:
            raise _UnfitError("the file there is a shorter one") from error
        if str(error.reason).startswith(_Redirects.inf_msg):
            said = "leads from one address to the next without end"
        else:
            said = _plain(f"answered {error.code} {error.reason}")
        raise DownloadError(f"{_host(url)} {said}") from error
    except urllib.error.URLError as error:
        # A certificate that is not trusted will not be the next time either.
        if begin and not isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _CutError(error.reason) from error
        raise DownloadError(f"{_host(url)} cannot be reached ({_plain(error.reason)})") from error
    except OSError as error:
        raise _cut(error) from error
    except (ValueError, http.client.InvalidURL) as error:
        raise DownloadError(f"{url!r} is no https address ({_plain(error)})") from error
    except http.client.HTTPException as error:
        raise _cut(error) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server elsewhere, but never from https to an address without it."""

    inf_msg = "too many redirects: "

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


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Whatever fails in the block is the disk's, also where its error is of a network's class."""
    try:
        yield
    except OSError as error:
        raise _no_room(folder, error) from error


def _size(part: Path) -> int:
    """The bytes that are there."""
    with writing(part.parent):
        return part.stat().st_size if part.exists() else 0


def _cut(error: Exception) -> _CutError:
    return _CutError(str(error) or type(error).__name__)


def _other(url: str, what: str) -> DownloadError:
    return DownloadError(
        f"{_host(url)}, or a proxy before it, answered with {what} instead of the file"
    )


def _host(url: str) -> str:
    """The server of an address, without a password."""
    return _plain(urllib.parse.urlsplit(url).netloc.rpartition("@")[2] or url)


def _plain(said: object) -> str:
    """What others say, as a part of a sentence: on one line, of printable characters, not long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in str(said)).split())
    text = re.sub(r"[.!?]+ ", "; ", line).rstrip(".!? ")
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}…"
