"""Styles without their pictures: the statistics of paintings' features at several sizes, in a file.

The file is a line of magic, the SHA-256 of all that follows, the length of the header (8 bytes,
little-endian), the header (JSON), and one deflated stream: float32 numbers, little-endian and byte
by byte (all first bytes, then all second ones, which deflate better), a thumbnail, 8-bit RGB, and,
from format 2 on, the paintings (style/patches.py). Format 1 has none, and nothing to match.
For each size the numbers are the packed statistics (style/moments.py) of the colours, sRGB in
[0, 1], and of every tap. Nothing in the file is code, its length is known from the header before it
is inflated, and nothing of it is used before its hash is right.

The numbers have 32 bits, not 16: a style then gives the same bytes from its picture and its file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Array
from ..errors import OptionError, StyleFileError, reason_of
from ..files import as_path, atomic_writer, read_bytes
from ..network.bundle import Model
from ..pictures.raster import Picture, Raster, Source
from ..pictures.reading import load_picture
from .moments import Statistics, packed_size, unpack
from .patches import Patches, read_patches, sizes_of

__all__ = [
    "SUFFIX",
    "ExtractedStyle",
    "FileTap",
    "Painted",
    "Style",
    "backbone_sha256",
    "has_patches",
    "is_style_file",
    "load_style",
    "read_style",
]

SUFFIX = ".ostyle"
_FORMATS = (1, 2)
_MAGIC = b"ortist style "
_HASH = hashlib.sha256().digest_size
_LARGEST = 64 * 2**20
"""Bytes of a file at most, and of what is inflated: 13 sizes of VGG-19 with all its layers."""
_LONGEST_HEADER, _LONGEST_SIDE = 2**20, 256
_GRAY = 1e-5
"""What rounding leaves between the statistics of equal channels, in [0, 1]."""
_DAMAGES = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, zlib.error)


class FileTap(NamedTuple):
    """A tap in a style file: its ``layer`` is the index of the model's ``Tap``."""

    layer: int
    name: str
    channels: int


class Painted(NamedTuple):
    """A painting of the style: its file's name and SHA-256 ("" for no file), its size in pixels."""

    name: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class ExtractedStyle:
    """What ``extract_style`` finds and a style file holds; usable wherever a style image is.

    ``values`` [sizes, numbers], float32, are the packed statistics for each of ``sides``, shorter
    sides in pixels, ascending. ``whole`` says that the last side is the paintings' own, which no
    run exceeds, since a style is never enlarged. ``model_sha256`` is ``backbone_sha256`` of the
    model whose features they are. ``thumbnail`` is uint8 [H, W, 3], in sRGB. ``patches`` are the
    paintings themselves, which matching needs; there are none in files of format 1.
    """

    model_name: str
    model_sha256: str
    taps: tuple[FileTap, ...]
    sides: tuple[int, ...]
    whole: bool
    paintings: tuple[Painted, ...]
    values: Array = field(repr=False)
    thumbnail: NDArray[np.uint8] = field(repr=False)
    source: Source | None = None
    patches: tuple[Patches, ...] = field(default=(), repr=False)

    @property
    def image(self) -> Image.Image:
        """The thumbnail as an RGB image, for sheets and reports."""
        return Image.fromarray(self.thumbnail)

    @property
    def name(self) -> str:
        """The style's name in messages."""
        return f"the style file {self.source.path!r}" if self.source else "the extracted style"

    @property
    def sha256(self) -> str:
        """The SHA-256, in hex, of the file that holds the style, or would hold it."""
        return hashlib.sha256(self.encoded()).hexdigest()

    def check(self, model: Model) -> None:
        """Raises StyleFileError where the style was made with another backbone than ``model``'s."""
        if self.model_sha256 != backbone_sha256(model):
            raise StyleFileError(
                f"{self.name} was extracted with another backbone ({self.model_name}) than that of "
                f"the model {model.name}; extract it again, or choose its model by --model."
            )

    def nearest(self, side: int) -> int:
        """``side``, or the nearest that lies between the style's smallest and largest one."""
        return min(max(side, self.sides[0]), self.sides[-1])

    def note(self, sides: Iterable[int]) -> str | None:
        """A sentence on those of ``sides`` that the style does not span; None if it spans all."""
        most = math.inf if self.whole else self.sides[-1]
        odd = sorted({side for side in sides if not self.sides[0] <= side <= most})
        if not odd:
            return None
        held = f"sizes from {self.sides[0]} to {self.sides[-1]} pixels"
        held = held if len(self.sides) > 1 else f"the size of {self.sides[0]} pixels only"
        return (
            f"{self.name} holds {held}, and the nearest stands for {', '.join(map(str, odd))}; "
            "extract it with the --size of the run."
        )

    @property
    def gray(self) -> bool:
        """Whether its colours have three equal channels, as far as their statistics tell."""
        found = [self.colors(side) for side in self.sides]
        return all(np.ptp(part) < _GRAY for colors in found for part in colors)

    def statistics(self, side: int) -> dict[int, Statistics]:
        """The statistics at the shorter side ``side``, or the nearest there is, by the tap's index.

        Between two sizes they are a mixture of both, by the size's logarithm: against the picture's
        own, three to five times nearer than the nearest of the two.
        """
        sizes = [packed_size(3), *(packed_size(tap.channels) for tap in self.taps)]
        _, *parts = np.split(self._at(side), np.cumsum(sizes)[:-1])
        pairs = zip(self.taps, parts, strict=True)
        return {tap.layer: unpack(part, tap.channels) for tap, part in pairs}

    def colors(self, side: int) -> Statistics:
        """The statistics of the colours, sRGB in [0, 1], at ``side`` or the nearest there is."""
        return unpack(self._at(side)[: packed_size(3)], 3)

    def _at(self, side: int) -> Array:
        """The packed statistics at that size, of the colours and then of every tap."""
        side = self.nearest(side)
        above = next(i for i, known in enumerate(self.sides) if known >= side)
        numbers: Array = self.values[above]
        if self.sides[above] > side:
            low, high = self.sides[above - 1], self.sides[above]
            share = np.float32(math.log(side / low) / math.log(high / low))
            numbers = (1 - share) * self.values[above - 1] + share * numbers
        return numbers

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the style to ``path``, whole or not at all.

        Raises OptionError for a name that does not end in .ostyle and for a style too large to be
        read, OutputError where the file cannot be written.
        """
        path = as_path(path, "path")
        if path.suffix.lower() != SUFFIX:
            raise OptionError(f"a style file's name ends in {SUFFIX}, unlike {str(path)!r}.")
        with atomic_writer(path) as stream:
            stream.write(self.encoded())

    def encoded(self) -> bytes:
        """The bytes of the style's file; raises OptionError where they are too many to be read."""
        height, width = self.thumbnail.shape[:2]
        header: dict[str, Any] = {
            "model": {"name": self.model_name, "sha256": self.model_sha256},
            "taps": self.taps,
            "sides": self.sides,
            "whole": self.whole,
            "paintings": self.paintings,
            "thumbnail": [width, height],
        }
        if self.patches:
            header["patches"] = [patches.header for patches in self.patches]
        words = json.dumps(header).encode()
        numbers = np.ascontiguousarray(self.values, "<f4").view(np.uint8).reshape(-1, 4)
        data = np.ascontiguousarray(numbers.T).tobytes() + self.thumbnail.tobytes()
        data += b"".join(patches.data for patches in self.patches)
        if len(data) > _LARGEST or len(words) > _LONGEST_HEADER:
            raise OptionError(
                f"the style would have {len(data)} bytes, more than a style file may have; extract "
                "fewer sizes, by a larger --smallest-size, or of fewer paintings."
            )
        rest = len(words).to_bytes(8, "little") + words + zlib.compress(data)
        return b"%s%d\n" % (_MAGIC, 2 if self.patches else 1) + hashlib.sha256(rest).digest() + rest


Style = Picture | ExtractedStyle
"""A style image, the path of a style file, or what such a file holds."""


def backbone_sha256(model: Model) -> str:
    """The SHA-256, in hex, of what decides the features: their graph, the pixels' mean and std."""
    text = json.dumps([model.backbone_sha256, model.mean, model.std])
    return hashlib.sha256(text.encode()).hexdigest()


def load_style(
    style: Style, max_pixels: int, least: float | None = None
) -> Raster | ExtractedStyle:
    """A style image, decoded, or a style file, read; the suffix or the first bytes tell which.

    ``least`` is the largest shorter side, in pixels, at which the image will be looked at; None for
    all that it has. Raises PictureError where ``load_picture`` does, StyleFileError where
    ``read_style`` does.
    """
    if isinstance(style, ExtractedStyle):
        return style
    if is_style_file(style):
        return read_style(cast(str | PathLike[str], style))
    return load_picture(style, max_pixels, "style image", least)


def is_style_file(style: Style) -> bool:
    """Whether ``style`` is a style file, or what was read from one, and no picture."""
    if not isinstance(style, (str, PathLike)):
        return isinstance(style, ExtractedStyle)
    if os.path.splitext(os.fsdecode(style))[1].lower() == SUFFIX:
        return True
    try:
        if not os.path.isfile(style):
            return False
        with open(style, "rb") as stream:
            return stream.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def has_patches(style: Style) -> bool:
    """Whether the style's places can be matched: of all pictures, and of files of format 2."""
    if isinstance(style, ExtractedStyle):
        return bool(style.patches)
    if not is_style_file(style):
        return True
    try:
        with open(cast(str | PathLike[str], style), "rb") as stream:
            return stream.read(len(_MAGIC) + 2) != _MAGIC + b"1\n"
    except OSError:  # which whoever reads the file will say
        return True


def read_style(path: str | PathLike[str]) -> ExtractedStyle:
    """The style in a file that ``ExtractedStyle.save`` wrote.

    Raises StyleFileError for a file that is missing, no style file, cut short, damaged, too large
    or of another version, and for one that holds what no statistics can be.
    """
    name = os.fsdecode(path)
    named = f"the style file {name!r}"
    data = read_bytes(name, named, StyleFileError, "ortist style extract writes one", _LARGEST)
    line, _, rest = data.partition(b"\n")
    if line not in [_MAGIC + b"%d" % known for known in _FORMATS]:
        if line.startswith(_MAGIC) and line[len(_MAGIC) :].isdigit():
            raise StyleFileError(
                f"{named} has format {line[len(_MAGIC) :][:9].decode()}, and this "
                f"Ortist reads formats 1 and 2; extract the style again."
            )
        raise StyleFileError(f"{name!r} is not a style file; ortist style extract writes such.")
    digest, rest = rest[:_HASH], rest[_HASH:]
    if hashlib.sha256(rest).digest() != digest:
        raise StyleFileError(f"{named} is cut short or damaged; copy or extract it again.")
    try:
        style = _parse(rest, Source(name, hashlib.sha256(data).hexdigest()))
        if bool(style.patches) != line.endswith(b"2"):
            raise ValueError("paintings are what format 2 has, and format 1 has not")
        return style
    except _DAMAGES as error:
        raise StyleFileError(
            f"{named} is not one that Ortist wrote ({type(error).__name__}: "
            f"{reason_of(error)}); extract the style again."
        ) from error


def _parse(data: bytes, source: Source) -> ExtractedStyle:
    """The style of what follows the hash; raises one of ``_DAMAGES`` for what is none."""
    length = int.from_bytes(data[:8], "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes")
    header = json.loads(data[8 : 8 + length])
    taps = tuple(
        FileTap(_count(layer, 10_000), _text(name), _count(channels, 2**14))
        for layer, name, channels in header["taps"]
    )
    sides = tuple(_count(side, 100_000) for side in header["sides"])
    if not sides or list(sides) != sorted(set(sides)):
        raise ValueError(f"sizes {sides}")
    if type(header["whole"]) is not bool:
        raise ValueError(f"{header['whole']!r:.50} is neither true nor false")
    if not taps or len({tap.layer for tap in taps}) < len(taps):
        raise ValueError("no taps, or one twice")
    width, height = (_count(side, _LONGEST_SIDE) for side in header["thumbnail"])
    numbers = len(sides) * (packed_size(3) + sum(packed_size(tap.channels) for tap in taps))
    headers = header.get("patches", [])
    pictures = 4 * numbers + 3 * width * height
    total = pictures + sum(sizes_of(headers))
    if total > _LARGEST:
        raise ValueError(f"{total} bytes of numbers")
    inflated = _inflated(data[8 + length :], total)
    planes = np.frombuffer(inflated, np.uint8, 4 * numbers).reshape(4, -1)
    values = np.ascontiguousarray(planes.T).view("<f4").reshape(len(sides), -1)
    thumbnail = np.frombuffer(inflated, np.uint8, 3 * width * height, 4 * numbers)
    style = ExtractedStyle(
        model_name=_text(header["model"]["name"]),
        model_sha256=_text(header["model"]["sha256"]),
        taps=taps,
        sides=sides,
        whole=header["whole"],
        paintings=tuple(
            Painted(_text(name), _text(sha256), _count(width, 2**31), _count(height, 2**31))
            for name, sha256, width, height in header["paintings"]
        ),
        values=values.astype(np.float32, copy=False),
        thumbnail=thumbnail.reshape(height, width, 3),
        source=source,
        patches=read_patches(headers, inflated[pictures:]),
    )
    _check_values(style)
    return style


def _inflated(data: bytes, size: int) -> bytes:
    """The ``size`` bytes that ``data`` inflates to; raises ValueError or zlib.error for others.

    No more than one byte too many is inflated, so that a bomb does not go off.
    """
    inflater = zlib.decompressobj()
    inflated = inflater.decompress(data, size + 1)
    if len(inflated) != size or not inflater.eof or inflater.unused_data:
        raise ValueError(f"not {size} bytes of numbers")
    return inflated


def _check_values(style: ExtractedStyle) -> None:
    """Raises ValueError for numbers that are not finite, and for negative mean squares."""
    if not np.isfinite(style.values).all():
        raise ValueError("numbers that are not finite")
    begin = 0
    for channels in (3, *(tap.channels for tap in style.taps)):
        # Row i of a triangle begins with its diagonal and has channels - i numbers.
        rows = np.concatenate([[0], np.cumsum(np.arange(channels, 1, -1))])
        if (style.values[:, begin + rows] < 0).any():
            raise ValueError("a negative mean of squares")
        begin += packed_size(channels)


def _count(value: Any, most: int) -> int:
    """A whole number from 1 to ``most``; raises ValueError for anything else."""
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"{value!r} is not a number from 1 to {most}")
    return value


def _text(value: Any) -> str:
    """Printable text, under 4096 characters; raises ValueError for anything else."""
    if not isinstance(value, str) or not (value.isprintable() and len(value) < 4096):
        raise ValueError(f"{value!r:.50} is not printable text")
    return value
