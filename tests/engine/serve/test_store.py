"""The job store: accepted once, ended once, whoever asks; and files that it must not touch."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from ortist import OptionError
from ortist.serve.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "jobs.sqlite")
    yield made
    made.close()


def test_a_job_ends_once(store: Store) -> None:
    store.add("a", None, "digest", 1.0, {"fact": 1})
    assert [row.id for row in store.queued()] == ["a"]
    assert store.end("a", "done", 2.0, {"size": [1, 2]}, 10)
    assert not store.end("a", "failed", 3.0, {}, 0)
    row = store.row("a")
    assert row is not None
    assert (row.state, row.ended, row.outcome) == ("done", 2.0, {"size": [1, 2]})
    assert store.queued() == []


def test_jobs_come_back_in_the_order_of_their_acceptance(store: Store, tmp_path: Path) -> None:
    for name in ("z", "a", "m"):
        store.add(name, None, "", 1.0, {})
    store.close()
    again = Store(tmp_path / "jobs.sqlite")
    assert [row.id for row in again.queued()] == ["z", "a", "m"]
    again.close()


def test_a_key_is_one_jobs(store: Store) -> None:
    store.add("a", "key", "", 1.0, {})
    with pytest.raises(sqlite3.IntegrityError):
        store.add("b", "key", "", 1.0, {})
    found = store.keyed("key")
    assert found is not None
    assert found.id == "a"


def test_what_is_old_or_too_much_is_outdated(store: Store) -> None:
    for number, name in enumerate("abcd"):
        store.add(name, None, "", 0.0, {})
        if name != "d":
            store.end(name, "done", float(number), {}, 100)
    assert store.outdated(1.5, 10**9) == ["b", "a"]
    assert store.outdated(0.0, 250) == ["a"]
    assert store.outdated(0.0, 10**9) == []


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 7")
    base.close()
    before = path.read_bytes()
    with pytest.raises(OptionError, match=r"newer Ortist \(format 7"):
        Store(path)
    assert path.read_bytes() == before


def test_what_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"a letter to somebody" * 100)
    with pytest.raises(OptionError, match="cannot be used"):
        Store(path)
    assert path.read_bytes().startswith(b"a letter")
