"""Styles that have a name: pictures of the package, drawn by docs/samples/styles.py.

A name stands for its picture wherever a style is asked for. It has neither folder nor suffix; a
file that is called just so goes before the built-in style.
"""

from __future__ import annotations

import difflib
import functools
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import PictureError
from ..files import sha256_of
from ..options.parsing import shown
from ..pictures.raster import Raster, Source
from ..pictures.reading import load_picture
from .files import Style

__all__ = ["BUILT_IN", "BuiltIn", "built_in", "opened", "shadow_note"]

_FOLDER = Path(__file__).parent / "builtin"
_SUFFIX = ".webp"
_PIXELS = 2**24


@dataclass(frozen=True)
class BuiltIn:
    """A style of the package: what it is called, and what it looks like."""

    name: str
    description: str

    @property
    def path(self) -> Path:
        """The file."""
        return _FOLDER / f"{self.name}{_SUFFIX}"

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hex."""
        return sha256_of(self.path)


BUILT_IN = {
    name: BuiltIn(name, description)
    for name, description in {
        "blueprint": "a draughtsman's white lines and hatching on blue paper",
        "comic": "flat printer's colours, dots for shades, black outlines",
        "glass": "panes of coloured light between black leads",
        "ink": "brush and black ink on rice paper, dry strokes and mist",
        "mosaic": "stones in cream, rust and sea green, set in mortar",
        "oil": "loaded strokes of a bristle brush, warm light out of the dark",
        "pencil": "a pencil's hatching on cream paper",
        "points": "dots of unmixed colours that mix in the eye",
        "shards": "translucent planes, discs and bars in red, orange and blue",
        "swirls": "bristled strokes that turn in a blue and yellow night",
        "watercolour": "thin washes with dark rims on white paper",
        "woodcut": "black cuts that swell with the dark, on cream, and a red block",
    }.items()
}
"""The built-in styles by name, in alphabetical order."""


def built_in(style: object) -> BuiltIn | None:
    """The built-in style that ``style`` names; None for a file, also of that name, and all else.

    Raises PictureError for a word that is neither a name nor a file, with the names close to it.
    """
    if not isinstance(style, str) or not _is_word(style) or _is_there(style):
        return None
    if style not in BUILT_IN:
        close = difflib.get_close_matches(style.lower(), BUILT_IN, n=3, cutoff=0.6)
        remedy = f"perhaps {' or '.join(close)} is meant" if close else "name a file"
        raise PictureError(
            f"the style image {shown(style)} does not exist, and no built-in style is called so; "
            f"{remedy} (ortist style list shows them)."
        )
    return BUILT_IN[style]


def opened(style: Style) -> Style:
    """The picture of a built-in style in the place of its name; anything else as it is.

    Raises PictureError as ``built_in`` does.
    """
    named = built_in(style)
    return style if named is None else _picture(named)


def shadow_note(path: str, sha256: str) -> str | None:
    """A sentence where a file, with such a hash, is called as a built-in style is; or None."""
    named = BUILT_IN.get(path)
    if named is None or sha256 == named.sha256:
        return None
    return (
        f"the style is the file {path!r} here, not the built-in style of that name; rename the "
        "file to have that."
    )


@functools.lru_cache(maxsize=len(BUILT_IN))
def _picture(named: BuiltIn) -> Raster:
    """The style's picture, whose source is called as the style is."""
    raster = load_picture(named.path, _PIXELS, "style image")
    return Raster(raster.pixels, source=Source(named.name, named.sha256))


def _is_word(style: str) -> bool:
    """Whether a text could be a name: it has neither a folder nor a suffix."""
    return style != "" and os.path.basename(style) == style and "." not in style


def _is_there(style: str) -> bool:
    """Whether a file, or a link, is called so; a folder is no style."""
    return os.path.lexists(style) and not (style in BUILT_IN and os.path.isdir(style))
