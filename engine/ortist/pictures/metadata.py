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
"""What is kept of the first directory; the rest is the file's layout, or the old orientation."""
_DROPPED = {
    *(Base.MakerNote, Base.ExifInteroperabilityOffset, Base.UserComment),
    *(Base.ExifImageWidth, Base.ExifImageHeight, Base.ColorSpace),
}
"""What is not kept of the others: notes point into the old file, sizes are the photo's."""
_LONGEST, _LARGEST = 4096, 24_576
"""Bytes of one tag and of all: JPEG holds 64 KiB, of which the settings need some."""
_ASCII = b"ASCII\0\0\0"


def exif_of(image: Image.Image) -> bytes:
    """The EXIF of ``image`` that is about how it was taken, encoded; b"" for none.

    Orientation, thumbnails, makers' notes and sizes are left out, since a painting does not share
    them, and tags of more than 4 KiB. What then has more than 24 KiB, or cannot be read, is b"".
    """
    try:
        old, new = image.getexif(), Image.Exif()
        new.update({tag: old[tag] for tag in old if tag in _KEPT and _short(old[tag])})
        for directory in (IFD.Exif, IFD.GPSInfo):
            tags = old.get_ifd(directory).items()
            new.get_ifd(directory).update(
                {t: v for t, v in tags if t not in _DROPPED and _short(v)}
            )
        data = new.tobytes() if has_tags(new) else b""
        with_text(data, "")  # that it can be read and written again
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # the parser raises whatever comes
        return b""
    return data if len(data) <= _LARGEST else b""


def has_tags(exif: Image.Exif) -> bool:
    """Whether any of the directories of ``exif`` holds a tag."""
    return bool(len(exif) or exif.get_ifd(IFD.Exif) or exif.get_ifd(IFD.GPSInfo))


def with_text(exif: bytes, text: str | None) -> Image.Exif:
    """Encoded ``exif``, decoded, with ``text`` as its UserComment; with None as it is.

    Raises UnicodeEncodeError for a text that is not ASCII, and whatever Pillow does for ``exif``
    that ``exif_of`` did not make.
    """
    given = Image.Exif()
    given.load(exif)
    made = Image.Exif()
    made.update({tag: given[tag] for tag in given if tag not in (IFD.Exif, IFD.GPSInfo)})
    for tag in (IFD.Exif, IFD.GPSInfo):
        if values := given.get_ifd(tag):
            made.get_ifd(tag).update(values)
    if text is not None:
        made.get_ifd(IFD.Exif)[Base.UserComment] = _ASCII + text.encode("ascii")
    made.tobytes()
    return made


def text_of(image: Image.Image) -> str | None:
    """The UserComment of an opened picture; None where there is none, or it is not ASCII."""
    comment = image.getexif().get_ifd(IFD.Exif).get(Base.UserComment)
    if not isinstance(comment, bytes) or not comment.startswith(_ASCII):
        return None
    return comment.removeprefix(_ASCII).decode().rstrip("\0 ") if comment.isascii() else None


def _short(value: Any) -> bool:
    """Whether a tag's value is a number, or has no more than 4096 bytes, letters or numbers."""
    return len(value) <= _LONGEST if isinstance(value, (bytes, str, tuple)) else True
