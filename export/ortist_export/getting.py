"""``ortist models get``: a known model's weights, downloaded or brought, and converted at once."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ortist_models import FORMAT, MANIFEST, model_home

from .backbones import BACKBONES, Backbone
from .bundle import export_bundle
from .catalogue import SOURCES, Source
from .download import DownloadError, Report, download, hash_of, writing
from .errors import ExportError, ExportUsageError
from .weights import Weights

__all__ = ["fetched", "get_model"]


def get_model(
    name: str, given: Path | None = None, url: str | None = None, report: Report = lambda *_: None
) -> tuple[Path, bool]:
    """The folder of the model ``name`` in the model home, and whether it was made just now.

    The weights are those in the file ``given``; without it they are downloaded, from ``url`` in
    place of the servers where that is not None. One process makes a model at a time, others wait
    for it; a model that is there and whole is left as it is. Raises ExportError.
    """
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise ExportUsageError(
            f"there is no model {name!r} to get; there are {known}, and `ortist export FILE.onnx` "
            "takes any other network."
        )
    home, backbone = model_home(), BACKBONES[name]
    with _alone(home, name):
        if _is_there(home / name):
            return home / name, False
        with fetched(backbone, given, url, report) as weights:
            folder = export_bundle(backbone, weights, backbone.default_taps, name, home)
    return folder, True


@contextlib.contextmanager
def fetched(
    backbone: Backbone,
    given: Path | None = None,
    url: str | None = None,
    report: Report = lambda *_: None,
) -> Iterator[Weights]:
    """The official weights of a backbone, hash proved, in a file that is there for the block.

    ``given`` is a file that somebody brought, which stays. Raises ExportError where there is none,
    or one with another hash.
    """
    home = model_home()
    if given is not None:
        yield Weights(given, *_known(backbone, given))
        return
    for source in SOURCES[backbone.name]:
        brought = home / source.file
        if brought.is_file():
            yield Weights(brought, *_known(backbone, brought))
            return
    source, path = _downloaded(backbone, home, url, report)
    try:
        yield Weights(path, source.url, source.license)
    finally:
        path.unlink(missing_ok=True)


def _known(backbone: Backbone, path: Path) -> tuple[str, str]:
    """Address and licence of the file that has the hash of ``path``; raises ExportError."""
    try:
        digest = hash_of(path)
    except OSError as error:
        raise ExportError(f"cannot read {str(path)!r} ({error.strerror}).") from error
    for source in SOURCES[backbone.name]:
        if source.is_hash(digest):
            return source.url, source.license
    files = " nor ".join(source.file for source in SOURCES[backbone.name])
    raise ExportError(
        f"{str(path)!r} is neither {files}: its sha256 begins with {digest[:8]}; other weights are "
        f"taken by `ortist export {backbone.name} --weights FILE`."
    )


def _downloaded(
    backbone: Backbone, home: Path, url: str | None, report: Report
) -> tuple[Source, Path]:
    """The first of the files that can be had; raises ExportError, naming what to bring."""
    reasons: list[str] = []
    for source in SOURCES[backbone.name]:
        address = source.url if url is None else f"{url.rstrip('/')}/{source.file}"
        target = home / f".download-{source.file}"
        try:
            with writing(home):
                home.mkdir(parents=True, exist_ok=True)
            download(source, address, target, report)
            return source, target
        except DownloadError as error:
            if str(error) not in reasons:
                reasons.append(str(error))
    first = SOURCES[backbone.name][0]
    raise ExportError(
        f"cannot download {backbone.name} ({'; '.join(reasons)}): fetch {first.url} (its sha256 "
        f"begins with {first.sha256[:8]}) on another machine and put it at "
        f"{str(home / first.file)!r}, or say `ortist models get {backbone.name} --from FILE`."
    )


def _is_there(folder: Path) -> bool:
    """Whether the model of the folder's name is there and whole, of this version.

    Raises ExportError where what is there is no model made of its official weights.
    """
    manifest: Any = None
    with contextlib.suppress(OSError, ValueError):
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return False
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not _is_official(manifest, folder.name):
        what = "no model" if manifest is None else "another model than that of the official weights"
        raise ExportError(
            f"{str(folder)!r} is {what}; rename it, say to {folder.name}-own, which --model takes "
            f"then, or remove it, and get {folder.name} again."
        )
    return _is_whole(folder, manifest)


def _is_official(manifest: Any, name: str) -> bool:
    """Whether a manifest is of the backbone ``name`` with weights that the catalogue knows."""
    try:
        digest = manifest["weights"]["sha256"]
        ours = manifest["backbone"] == name and manifest.get("pooling", "max") == "max"
        return ours and any(source.is_hash(digest) for source in SOURCES[name])
    except (KeyError, TypeError, AttributeError):
        return False


def _is_whole(folder: Path, manifest: Any) -> bool:
    try:
        files = manifest["files"].items() if manifest["format"] == FORMAT else []
        return bool(files) and all(
            hash_of(folder / file) == entry["sha256"] for file, entry in files
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


@contextlib.contextmanager
def _alone(home: Path, name: str) -> Iterator[None]:
    """Lets one process in at a time; raises ExportError where the home cannot be written."""
    path = home / f".{name}.lock"
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        handle = _locked(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps what others have open
            path.unlink()
        os.close(handle)


def _locked(path: Path) -> int:
    """The file ``path``, locked; raises OSError where it cannot be made.

    Whoever held it before removes it, so after the wait it may be a file without a name: then the
    next one is tried.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(handle)
            with contextlib.suppress(FileNotFoundError):
                if _is_named(handle, path):
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_named(handle: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(handle), os.stat(path))


if sys.platform == "win32":

    def _lock(handle: int) -> None:
        """Waits for the first byte of the file."""
        import msvcrt

        while True:
            with contextlib.suppress(OSError):  # after ten seconds
                msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
                return

else:

    def _lock(handle: int) -> None:
        """Waits for the file."""
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
