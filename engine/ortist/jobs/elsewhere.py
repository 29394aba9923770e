"""What a cluster's worker does: it puts what was sent to it into files, and paints.

Others call these functions by way of Dask alone (cluster.py). A model, and a style, are written
once for each worker; they go with its own folder when it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import platform
import shutil
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ortist_models import MANIFEST

from .._version import __version__
from ..errors import ResourceError
from ..files import atomic_writer
from ..forks import fresh_after_fork
from ..network.bundle import Model, find_model, installed_models
from ..network.machine import available_memory
from ..network.sessions import available_cpus, load_onnxruntime
from .painting import Outcome, Task, paint_here

__all__ = [
    "Parcel",
    "check_version",
    "facts_here",
    "kept",
    "memory_share",
    "paint_parcel",
    "place_here",
    "swept",
    "unpacked",
]

Sent = TypeVar("Sent")
_writing = fresh_after_fork(__name__, "_writing", threading.Lock)


@dataclass(frozen=True)
class Parcel:
    """A task, whose paths are those of who sent it, with the version of Ortist there."""

    task: Task
    version: str


def kept(sent: Sent) -> Sent:
    """What was sent, as a task's result: Dask brings it to each worker that needs it, once."""
    return sent


def facts_here(dask_worker: Any) -> dict[str, Any]:
    """What this worker has: versions, models, providers, CPUs, memory in bytes.

    Dask hands the worker to a parameter of this name.
    """
    runtime = load_onnxruntime()
    default = find_model()
    providers = runtime.get_available_providers()
    return {
        "ortist": __version__,
        "python": platform.python_version(),
        "onnxruntime": runtime.__version__,
        "model": default.name,
        "model_sha256": default.sha256,
        "models": [name for name, _ in installed_models()],
        "providers": [name.removesuffix("ExecutionProvider") for name in providers],
        "threads": dask_worker.state.nthreads,
        "cpus": available_cpus(),
        "memory": available_memory(),
    }


def paint_parcel(
    parcel: Parcel, model: Mapping[str, bytes], content: bytes, style: bytes, init: bytes = b""
) -> tuple[Outcome, bytes]:
    """What came of the task, in the sender's words, and the picture's bytes.

    Raises ResourceError where this Ortist is another version than the sender's.
    """
    check_version(parcel.version)
    asked, place = parcel.task, place_here()
    with tempfile.TemporaryDirectory(dir=place) as name:
        task = _task_here(asked, Path(name), unpacked(place, model))
        Path(task.content).write_bytes(content)
        _write_once(Path(task.style), style)
        if asked.init_sha256:
            _write_once(Path(str(task.options.init)), init)
        outcome = paint_here(task, asked)
        data = Path(task.output).read_bytes() if outcome.status == "painted" else b""
    return _in_words_of(asked, task, outcome), data


def _task_here(asked: Task, own: Path, model: Path) -> Task:
    """The task with paths of this worker: in the folder ``own``, or beside it what it keeps."""

    def beside(sha256: str, path: str) -> str:
        return str(own.parent / f"{sha256}{Path(path).suffix}")

    options = dataclasses.replace(
        asked.options,
        model=str(model),
        threads=asked.options.threads or 1,
        max_memory=asked.options.max_memory or memory_share(),
        scratch=str(own),
    )
    if asked.init_sha256:
        start = beside(asked.init_sha256, str(options.init))
        options = dataclasses.replace(options, init=start)
    return dataclasses.replace(
        asked,
        content=str(own / f"content{Path(asked.content).suffix}"),
        style=beside(asked.style_sha256, asked.style),
        output=str(own / f"picture{Path(asked.output).suffix}"),
        options=options,
    )


def swept(
    version: str, files: Mapping[str, bytes], work: Any, setup: tuple[Model, Any, int], *rest: Any
) -> Any:
    """``work(setup, *rest)``, with the model where it is here; for tiles of one picture."""
    check_version(version)
    model, provider, threads = setup
    here = dataclasses.replace(model, folder=unpacked(place_here(), files))
    return work((here, provider, threads), *rest)


def _in_words_of(asked: Task, task: Task, outcome: Outcome) -> Outcome:
    """The outcome with the sender's paths in the place of those here."""
    said = outcome.error
    for name in ("content", "style", "output"):
        said = said and said.replace(getattr(task, name), getattr(asked, name))
    said = said and said.replace(str(task.options.init), str(asked.options.init))
    return dataclasses.replace(outcome, error=said)


def place_here() -> Path:
    """This worker's folder, which Dask removes at its end; after a kill, at the next start."""
    from distributed import get_worker

    place = Path(get_worker().local_directory) / "ortist"
    place.mkdir(exist_ok=True)
    return place


def memory_share() -> int | None:
    """Bytes for each task of this worker, where it has a limit."""
    from distributed import get_worker

    worker = get_worker()
    limit = worker.memory_manager.memory_limit
    return int(0.8 * limit) // worker.state.nthreads if limit else None


def _write_once(path: Path, data: bytes) -> None:
    """Writes a file whose name is its hash, unless it is there."""
    if not path.exists():
        with atomic_writer(path) as stream:
            stream.write(data)


def unpacked(place: Path, files: Mapping[str, bytes]) -> Path:
    """The folder of the model that was sent, or of the same one where it is installed here.

    It is known by its manifest, which holds the hashes of the other files.
    """
    manifest = files[MANIFEST]
    with _writing:
        known = _folders.get(manifest)
        if known is None or not known.exists():
            known = _installed(manifest) or _model_folder(place, files)
            _folders[manifest] = known
        return known


_folders: dict[bytes, Path] = {}
"""By their manifests, the folders of the models of this process."""


def _installed(manifest: bytes) -> Path | None:
    for _, folder in installed_models():
        with contextlib.suppress(OSError):
            if (folder / MANIFEST).read_bytes() == manifest:
                return folder
    return None


def _model_folder(place: Path, files: Mapping[str, bytes]) -> Path:
    """The model's files in a folder of their own, whole or not there."""
    folder = place / f"model-{hashlib.sha256(files[MANIFEST]).hexdigest()}"
    if not folder.exists():
        begun = Path(tempfile.mkdtemp(dir=place))
        for name, data in files.items():
            (begun / Path(name).name).write_bytes(data)
        try:
            begun.rename(folder)
        except OSError:  # another process of the same folder was first
            shutil.rmtree(begun, ignore_errors=True)
    return folder


def check_version(version: str) -> None:
    """Raises ResourceError where the sender's Ortist is another version."""
    if version != __version__:
        raise ResourceError(
            f"a worker has Ortist {__version__}, and {version} sent it work; install one version "
            "everywhere."
        )
