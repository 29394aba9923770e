"""YUV4MPEG2 (Y4M): uncompressed video in a stream, frame after frame.

A line of text, ``YUV4MPEG2 W640 H480 F25:1 Ip A1:1 C420jpeg``, then for every frame a line that
begins with ``FRAME`` and the planes Y, Cb, Cr, 8 bits a sample (mjpegtools, yuv4mpeg(5)). Y4M says
nothing of the matrix; assumed here is BT.601 (ITU-R BT.601-7, section 2.5), in its limited range,
16 to 235 and 16 to 240, unless the header has XCOLORRANGE=FULL, as FFmpeg writes it. What is read
so and written so comes back the same, whatever the matrix was; only the painter sees slightly other
colours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import InputError

__all__ = ["Header", "read_frame", "read_header", "write_frame", "write_header"]

_SHRINK = {"420": (2, 2), "422": (2, 1), "444": (1, 1)}
"""How much narrower and lower the chroma planes are."""

_SPACES = re.compile("420(jpeg|mpeg2|paldv)?|422|444|mono")
"""Colour spaces that can be read: what stands after C in a header."""
_LONGEST_LINE = 1024
"""Bytes of a line of text at most, with its end; of a longer one so many are read."""


@dataclass(frozen=True)
class Header:
    """What a stream's first line says of every frame.

    ``width`` and ``height`` are in pixels, ``rate`` in frames a second, ``aspect`` is a pixel's
    width to its height, 0:0 where it is not known. ``space`` is what stands after C: 420jpeg and
    its kin, 422, 444 or mono. Where a 420's chroma sits makes half a pixel of difference to it and
    is not regarded.
    """

    width: int
    height: int
    rate: Fraction
    aspect: str = "0:0"
    space: str = "420jpeg"
    full_range: bool = False

    @property
    def planes(self) -> list[tuple[int, int]]:
        """(height, width) of Y and, unless it is mono, of Cb and Cr; halves are rounded up."""
        if self.space == "mono":
            return [(self.height, self.width)]
        across, down = _SHRINK[self.space[:3]]
        chroma = (-(-self.height // down), -(-self.width // across))
        return [(self.height, self.width), chroma, chroma]


def read_header(stream: IO[bytes]) -> Header:
    """The header of a stream, read from its beginning.

    Raises InputError for what is no Y4M, has no size or frame rate, is interlaced, or is in another
    colour space than ``Header`` names, 10 bits a sample among them.
    """
    line = stream.readline(_LONGEST_LINE)
    if not line.startswith(b"YUV4MPEG2 "):
        raise InputError(
            "the video is not a YUV4MPEG2 stream; make one with ffmpeg -i VIDEO -f yuv4mpegpipe -."
        )
    words = line.decode("ascii", "replace").split()[1:]
    fields = {word[0]: word[1:] for word in words}
    try:
        width, height = int(fields["W"]), int(fields["H"])
        above, below = fields.get("F", "25:1").split(":")
        rate = Fraction(int(above), int(below))
        if min(width, height) <= 0 or rate <= 0:
            raise ValueError
    except (KeyError, ValueError, ZeroDivisionError):
        raise InputError(
            f"the video's header {line[:100]!r} has no size or no frame rate that can be read."
        ) from None
    if fields.get("I", "p") not in ("p", "?"):
        raise InputError(
            f"the video is interlaced (I{fields['I']}); deinterlace it first, with "
            "ffmpeg -vf yadif."
        )
    space = fields.get("C", "420jpeg")
    if not _SPACES.fullmatch(space):
        raise InputError(
            f"the video's colour space {space!r} cannot be read; convert it to 8 bits of 420, 422, "
            "444 or mono, with ffmpeg -pix_fmt yuv420p."
        )
    aspect = fields.get("A", "0:0")
    if not re.fullmatch(r"\d{1,9}:\d{1,9}", aspect):
        aspect = "0:0"
    full_range = "XCOLORRANGE=FULL" in map(str.upper, words)
    return Header(width, height, rate, aspect, space, full_range)


def read_frame(stream: IO[bytes], header: Header) -> NDArray[np.uint8] | None:
    """The next frame as sRGB, uint8 [H, W, 3], its chroma enlarged bilinearly; None at the end.

    Raises EOFError where the stream ends within a frame, InputError where it holds something else.
    """
    line = stream.readline(_LONGEST_LINE)
    if not line:
        return None
    if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        raise EOFError
    words = line.split()
    if not words or words[0] != b"FRAME":
        raise InputError(f"the video holds {line[:20]!r} where a frame should begin.")
    size, planes = (header.width, header.height), []
    for height, width in header.planes:
        data = _exactly(stream, height * width)
        plane = np.frombuffer(data, np.uint8).reshape(height, width)
        planes.append(_resized(plane, size, Image.Resampling.BILINEAR))
    if len(planes) == 1:
        planes += 2 * [np.full_like(planes[0], 128)]
    scale, zero = _scales(header)
    return _rounded((np.stack(planes, -1) - zero) / scale @ _TO_RGB.T.astype(np.float32) * 255)


def write_header(stream: IO[bytes], header: Header) -> None:
    """Writes the line that begins a stream; raises OSError where the stream does."""
    rate = f"{header.rate.numerator}:{header.rate.denominator}"
    kind = " XCOLORRANGE=FULL" if header.full_range else ""
    stream.write(
        f"YUV4MPEG2 W{header.width} H{header.height} F{rate} Ip A{header.aspect} "
        f"C{header.space}{kind}\n".encode("ascii")
    )


def write_frame(stream: IO[bytes], header: Header, pixels: NDArray[np.uint8]) -> None:
    """Writes a frame of sRGB, uint8 [H, W, 3], of the header's size, its chroma averaged.

    Raises OSError where the stream does.
    """
    scale, zero = _scales(header)
    values = pixels.astype(np.float32) / 255 @ _TO_YCC.T.astype(np.float32) * scale + zero
    stream.write(b"FRAME\n")
    for i, (height, width) in enumerate(header.planes):
        plane = _resized(values[..., i], (width, height), Image.Resampling.BOX)
        stream.write(_rounded(plane).tobytes())


def _exactly(stream: IO[bytes], count: int) -> bytearray:
    """The next ``count`` bytes; raises EOFError where there are fewer."""
    data = bytearray()
    while len(data) < count:
        block = stream.read(min(count - len(data), 2**20))
        if not block:
            raise EOFError
        data += block
    return data


_LUMA = np.array([0.299, 0.587, 0.114])
_RED, _, _BLUE = np.eye(3)
_TO_YCC = np.stack([_LUMA, (_BLUE - _LUMA) / (2 - 2 * 0.114), (_RED - _LUMA) / (2 - 2 * 0.299)])
"""R'G'B' in [0, 1] -> Y' in [0, 1], Cb and Cr in [-1/2, 1/2], from K_R = 0.299 and K_B = 0.114."""
_TO_RGB = np.linalg.inv(_TO_YCC)


def _scales(header: Header) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What Y, Cb and Cr are multiplied by, and what is then added, to be levels from 0 to 255."""
    if header.full_range:
        return np.array([255, 255, 255], np.float32), np.array([0, 128, 128], np.float32)
    return np.array([219, 224, 224], np.float32), np.array([16, 128, 128], np.float32)


def _resized(
    plane: NDArray[np.generic], size: tuple[int, int], how: Image.Resampling
) -> NDArray[np.float32]:
    """A plane [h, w] at ``size`` (width, height), in float32."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image if image.size == size else image.resize(size, how))


def _rounded(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Numbers, clipped to [0, 255], -> the nearest levels, uint8."""
    levels: NDArray[np.uint8] = (np.clip(values, 0, 255) + 0.5).astype(np.uint8)
    return levels
