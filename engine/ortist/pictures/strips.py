"""TIFFs that are read strip by strip, or tile by tile: pictures that need not be in memory.

TIFF 6.0 has many kinds. Read so are those that large pictures come in, and that Ortist writes: RGB
of 8 or 16 bits, the channels of a pixel side by side, uncompressed or deflated, upright, in sRGB.
The others are decoded whole, by Pillow, which has opened the file here too and read its directory.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .profiles import srgb_profile

__all__ = ["Strips", "strips_of"]

_DEFLATE = (8, 32946)
_LARGEST = 2**28
"""Bytes of one row of strips or tiles at most: a file of one strip is better decoded whole."""


class Strips:
    """The pixels of a TIFF, uint8 or uint16 [H, W, 3]; ``strips[top:bottom]`` reads rows of them.

    ``tags`` is the file's directory as Pillow has read it, ``dtype`` the type of its samples with
    their byte order. Raises ValueError or OSError where the file is damaged or cut short.
    """

    def __init__(self, path: Path, tags: Any, dtype: np.dtype[Any]) -> None:
        self._path, self._kind = path, dtype
        self.shape = (int(tags[257]), int(tags[256]), 3)
        self.dtype = np.dtype(f"u{dtype.itemsize}")
        self.nbytes = self.shape[0] * self.shape[1] * 3 * dtype.itemsize
        self._tiled = 324 in tags
        if self._tiled:
            self._high, self._wide = int(tags[323]), int(tags[322])
            offsets, counts = tags[324], tags[325]
        else:
            height, self._wide = self.shape[:2]
            self._high = min(int(tags.get(278, height)), height)
            offsets, counts = tags[273], tags[279]
        self._places = list(zip(offsets, counts, strict=True))
        self._deflated = tags.get(259, 1) in _DEFLATE
        self._predicted = tags.get(317, 1) == 2
        self._last: tuple[int, NDArray[Any]] | None = None
        self._across, down = -(-self.shape[1] // self._wide), -(-self.shape[0] // self._high)
        if len(self._places) != self._across * down:
            raise ValueError(f"{len(self._places)} strips, not {self._across * down}")

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of strips or tiles, decoded."""
        return self._across * self._wide * self._high * 3 * self._kind.itemsize

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        pixels = np.empty((rows.stop - rows.start, *self.shape[1:]), self.dtype)
        for row in range(rows.start // self._high, -(-rows.stop // self._high)):
            top = row * self._high
            block = self._row(row)
            begin, end = max(rows.start, top), min(rows.stop, top + len(block))
            pixels[begin - rows.start : end - rows.start] = block[begin - top : end - top]
        return pixels

    def _row(self, row: int) -> NDArray[Any]:
        """The pixels [h, W, 3] of a row of strips or tiles; the last one read is kept."""
        if self._last is None or self._last[0] != row:
            self._last = None
            high = min(self._high, self.shape[0] - row * self._high)
            block = np.empty((high, *self.shape[1:]), self.dtype)
            with self._path.open("rb") as stream:
                for column in range(self._across):
                    left = column * self._wide
                    part = self._part(stream, row * self._across + column, high)
                    width = min(self._wide, self.shape[1] - left)
                    block[:, left : left + width] = part[:high, :width]
            self._last = row, block
        return self._last[1]

    def _part(self, stream: Any, index: int, high: int) -> NDArray[Any]:
        """The pixels of one strip of ``high`` rows, or of one tile, which has all its rows."""
        offset, count = self._places[index]
        stream.seek(offset)
        high = self._high if self._tiled else high
        size = high * self._wide * 3 * self._kind.itemsize
        data = stream.read(count)
        if self._deflated:
            data = zlib.decompressobj().decompress(data, size)
        if len(data) < size:
            raise ValueError(f"strip or tile {index} is cut short")
        part = np.frombuffer(data, self._kind, size // self._kind.itemsize)
        part = part.reshape(high, self._wide, 3).astype(self.dtype)
        if self._predicted:  # section 14: differences along the row, modulo the type's range
            part = np.cumsum(part, axis=1, dtype=self.dtype)
        return part


def strips_of(image: Image.Image, path: Path) -> Strips | None:
    """The strips of the file at ``path`` that Pillow has opened as ``image``.

    None where it is of another kind than the module's docstring names, or where one row of strips
    or tiles is larger than 256 MiB.
    """
    tags: Any = getattr(image, "tag_v2", None)
    if image.format != "TIFF" or tags is None:
        return None
    bits = tuple(tags.get(258, ()))
    places = (324, 325, 322, 323) if 324 in tags else (273, 279)
    compression = tags.get(259, 1)
    plain = (
        bits in ((8, 8, 8), (16, 16, 16))
        and tags.get(262) == 2
        and tags.get(277) == 3
        and tags.get(284, 1) == 1
        and tags.get(274, 1) == 1
        and set(tags.get(339, (1,))) == {1}
        and (compression in _DEFLATE or compression == 1 == tags.get(317, 1))
        and tags.get(317, 1) in (1, 2)
        and image.info.get("icc_profile") in (None, srgb_profile())
        and all(place in tags for place in places)
    )
    if not plain or getattr(image, "n_frames", 1) != 1:
        return None
    try:
        order = "<" if tags.prefix == b"II" else ">"
        strips = Strips(path, tags, np.dtype(f"{order}u{bits[0] // 8}"))
    except (ValueError, TypeError, ZeroDivisionError):
        return None
    return strips if strips.row_bytes <= _LARGEST else None
