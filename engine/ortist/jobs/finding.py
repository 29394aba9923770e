"""Files, folders and glob patterns -> the pictures that they stand for, each with its place."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, OptionError
from ..files import as_path
from ..pictures.extras import EXTRA_SUFFIXES, has_extra, looks_like_picture
from ..style.files import SUFFIX
from ..style.named import built_in

__all__ = ["Found", "find_pictures", "told_of"]

_SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif"}
"""The suffixes of what is taken from a folder, besides those of extras that are installed, and of
files without any that begin as pictures do. A file that is named may be called anything."""
_BEGINNING = 64
"""Bytes by which a file without suffix is known."""
_MOST_KINDS = 4
"""Suffixes that are told of those that were passed over."""


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
    passed: Counter[str] | None = None,
) -> list[Found]:
    """The pictures that ``names`` stand for: files, folders with all below, and glob patterns.

    They come in the order of ``names``, sorted within each, each file once. Hidden files and
    folders below a folder are left out. From a folder, files with the suffix of a picture are
    taken, and those without one that begin as a picture; the others are counted in ``passed``, by
    their suffixes. Where ``styles`` are looked for, so are style files, and the name of a built-in
    style stands for its picture, unless a file or folder is called so. Nothing below the folder
    ``without`` is taken from folders and patterns that are not below it themselves. The place of a
    picture from a pattern is its path below what precedes the first wildcard. A file that is named
    need not exist: opening it says so best.

    Raises OptionError for a folder or pattern with no picture, InputError for a folder that cannot
    be read, PictureError for a word that names no style.
    """
    barred = None if without is None else os.path.realpath(without)
    extras = {suffix for suffix, extra in EXTRA_SUFFIXES.items() if has_extra(extra)}
    suffixes = _SUFFIXES | extras | ({SUFFIX} if styles else set())
    passed = Counter() if passed is None else passed
    found: dict[str, Found] = {}
    if not isinstance(names, (str, PathLike, Iterable)):
        raise OptionError(f"pictures should be paths, one or several, not {names!r:.80}.")
    for named in [names] if isinstance(names, (str, PathLike)) else names:
        as_path(named, "a picture")
        name = os.fspath(named)
        if os.path.isdir(name):
            what, new = "folder", list(_taken([name], name, barred, suffixes, passed))
        elif not os.path.lexists(name) and glob.has_magic(name):
            paths = sorted(glob.glob(name, recursive=True))
            what, new = "pattern", list(_taken(paths, _base(name), barred, suffixes, passed))
        elif styles and (style := built_in(name)):
            what, new = "style", [Found(str(style.path), name, name)]
        else:
            what, new = "file", [Found(os.path.abspath(name), os.path.basename(name), name)]
        if not new:
            raise OptionError(
                f"there is no picture in the {what} {name!r}; a folder's are those that end in "
                f"{', '.join(sorted(suffixes))}, and the output folder's do not count"
                f"{_needed(passed)}."
            )
        for picture in new:
            found.setdefault(picture.path, picture)
    return list(found.values())


def told_of(passed: Counter[str]) -> str | None:
    """One sentence on how many files of folders were passed over, and why; None for none."""
    if not passed:
        return None
    counted = passed.most_common()
    kinds = [f"{count} {suffix or 'without suffix'}" for suffix, count in counted[:_MOST_KINDS]]
    rest = sum(count for _, count in counted[_MOST_KINDS:])
    kinds += [f"{rest} others"] * bool(rest)
    total = sum(passed.values())
    return (
        f"{total} {'files were' if total > 1 else 'file was'} passed over, which by the name "
        f"{'are no pictures' if total > 1 else 'is no picture'} that can be read: "
        f"{', '.join(kinds)}{_needed(passed)}."
    )


def _needed(passed: Counter[str]) -> str:
    """What would have to be installed for some of them."""
    extras = sorted({EXTRA_SUFFIXES[suffix] for suffix in passed if suffix in EXTRA_SUFFIXES})
    return f"; pip install 'ortist[{','.join(extras)}]' brings what reads some" if extras else ""


def _base(pattern: str) -> str:
    """What precedes the first wildcard of a pattern."""
    parts = Path(pattern).parts
    magic = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return os.path.join(*parts[:magic]) if magic else os.curdir


def _taken(
    paths: Iterable[str],
    base: str,
    barred: str | None,
    suffixes: set[str],
    passed: Counter[str],
) -> Iterator[Found]:
    """The files among ``paths``, and the pictures in folders among them, placed below ``base``.

    None is below ``barred``, unless ``base`` itself is.
    """
    if _inside(base, barred) and os.path.realpath(base) != barred:
        barred = None
    for path in paths:
        if os.path.isdir(path):
            files = _below(path, barred, suffixes, passed)
        else:
            files = iter([] if _inside(path, barred) else [path])
        for file in files:
            yield Found(os.path.abspath(file), os.path.relpath(file, base), file)


def _below(
    folder: str, barred: str | None, suffixes: set[str], passed: Counter[str]
) -> Iterator[str]:
    """The paths of the pictures below ``folder``, none of them below ``barred``."""

    def unreadable(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename!r} ({error.strerror}).")

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        if _inside(parent, barred):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            suffix, path = os.path.splitext(name)[1].lower(), os.path.join(parent, name)
            if name.startswith("."):
                continue
            if suffix in suffixes or (not suffix and _begins_as_picture(path)):
                yield path
            else:
                passed[suffix] += 1


def _begins_as_picture(path: str) -> bool:
    """Whether a file without suffix is a picture by its first bytes."""
    try:
        if not os.path.isfile(path):  # a FIFO would be waited for
            return False
        with open(path, "rb") as stream:
            return looks_like_picture(stream.read(_BEGINNING))
    except OSError:
        return False


def _inside(path: str, folder: str | None) -> bool:
    """Whether ``path`` is ``folder`` or lies below it, links followed."""
    resolved = os.path.realpath(path)
    return folder is not None and (resolved + os.sep).startswith(os.path.join(folder, ""))
