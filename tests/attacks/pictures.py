"""Hostile pictures: small files that cost much, truncations and flipped bits, seeded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

__all__ = ["commented_gif", "hostile_pictures", "segmented_jpeg", "striped_tiff"]


def segmented_jpeg(count: int, begin: bytes = b"Exif\0\0") -> bytes:
    """A JPEG with so many segments of metadata of 60 kB."""
    data = _encoded("JPEG")
    body = begin + bytes(60_000)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return data[:2] + segment * count + data[2:]


def commented_gif(count: int) -> bytes:
    """A GIF with a comment of so many blocks of 255 bytes before its frame."""
    data = _encoded("GIF")
    table = 3 * 2 ** ((data[10] & 7) + 1) if data[10] & 0x80 else 0
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * count + b"\0"
    return data[: 13 + table] + comment + data[13 + table :]


def striped_tiff(count: int) -> bytes:
    """A grey TIFF of one pixel's width, each row a strip of its own."""
    short, long = 3, 4
    pixels = 8 + 2 + 12 * 9 + 4 + 8 * count
    tags = [(256, long, 1, 1), (257, long, 1, count), (258, short, 1, 8), (259, short, 1, 1)]
    tags += [(262, short, 1, 1), (273, long, count, pixels - 8 * count), (277, short, 1, 1)]
    tags += [(278, long, 1, 1), (279, long, count, pixels - 4 * count)]
    data = b"II*\0" + struct.pack("<LH", 8, len(tags))
    data += b"".join(struct.pack("<HHLL", *tag) for tag in tags) + bytes(4)
    places = np.arange(pixels, pixels + count, dtype="<u4").tobytes()
    return data + places + np.ones(count, "<u4").tobytes() + bytes(count)


def hostile_pictures(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """(name with a suffix, bytes) of so many files, of which few are whole pictures."""
    rng = np.random.default_rng(seed)
    whole = [_encoded(form, mode) for form, mode in _FORMS]
    special = list(_special())
    for number in range(count):
        if number < len(special):
            yield special[number]
            continue
        data, other = (whole[int(i)] for i in rng.integers(0, len(whole), 2))
        suffix = _SUFFIXES[int(rng.integers(len(_SUFFIXES)))]
        yield f"{number}.{suffix}", _damaged(data, other, rng)


_FORMS = [
    *[("JPEG", mode) for mode in ("RGB", "L", "CMYK")],
    *[("PNG", mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16")],
    *[("TIFF", mode) for mode in ("RGB", "RGBA", "L", "CMYK", "1", "I;16", "F")],
    *[("WEBP", mode) for mode in ("RGB", "RGBA")],
    *[("BMP", mode) for mode in ("RGB", "L", "1")],
    *[("GIF", mode) for mode in ("P", "L")],
]
_SUFFIXES = ["jpg", "png", "tif", "webp", "bmp", "gif", "jpeg", "tiff", "eps", "svg", "x"]


def _encoded(form: str, mode: str = "RGB") -> bytes:
    """A picture of 40 x 30 pixels with some metadata."""
    stream = io.BytesIO()
    values = np.random.default_rng(1).integers(0, 255, (30, 40, 3), np.uint8)
    image = Image.fromarray(values)
    image = image.convert("L").convert(mode) if mode in ("I;16", "F") else image.convert(mode)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    image.save(stream, form, exif=exif)
    return stream.getvalue()


def _damaged(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A file cut short, with bits or numbers changed, with parts twice, or joined to another."""
    kind, changed = int(rng.integers(6)), bytearray(data)
    at, end = sorted(int(place) for place in rng.integers(0, len(data), 2))
    if kind == 0:
        return data[:at]
    if kind == 1:
        for place in rng.integers(0, len(data), int(rng.integers(1, 12))):
            changed[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:  # numbers of a header
        place = int(rng.integers(min(len(data), 120)))
        changed[place : place + 4] = rng.choice(
            [b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"]
        )
    elif kind == 3:
        return data[:end] + data[at:]
    elif kind == 4:
        return data[:at] + other[int(rng.integers(len(other))) :]
    else:
        changed[at:end] = rng.bytes(end - at)
    return bytes(changed)


def _special() -> Iterator[tuple[str, bytes]]:
    """Files that were wrong once, or that others had trouble with."""
    yield "exif.jpg", segmented_jpeg(300)
    yield "comments.gif", commented_gif(40_000)
    yield "strips.tif", striped_tiff(300_000)
    for width, height in ((60_000, 60_000), (2**31 - 1, 1), (0, 5), (1, 60_000)):
        yield f"{width}x{height}.png", _empty_png(width, height)
    stream = io.BytesIO()
    Image.new("RGB", (16383, 1400)).save(stream, "WEBP", lossless=True, quality=0)
    yield "huge.webp", stream.getvalue()
    stream = io.BytesIO()
    Image.fromarray(np.full((30, 40), np.nan, np.float32)).save(stream, "TIFF")
    yield "nan.tif", stream.getvalue()
    yield "empty.png", b""
    yield "text.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    yield "drawn.jpg", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "layers.png", b"8BPS\0\1" + bytes(40)


def _empty_png(width: int, height: int) -> bytes:
    """A PNG of that size with the pixels of almost none."""
    parts = [(b"IHDR", struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in parts:
        data += struct.pack(">L", len(body)) + name + body
        data += struct.pack(">L", zlib.crc32(name + body))
    return data
