"""Writing files so that they are whole or absent, never half."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import OutputError

__all__ = ["atomic_writer", "check_writable"]


def check_writable(path: Path) -> None:
    """Raises OutputError at once where ``path`` could not be written at the end of a long run."""
    parent = path.parent
    if path.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: it is a folder; name a file in it.")
    if not parent.is_dir():
        raise OutputError(f"cannot write {str(path)!r}: there is no folder {str(parent)!r}.")
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise OutputError(
            f"cannot write {str(path)!r} ({error.strerror}); choose another place."
        ) from error


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes ``path`` when the block ends well.

    Written to a temporary file in the same folder, flushed to the disk and renamed; on an error the
    temporary file is removed and an older ``path`` stays as it was. Raises OutputError.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    except OSError as error:
        raise OutputError(f"cannot write {str(path)!r} ({error.strerror}).") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise OutputError(f"cannot write {str(path)!r} ({error.strerror}).") from error
        raise


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system can open folders (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
