"""EXIF: what of a photo's own may go along with its painting, and a place for one more text.

Everything here that came with a picture is a stranger's: what cannot be read is passed over.
"""

from __future__ import annotations

from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

__all__ = ["exif_of", "has_tags", "text_of", "with_text"]

_KEPT = {
    *(Base.ImageDescription, Base.Make, Base.Model, Base.Software, Base.DateTime),
    *(Base.Artist, Base.Copyright),
}
"""Of the first directory; others are about the file's layout, or orientation, which is reset."""
_DROPPED = {
    # Makers' notes point into the old file and may hold previews of it; sizes are the photo's.
    *(Base.MakerNote, Base.ExifInteroperabilityOffset, Base.UserComment),
    *(Base.ExifImageWidth, Base.ExifImageHeight, Base.ColorSpace),
}
_LONGEST, _LARGEST = 4096, 24_576
"""Bytes of one tag and of all: JPEG holds 64 KiB, of which the settings need some."""
_ASCII = b"ASCII\0\0\0"


def exif_of(image: Image.Image) -> bytes:
    """The EXIF of ``image`` that is about how it was taken, b"" for none.

    Without orientation, thumbnails, makers' notes and sizes, which a painting of it does not share,
    and without tags of more than 4 KiB; more than 24 KiB in all are left behind.
    """
    try:
        old, new = image.getexif(), Image.Exif()
        new.update({tag: old[tag] for tag in old if tag in _KEPT and _short(old[tag])})
        for directory in (IFD.Exif, IFD.GPSInfo):
            found = dict(old.get_ifd(directory))
            kept = {t: v for t, v in found.items() if t not in _DROPPED and _short(v)}
            new.get_ifd(directory).update(kept)
        data = new.tobytes() if has_tags(new) else b""
        with_text(data, "")  # that it can be read and written again
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # the parser raises whatever comes
        return b""
    return data if len(data) <= _LARGEST else b""


def has_tags(exif: Image.Exif) -> bool:
    return bool(len(exif) or exif.get_ifd(IFD.Exif) or exif.get_ifd(IFD.GPSInfo))


def _short(value: Any) -> bool:
    return len(value) <= _LONGEST if isinstance(value, (bytes, str, tuple)) else True


def with_text(exif: bytes, text: str | None) -> Image.Exif:
    """``exif`` with ``text``, which should be ASCII, as its UserComment."""
    found = Image.Exif()
    found.load(exif)
    directories = {tag: dict(found.get_ifd(tag)) for tag in (IFD.Exif, IFD.GPSInfo)}
    if text is not None:
        directories[IFD.Exif][Base.UserComment] = _ASCII + text.encode("ascii")
    made = Image.Exif()
    made.update({tag: found[tag] for tag in found if tag not in directories})
    for tag, values in directories.items():
        if values:
            made.get_ifd(tag).update(values)
    made.tobytes()
    return made


def text_of(image: Image.Image) -> str | None:
    """The UserComment of an opened picture, if there is one in ASCII."""
    comment = image.getexif().get_ifd(IFD.Exif).get(Base.UserComment)
    if not isinstance(comment, bytes) or not comment.startswith(_ASCII):
        return None
    try:
        return comment.removeprefix(_ASCII).decode("ascii").rstrip("\0 ")
    except UnicodeDecodeError:
        return None
