"""A photo from standard input and a picture to standard output, where ``-`` stands for a file.

Both go by a file of their own meanwhile: a photo is read more than once, first its header, and a
picture is written whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OptionError, OutputError, PictureError

__all__ = [
    "FORMATS",
    "STREAM",
    "check_stdout",
    "drop_stdout",
    "photo_from_stdin",
    "picture_for_stdout",
    "send",
]

STREAM = "-"
"""What stands for standard input or output."""
FORMATS = ("png", "jpeg", "webp", "tiff", "bmp")
"""What ``--format`` may be; each is also the suffix of such a file."""
_BLOCK = 2**20
_PIXEL, _MORE = 8, 2**26
"""Bytes of the largest pixels, and of what may stand in a file besides."""


@contextmanager
def photo_from_stdin(folder: str | None, max_pixels: int) -> Iterator[str]:
    """The path of a file in ``folder`` with all that standard input brings, while the block lasts.

    A PictureError of the block that names the file names standard input instead. Raises
    PictureError where standard input is closed, a terminal, empty, or longer than a picture of
    ``max_pixels`` can be, and OutputError where there is no room for the file.
    """
    source = sys.stdin
    if source is None or source.closed:
        raise PictureError("standard input is closed; pipe a photo into it, or name a file.")
    if source.isatty():
        raise PictureError("standard input is a terminal; pipe a photo into it, or name a file.")
    with _folder(folder) as place:
        path = os.path.join(place, "photo")
        _receive(path, _PIXEL * max_pixels + _MORE)
        try:
            yield path
        except PictureError as error:
            said = str(error).replace(repr(path), "on standard input")
            raise PictureError(said) from error


def _receive(path: str, most: int) -> None:
    """Copies standard input to a file of at most ``most`` bytes."""
    length = 0
    try:
        with open(path, "wb") as target:
            while block := _block():
                length += len(block)
                if length > most:
                    raise PictureError(
                        f"standard input brings more than {most} bytes, which no photo that may be "
                        "read has; raise --max-pixels if it is one."
                    )
                target.write(block)
    except OSError as error:
        raise OutputError(
            f"cannot keep the photo of standard input ({error.strerror}); make room, or name "
            "another folder by --scratch."
        ) from error
    if not length:
        raise PictureError("standard input is empty; pipe a photo into it, or name a file.")


def _block() -> bytes:
    try:
        return sys.stdin.buffer.read(_BLOCK)
    except OSError as error:
        raise PictureError(
            f"standard input cannot be read ({error.strerror}); name a file."
        ) from error


@contextmanager
def _folder(parent: str | None) -> Iterator[str]:
    """A folder in ``parent``, or where the system has such, that is removed after the block."""
    try:
        made = tempfile.TemporaryDirectory(prefix="ortist-", dir=parent)
    except OSError as error:
        raise OutputError(
            f"cannot make a folder for what goes through a stream ({error.strerror}); name another "
            "place by --scratch."
        ) from error
    with made as place:
        yield place


@contextmanager
def picture_for_stdout(form: str, folder: str | None) -> Iterator[Path]:
    """The path of a file in ``folder``, there while the block lasts, for ``send``."""
    with _folder(folder) as place:
        yield Path(place, f"picture.{form}")


def check_stdout(as_json: bool, form: str, depth: int | None, snapshots: bool) -> None:
    """Raises OptionError or OutputError for a picture that cannot go to standard output."""
    if as_json:
        raise OptionError(
            "--json and the picture cannot both go to standard output; write the picture to a file."
        )
    if snapshots:
        raise OptionError(
            "snapshots are files beside the picture's, which goes to standard output; write it to "
            "a file."
        )
    if depth == 16 and form not in ("png", "tiff"):
        raise OptionError(f"{form} holds 8 bits per channel; for depth 16, give --format png.")
    if getattr(sys.stdout, "name", None) == os.devnull:  # in the place of one that is closed
        raise OutputError("standard output is closed; name a file with -o.")
    if sys.stdout.isatty():
        raise OutputError("standard output is a terminal; pipe it on, or name a file with -o.")


def send(path: Path) -> None:
    """Copies a file to standard output; raises OutputError where that cannot be written."""
    try:
        with open(path, "rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except OSError as error:
        drop_stdout()
        raise OutputError(
            f"cannot write the picture to standard output ({error.strerror}); name a file with -o."
        ) from error


def drop_stdout() -> None:
    """Keeps Python's own flush at exit from failing once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
