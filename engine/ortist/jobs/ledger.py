"""What a batch has done, in a file of its output folder: how a second run knows what is missing.

One JSON line for each picture: its name, its hash, and the hashes of what it was made from. A line
is added, and flushed to the disk, after its picture is in place; so a picture may lack its line
(the process was killed between) and is then made again, but no line lacks its picture. A last line
that was cut off is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Iterable
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..files import check_writable, is_temporary, sha256_of, unwritable

__all__ = ["LEDGER", "Ledger", "file_sha256"]

LEDGER = ".ortist-batch.jsonl"
"""The name of the ledger's file in the output folder."""


def file_sha256(path: str | PathLike[str]) -> str:
    """The SHA-256 of a regular file, in hex; "" for what is none or cannot be read."""
    try:
        return sha256_of(path) if os.path.isfile(path) else ""
    except OSError:
        return ""


class Ledger(AbstractContextManager["Ledger"]):
    """The ledger of the output folder ``folder``; a context manager, which closes it.

    ``folder`` and the other ``folders`` that pictures go to are made where they are missing. One
    batch at a time has a folder: raises OptionError while another does, and OutputError where a
    folder or the ledger cannot be written.
    """

    def __init__(self, folder: str, folders: Iterable[str] = ()) -> None:
        self._folder = folder
        self._folders = {folder, *folders}
        path = folder
        try:
            for path in sorted(self._folders):
                os.makedirs(path, exist_ok=True)
            path = os.path.join(folder, LEDGER)
            check_writable(Path(path))  # what is no regular file could block, or never end
            # Unbuffered: a line that failed must not be tried again when the file is closed.
            self._stream = io.FileIO(path, "a+")
        except OptionError:  # a ValueError too
            raise
        except (OSError, ValueError) as error:
            raise unwritable(path, error) from error
        try:
            _lock(self._stream, folder)
            self._entries = self._read()
            self._sweep()
        except BaseException as error:
            self._stream.close()
            if isinstance(error, OSError):
                raise unwritable(path, error) from error
            raise

    def __exit__(self, *_: object) -> None:
        self._sweep()
        self._stream.close()

    def holds(self, output: str, made_from: dict[str, str]) -> bool:
        """Whether the picture ``output`` is there, whole, and was made from ``made_from``.

        ``made_from`` is compared with what ``record`` was told, key by key.
        """
        entry = self._entries.get(self._name(output), {})
        recorded = all(entry.get(key) == value for key, value in made_from.items())
        sha256 = entry.get("sha256")
        return recorded and bool(sha256) and sha256 == file_sha256(output)

    def record(self, output: str, sha256: str, made_from: dict[str, str]) -> None:
        """Adds the line of a picture that is in place, with its SHA-256 and what it was made from.

        Raises OutputError where the line cannot be written; the ledger is then as it was.
        """
        entry = {"output": self._name(output), "sha256": sha256, **made_from}
        line = json.dumps(entry).encode() + b"\n"
        size = os.fstat(self._stream.fileno()).st_size
        try:
            if self._stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._stream.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                self._stream.truncate(size)
            raise unwritable(os.path.join(self._folder, LEDGER), error) from error
        self._entries[entry["output"]] = entry

    def _name(self, output: str) -> str:
        """The path of ``output`` below the folder, so that the folder may be moved."""
        return os.path.relpath(output, self._folder).replace(os.sep, "/")

    def _read(self) -> dict[str, dict[str, Any]]:
        """The lines by their picture's name, the last of each; a line cut off is removed."""
        self._stream.seek(0)
        data = self._stream.read()
        whole = data.rfind(b"\n") + 1
        self._stream.truncate(whole)
        entries = {}
        for line in data[:whole].splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                entry = json.loads(line)
                entries[str(entry["output"])] = dict(entry)
        return entries

    def _sweep(self) -> None:
        """Removes what killed writers left in the folders, which are this batch's alone."""
        for folder in self._folders:
            for name in os.listdir(folder):
                if is_temporary(name):
                    with contextlib.suppress(OSError):
                        os.unlink(os.path.join(folder, name))


def _lock(stream: io.FileIO, folder: str) -> None:
    """Locks the ledger until its stream is closed; raises OptionError where another batch has it.

    Does nothing where the system or the file system has no such locks.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OptionError(
            f"another batch is writing into {folder!r}; wait for its end, or name another folder."
        ) from None
    except OSError:
        return
