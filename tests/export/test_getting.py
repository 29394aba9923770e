"""``ortist models get``: from a server of our own, which cuts, lies and answers web pages.

Only the real hashes cannot be proved here: the files have the form of the official ones, and the
catalogue is told their hashes instead.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ortist.network.bundle import load_model
from ortist_export.catalogue import SOURCES
from ortist_export.errors import ExportUsageError
from ortist_export.getting import get_model
from ortist_models import MANIFEST

from .serving import NAME, Files, Server, refused


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

    changes: tuple[Callable[[Any], Any], ...] = (
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
