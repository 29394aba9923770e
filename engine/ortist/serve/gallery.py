"""Styles that callers may name: those of the package, and those in the folder of ``--styles``.

A name is looked up among those that were found when the service started, and is never a path.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..errors import OptionError, OrtistError
from ..options.parsing import shown
from ..pictures.reading import load_picture
from ..style.files import SUFFIX, read_style
from ..style.named import BUILT_IN

__all__ = ["Gallery", "NamedStyle"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", SUFFIX)
_SIDE = 240
"""Pixels of a thumbnail's longer side."""
_MOST = 500
"""Styles: a page of more would be no gallery."""


@dataclass(frozen=True)
class NamedStyle:
    """A style that has a name here: its file, and its thumbnail, encoded as JPEG."""

    name: str
    path: Path
    built_in: bool
    thumbnail: bytes

    @property
    def called(self) -> str:
        """What the command takes for it: a built-in style's name, another one's file."""
        return self.name if self.built_in else self.path.name


class Gallery:
    """The named styles, by name; read once, when the service starts.

    What is no usable style is left out, and said in ``notes``.
    """

    def __init__(self, folder: Path | None, max_pixels: int) -> None:
        self.notes: list[str] = []
        self._styles: dict[str, NamedStyle] = {}
        own = sorted(folder.iterdir()) if folder else []
        built_in = [style.path for style in BUILT_IN.values()]
        for path in (*own, *built_in):
            if path.suffix.lower() not in _SUFFIXES or path.name.startswith("."):
                continue
            if path.stem in self._styles or len(self._styles) >= _MOST:
                continue
            try:
                thumbnail = _thumbnail(path, max_pixels)
            except OrtistError as error:
                self.notes.append(f"the style {path.name!r} is left out: {error}")
                continue
            style = NamedStyle(path.stem, path, path in built_in, thumbnail)
            self._styles[path.stem] = style

    def __iter__(self) -> Iterator[NamedStyle]:
        return iter(self._styles.values())

    def named(self, name: str) -> NamedStyle:
        """The style of that name; raises OptionError for any other word, a path among them."""
        if name not in self._styles:
            known = ", ".join(self._styles)
            raise OptionError(
                f"there is no style {shown(name)} here; choose one of {known}, or send a picture."
            )
        return self._styles[name]


def _thumbnail(path: Path, max_pixels: int) -> bytes:
    """A JPEG of the style's picture, or of what a style file shows; raises OrtistError."""
    if path.suffix.lower() == SUFFIX:
        image = Image.fromarray(read_style(path).thumbnail)
    else:
        image = load_picture(path, max_pixels, "style image").image
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.convert("RGB").save(stream, "JPEG", quality=82)
    return stream.getvalue()
