"""Files, folders and glob patterns -> the pictures that they stand for, each with its place."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, OptionError
from ..files import as_path
from ..style.files import SUFFIX
from ..style.named import built_in

__all__ = ["Found", "find_pictures"]

_SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif"}
"""The suffixes of what is taken from a folder; a file that is named may be called anything."""


class Found(NamedTuple):
    """A picture that was found.

    ``path`` is absolute. ``place`` is the path below the folder or pattern that brought it, the
    file's own name where it was named itself. ``name`` is the path as the naming leads to it.
    """

    path: str
    place: str
    name: str


def find_pictures(
    names: str | PathLike[str] | Iterable[str | PathLike[str]],
    without: str | PathLike[str] | None = None,
    styles: bool = False,
) -> list[Found]:
    """The pictures that ``names`` stand for: files, folders with all below, and glob patterns.

    They come in the order of ``names``, sorted within each, each file once. Hidden files and
    folders below a folder are left out. From a folder, files with the suffix of a picture are
    taken. Where ``styles`` are looked for, so are style files, and the name of a built-in style
    stands for its picture, unless a file or folder is called so. Nothing below the folder
    ``without`` is taken from folders and patterns that are not below it themselves. The place of a
    picture from a pattern is its path below what precedes the first wildcard. A file that is named
    need not exist: opening it says so best.

    Raises OptionError for a folder or pattern with no picture, InputError for a folder that cannot
    be read, PictureError for a word that names no style.
    """
    barred = None if without is None else os.path.realpath(without)
    suffixes = {*_SUFFIXES, SUFFIX} if styles else _SUFFIXES
    found: dict[str, Found] = {}
    if not isinstance(names, (str, PathLike, Iterable)):
        raise OptionError(f"pictures should be paths, one or several, not {names!r:.80}.")
    for named in [names] if isinstance(names, (str, PathLike)) else names:
        as_path(named, "a picture")
        name = os.fspath(named)
        if os.path.isdir(name):
            what, new = "folder", list(_taken([name], name, barred, suffixes))
        elif not os.path.lexists(name) and glob.has_magic(name):
            paths = sorted(glob.glob(name, recursive=True))
            what, new = "pattern", list(_taken(paths, _base(name), barred, suffixes))
        elif styles and (style := built_in(name)):
            what, new = "style", [Found(str(style.path), name, name)]
        else:
            what, new = "file", [Found(os.path.abspath(name), os.path.basename(name), name)]
        if not new:
            raise OptionError(
                f"there is no picture in the {what} {name!r}; a folder's are those that end in "
                f"{', '.join(sorted(suffixes))}, and the output folder's do not count."
            )
        for picture in new:
            found.setdefault(picture.path, picture)
    return list(found.values())


def _base(pattern: str) -> str:
    """What precedes the first wildcard of a pattern."""
    parts = Path(pattern).parts
    magic = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return os.path.join(*parts[:magic]) if magic else os.curdir


def _taken(
    paths: Iterable[str], base: str, barred: str | None, suffixes: set[str]
) -> Iterator[Found]:
    """The files among ``paths``, and the pictures in folders among them, placed below ``base``.

    None is below ``barred``, unless ``base`` itself is.
    """
    if _inside(base, barred) and os.path.realpath(base) != barred:
        barred = None
    for path in paths:
        if os.path.isdir(path):
            files = _below(path, barred, suffixes)
        else:
            files = iter([] if _inside(path, barred) else [path])
        for file in files:
            yield Found(os.path.abspath(file), os.path.relpath(file, base), file)


def _below(folder: str, barred: str | None, suffixes: set[str]) -> Iterator[str]:
    """The paths of the pictures below ``folder``, none of them below ``barred``."""

    def unreadable(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename!r} ({error.strerror}).")

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        if _inside(parent, barred):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes:
                yield os.path.join(parent, name)


def _inside(path: str, folder: str | None) -> bool:
    """Whether ``path`` is ``folder`` or lies below it, links followed."""
    resolved = os.path.realpath(path)
    return folder is not None and (resolved + os.sep).startswith(os.path.join(folder, ""))
