"""The service with a cluster behind it: jobs there and back, cancelled, and through trouble."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ortist
import pytest

from tests.conftest import Ortist
from tests.engine.jobs.clusters import Nodes, kill

from .serving import Server, pictures, small_jpeg

pytest.importorskip("distributed")


@pytest.fixture
def command(request: pytest.FixtureRequest) -> Ortist:
    run: Ortist = request.getfixturevalue("ortist")
    return run


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with Nodes(tmp_path_factory.mktemp("nodes"), 2) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def server(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("serve") / "state"
    with Server(state, "--scheduler", nodes.address, "--jobs", "2") as server:
        yield server


def test_a_job_on_a_cluster_has_the_bytes_of_one_thread_here(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = server.submit(size=48, iterations=12)
    done = server.wait(job)
    assert done["state"] == "done", server.log.read_text()
    picture = server.client.get(f"/v1/jobs/{job}/picture").content
    monkeypatch.chdir(tmp_path)
    for name, sample in (("photo.jpg", "harbour"), ("painting.jpg", "swirls")):
        Path(name).write_bytes(small_jpeg(sample))
    result = ortist.transfer("photo.jpg", "painting.jpg", size=48, iterations=12, threads=1)
    options = replace(result.options, threads=None)  # of which a picture says nothing there
    replace(result, options=options).save("out.png")
    assert picture == Path("out.png").read_bytes()
    names = [name for _, name, _ in server.events(job)]
    assert "progress" in names
    assert server.client.get(f"/v1/jobs/{job}/report").json()["iterations"] == 12


def test_a_picture_at_once_comes_from_the_cluster(server: Server) -> None:
    form = {"size": "48", "iterations": "4"}
    answer = server.client.post("/v1/transfer", files=pictures(), data=form)
    assert answer.status_code == 200, answer.text
    assert answer.content.startswith(b"\x89PNG")


def test_a_cancel_ends_the_work_on_the_cluster(server: Server) -> None:
    job = server.submit(size=96, iterations=100_000)
    server.wait_for_step(job, 2)
    began = time.monotonic()
    assert server.client.delete(f"/v1/jobs/{job}").json()["state"] == "cancelled"
    assert time.monotonic() - began < 5  # a second on an idle machine
    after = server.submit(size=48, iterations=4)
    assert server.wait(after)["state"] == "done"


@pytest.mark.long
def test_a_worker_that_is_killed_loses_no_job(server: Server, nodes: Nodes) -> None:
    job = server.submit(size=96, iterations=150)
    server.wait_for_step(job, 2)
    kill(nodes.at_work("sent-*"))
    nodes.add_worker()
    assert server.wait(job, seconds=120)["state"] == "done", server.log.read_text()


def test_a_service_without_its_scheduler_does_not_start(command: Ortist, tmp_path: Path) -> None:
    words = ("--port", "0", "--state", tmp_path / "state", "--scheduler", "tcp://127.0.0.1:9")
    done = command("serve", *words)
    assert done.returncode == 4, done.stderr
    assert "no scheduler answers at 'tcp://127.0.0.1:9'" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
