"""Files: reading those that can be trusted to end, and writing them whole or not at all.

What is written goes to a temporary file beside it, is flushed, and takes its name at the end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from .errors import OptionError, OrtistError, OutputError

__all__ = [
    "as_path",
    "atomic_path",
    "atomic_writer",
    "check_apart",
    "check_writable",
    "is_temporary",
    "named_file",
    "read_bytes",
    "require_file",
    "sha256_of",
    "unwritable",
]

_TEMPORARY = re.compile(r"\.ortist-[0-9a-f]{16}(\.\w+)?")
"""The names that ``_temporary`` gives."""


def as_path(path: Any, named: str) -> Path:
    """``path`` as a Path; raises OptionError, which names the argument, for what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise OptionError(f"{named} should be a path, not {path!r:.80}.")
    return Path(path)


def require_file(
    path: str | os.PathLike[str], named: str, error: type[OrtistError], remedy: str
) -> None:
    """Raises ``error`` where ``path``, ``named`` in the message, is no regular file.

    A folder, a FIFO or a device would block or never end.
    """
    if not os.path.isfile(path):
        why = "is not a regular file" if os.path.exists(path) else "does not exist"
        raise error(f"{named} {why}; {remedy}.")


def read_bytes(path: str, named: str, error: type[OrtistError], remedy: str, most: int) -> bytes:
    """The bytes of a regular file; raises ``error`` for others and for more than ``most`` bytes."""
    require_file(path, named, error, remedy)
    try:
        with open(path, "rb") as stream:
            data = stream.read(most + 1)
    except OSError as failure:
        raise error(f"cannot read {named} ({failure.strerror}).") from failure
    if len(data) > most:
        raise error(f"{named} is larger than one may be ({most} bytes); name another.")
    return data


def sha256_of(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hex; raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def check_writable(path: Path) -> None:
    """Raises OutputError at once where ``path`` could not be written at the end of a long run."""
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "no regular file"
            raise OutputError(f"cannot write {str(path)!r}: it is {kind}; name another file.")
        if not path.parent.is_dir():
            parent = str(path.parent)
            raise OutputError(f"cannot write {str(path)!r}: there is no folder {parent!r}.")
        _check_name(path)
        # Nameless, where the system can do that: whoever is killed here leaves nothing.
        tempfile.TemporaryFile(dir=os.path.dirname(os.path.realpath(path))).close()
    except OutputError:  # a ValueError too
        raise
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error


def named_file(path: str | os.PathLike[str]) -> object:
    """What ``path`` names, equal for all its names: links of both kinds, letters' case, spellings.

    Where there is no file yet it is the path that a file would get.
    """
    try:
        status = os.stat(path)
        return status.st_dev, status.st_ino
    except (OSError, ValueError):
        return os.path.realpath(path)


def check_apart(
    written: Iterable[str | os.PathLike[str]], read: Iterable[str | os.PathLike[str]]
) -> None:
    """Raises OptionError where a file that is to be written is one that is read, by any name."""
    needed = {named_file(path) for path in read}
    for path in written:
        if named_file(path) in needed:
            raise OptionError(
                f"{os.fsdecode(path)!r} is a file that the run needs; name another to write."
            )


@contextlib.contextmanager
def atomic_writer(path: Path, scratch: str | None = None) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes ``path`` when the block ends well.

    ``scratch``, errors and symbolic links are as ``atomic_path`` has them.
    """
    with atomic_path(path, scratch) as name, _Plain(io.FileIO(name, "r+")) as stream:
        yield stream


class _Plain(io.BufferedRandom):
    """A file that nobody gets at past its ``write``, which says where there is no room.

    Pillow's encoders would write to the descriptor themselves, and not look at what came of it.
    """

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


@contextlib.contextmanager
def atomic_path(path: Path, scratch: str | None = None) -> Iterator[Path]:
    """A path for another program to write, whose file becomes ``path`` when the block ends well.

    It is in the same folder and has the same suffix. ``scratch`` names it instead, for files that
    are large and written again and again: the next writer uses what a killed one left. On an error
    the temporary file is removed and an older ``path`` stays as it was. A symbolic link stays one:
    the file it points to is replaced. Raises OutputError where the file cannot be written, and for
    every other OSError of the block.
    """
    try:
        target = Path(os.path.realpath(path))
        handle, name = _temporary(target, scratch)
        os.close(handle)
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from error
    try:
        yield Path(name)
        with open(name, "r+b") as stream:
            os.fsync(stream.fileno())
        os.replace(name, target)
        _sync_folder(target.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(name)
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise


def is_temporary(name: str) -> bool:
    """Whether a file of that name is what a writer that was killed has left."""
    return _TEMPORARY.fullmatch(name) is not None


def unwritable(path: str | Path, error: OSError | ValueError) -> OutputError:
    """An OutputError, to be raised from ``error``: ``path`` cannot be written, and why."""
    reason = getattr(error, "strerror", None) or error
    return OutputError(f"cannot write {str(path)!r} ({reason}); choose another place.")


def _temporary(path: Path, scratch: str | None = None) -> tuple[int, str]:
    """A new file beside ``path``, open, and its path, with the permissions that any new file gets.

    ``scratch`` is its name, for a file that may be there already and is emptied. Raises OSError.
    (tempfile's are private ones, and the umask can only be read by changing it for all threads.)
    """
    name = path.parent / (scratch or f".ortist-{secrets.token_hex(8)}{path.suffix}")
    _check_name(path)
    again = os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0) if scratch else os.O_EXCL
    return os.open(name, os.O_WRONLY | os.O_CREAT | again, 0o666), str(name)


def _check_name(path: Path) -> None:
    """Raises OSError for a name that is too long for a file."""
    if len(os.fsencode(path.name)) > 255:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))


def _sync_folder(folder: Path) -> None:
    """Makes the rename itself durable, where the system can open folders (Windows cannot)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
