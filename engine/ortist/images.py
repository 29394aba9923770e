"""Pictures in and out: decode, orient, to sRGB, resize, normalise — and back.

A picture is an 8-bit sRGB ``PIL.Image`` on the way in and out; the optimiser sees float32 arrays
[1, 3, H, W] of normalised values, (sRGB in [0, 1] - mean) / std by channel.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from .errors import OptionError, PictureError
from .files import atomic_writer
from .models import Model

__all__ = [
    "Array",
    "Picture",
    "denormalize",
    "load_picture",
    "normalize",
    "picture_format",
    "resize_values",
    "save_picture",
    "shorter_side_to",
    "size_at",
]

Array = NDArray[np.float32]
Picture = Union[str, "PathLike[str]", Image.Image, NDArray[np.uint8]]
"""A path, a PIL image, or a uint8 array [H, W], [H, W, 3] or [H, W, 4]."""

_READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
_WRITABLE = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383}
_SAVE: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_deflate"},
}
_globals_lock = threading.Lock()


def load_picture(picture: Picture, max_pixels: int, role: str = "picture") -> Image.Image:
    """The picture as upright 8-bit sRGB, transparency laid over white.

    ``role`` names it in messages. Raises PictureError for what is missing, no picture, damaged, of
    a type not named above, or of more than ``max_pixels`` pixels (judged by its header).
    """
    if isinstance(picture, np.ndarray):
        picture = _from_array(picture, role)
    elif not isinstance(picture, (str, PathLike, Image.Image)):
        raise PictureError(
            f"the {role} is a {type(picture).__name__}; give a path, a PIL image or a uint8 array."
        )
    if isinstance(picture, (str, PathLike)):
        role = f"{role} {os.fspath(picture)!r}"
        if not os.path.isfile(picture):  # a folder, a FIFO or a device would block or never end
            why = "is not a regular file" if os.path.exists(picture) else "does not exist"
            raise PictureError(f"the {role} {why}.")
        if not os.access(picture, os.R_OK):
            raise PictureError(f"the {role} cannot be read: permission denied.")
    try:
        with _pillow_quiet(), contextlib.ExitStack() as stack:
            image = picture
            if not isinstance(picture, Image.Image):
                image = stack.enter_context(Image.open(picture, formats=_READABLE))
            assert isinstance(image, Image.Image)
            _check_size(image.size, max_pixels, role)
            image.load()
            return _to_srgb(image, role)
    except PictureError:
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


def _from_array(array: NDArray[Any], role: str) -> Image.Image:
    shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not shaped or 0 in array.shape:
        raise PictureError(
            f"the {role} is an array of {array.dtype} with shape {array.shape}; give uint8 with "
            "shape (H, W), (H, W, 3) or (H, W, 4)."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _to_srgb(image: Image.Image, role: str) -> Image.Image:
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits, grey: Pillow's own conversion clips
        values = np.asarray(image, np.float64)
        if not np.isfinite(values).all():
            raise PictureError(f"the {role} holds values that are not finite.")
        # Floats and 32-bit integers carry no scale of their own: the smallest usual one that fits.
        top = next((top for top in (1.0, 255.0, 65535.0) if values.max() <= top), values.max())
        if image.mode.startswith("I;16"):
            top = 65535.0
        image = Image.fromarray((np.clip(values / top, 0, 1) * 255 + 0.5).astype(np.uint8))
    if image.mode in ("PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
    alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
    colors = image.convert("L" if image.mode in ("LA", "1") else image.mode)
    if colors.mode not in ("L", "CMYK", "RGB"):
        colors = colors.convert("RGB")
    if profile:
        colors = _from_profile(colors, profile)
    colors = colors.convert("RGB")
    if alpha is not None:
        white = Image.new("RGB", colors.size, "white")
        white.paste(colors, mask=alpha)
        colors = white
    return colors


def _from_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """To sRGB by the embedded profile; one that is damaged or of another mode is passed over."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        found = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if found is None else found


def shorter_side_to(image: Image.Image, side: int) -> Image.Image:
    """Resized so that the shorter side has ``side`` pixels; the aspect is kept.

    Bilinear, in 8 bits, the longer side rounded down, as the CS231n assignment does it.
    """
    size = size_at(image.size, side)
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


def size_at(size: tuple[int, int], side: int) -> tuple[int, int]:
    """(width, height) with ``side`` pixels on the shorter side, the longer one rounded down."""
    width, height = size
    shorter = min(size)
    return int(width * side / shorter), int(height * side / shorter)


def resize_values(values: Array, size: tuple[int, int], how: Image.Resampling) -> Array:
    """Float values [1, C, H, W] -> [1, C, height, width] for ``size`` (width, height)."""
    planes = [np.asarray(Image.fromarray(plane).resize(size, how)) for plane in values[0]]
    return np.stack(planes)[None]


def normalize(image: Image.Image, model: Model) -> Array:
    """An 8-bit RGB image -> normalised values [1, 3, H, W]."""
    values = np.asarray(image, np.float32) / np.float32(255)
    values -= np.array(model.mean, np.float32)
    values /= np.array(model.std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def denormalize(values: Array, model: Model, rescale: bool = False) -> NDArray[np.uint8]:
    """Normalised values [1, 3, H, W] -> pixels [H, W, 3].

    What no display can show is clipped; with ``rescale`` the whole range from the least to the
    greatest value is stretched over [0, 1] instead, as the assignment's ``deprocess`` does. Rounded
    to the nearest level, where the assignment's conversion cuts off.
    """
    pixels = values[0].transpose(1, 2, 0) * np.array(model.std, np.float32)
    pixels += np.array(model.mean, np.float32)
    if rescale:
        low, high = pixels.min(), pixels.max()
        pixels = (pixels - low) / max(high - low, np.float32(1e-12))
    result: NDArray[np.uint8] = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    return result


def picture_format(path: Path, size: tuple[int, int] = (1, 1)) -> str:
    """Pillow's name of the format that the suffix stands for.

    Raises OptionError for an unknown one, and for one that cannot hold a picture of ``size``.
    """
    form = _WRITABLE.get(path.suffix.lower())
    if form is None:
        known = ", ".join(_WRITABLE)
        raise OptionError(
            f"cannot tell a picture format from {path.name!r}; end it in one of {known}."
        )
    most = _LONGEST.get(form, 2**31)
    if max(size) > most:
        raise OptionError(
            f"{form} holds at most {most} pixels each way, the picture for {path.name!r} has "
            f"{size[0]} x {size[1]}; write .png or .tif."
        )
    return form


def save_picture(image: Image.Image, path: Path) -> None:
    """Writes the picture whole or not at all; raises OptionError or OutputError."""
    form = picture_format(path, image.size)
    with atomic_writer(path) as stream:
        image.save(stream, form, **_SAVE.get(form, {}))
