"""Files from a server of our own, which cuts, lies and answers web pages; and to full disks."""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from ortist_export import download
from ortist_export.catalogue import SOURCES
from ortist_export.errors import ExportError
from ortist_export.getting import get_model

from .serving import NAME, Server, got, refused


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_download_goes_on_where_it_was(ranges: bool, server: Server) -> None:
    first = SOURCES[NAME][0].file
    size = len(server.files[first])
    server.cut, server.ranges = size // 3 + 1, ranges
    if ranges:
        get_model(NAME, url=server.address)
        begins = [begin for name, begin in server.asked if name == first]
        assert begins == [None, f"bytes={server.cut}-", f"bytes={2 * server.cut}-"]
    else:  # a server that always begins anew never gets to the end
        assert "was cut" in refused(NAME, url=server.address)


def test_what_was_had_stays_for_the_next_time(server: Server, own: Path) -> None:
    server.cut = 100_000
    said = refused(NAME, url=server.address)
    assert "will be used the next time" in said
    server.cut = None
    server.asked.clear()
    get_model(NAME, url=server.address)
    assert server.asked == [(SOURCES[NAME][0].file, "bytes=500000-")]


def test_a_file_that_was_replaced_half_way_is_fetched_anew(server: Server, own: Path) -> None:
    """What is there of one file and what comes of another have no right hash together."""
    name = SOURCES[NAME][0].file
    server.files.pop(SOURCES[NAME][1].file)
    right = server.files[name]
    server.files[name] = right[:2] + bytes(byte ^ 1 for byte in right[2:])
    server.cut = 100_000
    refused(NAME, url=server.address)
    server.files[name], server.cut = right, None
    server.asked.clear()
    assert get_model(NAME, url=server.address)[1]
    assert server.asked == [(name, "bytes=500000-"), (name, None)]


def test_a_file_that_is_another_is_fetched_anew_only_once(server: Server, own: Path) -> None:
    name = SOURCES[NAME][0].file
    server.files.pop(SOURCES[NAME][1].file)
    server.cut = 100_000
    refused(NAME, url=server.address)
    right = server.files[name]
    server.files[name] = right[:2] + bytes(byte ^ 1 for byte in right[2:])
    server.cut = None
    server.asked.clear()
    assert "whose hash is wrong" in refused(NAME, url=server.address)
    asked = [begin for asked, begin in server.asked if asked == name]
    assert asked == ["bytes=500000-", None]
    assert not list(own.iterdir())


JUNK = b'{"error": "log in to the network"}'


def answer(head: str, body: bytes = JUNK) -> bytes:
    return f"HTTP/1.1 {head}\r\nContent-Type: application/json\r\n\r\n".encode("latin-1") + body


LENGTH = f"\r\nContent-Length: {len(JUNK)}"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(JUNK), JUNK)
BY_PROXIES = {
    "without a length": answer("200 OK"),
    "with its length": answer(f"200 OK{LENGTH}"),
    "empty": answer("200 OK\r\nContent-Length: 0", b""),
    "in chunks": answer("200 OK\r\nTransfer-Encoding: chunked", CHUNKED),
    "a part": answer("206 Partial Content"),
    "a part with its length": answer(f"206 Partial Content{LENGTH}"),
    "another part": answer("206 Partial Content\r\nContent-Range: bytes 7-40/41"),
    "that part": answer("206 Partial Content\r\nContent-Range: bytes 1000-1033/1034"),
    "that part in chunks": answer("206 Partial Content\r\nTransfer-Encoding: chunked", CHUNKED),
    "no such part": answer("416 Range Not Satisfiable"),
    "of endless length": answer(f"200 OK\r\nContent-Length: {'9' * 5000}"),
    "of odd length": answer("200 OK\r\nContent-Length: -5"),
    "no http": b"\0\1" + JUNK * 2000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("begin", [0, 1000])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("kind", BY_PROXIES)
def test_a_proxys_junk_spoils_nothing(
    kind: str, which: int, begin: int, server: Server, own: Path
) -> None:
    """It is no beginning of a file, whether or not something was there and the size is known."""
    source = SOURCES[NAME][which]
    right = server.files[source.file]
    server.files = {source.file: right}
    server.raw = [BY_PROXIES[kind]] * 20
    own.mkdir()
    part = own / f".download-{source.file}.part"
    if begin:
        part.write_bytes(right[:begin])
    if which:  # torchvision's is not asked for
        server.raw.insert(0, b"HTTP/1.0 404 Not Found\r\n\r\n")
    said = refused(NAME, url=server.address)
    assert "cannot download" in said
    if begin == 0:
        assert not list(own.iterdir())
        assert "already" not in said
    server.raw.clear()
    assert got(server) == source.url


def test_what_is_there_survives_an_answer_that_is_no_file(server: Server, own: Path) -> None:
    """An answer that ignores the range is looked at before it takes the place of what is there."""
    first = SOURCES[NAME][0].file
    server.raw = [BY_PROXIES["without a length"]]
    own.mkdir()
    (own / f".download-{first}.part").write_bytes(server.files[first][:1000])
    server.files.pop(SOURCES[NAME][1].file)
    assert "answered with something else" in refused(NAME, url=server.address)
    server.asked.clear()
    got(server)
    assert server.asked == [(first, "bytes=1000-")]


LOST = (
    ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] decryption failed (_ssl.c:2580)"),
    ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    OSError(errno.EHOSTUNREACH, "No route to host"),
    OSError(errno.ENETUNREACH, "Network is unreachable"),
    OSError(errno.ENETDOWN, "Network is down"),
    OSError(errno.ENOBUFS, "No buffer space available"),
    OSError(errno.ENOSPC, "No space left on device"),  # of the socket, whoever says so
    TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
    TimeoutError("The read operation timed out"),
    OSError("cannot read from timed out object"),
    http.client.IncompleteRead(b"12"),
)


@pytest.mark.parametrize("error", LOST, ids=lambda error: f"{type(error).__name__}-{error.args[0]}")
@pytest.mark.parametrize("method", ["read", "begin"])
def test_what_fails_in_the_network_is_the_networks(
    error: Exception, method: str, server: Server, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the class of its error: the same server is tried again, and then the next one."""
    first, zoo = SOURCES[NAME]
    whole, left = getattr(http.client.HTTPResponse, method), 100

    def failing(answer: http.client.HTTPResponse, *given: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise error
        return whole(answer, *given)

    monkeypatch.setattr(http.client.HTTPResponse, method, failing)
    said = refused(NAME, url=server.address)
    assert "cannot write" not in said
    assert "there is no room" not in said
    assert "was cut (" in said
    assert "already" not in said  # nothing came
    assert left == 100 - 10
    left = 4
    assert got(server) == first.url
    left = 5
    assert got(server) == zoo.url


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EROFS, "Read-only file system"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        TimeoutError(errno.ETIMEDOUT, "Connection timed out"),  # of a disk in the network
        ConnectionAbortedError(errno.ECONNABORTED, "Software caused connection abort"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
    ],
    ids=lambda error: errno.errorcode[error.errno],
)
@pytest.mark.parametrize("place", ["open", "write", "fsync", "replace"])
def test_what_fails_in_writing_is_the_disks(
    error: OSError, place: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the class of its error: no other server is asked."""

    def failing(*_: Any, **__: Any) -> Any:
        raise error

    if place == "open":
        monkeypatch.setattr(download, "open", failing, raising=False)
    elif place == "write":
        monkeypatch.setattr(download, "_write", failing)
    else:
        monkeypatch.setattr(os, place, failing)
    said = refused(NAME, url=server.address)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    assert ("there is no room left in" if full else "cannot write to") in said
    assert "ORTIST_HOME to a folder" in said
    assert len(server.asked) == 1


def test_what_fails_in_reporting_is_neithers(server: Server) -> None:
    def gone(*_: int) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        get_model(NAME, url=server.address, report=gone)


def test_wrong_bytes_are_refused_before_anybody_reads_them(server: Server, own: Path) -> None:
    server.files = {name: data[:-1] + b"\0\0" for name, data in server.files.items()}
    said = refused(NAME, url=server.address)
    assert "whose hash is wrong" in said
    assert "is another" in said  # of the zoo's file the size is known
    for part in ("https://download.pytorch.org/models/squeezenet1_1-", str(own), "--from FILE"):
        assert part in said
    assert not list(own.iterdir())


def test_a_web_page_is_no_model(server: Server) -> None:
    server.page = True
    assert "answered with a web page" in refused(NAME, url=server.address)
    server.page = False
    server.files = dict.fromkeys(server.files, b"\n  <html>")  # said to be a file
    assert "answered with a web page" in refused(NAME, url=server.address)


def test_a_file_without_end_is_cut_off(server: Server) -> None:
    server.length = False
    server.files = dict.fromkeys(server.files, b"\x80" * 20_000_000)
    assert "gave a longer file than" in refused(NAME, url=server.address)


def test_no_network_no_such_host_and_no_address(sources: Any) -> None:
    for url in ("http://127.0.0.1:9", "https://localhost:9"):
        said = refused(NAME, url=url)
        assert "cannot be reached" in said
        assert "on another machine and put it at" in said
    odd = ("https://[bad", "http://two\nlines", "http://a b", "http://ä/ö", f"http://{'x' * 99}")
    for url in ("ftp://localhost", "nonsense", "file:///etc", *odd):
        assert "is no https address" in refused(NAME, url=url)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("HTTP/1.0 302 Found\r\nLocation: /models/again", "from one address to the next without"),
        ("HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd", "answered 302 Found - Redirection"),
        ("HTTP/1.0 302 Found", "answered 302 Found"),
        ("HTTP/1.0 503 Busy. Come back!", "answered 503 Busy; Come back)"),
        ("HTTP/1.0 503", "answered 503)"),
        ("HTTP/1.0 403 \x1b[31mNo\x85\x0bentry\x7f\t\x00here.", "answered 403 [31mNo entry here)"),
        (f"HTTP/1.0 500 {'long ' * 1000}", "answered 500 long long long"),
        (f"\x1b[2J{'junk ' * 1000}", "was cut ("),
        (f"HTTP/1.0 200 OK\r\nX: {'y' * 70_000}", "was cut (got more than 65536 bytes"),
    ],
)
def test_what_servers_say_is_repeated_in_one_short_line(
    given: str, expected: str, server: Server
) -> None:
    server.raw = [f"{given}\r\n\r\n".encode("latin-1")] * 40
    said = refused(NAME, url=server.address)  # which is one sentence
    assert expected in said
    assert "already" not in said


def test_a_password_in_the_address_is_not_repeated(server: Server) -> None:
    server.files.clear()
    address = server.address.replace("//", "//me:secret@")
    assert "secret" not in refused(NAME, url=address)


def test_no_room_on_the_disk(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert "there is no room in" in refused(NAME, url=server.address)
    monkeypatch.undo()
    monkeypatch.setenv("ORTIST_HOME", "/proc/own")
    assert "set ORTIST_HOME" in refused(NAME, url=server.address)


def test_a_disk_that_fills_up_on_the_way(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "there is no room left in" in refused(NAME, url=server.address)


def test_redirects_keep_to_https() -> None:
    handler = download._Redirects()
    request = urllib.request.Request("https://one.example/file")
    with pytest.raises(ExportError, match="without https"):
        handler.redirect_request(request, None, 302, "", {}, "http://two.example/file")
    found = handler.redirect_request(request, None, 302, "", {}, "https://two.example/file")
    assert found.full_url == "https://two.example/file"
