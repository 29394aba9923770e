"""Colour profiles (ICC.1:2022): the one that is written, and conversion to sRGB in floats.

Pillow's LittleCMS converts 8-bit pictures only. For more bits, the profiles that photographers
keep such pictures in (sRGB, Adobe RGB, Display P3, ProPhoto, grey gammas) are of the three-curves
and one-matrix kind (section 8.3), which NumPy computes here in full precision.
"""

from __future__ import annotations

import functools
import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from ..arrays import Array

__all__ = ["convert", "srgb_profile", "to_srgb"]

_ROWS = 2**18
"""Pixels converted at once, which bounds the memory that float64 takes."""


@functools.cache
def srgb_profile() -> bytes:
    """LittleCMS's sRGB profile, dated 2026 whenever it is made: one picture, the same bytes."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[24:36] = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    return bytes(made)


def convert(image: Image.Image, profile: bytes) -> Image.Image:
    """An L, RGB or CMYK image of 8 bits -> an RGB one in sRGB, by LittleCMS.

    It is returned as it is where the profile is sRGB's, damaged, or made for other colours.
    """
    if profile == srgb_profile():
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        to = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, to, outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def to_srgb(values: Array, profile: bytes) -> Array | None:
    """``values``, [H, W, 1 or 3] in [0, 1], brought to sRGB in place by ``profile``, and returned.

    Returns None, and leaves ``values`` as they were, where the profile is damaged, of other
    channels, or made of tables instead of a matrix.
    """
    if profile == srgb_profile():
        return values
    try:
        tags = _tags(profile, values.shape[2])
        if "A2B0" in tags:
            return None
        if values.shape[2] == 1:
            # A grey profile's curve gives Y of the white point, so equal parts of the primaries.
            curves, matrix = [_curve(tags["kTRC"])], np.eye(1)
        else:
            curves = [_curve(tags[name]) for name in ("rTRC", "gTRC", "bTRC")]
            matrix = np.linalg.inv(_primaries(_tags(srgb_profile(), 3))) @ _primaries(tags)
    except (struct.error, ValueError, KeyError, IndexError):
        return None
    flat = values.reshape(-1, values.shape[2])
    for start in range(0, len(flat), _ROWS):
        part = flat[start : start + _ROWS].astype(np.float64)
        curved = np.stack([_applied(curve, part[:, i]) for i, curve in enumerate(curves)], axis=1)
        linear = np.clip(curved @ matrix.T, 0, 1)
        # Linear light -> sRGB (IEC 61966-2-1).
        encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
        flat[start : start + _ROWS] = encoded
    return values


def _tags(profile: bytes, channels: int) -> dict[str, bytes]:
    """The elements of a profile by signature; raises ValueError for one of other channels."""
    space, connection = profile[16:20], profile[20:24]
    if space != {1: b"GRAY", 3: b"RGB "}[channels] or (channels == 3 and connection != b"XYZ "):
        raise ValueError("a profile for other colours")
    (count,) = struct.unpack_from(">I", profile, 128)
    elements = {}
    for index in range(min(count, 100)):
        name, offset, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        elements[name.decode("latin-1")] = profile[offset : offset + size]
    return elements


def _primaries(tags: dict[str, bytes]) -> NDArray[np.float64]:
    """The matrix [3, 3] from linear RGB to XYZ under D50; raises ValueError where there is none."""
    elements = [tags[name] for name in ("rXYZ", "gXYZ", "bXYZ")]
    if any(element[:4] != b"XYZ " for element in elements):
        raise ValueError("no XYZ")
    columns = [struct.unpack_from(">3i", element, 8) for element in elements]
    return np.array(columns, np.float64).T / 65536


def _curve(element: bytes) -> tuple[float, ...] | Array:
    """(g, a, b, c, d, e, f) of a parametric curve, or a table of values over [0, 1].

    Raises ValueError, IndexError or struct.error for what is no curve.
    """
    if element[:4] == b"curv":
        (count,) = struct.unpack_from(">I", element, 8)
        if count > 1:
            table = np.frombuffer(element, ">u2", count, 12)
            return table.astype(np.float32) / np.float32(65535)
        gamma = struct.unpack_from(">H", element, 12)[0] / 256 if count else 1.0
        return (gamma, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    if element[:4] != b"para":
        raise ValueError("no curve")
    (kind,) = struct.unpack_from(">H", element, 8)
    given = [v / 65536 for v in struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}i", element, 12)]
    g, a, b, c, d, e, f = np.pad(given, (0, 7 - len(given))).tolist()
    if kind == 0:
        a = 1.0
    if kind in (1, 2):  # (a x + b)^g + c from x = -b / a on, c below
        c, d, e, f = 0.0, -b / a if a else 0.0, c, c
    return (g, a, b, c, d, e, f)


def _applied(curve: tuple[float, ...] | Array, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve at ``values`` in [0, 1], clipped to [0, 1].

    Section 10.18, function type 4: (a x + b)^g + e where x >= d, else c x + f.
    """
    if isinstance(curve, np.ndarray):
        return np.interp(values, np.linspace(0, 1, len(curve)), curve)
    g, a, b, c, d, e, f = curve
    with np.errstate(all="ignore"):
        high = np.maximum(a * values + b, 0) ** g + e
        linear = np.nan_to_num(np.where(values >= d, high, c * values + f))
    return np.asarray(np.clip(linear, 0, 1))
