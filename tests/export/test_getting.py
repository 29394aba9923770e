"""``ortist models get``: from a server of our own, which cuts, lies and answers web pages.

Only the real hashes cannot be proved here: the files have the form of the official ones, and the
catalogue is told their hashes instead.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from ortist.network.bundle import load_model
from ortist_export import download
from ortist_export.backbones import BACKBONES
from ortist_export.catalogue import SOURCES, Source
from ortist_export.errors import ExportError, ExportUsageError
from ortist_export.getting import fetched, get_model
from ortist_models import MANIFEST

from .zoo import random_state, zoo_file

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


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """torchvision's form and the zoo's, of the same random weights."""
    folder, state = tmp_path_factory.mktemp("made"), random_state(NAME)
    torch.save(state, folder / "w.pth", _use_new_zipfile_serialization=False)
    zoo_file(NAME, state, folder / "w.onnx")
    return Files((folder / "w.pth").read_bytes(), (folder / "w.onnx").read_bytes())


@pytest.fixture
def sources(made: Files, monkeypatch: pytest.MonkeyPatch) -> tuple[Source, Source]:
    """The catalogue's entries with the hashes of our files."""
    torchvision, zoo = SOURCES[NAME]
    own = replace(torchvision, sha256=hashlib.sha256(made.pth).hexdigest()[:8])
    whole = hashlib.sha256(made.zoo).hexdigest()
    other = replace(zoo, sha256=whole, size=len(made.zoo), most=len(made.zoo))
    monkeypatch.setitem(SOURCES, NAME, (own, other))
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    return own, other


@pytest.fixture
def server(made: Files, sources: tuple[Source, Source]) -> Iterator[Server]:
    served = Server({sources[0].file: made.pth, sources[1].file: made.zoo})
    handler = type("Own", (Handler,), {"served": served})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        served.address = f"http://127.0.0.1:{listening.server_port}/models"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        listening.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORTIST_HOME", str(tmp_path / "own"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "own"


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


def test_the_catalogue_is_what_the_issue_says() -> None:
    """Prefixes stand in torchvision's names, and everything is asked for by https."""
    assert set(SOURCES) == {"squeezenet1_1", "squeezenet1_0", "vgg19"}
    for torchvision, zoo in SOURCES.values():
        assert f"-{torchvision.sha256}.pth" in torchvision.url
        assert re.fullmatch("[0-9a-f]{8}", torchvision.sha256)
        assert re.fullmatch("[0-9a-f]{64}", zoo.sha256)
        assert zoo.size == zoo.most
        assert all(source.url.startswith("https://") for source in (torchvision, zoo))


def test_it_is_downloaded_proved_converted_and_removed(server: Server, own: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder, fresh = get_model(NAME, url=server.address, report=lambda *both: seen.append(both))
    assert (folder, fresh) == (own / NAME, True)
    model = load_model(folder)
    model.verify()
    assert model.source == SOURCES[NAME][0].url
    assert model.license.startswith("BSD-3-Clause")
    assert seen[-1][0] == seen[-1][1] == len(server.files[SOURCES[NAME][0].file])
    assert [path.name for path in own.iterdir()] == [NAME]
    assert get_model(NAME, url=server.address) == (folder, False)
    assert len(server.asked) == 1


def test_a_model_that_is_not_whole_is_made_anew(server: Server, own: Path) -> None:
    folder, _ = get_model(NAME, url=server.address)
    segment = next(folder.glob("*.onnx"))
    segment.write_bytes(segment.read_bytes()[:-1])
    assert get_model(NAME, url=server.address) == (folder, True)
    load_model(folder).verify()
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"format": 1}))
    assert get_model(NAME, url=server.address)[1]


def test_the_zoo_is_asked_where_the_first_server_has_nothing(server: Server, own: Path) -> None:
    first, zoo = SOURCES[NAME]
    data = server.files.pop(first.file)
    folder, _ = get_model(NAME, url=server.address)
    assert load_model(folder).source == zoo.url
    server.files[first.file] = data
    os.environ["ORTIST_HOME"] = str(own / "other")
    other, _ = get_model(NAME, url=server.address)
    found = [json.loads((f / MANIFEST).read_text()) for f in (folder, other)]
    # The weights are the same, so the graphs are.
    assert found[0]["files"] == found[1]["files"]


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


def test_a_file_that_was_brought(made: Files, sources: Any, own: Path, tmp_path: Path) -> None:
    """Named, or laid into the model home; it stays, and its hash counts."""
    brought = tmp_path / "any-name"
    brought.write_bytes(made.zoo)
    folder, _ = get_model(NAME, given=brought)
    assert load_model(folder).source == sources[1].url
    assert brought.is_file()
    os.environ["ORTIST_HOME"] = str(own / "other")
    laid = own / "other" / sources[0].file
    laid.parent.mkdir()
    laid.write_bytes(made.pth)
    folder, _ = get_model(NAME, url="http://127.0.0.1:9")
    assert load_model(folder).source == sources[0].url
    assert laid.is_file()


def test_a_brought_file_of_another_hash_is_refused(sources: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(b"anything")
    said = refused(NAME, given=other)
    assert "its sha256 begins with" in said
    assert f"ortist export {NAME} --weights" in said
    assert "cannot read" in refused(NAME, given=tmp_path / "absent")
    with pytest.raises(ExportUsageError, match="there is no model 'resnet' to get"):
        get_model("resnet")


def test_another_model_of_the_name_is_not_the_one_to_get(
    made: Files, sources: Any, own: Path, tmp_path: Path
) -> None:
    """It is told by the weights in its manifest, is not replaced, and can be renamed."""
    brought, folder = tmp_path / "w.pth", own / NAME
    brought.write_bytes(made.pth)

    get_model(NAME, given=brought)
    whole = (folder / MANIFEST).read_text()

    def rejected() -> None:
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        for given in (None, brought):
            said = refused(NAME, given=given, url="http://127.0.0.1:9")
            assert f"{str(folder)!r} is " in said
            assert "rename it" in said
            assert "or remove it" in said
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    changes = (
        lambda manifest: manifest["weights"].update(sha256="0" * 64),
        lambda manifest: manifest["weights"].update(sha256=None),
        lambda manifest: manifest.pop("weights"),
        lambda manifest: manifest.update(backbone="squeezenet1_0"),
        lambda manifest: manifest.update(pooling="avg"),
        lambda manifest: manifest.update(format=1, backbone="onnx"),
    )
    for change in changes:
        manifest = json.loads(whole)
        change(manifest)
        (folder / MANIFEST).write_text(json.dumps(manifest))
        rejected()
    for text in ("[]", "1", "{", "\0"):
        (folder / MANIFEST).write_text(text)
        rejected()
    (folder / MANIFEST).unlink()
    rejected()
    folder.rename(own / f"{NAME}-own")
    folder.mkdir()  # an empty one is nobody's
    assert get_model(NAME, given=brought) == (folder, True)
    assert get_model(NAME, given=brought) == (folder, False)


@pytest.mark.parametrize("kind", ["file", "link to nothing"])
def test_what_is_no_folder_is_not_the_model(kind: str, sources: Any, own: Path) -> None:
    own.mkdir()
    if kind == "file":
        (own / NAME).write_text("notes")
    else:
        (own / NAME).symlink_to(own / "absent")
    assert "is no model; rename it" in refused(NAME, url="http://127.0.0.1:9")
    assert os.path.lexists(own / NAME)


def test_eight_processes_at_once_leave_one_model(
    made: Files, sources: Any, server: Server, own: Path
) -> None:
    code = (
        "from ortist_export import catalogue\n"
        f"catalogue.SOURCES[{NAME!r}] = [catalogue.{sources[0]!r}]\n"
        "import sys; from ortist.cli import main; sys.exit(main())"
    )
    words = ["models", "get", NAME, "--url", server.address]
    running = [
        subprocess.Popen([sys.executable, "-c", code, *words], stdout=-1, stderr=-1, text=True)
        for _ in range(8)
    ]
    outputs = [process.communicate(timeout=240) for process in running]
    assert [process.returncode for process in running] == [0] * 8, outputs
    assert sum("is there already" in out for out, _ in outputs) == 7
    assert len(server.asked) == 1
    assert [path.name for path in own.iterdir()] == [NAME]
    load_model(own / NAME).verify()


def test_one_that_is_killed_is_no_hindrance(server: Server, own: Path) -> None:
    """Its lock is gone with it, and what it had of the file is used."""
    own.mkdir()
    (own / f".{NAME}.lock").touch()
    part = own / f".download-{SOURCES[NAME][0].file}.part"
    part.write_bytes(server.files[SOURCES[NAME][0].file][:1234])
    get_model(NAME, url=server.address)
    assert server.asked == [(SOURCES[NAME][0].file, "bytes=1234-")]
    assert [path.name for path in own.iterdir()] == [NAME]


def test_redirects_keep_to_https() -> None:
    handler = download._Redirects()
    request = urllib.request.Request("https://one.example/file")
    with pytest.raises(ExportError, match="without https"):
        handler.redirect_request(request, None, 302, "", {}, "http://two.example/file")
    found = handler.redirect_request(request, None, 302, "", {}, "https://two.example/file")
    assert found.full_url == "https://two.example/file"
