"""Pictures in: a file, a PIL image or an array is decoded, turned upright and brought to sRGB.

What comes of it is a ``Raster``: levels of 8 bits, or of 16 where the source has more than 8. Other
files read two sorts of pictures: 16 bits a channel in colour (pictures/sixteen.py), and TIFFs strip
by strip, so that they need not be in memory (pictures/strips.py).

Whoever gave the file is not trusted: every fault of it becomes a PictureError, and how many pixels
it has is judged by its header, before any is decoded.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from ..arrays import Arrays, Rows
from ..errors import OrtistError, PictureError, reason_of
from ..files import require_file, sha256_of
from ..forks import fresh_after_fork, importing
from .extras import extra_form
from .jpeg import decode_jpeg, shrink
from .libtiff import silent_libtiff
from .metadata import exif_of
from .profiles import convert, to_srgb
from .raster import Header, Picture, Raster, Source, in_depth, to_levels, unit
from .screening import screen
from .sixteen import read_sixteen
from .strips import strips_of

__all__ = ["load_picture", "open_picture", "read_header", "spool_picture"]

_READABLE = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "GIF": "GifImagePlugin",
    "AVIF": "AvifImagePlugin",
}
"""Pillow's names of the formats whose decoders are let near a file, and its modules, which are
imported when a file is not of those before; not every Pillow has AVIF."""
# Without a handler, Python writes what Pillow logs of damaged files to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())
_warnings_lock = fresh_after_fork(__name__, "_warnings_lock", threading.Lock)


def load_picture(
    picture: Picture, max_pixels: int, role: str = "picture", least: float | None = None
) -> Raster:
    """The picture in memory, as upright sRGB: ``pixels`` [H, W, 3] and ``alpha`` [H, W] in levels.

    ``role`` names it in messages. A JPEG whose shorter side has far more pixels than ``least`` is
    decoded smaller (pictures/jpeg.py). Raises PictureError for a file that is missing, unreadable,
    no picture or damaged, for an array of another type or shape than ``Picture`` names, and for
    more than ``max_pixels`` pixels.
    """
    if isinstance(picture, np.ndarray):
        return _from_array(picture, max_pixels, role)
    if isinstance(picture, Raster):
        _check_size(picture.size, max_pixels, role)
        return picture
    if isinstance(picture, Image.Image):
        with _decoding(role):
            _check_size(picture.size, max_pixels, role)
            return _to_srgb(picture, None, role)
    with open_picture(picture, max_pixels, role) as (image, role):
        full = None
        if image.format in ("JPEG", "MPO"):
            size, opened = _upright_size(image), image.size
            image = decode_jpeg(image, picture, least)
            full = None if image.size == opened else size
        several = image.format != "MPO" and bool(getattr(image, "is_animated", False))
        samples = read_sixteen(image, lambda: _opened(picture, max_pixels, role))
        raster = _to_srgb(image, samples, role)
        return replace(raster, source=_source(picture), several=several, full=full)


def spool_picture(picture: Picture, max_pixels: int, arrays: Arrays, role: str) -> Raster:
    """The raster that ``load_picture`` makes, its pixels where ``arrays`` has its own.

    Where that is on the disk, a file that can be is read strip by strip (pictures/strips.py);
    another one is decoded in memory first. Raises PictureError as ``load_picture`` does, and
    OutputError where the disk has no room.
    """
    if not arrays.on_disk:
        return load_picture(picture, max_pixels, role)
    if isinstance(picture, (str, PathLike)):
        with open_picture(picture, max_pixels, role) as (image, _):
            strips = strips_of(image, Path(os.fsdecode(picture)))
            if strips is not None:
                return Raster(arrays.spooled(strips), None, exif_of(image), _source(picture))
    raster = load_picture(picture, max_pixels, role)
    spooled = isinstance(raster.pixels, Rows)
    return raster if spooled else replace(raster, pixels=arrays.spooled(raster.pixels))


def read_header(
    picture: Picture, max_pixels: int, role: str = "picture", least: float | None = None
) -> Header:
    """The picture's size and what memory it takes, in bytes, a file's without decoding it.

    ``least`` is what ``load_picture`` is given. Raises PictureError for a file that is missing,
    unreadable or no picture, and for more than ``max_pixels`` pixels. What only decoding shows to
    be wrong passes.
    """
    if isinstance(picture, np.ndarray):
        if picture.ndim not in (2, 3):
            return Header(role, (1, 1), 0, 0)  # decoding it will say what is wrong
        height, width = picture.shape[:2]
        _check_size((width, height), max_pixels, role)
        return Header(
            role, (width, height), 7 * width * height + picture.nbytes, 3 * width * height
        )
    if isinstance(picture, (Raster, Image.Image)):
        _check_size(picture.size, max_pixels, role)
        if isinstance(picture, Raster):
            return Header(role, picture.size, 0, 0)
        with _decoding(role):  # it may be a file's that was not decoded yet
            return _header(picture, role)
    with open_picture(picture, max_pixels, role) as (image, _):
        strips, size = strips_of(image, Path(os.fsdecode(picture))), _upright_size(image)
        shrink(image, least)
        spooling = 0 if strips is None else 3 * strips.row_bytes
        return replace(_header(image, role), size=size, spooling=spooling)


@contextlib.contextmanager
def open_picture(
    picture: str | PathLike[str], max_pixels: int, role: str
) -> Iterator[tuple[Image.Image, str]]:
    """Opens a file without decoding it: (Pillow's image, the role with the path for messages).

    Raises PictureError for a file that is missing, unreadable, no picture or of more than
    ``max_pixels`` pixels, and for what a decoder raises within the block.
    """
    if not isinstance(picture, (str, PathLike)):
        raise PictureError(
            f"the {role} is a {type(picture).__name__}; give a path, a PIL image or an array."
        )
    role = f"{role} {os.fspath(picture)!r}"
    require_file(picture, f"the {role}", PictureError, "name another file")
    if not os.access(picture, os.R_OK):
        raise PictureError(
            f"the {role} cannot be read: permission denied; let it be read, or name another."
        )
    with _decoding(role), _opened(picture, max_pixels, role) as image:
        _check_size(image.size, max_pixels, role)
        yield image, role


def _opened(path: str | PathLike[str], max_pixels: int, role: str) -> Image.Image:
    """The file opened by the decoder that knows its first bytes.

    ``Image.open`` does that too, and has a limit of pixels besides, which only the whole process
    could lift; here ``max_pixels`` limits. Two decoders ask for that limit themselves, WebP's as it
    reads the header and TIFF's as it makes room for the pixels (``_past_limit``). Raises
    UnidentifiedImageError where no decoder knows the file, PictureError as ``screen`` and
    ``extra_form`` do.
    """
    with open(path, "rb") as stream:
        begin = stream.read(64)
    extra = extra_form(os.fspath(path), begin, max_pixels, role)
    for form in _READABLE if extra is None else (extra,):
        # All of Pillow's would take 0.1 s.
        with contextlib.suppress(ImportError), importing:
            if extra is None:
                importlib.import_module(f"PIL.{_READABLE[form]}")
        make, accepts = Image.OPEN.get(form, (None, None))
        if make is None or (accepts is not None and accepts(begin) is not True):
            continue
        with open(path, "rb") as stream:
            screen(stream, form, role)
        with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):
            image: Any = _past_limit(make, os.fspath(path), "")
            if form == "JXL" and not image.jpeg:  # else it is upright, whatever its EXIF says
                image.getexif().pop(Base.Orientation, None)
            if form == "TIFF":
                image.load_prepare = functools.partial(_past_limit, image.load_prepare)
            return cast(Image.Image, image)
    if extra is not None:
        raise PictureError(f"the {role} is damaged or cut short.")
    raise UnidentifiedImageError


def _past_limit(call: Callable[..., Any], *arguments: Any) -> Any:
    """What ``call`` returns, also where Pillow's limit of pixels stops it.

    It is lifted then for this one call, which is short, since nothing else would let a picture of
    more than twice that limit in.
    """
    try:
        return call(*arguments)
    except Image.DecompressionBombError:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return call(*arguments)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _source(picture: str | PathLike[str]) -> Source:
    return Source(os.fsdecode(picture), sha256_of(picture))


def _header(image: Image.Image, role: str) -> Header:
    """The header of an opened image, its bytes counted from mode and size.

    Pillow holds colours in 4 bytes; each conversion on the way holds them once more. Raw modes of
    more than 8 bits have a 16 in their name.
    """
    width, height = _upright_size(image)
    deep = any("16" in str(tile[3]) for tile in getattr(image, "tile", []))
    wide = deep or image.mode.startswith(("I", "F"))
    copies = 1 + (_orientation(image) != 1) + (image.mode != "RGB") + ("icc_profile" in image.info)
    pixel, kept = (4 * copies + 20, 6) if wide else (4 * copies + 3, 3)
    pixel += 6 if image.info.get("progressive") else 0  # all coefficients, until the last scan
    # What decoders hold besides: two frames, and their bytes.
    pixel += 12 if image.format in ("WEBP", "HEIF", "JXL") else 0
    alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    kept += kept // 3 * alpha
    return Header(role, (width, height), pixel * width * height, kept * width * height)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of an opened image when it is turned as its EXIF says."""
    across = _orientation(image) in (5, 6, 7, 8)
    return (image.height, image.width) if across else (image.width, image.height)


def _orientation(image: Image.Image) -> int:
    """The EXIF's number for how an opened image is to be turned, as far as its header says.

    A PNG may have its EXIF behind its pixels, and Pillow would decode them to look.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    turned: int = image.getexif().get(Base.Orientation, 1)
    return turned


@contextlib.contextmanager
def _decoding(role: str) -> Iterator[None]:
    """A block in which what decoders raise becomes a PictureError."""
    try:
        # Python's warnings and libtiff's messages are the process's: one picture at a time.
        with _warnings_lock, warnings.catch_warnings(), silent_libtiff():
            warnings.simplefilter("ignore")  # damaged metadata is no news
            yield
    except OrtistError:  # of the picture, or of a full disk that it is copied to
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(form for form in _READABLE if form in Image.OPEN)
        raise PictureError(f"the {role} is not a picture that can be read ({known}).") from error
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, …
        raise PictureError(f"the {role} is damaged or cut short ({reason_of(error)}).") from error


def _check_size(size: tuple[int, int], max_pixels: int, role: str) -> None:
    """Raises PictureError for a picture of (width, height) that is too large."""
    width, height = size
    if not width * height:
        raise PictureError(f"the {role} has {width} x {height} pixels; give one that has some.")
    if width * height > max_pixels:
        raise PictureError(
            f"the {role} has {width} x {height} pixels, more than the limit of {max_pixels}; raise "
            "it with --max-pixels (max_pixels=) if you trust the file."
        )


def _from_array(array: NDArray[Any], max_pixels: int, role: str) -> Raster:
    """A raster of an array as ``Picture`` describes it; raises PictureError for any other."""
    if array.dtype == np.bool_:  # black and white: a mask
        array = array.astype(np.uint8) * np.uint8(255)
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    known = array.dtype in (np.uint8, np.uint16) or array.dtype.kind == "f"
    if not known or not shaped or 0 in array.shape:
        raise PictureError(
            f"the {role} is an array of {array.dtype} with shape {array.shape}; give uint8, uint16 "
            "or floats in [0, 1] with shape (H, W), (H, W, 3) or (H, W, 4)."
        )
    _check_size((array.shape[1], array.shape[0]), max_pixels, role)
    if array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # NaN too
            raise PictureError(
                f"the {role} is an array of {array.dtype} with values outside [0, 1]; scale it, or "
                "give uint8 or uint16."
            )
        array = to_levels(array.astype(np.float32), 16)
    if array.dtype == np.uint8:
        return _to_srgb(Image.fromarray(np.ascontiguousarray(array)), None, role)
    return _from_samples(array if array.ndim == 3 else array[..., None], None, None)


def _to_srgb(image: Image.Image, samples: NDArray[np.uint16] | None, role: str) -> Raster:
    """A raster of an opened image: decoded, upright, by its profile to sRGB, laid over white.

    ``samples``, [H, W, 1 to 4], are the image's 16-bit ones where its own mode does not hold them.
    """
    image.load()
    profile, exif = image.info.get("icc_profile"), exif_of(image)
    if image.getexif().get(Base.Orientation, 1) != 1:  # else Pillow would copy
        image = ImageOps.exif_transpose(image)
    if samples is None and image.mode.startswith(("I", "F")):
        samples = _gray_samples(image, role)[..., None]
    if samples is not None:
        raster = _from_samples(samples, profile, image.info.get("transparency"))
        return replace(raster, exif=exif)
    if image.mode in ("PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    mode = "L" if image.mode in ("LA", "1") else image.mode
    colors = _in_mode(image, mode if mode in ("L", "CMYK") else "RGB")
    if profile:
        colors = convert(colors, profile)
    colors = _in_mode(colors, "RGB")
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    if alpha is None or alpha.getextrema()[0] == 255:
        return Raster(np.asarray(colors), None, exif)
    white = Image.new("RGB", colors.size, "white")
    white.paste(colors, mask=alpha)
    return Raster(np.asarray(white), np.asarray(alpha), exif)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image in ``mode``, itself where it has that already (Pillow would copy)."""
    return image if image.mode == mode else image.convert(mode)


def _gray_samples(image: Image.Image, role: str) -> NDArray[np.uint16]:
    """The 16-bit samples [H, W] of a grey image of 16 or 32 bits, which Pillow's own way clips.

    Raises PictureError for values that are not finite.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return values.astype(np.uint16)
    if not np.isfinite(values).all():
        raise PictureError(f"the {role} holds values that are not finite.")
    # Floats and 32-bit integers carry no scale of their own: the smallest usual one that fits.
    top = next((top for top in (1.0, 255.0, 65535.0) if values.max() <= top), values.max())
    return to_levels(values / np.float64(top), 16)


def _from_samples(samples: NDArray[np.uint16], profile: bytes | None, key: Any) -> Raster:
    """A raster of 16-bit grey or RGB, with or without alpha, [H, W, 1 to 4].

    ``key`` is the colour that is clear, None for none. A profile made of tables is applied in 8
    bits, by LittleCMS; the others in floats.
    """
    channels = 1 if samples.shape[2] < 3 else 3
    colors = samples[..., :channels]
    alpha = samples[..., -1] if samples.shape[2] in (2, 4) else None
    if alpha is None and key is not None:
        clear = (colors == np.array(key, np.int64).reshape(-1)).all(2)
        alpha = np.where(clear, 0, 65535).astype(np.uint16)
    if alpha is not None and alpha.min() == 65535:
        alpha = None
    if profile or alpha is not None:
        values = unit(colors)
        if profile and to_srgb(values, profile) is None:
            eight = in_depth(colors, 8)
            image = Image.fromarray(eight[..., 0] if channels == 1 else eight)
            if (converted := convert(image, profile)) is not image:
                values = unit(np.asarray(converted.convert("RGB")))
        if alpha is not None:
            values = 1 - (1 - values) * unit(alpha)[..., None]
        colors = to_levels(values, 16)
    if colors.shape[2] == 1:
        colors = colors.repeat(3, axis=2)
    return Raster(np.ascontiguousarray(colors), None if alpha is None else alpha.copy())
