"""Pictures in: decode, orient, to sRGB, resize, normalise — and back to a picture.

A picture that was read is a ``Raster``: sRGB levels of 8 bits, or 16 where the source has more than
8. At the size of a scale it is float32 [H, W, 3] in [0, 1]; the optimiser sees float32 arrays
[1, 3, H, W] of normalised values, (sRGB in [0, 1] - mean) / std by channel. What has been painted
is float32 again, and is rounded once, when it is written.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from .errors import OrtistError, PictureError
from .files import sha256_of
from .metadata import exif_of
from .models import Model
from .profiles import convert, to_srgb
from .sixteen import read_sixteen
from .stored import Arrays, Derived, Field, Rows, resample
from .strips import strips_of

__all__ = [
    "Array",
    "Header",
    "Levels",
    "Painting",
    "Picture",
    "Raster",
    "Source",
    "alpha_at",
    "denormalize",
    "extremes",
    "fill",
    "load_picture",
    "normalize",
    "normalize_planes",
    "open_picture",
    "read_header",
    "shorter_side_to",
    "size_at",
    "spool_picture",
    "to_levels",
    "unit",
]

Array = NDArray[np.float32]
Levels = NDArray[Any]
"""Of uint8 or uint16."""


@dataclass(frozen=True)
class Source:
    """Where a picture came from: the path as it was given, and the SHA-256 of the file, in hex."""

    path: str
    sha256: str


@dataclass(frozen=True, eq=False)
class Raster:
    """A picture that was read.

    ``pixels`` is upright sRGB, [H, W, 3], transparency laid over white; ``alpha`` is [H, W] of the
    same type, None for an opaque picture. Both may be ``Rows`` (stored.py), not NumPy arrays.
    ``exif`` is what a painting of it may carry (metadata.py).
    """

    pixels: Any
    alpha: Any = None
    exif: bytes = b""
    source: Source | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @property
    def image(self) -> Image.Image:
        """As an 8-bit RGB image."""
        return Image.fromarray(_in_depth(self.pixels[:], 8))

    def planes(self) -> Field:
        """The pixels as [1, 3, H, W]: levels, or, of more than 8 bits, values in [0, 1]."""
        return _planes(self.pixels)

    def alpha_planes(self) -> Field | None:
        """The same of the alpha, [1, 1, H, W]."""
        return None if self.alpha is None else _planes(self.alpha)


def _planes(levels: Levels | Rows) -> Field:
    planes = levels.planes if isinstance(levels, Rows) else _planar(levels[:])
    return planes if planes.dtype == np.uint8 else Derived(unit, planes)


def _planar(levels: Levels) -> Levels:
    """[H, W, C] or [H, W] -> [1, C, H, W], a view."""
    return levels.reshape(*levels.shape[:2], -1).transpose(2, 0, 1)[None]


@dataclass(frozen=True, eq=False)
class Painting:
    """A picture to write: ``values`` [H, W, 3], sRGB in [0, 1], as they look on white.

    ``alpha``, [H, W] in [0, 1], None where it is opaque, is how much of it is not that white: no
    value is below 1 - alpha. Both may be ``Rows`` (stored.py) instead of NumPy arrays.
    """

    values: Any
    alpha: Any = None

    @classmethod
    def of(cls, image: Image.Image) -> Painting:
        """An 8-bit RGB image as a painting."""
        return cls(unit(np.asarray(image)))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.values.shape[1], self.values.shape[0]

    def rows(self, rows: slice) -> Painting:
        """A part of it, in memory."""
        alpha = None if self.alpha is None else self.alpha[rows]
        return Painting(
            self.values[rows], alpha if alpha is None else alpha.reshape(alpha.shape[:2])
        )

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 [H, W, 3], on white."""
        return to_levels(self.values[:], 8)

    @property
    def image(self) -> Image.Image:
        """8-bit, RGB or, with alpha, RGBA."""
        return Image.fromarray(self.levels(8))

    def levels(self, depth: int) -> Levels:
        """uint8 or uint16, [H, W, 3] or, with alpha, [H, W, 4], colours not multiplied by it."""
        if self.alpha is None:
            return to_levels(self.values[:], depth)
        # The rounded alpha is what the colours will be multiplied by.
        alpha = unit(to_levels(self.alpha[:], depth)).reshape(*self.values.shape[:2], 1)
        colors = 1 - (1 - self.values[:]) / np.where(alpha > 0, alpha, 1)
        return to_levels(np.concatenate([colors, alpha], axis=2), depth)


@dataclass(frozen=True)
class Header:
    """What is known of a picture before it is decoded: (width, height), and bytes.

    ``decoding`` is what it takes to decode it, ``resident`` what stays of it; ``spooling`` what it
    takes to read it strip by strip, 0 where it cannot be.
    """

    role: str
    size: tuple[int, int]
    decoding: int
    resident: int
    spooling: int = 0


Picture = Union[str, "PathLike[str]", Image.Image, NDArray[Any], Raster]
"""A path, a PIL image, or an array [H, W], [H, W, 3] or [H, W, 4]: uint8, uint16, floats in [0, 1],
or bool (a mask). 16 bits of a file are only read by path: Pillow's own images have 8 in colour."""

_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_globals_lock = threading.Lock()


def load_picture(picture: Picture, max_pixels: int, role: str = "picture") -> Raster:
    """The picture as upright sRGB, transparency laid over white and kept aside.

    ``role`` names it in messages. Raises PictureError for what is missing, no picture, damaged, of
    a type not named above, or of more than ``max_pixels`` pixels (judged by its header).
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
        path = os.fsdecode(picture)
        samples = read_sixteen(image, lambda: Image.open(path, formats=_READABLE))
        found = _to_srgb(image, samples, role)
        return replace(found, source=Source(path, sha256_of(path)))


def spool_picture(picture: Picture, max_pixels: int, arrays: Arrays, role: str) -> Raster:
    """As ``load_picture``, with its pixels where ``arrays`` are.

    A file that can be is read strip by strip (strips.py); another one is decoded in memory first.
    """
    if not arrays.on_disk:
        return load_picture(picture, max_pixels, role)
    if isinstance(picture, (str, PathLike)):
        with open_picture(picture, max_pixels, role) as (image, role):
            path = os.fsdecode(picture)
            strips = strips_of(image, Path(path))
            if strips is not None:
                source = Source(path, sha256_of(path))
                return Raster(arrays.spooled(strips), None, exif_of(image), source)
    found = load_picture(picture, max_pixels, role)
    if isinstance(found.pixels, Rows):
        return found
    return replace(found, pixels=arrays.spooled(found.pixels))


def read_header(picture: Picture, max_pixels: int, role: str = "picture") -> Header:
    """Of a picture that is a file, without decoding it. Raises PictureError as ``load_picture``."""
    if isinstance(picture, np.ndarray) and picture.ndim not in (2, 3):
        return Header(role, (1, 1), 0, 0)  # decoding it will say what is wrong
    if isinstance(picture, (Raster, Image.Image)):
        _check_size(picture.size, max_pixels, role)
    if isinstance(picture, np.ndarray):
        _check_size((picture.shape[1], picture.shape[0]), max_pixels, role)
        size, own = (picture.shape[1], picture.shape[0]), picture.nbytes
        return Header(role, size, 7 * size[0] * size[1] + own, 3 * size[0] * size[1])
    if isinstance(picture, Raster):
        return Header(role, picture.size, 0, 0)
    if isinstance(picture, Image.Image):
        return _header(picture, role)
    with open_picture(picture, max_pixels, role) as (image, _):
        strips = strips_of(image, Path(os.fsdecode(picture)))
        return replace(_header(image, role), spooling=0 if strips is None else 3 * strips.row_bytes)


def _header(image: Image.Image, role: str) -> Header:
    """Pillow holds colours in 4 bytes; each conversion on the way holds them once more."""
    width, height = image.size
    wide = image.mode.startswith(("I", "F")) or len(_deep_modes(image)) > 0
    turned = image.getexif().get(Base.Orientation, 1)
    copies = 1 + (turned != 1) + (image.mode != "RGB") + ("icc_profile" in image.info)
    pixel, kept = (4 * copies + 20, 6) if wide else (4 * copies + 3, 3)
    alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    kept += kept // 3 * alpha
    if turned in (5, 6, 7, 8):
        width, height = height, width
    return Header(role, (width, height), pixel * width * height, kept * width * height)


def _deep_modes(image: Image.Image) -> list[str]:
    """The raw modes of more than 8 bits in which it will be decoded."""
    return [str(tile[3]) for tile in getattr(image, "tile", []) if "16" in str(tile[3])]


@contextlib.contextmanager
def open_picture(
    picture: str | PathLike[str], max_pixels: int, role: str
) -> Iterator[tuple[Image.Image, str]]:
    """Opens a file without decoding it; also gives its name for messages.

    Raises PictureError as ``load_picture`` does, for what goes wrong within the block too.
    """
    if not isinstance(picture, (str, PathLike)):
        raise PictureError(
            f"the {role} is a {type(picture).__name__}; give a path, a PIL image or an array."
        )
    role = f"{role} {os.fspath(picture)!r}"
    if not os.path.isfile(picture):  # a folder, a FIFO or a device would block or never end
        why = "is not a regular file" if os.path.exists(picture) else "does not exist"
        raise PictureError(f"the {role} {why}; name another file.")
    if not os.access(picture, os.R_OK):
        raise PictureError(
            f"the {role} cannot be read: permission denied; let it be read, or name another."
        )
    with _decoding(role), Image.open(picture, formats=_READABLE) as image:
        _check_size(image.size, max_pixels, role)
        yield image, role


@contextlib.contextmanager
def _decoding(role: str) -> Iterator[None]:
    """Turns what decoders raise into PictureErrors."""
    try:
        with _pillow_quiet():
            yield
    except OrtistError:  # of the picture, or of a full disk that it is copied to
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(_READABLE)
        raise PictureError(f"the {role} is not a picture that can be read ({known}).") from error
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, …
        raise PictureError(f"the {role} is damaged or cut short ({error}).") from error


@contextlib.contextmanager
def _pillow_quiet() -> Iterator[None]:
    """No warnings (damaged metadata is no news), and ``max_pixels`` for Pillow's own limit.

    Both are globals of the process, so one picture is read at a time.
    """
    with _globals_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_size(size: tuple[int, int], max_pixels: int, role: str) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureError(
            f"the {role} has {width} x {height} pixels, more than the limit of {max_pixels}; raise "
            "it with --max-pixels (max_pixels=) if you trust the file."
        )


def _from_array(array: NDArray[Any], max_pixels: int, role: str) -> Raster:
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
    """``samples`` are the image's, where its own mode does not hold them."""
    image.load()
    profile = image.info.get("icc_profile")
    exif = exif_of(image)
    image = _upright(image)
    if samples is None and image.mode.startswith(("I", "F")):
        samples = _gray_samples(image, role)[..., None]
    if samples is not None:
        found = _from_samples(samples, profile, image.info.get("transparency"))
        return replace(found, exif=exif)
    if image.mode in ("PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    if alpha is not None and alpha.getextrema()[0] == 255:
        alpha = None
    colors = _in_mode(image, "L" if image.mode in ("LA", "1") else image.mode)
    if colors.mode not in ("L", "CMYK", "RGB"):
        colors = colors.convert("RGB")
    if profile:
        colors = convert(colors, profile)
    colors = _in_mode(colors, "RGB")
    if alpha is not None:
        white = Image.new("RGB", colors.size, "white")
        white.paste(colors, mask=alpha)
        colors = white
    return Raster(np.asarray(colors), None if alpha is None else np.asarray(alpha), exif)


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data say; Pillow's own way copies it where they say nothing, too."""
    if image.getexif().get(Base.Orientation, 1) == 1:
        return image
    return ImageOps.exif_transpose(image)


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Converted, where that changes anything: else Pillow copies it."""
    return image if image.mode == mode else image.convert(mode)


def _gray_samples(image: Image.Image, role: str) -> NDArray[np.uint16]:
    """Of 16 or 32 bits, grey: Pillow's own conversion clips."""
    values = np.asarray(image)
    if image.mode.startswith("I;16"):
        return values.astype(np.uint16)
    if not np.isfinite(values).all():
        raise PictureError(f"the {role} holds values that are not finite.")
    # Floats and 32-bit integers carry no scale of their own: the smallest usual one that fits.
    top = next((top for top in (1.0, 255.0, 65535.0) if values.max() <= top), values.max())
    return to_levels(values / np.float64(top), 16)


def _from_samples(samples: NDArray[np.uint16], profile: bytes | None, key: Any) -> Raster:
    """16-bit grey or RGB, with or without alpha, [H, W, 1 to 4]; ``key`` is a colour that is clear.

    A profile made of tables is applied in 8 bits, by LittleCMS; the others in floats.
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
            eight = _in_depth(colors, 8)
            image = Image.fromarray(eight[..., 0] if channels == 1 else eight)
            converted = convert(image, profile)
            if converted is not image:
                values = unit(np.asarray(converted.convert("RGB")))
        if alpha is not None:
            values = 1 - (1 - values) * unit(alpha)[..., None]
        colors = to_levels(values, 16)
    if colors.shape[2] == 1:
        colors = colors.repeat(3, axis=2)
    return Raster(np.ascontiguousarray(colors), None if alpha is None else alpha.copy())


def unit(levels: Levels) -> Array:
    """Levels -> float32 in [0, 1]; what is that already stays as it is."""
    if levels.dtype == np.float32:
        return levels
    values = levels.astype(np.float32)
    values /= np.float32(np.iinfo(levels.dtype).max)
    return values


def to_levels(values: NDArray[np.floating[Any]], depth: int) -> Levels:
    """Values in [0, 1], clipped, -> the nearest of 2^``depth`` levels, uint8 or uint16."""
    top = 2**depth - 1
    scaled = np.clip(values, 0, 1)
    scaled *= top
    scaled += 0.5
    found: Levels = scaled.astype(f"uint{depth}", order="C")
    return found


def _in_depth(levels: Levels, depth: int) -> Levels:
    same = levels.dtype.itemsize * 8 == depth
    return levels if same else to_levels(unit(levels), depth)


def shorter_side_to(picture: Raster, side: int) -> Array:
    """[H, W, 3] in [0, 1], resized so that the shorter side has ``side`` pixels; aspect kept.

    Bilinear, the longer side rounded down, as the CS231n assignment does it, and as there in 8 bits
    if the picture has 8.
    """
    return _resized(picture.pixels[:], size_at(picture.size, side))


def fill(picture: Raster, size: tuple[int, int]) -> Array:
    """[height, width, 3] in [0, 1] for ``size`` (width, height), whatever the picture's aspect."""
    return _resized(picture.pixels[:], size)


def alpha_at(picture: Raster, side: int) -> Array | None:
    """The alpha [H, W] in [0, 1] of ``shorter_side_to``'s picture, None where it is opaque."""
    if picture.alpha is None:
        return None
    return _resized(picture.alpha[:], size_at(picture.size, side))


def _resized(levels: Levels, size: tuple[int, int]) -> Array:
    if size == levels.shape[1::-1]:
        return unit(levels)
    how = Image.Resampling.BILINEAR
    if levels.dtype == np.uint8:
        return unit(np.asarray(resample(Image.fromarray(levels), size, how)))
    planes = levels.reshape(*levels.shape[:2], -1)
    images = [Image.fromarray(unit(planes[..., i])) for i in range(planes.shape[2])]
    found = np.stack([np.asarray(resample(image, size, how)) for image in images], axis=2)
    return found.reshape(*found.shape[:2], *levels.shape[2:])


def size_at(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with ``side`` pixels on the shorter side, the longer one rounded down."""
    width, height = size
    shorter = min(size)
    return int(width * side / shorter), int(height * side / shorter)


def normalize(values: Array, model: Model) -> Array:
    """[H, W, 3] in [0, 1] -> normalised values [1, 3, H, W]."""
    return normalize_planes(values.transpose(2, 0, 1)[None], model)


def normalize_planes(values: Array, model: Model) -> Array:
    """[1, 3, H, W] in [0, 1] -> normalised values, a new array in C order."""
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (model.mean, model.std))
    found = np.empty(values.shape, np.float32)
    np.subtract(values, mean, out=found)
    found /= std
    return found


def denormalize(
    values: Array, model: Model, stretched: tuple[np.float32, np.float32] | None = None
) -> Array:
    """Normalised values [1, 3, H, W] -> [H, W, 3] in [0, 1].

    What no display can show is clipped; with ``stretched`` the range from that least to that
    greatest value of sRGB is stretched over [0, 1] instead, as the assignment's ``deprocess`` does.
    """
    pixels = _displayed(values, model)
    if stretched is not None:
        low, high = stretched
        pixels -= low
        pixels /= max(high - low, np.float32(1e-12))
    return np.clip(pixels, 0, 1, out=pixels)


def extremes(values: Array, model: Model) -> tuple[np.float32, np.float32]:
    """The least and the greatest value of sRGB in a picture of normalised values."""
    pixels = _displayed(values, model)
    return pixels.min(), pixels.max()


def _displayed(values: Array, model: Model) -> Array:
    pixels = values[0].transpose(1, 2, 0) * np.array(model.std, np.float32)
    pixels += np.array(model.mean, np.float32)
    return np.ascontiguousarray(pixels)
