"""The server's life: kills, restarts, its end, and what it refuses to start on."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ortist, refused
from tests.engine.serve.serving import Server, pictures

LONG: dict[str, Any] = {"size": 96, "iterations": 100, "smallest_size": 64}
TOKEN = "0123456789abcdef-token"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The picture of an order that nobody disturbed."""
    with Server(tmp_path_factory.mktemp("serve") / "state") as server:
        job = server.submit(**LONG)
        assert server.wait(job)["state"] == "done"
        return server.client.get(f"/v1/jobs/{job}/picture").content


@pytest.mark.long
def test_accepted_jobs_survive_kills_of_the_server(tmp_path: Path, whole: bytes) -> None:
    state = tmp_path / "state"
    with Server(state) as server:
        jobs = [server.submit(f"key-{number}", **LONG) for number in range(3)]
        server.wait_for_step(jobs[0], 20)
        server.kill()
    for _ in range(2):
        with Server(state) as server:
            time.sleep(1.5)
            server.kill()
    with Server(state) as server:
        # Sent again, as by a caller who never saw the answer: the same jobs.
        assert [server.submit(f"key-{number}", **LONG) for number in range(3)] == jobs
        for job in jobs:
            assert server.wait(job)["state"] == "done"
            assert server.client.get(f"/v1/jobs/{job}/picture").content == whole
    assert sorted(path.name for path in (state / "jobs").iterdir()) == sorted(jobs)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.long
def test_a_process_that_dies_is_replaced_and_its_job_goes_on(tmp_path: Path, whole: bytes) -> None:
    with Server(tmp_path / "state") as server:
        job = server.submit(**LONG)
        server.wait_for_step(job, 10)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGKILL)
        assert server.wait(job)["state"] == "done"
        assert server.client.get(f"/v1/jobs/{job}/picture").content == whole
        assert server.workers() != [worker]


def test_a_job_of_which_processes_die_is_tried_once_more(tmp_path: Path) -> None:
    with Server(tmp_path / "state") as server:
        job = server.submit(size=512, iterations=5000, smallest_size="none")
        for _ in range(2):
            server.wait(job, "running", "failed")
            end = time.monotonic() + 30
            while not server.workers():
                assert time.monotonic() < end
            os.kill(server.workers()[0], signal.SIGKILL)
            end = time.monotonic() + 30
            while server.job(job)["state"] == "running":
                assert time.monotonic() < end
        told = server.wait(job)
        assert told["state"] == "failed"
        assert told["error"]["status"] == 503
        other = server.submit(size=48, iterations=2)
        assert server.wait(other)["state"] == "done"


@pytest.mark.long
def test_sigterm_keeps_what_was_accepted_and_answers_who_waits(
    tmp_path: Path, whole: bytes
) -> None:
    state = tmp_path / "state"
    with Server(state) as server:
        job = server.submit(**LONG)
        server.wait_for_step(job, 10)
        status, seconds = server.stop()
        assert status == 0
        assert seconds < 10
        assert (state / "jobs" / job / "checkpoint").is_file()
    with Server(state) as server:
        assert server.wait(job)["state"] == "done"
        assert server.client.get(f"/v1/jobs/{job}/picture").content == whole


def test_results_go_after_their_time(tmp_path: Path) -> None:
    with Server(tmp_path / "state", "--keep", "2s") as server:
        job = server.submit(size=48, iterations=2)
        assert server.wait(job)["state"] == "done"
        end = time.monotonic() + 20
        while server.client.get(f"/v1/jobs/{job}").status_code != 404:
            assert time.monotonic() < end
            time.sleep(0.1)
        while list((tmp_path / "state" / "jobs").iterdir()):
            assert time.monotonic() < end
            time.sleep(0.1)


def test_a_full_queue_says_when_to_come_again(tmp_path: Path) -> None:
    with Server(tmp_path / "state", "--max-queue", "1") as server:
        busy = server.submit(size=256, iterations=5000)
        server.wait(busy, "running")
        server.submit(size=48)
        for path in ("/v1/jobs", "/v1/transfer"):
            answer = server.client.post(path, files=pictures())
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.long
def test_a_full_disk_keeps_the_job_until_there_is_room(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(state)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("there is no disk of its own to fill")
    try:
        words = ("--max-upload", "200kB", "--max-disk", "1MB")
        with Server(state, *words) as server:
            job = server.submit(size=64, iterations=200)
            server.wait_for_step(job, 1)
            fill = state / "fill"
            with contextlib.suppress(OSError), fill.open("wb", buffering=0) as stream:
                while stream.write(bytes(65536)):
                    pass
            server.wait(job, "queued")
            assert server.client.post("/v1/transfer", files=pictures()).status_code == 507
            fill.unlink()
            assert server.wait(job, seconds=120)["state"] == "done"
            assert "Traceback" not in server.log.read_text()
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)


def test_names_may_be_given_and_one_address_has_its_share(tmp_path: Path) -> None:
    with Server(tmp_path / "state", "--name", "paint.example", "--max-each", "1") as server:
        named = {"Host": "paint.example"}
        assert server.client.get("/v1/options", headers=named).status_code == 200
        job = server.submit(size=96, iterations=100_000)
        form = {"size": "32", "iterations": "1"}
        answer = server.client.post("/v1/jobs", files=pictures(), data=form)
        assert answer.status_code == 429
        assert answer.json()["detail"].startswith("1 jobs of yours")
        server.client.delete(f"/v1/jobs/{job}")
        assert server.client.post("/v1/jobs", files=pictures(), data=form).status_code == 202


def test_who_has_no_token_learns_nothing(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with Server(tmp_path / "state", ORTIST_SERVE_TOKEN_FILE=str(file)) as server:
        problems = []
        for given in (None, "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer"):
            headers = {} if given is None else {"Authorization": given}
            for path in ("/v1/options", "/metrics", f"/v1/jobs/{'0' * 32}"):
                answer = server.client.get(path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"] == "Bearer"
                problems.append(answer.text)
        assert len(set(problems)) == 1
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert server.client.get("/v1/options", headers=own).status_code == 200
        assert server.client.get("/").status_code == 200
        assert server.client.get("/healthz").status_code == 200
        assert TOKEN not in server.log.read_text()


def test_logs_may_be_json(tmp_path: Path) -> None:
    import json

    with Server(tmp_path / "state", "--log", "json") as server:
        server.client.get("/healthz")
        # Read when it has ended by itself: the line is written after the answer was sent, which a
        # server that is killed at that moment may never get to.
        server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert 200 in [line["status"] for line in lines if line["message"] == "GET /healthz"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_port_in_use_is_said(ortist: Ortist, empty: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused(ortist, 2, f"port {port} of 127.0.0.1 is in use", "serve", "--port", port)


def test_an_address_that_is_not_here_is_said(ortist: Ortist, empty: Path) -> None:
    refused(ortist, 2, "cannot listen at '203.0.113.9'", "serve", "--host", "203.0.113.9")


def test_a_state_folder_is_one_servers(ortist: Ortist, tmp_path: Path) -> None:
    with Server(tmp_path / "state"):
        done = ortist("serve", "--port", "0", "--state", tmp_path / "state")
        assert done.returncode == 2
        assert "another ortist serve uses the state folder" in done.stderr


def test_a_state_folder_of_a_newer_version_is_said(ortist: Ortist, empty: Path) -> None:
    (empty / "state").mkdir()
    with sqlite3.connect(empty / "state" / "jobs.sqlite") as base:
        base.execute("PRAGMA user_version = 9")
    base.close()
    refused(ortist, 2, "is of a newer Ortist (format 9", "serve", "--port", "0", "--state", "state")


def test_a_state_folder_that_cannot_be_is_said(ortist: Ortist, empty: Path) -> None:
    (empty / "file").write_text("")
    for path in ("file/state", "/proc/state"):
        refused(ortist, 2, "cannot make the state folder", "serve", "--state", path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-upload", "many"], "cannot read the memory 'many'"),
        (["--keep", "0s"], "--keep 0.0 is out of range"),
        (["--jobs", "64", "--threads", "2"], "64 jobs cannot share 2 threads"),
        (["--styles", "nowhere"], "there is no folder of styles 'nowhere'"),
        (["--token-file", "nowhere"], "cannot read the token file 'nowhere'"),
        (["--max-disk", "1MB"], "has no room for four uploads"),
    ],
)
def test_settings_that_are_off_are_said(
    ortist: Ortist, empty: Path, words: list[str], said: str
) -> None:
    done = ortist("serve", "--port", "0", "--state", empty / "state", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("ortist: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_short_token_is_refused(ortist: Ortist, empty: Path) -> None:
    (empty / "token").write_text("short\n")
    refused(ortist, 2, "is no token", "serve", "--token-file", "token")
