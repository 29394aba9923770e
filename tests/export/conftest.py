"""A model home of a test's own, and a server of files that the catalogue is told the hashes of."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from ortist_export import download
from ortist_export.catalogue import SOURCES, Source

from .serving import NAME, Files, Handler, Server
from .zoo import random_state, zoo_file


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """torchvision's form and the zoo's, of the same random weights."""
    folder, state = tmp_path_factory.mktemp("made"), random_state(NAME)
    torch.save(state, folder / "w.pth", _use_new_zipfile_serialization=False)
    zoo_file(NAME, state, folder / "w.onnx")
    return Files((folder / "w.pth").read_bytes(), (folder / "w.onnx").read_bytes())


@pytest.fixture
def sources(made: Files, own: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Source, Source]:
    """The catalogue's entries with the hashes of our files."""
    torchvision, zoo = SOURCES[NAME]
    first = replace(torchvision, sha256=hashlib.sha256(made.pth).hexdigest()[:8])
    whole = hashlib.sha256(made.zoo).hexdigest()
    other = replace(zoo, sha256=whole, size=len(made.zoo), most=len(made.zoo))
    monkeypatch.setitem(SOURCES, NAME, (first, other))
    monkeypatch.setattr(download, "_PAUSE", 0.0)
    return first, other


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


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORTIST_HOME", str(tmp_path / "own"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "own"
