"""The files of the jobs: a folder each, under ``--state``; how much there is of them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

from ..errors import OptionError

__all__ = ["JOB_ID", "Folders", "JobFolder", "lock_state"]

JOB_ID = re.compile(r"[0-9a-f]{32}")
"""The ids of jobs: 128 random bits, which nobody guesses."""
_KEPT = ("picture.", "report.json", "preview.jpg")
"""What stays of a job that has ended."""


class JobFolder:
    """The folder of one job, and the names in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoint(self) -> Path:
        """The state of its run, to go on from."""
        return self.path / "checkpoint"

    @property
    def preview(self) -> Path:
        """The last small picture, JPEG."""
        return self.path / "preview.jpg"

    @property
    def report(self) -> Path:
        """What there is to say of a finished run, JSON."""
        return self.path / "report.json"

    def picture(self, format: str) -> Path:
        """The picture, by its suffix."""
        return self.path / f"picture.{format}"

    def make(self) -> None:
        """Makes the folder; raises OSError."""
        self.path.mkdir(mode=0o700)

    def sync(self) -> None:
        """Makes the names in it, and its own, durable; raises OSError."""
        for folder in (self.path, self.path.parent):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def clear(self) -> None:
        """Removes all but what stays of a job that has ended."""
        with contextlib.suppress(OSError):
            for entry in self.path.iterdir():
                if not entry.name.startswith(_KEPT):
                    entry.unlink()

    def remove(self) -> None:
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def size(self) -> int:
        """Bytes of its files; 0 where it is gone."""
        total = 0
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.path):
                total += entry.stat().st_size
        return total


class Folders:
    """All of them."""

    def __init__(self, state: Path) -> None:
        self.jobs, self.incoming = state / "jobs", state / "incoming"
        self.jobs.mkdir(mode=0o700, exist_ok=True)
        # What is left here is of uploads that a killed server was reading.
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.incoming.mkdir(mode=0o700)

    def of(self, job_id: str) -> JobFolder:
        """The folder of that job, which need not be there."""
        if not JOB_ID.fullmatch(job_id):
            raise ValueError(job_id)
        return JobFolder(self.jobs / job_id)

    def new(self) -> tuple[str, JobFolder]:
        """An id that no other job has, and its folder, which is still to be made."""
        job_id = secrets.token_hex(16)
        return job_id, self.of(job_id)

    def remove_others(self, known: Collection[str]) -> None:
        """Removes the folders of jobs that were never accepted, or whose caller waited for them."""
        for entry in self.jobs.iterdir():
            if entry.name not in known:
                shutil.rmtree(entry, ignore_errors=True)


def lock_state(state: Path) -> int:
    """A lock on the state folder, held until this process ends: its file's descriptor.

    Raises OptionError where another server has it. Where the system has no such locks (Windows)
    nothing is held.
    """
    handle = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        import fcntl
    except ImportError:
        return handle
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise OptionError(
            f"another ortist serve uses the state folder {str(state)!r}; end that one, or name "
            "another folder by --state."
        ) from None
    return handle
