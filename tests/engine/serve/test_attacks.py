"""A short form of tests/attacks/serve.py: malformed requests, and a crowd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.restarts import kill_and_restart
from tests.attacks.schema import conform
from tests.attacks.serve import crowd, fuzz
from tests.engine.serve.serving import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "state", "--max-queue", "20") as running:
        yield running


@pytest.mark.long
def test_malformed_requests_are_never_the_servers_fault(server: Server) -> None:
    found = fuzz(server, 300, seed=1)
    assert {200, 400, 404, 405, 422} <= set(found)


@pytest.mark.long
def test_a_crowd_is_served_or_told_to_come_again(server: Server) -> None:
    found, took = crowd(server, 80, seed=1)
    assert set(found) <= {0, 202, 429}
    assert found[202] > 0
    assert sum(found.values()) + 8 >= 80  # a tenth vanished
    assert len(took) >= 5
    # Nothing is stuck: what was accepted ends, and there is room again.
    job = None
    while job is None:
        try:
            job = server.submit(size=32, iterations=1)
        except AssertionError:
            assert server.client.get("/readyz").status_code == 200
    assert server.wait(job, seconds=120)["state"] == "done"
    assert "ortist_running_jobs 0.0" in server.client.get("/metrics").text


@pytest.mark.long
def test_answers_are_as_the_description_says(server: Server) -> None:
    pytest.importorskip("schemathesis")
    assert conform(server, examples=2, seed=0, phases="fuzzing") > 16


@pytest.mark.long
def test_kills_of_server_and_process_lose_no_job(tmp_path: Path) -> None:
    tally = kill_and_restart(tmp_path, kills=2, count=2, seed=2)
    assert tally["server"] + tally["process"] >= 2
