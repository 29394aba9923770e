"""What of a file could cost out of all proportion, looked for in its blocks before Pillow reads it.

Pillow puts metadata together piece by piece, each time with a copy of all before, and reads every
table of a TIFF into Python's numbers; a WebP of a few bytes may stand for any number of pixels.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from ..errors import PictureError

__all__ = ["screen"]

_MOST_SEGMENTS = {b"Exif\0\0": 16, b"ICC_PR": 255}
"""Segments of a JPEG that begin so, at most: EXIF and a colour profile, in pieces of 64 KiB."""
_MOST_METADATA = 2**25
"""Bytes of a JPEG's segments at most; a GIF's comments have less, a TIFF's tags may have more."""
_MOST_STRIPS = 2**16
"""Strips or tiles of a TIFF, and values of any other of its tags but bytes."""
_MOST_PAGES = 2**12
_FEWEST_BYTES = 2000
"""Pixels for each byte of a WebP at most, beyond ``_SMALL`` pixels."""
_SMALL = 2**24
_KINDS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Bytes of one value of a TIFF's types."""


def screen(stream: BinaryIO, form: str, role: str) -> None:
    """Raises PictureError for a file of Pillow's format ``form`` that could cost too much.

    Damaged files pass: the decoder says best what is wrong with them.
    """
    look = {"JPEG": _jpeg, "GIF": _gif, "TIFF": _tiff, "WEBP": _webp}.get(form)
    if look is None:
        return
    try:
        said = look(stream)
    except (EOFError, struct.error, ValueError):
        return
    if said is not None:
        raise PictureError(f"the {role} has {said}; save it again without, or name another.")


def _jpeg(stream: BinaryIO) -> str | None:
    _exactly(stream, 2)
    total, counts = 0, dict.fromkeys(_MOST_SEGMENTS, 0)
    while True:
        mark, code = _exactly(stream, 2)
        while code == 0xFF:  # any number of them may stand before a code
            code = _exactly(stream, 1)[0]
        if mark != 0xFF or code in (0xDA, 0xD9):
            return None
        if code == 1 or 0xD0 <= code <= 0xD8:
            continue
        length = int.from_bytes(_exactly(stream, 2), "big") - 2
        begin = stream.read(min(6, max(0, length)))
        stream.seek(length - len(begin), os.SEEK_CUR)
        total += length if code == 0xFE or 0xE0 <= code <= 0xEF else 0
        if begin in counts:
            counts[begin] += 1
            if counts[begin] > _MOST_SEGMENTS[begin]:
                return f"more than {_MOST_SEGMENTS[begin]} segments of one kind of metadata"
        if total > _MOST_METADATA:
            return f"more than {_MOST_METADATA} bytes of metadata"


def _gif(stream: BinaryIO) -> str | None:
    """What stands before the first frame, which is all that is read."""
    flags = _exactly(stream, 13)[10]
    stream.seek(3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0, os.SEEK_CUR)
    total = 0
    while _exactly(stream, 1) == b"!":
        _exactly(stream, 1)
        while length := _exactly(stream, 1)[0]:
            stream.seek(length, os.SEEK_CUR)
            total += length
            if total > _MOST_METADATA // 16:
                return f"more than {_MOST_METADATA // 16} bytes of comments"
    return None


def _tiff(stream: BinaryIO) -> str | None:
    order = "<" if _exactly(stream, 2) == b"II" else ">"
    (version,) = struct.unpack(f"{order}H", _exactly(stream, 2))
    big = version == 43
    if big:
        _exactly(stream, 4)
    word, entry = (f"{order}Q", f"{order}HHQ8s") if big else (f"{order}L", f"{order}HHL4s")
    count_of = f"{order}Q" if big else f"{order}H"
    size, number = struct.calcsize(word), struct.calcsize(count_of)
    (place,) = struct.unpack(word, _exactly(stream, size))
    total, pages = 0, 0
    while place:
        pages += 1
        if pages > _MOST_PAGES:
            return f"more than {_MOST_PAGES} pages"
        stream.seek(place)
        (tags,) = struct.unpack(count_of, _exactly(stream, number))
        for _ in range(min(tags, 2**16)):
            data = _exactly(stream, struct.calcsize(entry))
            tag, kind, count, _ = struct.unpack(entry, data)
            if count > _MOST_STRIPS and kind not in (1, 2, 6, 7):
                what = "strips or tiles" if tag in (273, 279, 324, 325) else f"values of tag {tag}"
                return f"{count} {what}, more than {_MOST_STRIPS}"
            total += count * _KINDS.get(kind, 1)
        if total > 4 * _MOST_METADATA:  # layers of its program, which are read in one piece
            return f"more than {4 * _MOST_METADATA} bytes of tags"
        (place,) = struct.unpack(word, _exactly(stream, size))
    return None


def _webp(stream: BinaryIO) -> str | None:
    size = os.fstat(stream.fileno()).st_size
    head = _exactly(stream, 30)
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(head[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        return None
    if width * height > max(_SMALL, _FEWEST_BYTES * size):
        return f"{width} x {height} pixels in {size} bytes, which would take gigabytes to decode"
    return None


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data
