"""What the tests share: pictures, models, and the files that only some machines have.

The pictures and weights of the CS231n assignment may not be in the repository. They are looked for
in ``../shared`` (or ORTIST_TEST_SHARED; the weights also at ORTIST_TEST_WEIGHTS); where they are
absent the tests that need them are skipped, saying so, unless ORTIST_REQUIRE_ALL=1, as in CI.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command has it; before NumPy

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from ortist.engine import Calls, Engine
from ortist.network.bundle import Model, load_model
from ortist.options.fields import Options, Provider
from ortist_models import MANIFEST, SHIPPED
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ORTIST_TEST_SHARED") or ROOT.parent / "shared")
SAMPLES = ROOT / "docs" / "samples"
_RECIPE = json.loads((SHIPPED / "squeezenet1_1-procedural" / MANIFEST).read_text())["recipe"]
SHIPPED_STYLE_TAPS = frozenset(_RECIPE["style_shares"])
"""The taps, as words, whose style the shipped model's own recipe matches."""

# A machine may stand still for a moment; what hangs has a limit of its own.
settings.register_profile("patient", parent=settings(), deadline=None)
settings.load_profile("patient")

Ortist = Callable[..., "subprocess.CompletedProcess[str]"]


class _Kept(Calls):
    """The package's functions, by engines that stay open from test to test.

    Opening sessions takes most of a small picture's time. That an engine's pictures are those of
    the functions, whatever it painted before, is what tests/engine/test_engine.py shows.
    """

    def _engine_for(self, options: Options) -> AbstractContextManager[Engine]:
        return nullcontext(open_engine(options.model, options.provider, options.threads))


@functools.lru_cache(4)
def open_engine(
    model: str | None = None, provider: Provider = "cpu", threads: int | None = None
) -> Engine:
    """An engine that stays open."""
    return Engine(model, provider, threads)


kept = _Kept()
"""``kept.transfer`` is ``ortist.transfer``, and so on."""


def shared(name: str) -> Path:
    """A file of the shared folder; skips the test, or fails it in CI, where it is absent."""
    path = SHARED / name
    if name.endswith("squeezenet1_1.pth") and os.environ.get("ORTIST_TEST_WEIGHTS"):
        path = Path(os.environ["ORTIST_TEST_WEIGHTS"])
    if not path.is_file():
        message = f"needs {path}, which is not part of the repository"
        if os.environ.get("ORTIST_REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model home of the test session's own, empty at first."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _own_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORTIST_HOME", str(home))


@pytest.fixture(scope="session")
def procedural() -> Model:
    """The model in the wheel."""
    return load_model(SHIPPED / "squeezenet1_1-procedural")


@pytest.fixture
def copy(procedural: Model, tmp_path: Path) -> Path:
    """The shipped bundle, to be spoilt."""
    return Path(shutil.copytree(procedural.folder, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the manifest of the bundle in ``folder``."""
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def rehashed(folder: Path, file: str, data: bytes) -> Model:
    """The bundle with ``data`` for ``file`` and the manifest's hash to match."""
    (folder / file).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit(folder, lambda m: m["files"][file].update(sha256=digest))
    return load_model(folder)


@pytest.fixture(scope="session")
def imagenet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ImageNet stand-in, exported by the command into a folder of its own."""
    weights = shared("weights/squeezenet1_1.pth")
    parent = tmp_path_factory.mktemp("imagenet")
    command = [sys.executable, "-m", "ortist", "export", "squeezenet1_1"]
    command += ["--weights", str(weights), "--output", str(parent)]
    subprocess.run(command, check=True, timeout=300)
    return parent / "squeezenet1_1"


@pytest.fixture(scope="session")
def content_file() -> Path:
    return SAMPLES / "harbour.jpg"


@pytest.fixture(scope="session")
def style_file() -> Path:
    return SAMPLES / "swirls.jpg"


@pytest.fixture
def ortist(home: Path) -> Ortist:
    """Runs the command in a process of its own, with the session's empty model home."""

    def run(*words: object, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "ortist", *map(str, words)]
        environment = {**os.environ, "ORTIST_HOME": str(home), **env}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment
        )

    return run


def small_pictures(side: int = 48) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A content and a style, uint8 [side, 4/3 side, 3], cut from the sample pictures."""
    found = []
    for name in ("harbour.jpg", "swirls.jpg"):
        with Image.open(SAMPLES / name) as image:
            found.append(np.asarray(image.resize((side * 4 // 3, side))))
    return found[0], found[1]


def refused(ortist: Ortist, code: int, said: str, *words: object) -> None:
    """The command says so in one sentence, with that exit code, and writes nothing."""
    before = sorted(os.listdir())
    done = ortist(*words)
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("ortist: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr
    assert sorted(os.listdir()) == before
