"""HEIC and JPEG XL, which Pillow reads with the help of another package: the extras heic and jxl.

A package is imported when such a file is opened and not before. Of a JPEG XL the size is read here,
since its package decodes a file when it opens it.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from typing import NamedTuple

from ..errors import PictureError
from ..forks import importing

__all__ = ["EXTRA_SUFFIXES", "extra_form", "has_extra", "looks_like_picture"]


class _Extra(NamedTuple):
    """What files are called, the module that registers them with Pillow, and its extra."""

    name: str
    module: str
    extra: str


_EXTRAS = {
    "HEIF": _Extra("HEIC", "pillow_heif.HeifImagePlugin", "heic"),
    "JXL": _Extra("JPEG XL", "pillow_jxl.JpegXLImagePlugin", "jxl"),
}
"""By Pillow's name of the format."""
EXTRA_SUFFIXES = {".heic": "heic", ".heif": "heic", ".jxl": "jxl"}
"""By the suffixes of such files, the extra that they take."""
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_BARE, _BOXED = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
"""How a JPEG XL begins: its codestream, or the first box around it."""
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
)
"""How JPEG, PNG, GIF and TIFF begin; a BMP's two letters begin many a text too."""
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height, where a JPEG XL leaves its width out."""
_BITS = (9, 13, 18, 30)


def extra_form(path: str, begin: bytes, max_pixels: int, role: str) -> str | None:
    """Pillow's name of the format of a file that begins so, if it is one of these; then it is
    registered with Pillow.

    Raises PictureError where its package is not installed, and for a JPEG XL of more than
    ``max_pixels`` pixels.
    """
    form = _form(begin)
    if form is None:
        return None
    name, module, extra = _EXTRAS[form]
    try:
        with importing:
            importlib.import_module(module)
    except ImportError as error:
        raise PictureError(
            f"the {role} is {name}, which takes an extra: pip install 'ortist[{extra}]', or save "
            "it as JPEG or PNG."
        ) from error
    if form == "JXL":
        with open(path, "rb") as stream:
            size = _jxl_size(stream.read(2**16))
        if size is not None and size[0] * size[1] > max_pixels:
            raise PictureError(
                f"the {role} has {size[0]} x {size[1]} pixels, more than the limit of "
                f"{max_pixels}; raise it with --max-pixels (max_pixels=) if you trust the file."
            )
    return form


def has_extra(extra: str) -> bool:
    """Whether what the extra brings is installed; it is not imported."""
    packages = {own.extra: own.module.partition(".")[0] for own in _EXTRAS.values()}
    return importlib.util.find_spec(packages[extra]) is not None


def looks_like_picture(begin: bytes) -> bool:
    """Whether a file that begins so is one of those that can be read, with all extras."""
    webp = begin[:4] == b"RIFF" and begin[8:12] == b"WEBP"
    avif = begin[4:8] == b"ftyp" and b"avif" in begin
    return webp or avif or begin.startswith(_BEGINNINGS) or _form(begin) is not None


def _form(begin: bytes) -> str | None:
    if begin[4:8] == b"ftyp":
        brand, others = begin[8:12], begin[16:]
        return "HEIF" if brand in _HEIF_BRANDS and b"avif" not in others else None
    return "JXL" if begin.startswith((_BARE, _BOXED)) else None


def _jxl_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) by the header of a JPEG XL; None where it is not within ``data``."""
    codestream = data if data.startswith(_BARE) else _first_codestream(data)
    if len(codestream) < 12 or not codestream.startswith(_BARE):
        return None
    bits = _Bits(codestream[2:])
    small = bits.take(1) == 1
    height = _length(bits, small)
    ratio = bits.take(3)
    if ratio == 0:
        return _length(bits, small), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _length(bits: _Bits, small: bool) -> int:
    """A side in pixels: a multiple of 8, or of so many bits as the first two say."""
    return 8 * (1 + bits.take(5)) if small else 1 + bits.take(_BITS[bits.take(2)])


def _first_codestream(data: bytes) -> bytes:
    """What is in the first box of a codestream; b"" where there is none in ``data``."""
    stream = io.BytesIO(data)
    while len(head := stream.read(8)) == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        taken = 8
        if length == 1:
            length, taken = int.from_bytes(stream.read(8), "big"), 16
        if kind == b"jxlc":
            return stream.read()
        if kind == b"jxlp":
            return stream.read()[4:]  # behind the part's number
        if length < taken:
            return b""
        stream.seek(length - taken, io.SEEK_CUR)
    return b""


class _Bits:
    """The bits of ``data``, each byte's lowest first."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data[:16], "little")

    def take(self, count: int) -> int:
        """The next ``count`` bits as a number."""
        number = self._left & ((1 << count) - 1)
        self._left >>= count
        return number
