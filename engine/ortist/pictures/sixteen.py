"""16 bits a channel in colour, for which Pillow has no mode: PNG and TIFF, in and out.

A file is read by Pillow's decoders all the same, twice: each time they keep one byte of every
sample, the high one as the file is, the low one when they are told the other byte order. So every
filter, interlacing, compression and check of theirs holds here too. Writing is done here.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import IFD
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..network.sessions import available_cpus
from .metadata import has_tags
from .profiles import srgb_profile

__all__ = ["PNG_STRATEGY", "read_sixteen", "write_png", "write_tiff"]

PNG_STRATEGY = zlib.Z_RLE
"""Looks for runs alone. What PNG's filters leave of a painted picture hardly repeats: files are as
large (a pencil drawing's by 6 % larger) in a third of the time."""

Samples = NDArray[np.uint16]

_OTHER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""The last letter of Pillow's raw modes -> the byte order that gives the low byte."""
_PLANAR = 284  # the TIFF tag that tells whether channels lie in planes of their own
_STRIP_BYTES = 2**20
"""Bytes of the rows that are written as one strip, before they are compressed."""
_STRIPS = 8
"""How many strips of a TIFF are compressed at once."""


def read_sixteen(image: Image.Image, again: Callable[[], Image.Image]) -> Samples | None:
    """The samples, uint16 [H, W, C], of an RGB, RGBA or LA picture of 16 bits a channel, upright.

    ``image`` is opened and not decoded yet, ``again`` opens it once more. Returns None, and leaves
    ``image`` as it was, where the file is no such picture. A TIFF with a plane for each channel is
    none either: Pillow reads the high bytes of compressed ones. Raises ValueError for uncompressed
    ones, which it cannot read.
    """
    tiles = getattr(image, "tile", [])
    if getattr(image, "tag_v2", {}).get(_PLANAR, 1) != 1:
        if any(tile[0] == "raw" for tile in tiles) and 16 in image.tag_v2.get(258, ()):  # type: ignore[attr-defined]
            raise ValueError("its 16-bit channels are in separate planes; save it interleaved")
        return None
    mode, *others = {_raw_mode(tile) for tile in tiles} or {""}
    if image.format not in ("PNG", "TIFF") or others:
        return None
    if mode == "LA;16B":  # its four bytes are as many as RGBA's
        image.tile = [tile._replace(args="RGBA") for tile in tiles]  # type: ignore[attr-defined]
        octets = np.asarray(ImageOps.exif_transpose(image))
        # A byte array [H, W, 4] is a big-endian array [H, W, 2].
        return np.ascontiguousarray(octets).view(">u2").astype(np.uint16)
    if mode[:-1] not in ("RGB;16", "RGBA;16"):
        return None
    samples = np.asarray(ImageOps.exif_transpose(image)).astype(np.uint16)
    samples <<= 8
    other = mode[:-1] + _OTHER[mode[-1]]
    with again() as low:
        low.tile = [  # type: ignore[attr-defined]
            tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:]))
            for tile in low.tile  # type: ignore[attr-defined]
        ]
        samples |= np.asarray(ImageOps.exif_transpose(low))
    return samples


def _raw_mode(tile: tuple[object, ...]) -> str:
    """The raw mode that Pillow's decoder is told for a tile, "" where it is told none."""
    args = tile[3]
    first = args[0] if isinstance(args, (tuple, list)) and args else args
    return first if isinstance(first, str) else ""


def write_png(samples: Any, stream: BinaryIO, exif: Image.Exif) -> None:
    """Writes ``samples``, uint8 or uint16 [H, W, 3 or 4], as a PNG (W3C, third edition), in sRGB.

    ``samples`` may be anything with a shape and a dtype that answers ``samples[top:bottom]``.
    Raises OSError where the stream does.
    """
    height, width, channels = samples.shape
    size = samples.dtype.itemsize
    kind = {3: 2, 4: 6}[channels]
    stream.write(b"\x89PNG\r\n\x1a\n")
    _chunk(stream, b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, kind, 0, 0, 0))
    _chunk(stream, b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile()))
    if has_tags(exif):
        _chunk(stream, b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    pack = zlib.compressobj(6, strategy=PNG_STRATEGY)
    rows = max(1, _STRIP_BYTES // (size * channels * width))
    for top in range(0, height, rows):
        part = samples[top : top + rows].astype(f">u{size}").view(np.uint8)
        part = part.reshape(len(part), width, size * channels)
        filtered = part.copy()  # filter 1: every byte less the one of the pixel to the left
        filtered[:, 1:] -= part[:, :-1]
        lines = np.ones((len(part), 1 + size * channels * width), np.uint8)
        lines[:, 1:] = filtered.reshape(len(part), -1)
        if data := pack.compress(lines.tobytes()):
            _chunk(stream, b"IDAT", data)
    _chunk(stream, b"IDAT", pack.flush())
    _chunk(stream, b"IEND", b"")


def _chunk(stream: BinaryIO, name: bytes, data: bytes) -> None:
    """Writes a PNG's chunk: length, name, data, CRC."""
    stream.write(struct.pack(">I", len(data)) + name + data)
    stream.write(struct.pack(">I", zlib.crc32(name + data)))


def write_tiff(samples: Any, stream: BinaryIO, exif: Image.Exif) -> None:
    """Writes ``samples``, uint8 or uint16 [H, W, 3 or 4], as a TIFF 6.0, deflated, in sRGB.

    ``samples`` are as ``write_png`` takes them. 8 bits are written here too, since Pillow's own way
    to deflate refuses some EXIF data. Strips are written as they are made, between two versions of
    the directory, which stands before them and holds their sizes. Raises OSError too.
    """
    height, width, channels = samples.shape
    size = samples.dtype.itemsize
    rows = max(1, _STRIP_BYTES // (size * channels * width))
    directory = ImageFileDirectory_v2(b"II\x2a\x00\x00\x00\x00\x00")
    directory.tagtype |= {273: 4, 279: 4, 34675: 7}
    directory.update(exif)
    for tag in (IFD.Exif, IFD.GPSInfo):
        if inner := exif.get_ifd(tag):
            directory[tag] = dict(inner)
    own: dict[int, Any] = {
        256: width,
        257: height,
        258: (8 * size,) * channels,
        259: 8,  # deflate
        262: 2,  # RGB
        277: channels,
        278: rows,
        _PLANAR: 1,
        317: 2,
        339: (1,) * channels,  # unsigned
        34675: srgb_profile(),
    }
    if channels == 4:
        own[338] = (2,)  # the fourth is alpha, not multiplied into the others
    directory.update(own)
    begin = stream.tell()

    def write_directory(sizes: list[int]) -> None:
        stream.seek(begin)
        directory[273] = tuple(int(offset) for offset in np.cumsum([0, *sizes[:-1]]))
        directory[279] = tuple(sizes)
        directory.save(stream)  # makes the strips' offsets count from its own end

    write_directory([0] * -(-height // rows))
    sizes = []
    with ThreadPoolExecutor(available_cpus()) as threads:
        for top in range(0, height, _STRIPS * rows):  # so many are compressed at once
            tops = range(top, min(height, top + _STRIPS * rows), rows)
            for strip in threads.map(_compressed, [samples[t : t + rows] for t in tops]):
                sizes.append(len(strip))
                stream.write(strip)
    end = stream.tell()
    write_directory(sizes)
    stream.seek(end)


def _compressed(part: NDArray[Any]) -> bytes:
    """A strip of a TIFF: rows [h, W, C], predicted and deflated."""
    predicted = part.copy()  # section 14: every sample less the one of the pixel to the left
    predicted[:, 1:] -= part[:, :-1]
    return zlib.compress(predicted.astype(f"<u{part.dtype.itemsize}", copy=False).tobytes(), 6)
