"""A real cluster of Dask: batches and tiles on its workers, and what becomes of them in trouble."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, SAMPLES, Ortist, edit, refused

from .clusters import Nodes, kill

pytest.importorskip("distributed")

SMALL = ("--size", "48", "--iterations", "6", "--threads", "1")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with Nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        yield nodes


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four photos, in the folder where the command runs."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        shutil.copy(SAMPLES / "harbour.jpg", folder / f"{name}.jpg")
    return folder


def pictures(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.png"))}


def test_a_cluster_paints_the_bytes_of_this_machine(
    ortist: Ortist, nodes: Nodes, photos: Path
) -> None:
    words = ("batch", photos, "--style", SAMPLES / "swirls.jpg", *SMALL)
    here = ortist(*words, "-o", "here")
    assert here.returncode == 0, here.stderr
    there = ortist(*words, "-o", "there", "--scheduler", nodes.address)
    assert (there.returncode, there.stderr) == (0, ""), nodes.logs
    assert pictures("there") == pictures("here")
    assert len(pictures("there")) == 4
    again = ortist(*words, "-o", "there", "--scheduler", nodes.address, "--json")
    said = [json.loads(line)["status"] for line in again.stdout.splitlines()]
    assert said == ["kept"] * 4


def test_a_start_and_a_damaged_photo_go_there_and_back(
    ortist: Ortist, nodes: Nodes, photos: Path
) -> None:
    (photos / "b.jpg").write_bytes(b"no picture")
    words = ("batch", photos, "--style", SAMPLES / "swirls.jpg", *SMALL)
    start = ("--init", SAMPLES / "shards.jpg")
    here = ortist(*words, *start, "-o", "here")
    there = ortist(*words, *start, "-o", "there", "--scheduler", nodes.address)
    assert here.returncode == there.returncode == 1
    assert there.stderr == here.stderr
    assert str(photos / "b.jpg") in there.stderr
    assert pictures("there") == pictures("here")


def test_tiles_on_a_cluster_make_the_bytes_of_tiles_here(
    ortist: Ortist, nodes: Nodes, photos: Path
) -> None:
    words = ("transfer", photos / "a.jpg", SAMPLES / "swirls.jpg", "--size", "192", "--tile", "64")
    few = ("--iterations", "3", "--threads", "1")
    here = ortist(*words, *few, "-o", "here.png")
    assert here.returncode == 0, here.stderr
    there = ortist(*words, *few, "-o", "there.png", "--scheduler", nodes.address)
    assert there.returncode == 0, there.stderr
    assert Path("there.png").read_bytes() == Path("here.png").read_bytes()


def test_a_model_that_no_worker_has_goes_along(
    ortist: Ortist, nodes: Nodes, photos: Path, copy: Path
) -> None:
    edit(copy, lambda manifest: manifest["recipe"].update(jitter=2))
    words = ("batch", photos / "a.jpg", "--style", SAMPLES / "swirls.jpg", *SMALL, "--model", copy)
    here = ortist(*words, "-o", "here")
    assert here.returncode == 0, here.stderr
    there = ortist(*words, "-o", "there", "--scheduler", nodes.address)
    assert there.returncode == 0, there.stderr
    assert pictures("there") == pictures("here")


def test_workers_say_what_they_have(ortist: Ortist, nodes: Nodes) -> None:
    done = ortist("worker-check", nodes.address, "--json")
    assert done.returncode == 0, done.stderr
    facts = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(facts) == 2
    for worker in facts:
        assert worker["worker"].startswith("tcp://")
        assert worker["ortist"] == ortist("--version").stdout.split()[1]
        assert (worker["threads"], worker["model"]) == (1, "squeezenet1_1-procedural")
        assert "CPU" in worker["providers"]
    assert "Ortist" in ortist("worker-check", nodes.address).stdout


@pytest.mark.long
def test_workers_that_are_killed_lose_nothing(ortist: Ortist, tmp_path: Path, photos: Path) -> None:
    words = ["batch", str(photos), "--style", str(SAMPLES / "swirls.jpg")]
    words += ["--size", "64", "--iterations", "40", "--threads", "1"]
    folder = tmp_path / "nodes"
    folder.mkdir()
    with Nodes(folder, 2) as nodes:
        command = [sys.executable, "-m", "ortist", *words, "-o", "there"]
        with subprocess.Popen(
            [*command, "--scheduler", nodes.address], stderr=subprocess.PIPE, text=True
        ) as batch:
            for _ in range(2):
                kill(nodes.at_work())
                nodes.add_worker()
                time.sleep(0.5)
            _, said = batch.communicate(timeout=200)
        assert (batch.returncode, said) == (0, ""), nodes.logs
    assert ortist(*words, "-o", "here").returncode == 0
    assert pictures("there") == pictures("here")


@pytest.mark.long
def test_a_scheduler_that_goes_ends_the_batch_and_the_rest_can_be_had(
    ortist: Ortist, tmp_path: Path, photos: Path
) -> None:
    words = ["batch", str(photos), "--style", str(SAMPLES / "swirls.jpg")]
    words += ["--size", "64", "--iterations", "40", "--threads", "1", "-o", "painted"]
    folder = tmp_path / "nodes"
    folder.mkdir()
    with Nodes(folder, 1) as nodes:
        command = [sys.executable, "-m", "ortist", *words, "--scheduler", nodes.address]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as batch:
            nodes.at_work()
            while not list(Path("painted").glob("*.png")):
                assert batch.poll() is None
                time.sleep(0.05)
            kill(nodes.scheduler)
            _, said = batch.communicate(timeout=100)
    assert batch.returncode == 4, said
    assert said.startswith("ortist: the scheduler at ")
    assert said.count("\n") == 1
    done = ortist(*words, "--json")
    statuses = sorted(json.loads(line)["status"] for line in done.stdout.splitlines())
    assert statuses[0] == "kept"
    assert len(statuses) == 4


@pytest.mark.long
def test_what_a_cluster_lacks_is_said(ortist: Ortist, tmp_path: Path, photos: Path) -> None:
    words = ("batch", photos, "--style", SAMPLES / "swirls.jpg", "-o", "out", "--scheduler")
    refused(ortist, 4, "no scheduler answers at 'tcp://127.0.0.1:9'", *words, "tcp://127.0.0.1:9")
    refused(ortist, 2, "is no address of a scheduler", *words, "nowhere://x")
    refused(ortist, 2, "jobs", *words, "tcp://127.0.0.1:9", "--jobs", "2")
    folder = tmp_path / "nodes"
    folder.mkdir()
    with Nodes(folder, 0) as nodes:
        refused(ortist, 4, "has no workers", *words, nodes.address)
        shadow = tmp_path / "shadow"
        shadow.mkdir()
        (shadow / "ortist.py").write_text("raise ImportError('there is no Ortist')\n")
        nodes.add_worker(PYTHONPATH=f"{shadow}:{os.environ.get('PYTHONPATH', '')}")
        refused(ortist, 4, "cannot paint", *words, nodes.address)
        refused(ortist, 4, "1 of 1 workers cannot paint", "worker-check", nodes.address)


def test_another_version_is_refused(
    ortist: Ortist, nodes: Nodes, photos: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "engine", other)
    version = other / "ortist" / "_version.py"
    version.write_text(version.read_text().replace('"0.', '"9.'))
    words = ("batch", photos, "--style", SAMPLES / "swirls.jpg", *SMALL, "-o", "out")
    command = [*map(str, words), "--scheduler", nodes.address]
    done = ortist(*command, PYTHONPATH=f"{other}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 4
    assert done.stderr.startswith("ortist: the worker ")
    assert "install one version everywhere" in done.stderr


def test_certificates_are_those_of_dasks_configuration(
    ortist: Ortist, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    if not shutil.which("openssl") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("there is no openssl to make a certificate")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", str(certificate))
    for role in ("CLIENT", "SCHEDULER", "WORKER"):
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT", str(certificate))
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY", str(key))
    folder = tmp_path / "nodes"
    folder.mkdir()
    with Nodes(folder, 1, "--protocol", "tls") as nodes:
        assert nodes.address.startswith("tls://")
        command = (
            "batch",
            photos / "a.jpg",
            "--style",
            SAMPLES / "swirls.jpg",
            *SMALL,
            "-o",
            "out",
        )
        done = ortist(*command, "--scheduler", nodes.address)
        assert (done.returncode, done.stderr) == (0, ""), nodes.logs
        monkeypatch.delenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE")
        refused(ortist, 4, "asks for certificates", *command, "--scheduler", nodes.address)
