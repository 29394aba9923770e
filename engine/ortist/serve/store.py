"""The job store: a table in SQLite, which says of every accepted job where it stands.

A job is accepted when its row is committed; its files are on the disk by then. A job's end is one
update of a row that has not ended, so that it ends once, whoever else thinks to have ended it.
Jobs whose callers wait for the answer are not in it: nobody asks for them after a restart.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OptionError, OutputError

__all__ = ["ENDED", "Row", "Store"]

_FORMAT = 1
"""The table's version; raised where an older server could not read it."""
ENDED = ("done", "failed", "cancelled")
"""States that a job stays in; before it is "queued"."""
_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    key TEXT UNIQUE,
    digest TEXT NOT NULL,
    created REAL NOT NULL,
    ended REAL,
    state TEXT NOT NULL,
    facts TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '{}',
    bytes INTEGER NOT NULL DEFAULT 0
)
"""


@dataclass(frozen=True)
class Row:
    """One job: its order and what else must outlive the server (``facts``), how it ended."""

    id: str
    digest: str
    created: float
    ended: float | None
    state: str
    facts: dict[str, Any]
    outcome: dict[str, Any]


_COLUMNS = "id, digest, created, ended, state, facts, outcome"


class Store:
    """The table of one state folder; its methods may be called from any thread.

    Raises OptionError where the file is of a newer version, or no database, and OutputError where
    it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            version = self._base.execute("PRAGMA user_version").fetchone()[0]
            if version > _FORMAT:
                raise OptionError(
                    f"the state folder {str(path.parent)!r} is of a newer Ortist (format "
                    f"{version}, this one reads {_FORMAT}); update Ortist, or name another folder "
                    "by --state."
                )
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute(_TABLE)
            self._base.execute(f"PRAGMA user_version = {_FORMAT}")
        except sqlite3.DatabaseError as error:
            raise OptionError(
                f"the job store {str(path)!r} cannot be used ({error}); remove it to start anew, "
                "or name another folder by --state."
            ) from error

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._base.close()

    def add(self, job_id: str, key: str | None, digest: str, created: float, facts: Any) -> None:
        """Accepts a job; raises OutputError where the disk is full."""
        with self._writing() as base:
            base.execute(
                "INSERT INTO jobs (id, key, digest, created, state, facts) VALUES (?,?,?,?,?,?)",
                (job_id, key, digest, created, "queued", json.dumps(facts)),
            )

    def remember(self, job_id: str, facts: Any) -> None:
        """Replaces the facts of a job."""
        with self._writing() as base:
            base.execute("UPDATE jobs SET facts = ? WHERE id = ?", (json.dumps(facts), job_id))

    def end(self, job_id: str, state: str, ended: float, outcome: Any, size: int) -> bool:
        """Ends a job that is queued; False where it had ended before."""
        with self._writing() as base:
            cursor = base.execute(
                "UPDATE jobs SET state = ?, ended = ?, outcome = ?, bytes = ? "
                "WHERE id = ? AND state = 'queued'",
                (state, ended, json.dumps(outcome), size, job_id),
            )
            return cursor.rowcount == 1

    def remove(self, job_id: str) -> None:
        """Forgets a job."""
        with self._writing() as base:
            base.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def row(self, job_id: str) -> Row | None:
        """The job of that id, if there is one."""
        return self._one("id", job_id)

    def keyed(self, key: str) -> Row | None:
        """The job that was accepted with that Idempotency-Key, if there is one."""
        return self._one("key", key)

    def queued(self) -> list[Row]:
        """The jobs that have not ended, in the order in which they were accepted."""
        with self._lock:
            rows = self._base.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE state = 'queued' ORDER BY number"
            ).fetchall()
        return [_row(row) for row in rows]

    def ids(self) -> set[str]:
        """All ids."""
        with self._lock:
            return {row[0] for row in self._base.execute("SELECT id FROM jobs")}

    def outdated(self, before: float, max_bytes: int) -> list[str]:
        """Jobs that ended ``before``, and the oldest beyond ``max_bytes`` of what is kept."""
        with self._lock:
            rows = self._base.execute(
                "SELECT id, ended, bytes FROM jobs WHERE ended IS NOT NULL ORDER BY ended DESC"
            ).fetchall()
        found, total = [], 0
        for job_id, ended, size in rows:
            total += size
            if ended < before or total > max_bytes:
                found.append(job_id)
        return found

    def _one(self, column: str, value: str) -> Row | None:
        with self._lock:
            row = self._base.execute(
                f"SELECT {_COLUMNS} FROM jobs WHERE {column} = ?", (value,)
            ).fetchone()
        return None if row is None else _row(row)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._base
            except sqlite3.OperationalError as error:  # the disk is full, or gone
                raise OutputError(f"cannot write the job store ({error}); make room.") from error


def _row(row: tuple[Any, ...]) -> Row:
    job_id, digest, created, ended, state, facts, outcome = row
    return Row(job_id, digest, created, ended, state, json.loads(facts), json.loads(outcome))
