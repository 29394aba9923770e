"""What checks ask of a program: pictures, fixed terms to pull back, and how errors are counted.

The pullback is compared on a function of the moments that exercises all of its inputs:
1/2 <M, S> + <v, m> with fixed M and v, content and total variation. No torch is needed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ortist_models import MANIFEST
from ortist_models.program import Part
from PIL import Image

from .backbones import BACKBONES
from .bundle import IMAGENET, read_program
from .errors import ExportError
from .one_piece import all_switches
from .phases import PHASES
from .program import Program

__all__ = [
    "TOLERANCE",
    "Array",
    "Given",
    "TapGiven",
    "check_images",
    "error_of",
    "fed",
    "is_known",
    "joined",
    "natural",
    "read_bundle",
    "read_picture",
    "variation",
    "whole",
    "worst",
]

TOLERANCE = 1e-5
"""The largest error, as a share of the largest component (features, gradient) or of the sum."""

Array = NDArray[np.float32]
_PLACES = ("with_shifts", "with_guides", "with_inside")


def check_images(extra: Mapping[str, Array], smallest_side: int = 1) -> Iterator[tuple[str, Array]]:
    """Names and normalised images [1, 3, H, W]; ``extra`` ones come first.

    ``real`` is a sample picture of the project's own; ``natural`` ones are noise. ``tiny`` is
    17 x 23 pixels, or larger where the taps need it.
    """
    yield from extra.items()
    yield "real", read_picture(Path(__file__).with_name("real.jpg"))
    yield "natural", natural(150, 200)
    color = np.array([0.4, -0.3, 0.7], np.float32).reshape(1, 3, 1, 1)
    yield "flat", np.tile(color, (1, 1, 96, 128))
    yield "white", np.full((1, 3, 77, 90), 2.2, np.float32)
    yield "drawing", _drawing(113, 160)
    yield "tiny", natural(max(17, smallest_side), max(23, smallest_side))
    yield "odd", natural(101, 67)
    yield "wide", natural(40, 331)


def read_picture(path: Path) -> Array:
    """A picture as [1, 3, H, W], normalised, reduced to 340 x 256 at most; raises ExportError."""
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP")) as opened:
            opened.thumbnail((340, 256))
            pixels = np.asarray(opened.convert("RGB"), np.float32) / 255
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ExportError(f"{str(path)!r} cannot be read as a picture ({error}).") from error
    mean, std = np.array(IMAGENET.mean, np.float32), np.array(IMAGENET.std, np.float32)
    values: Array = ((pixels - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)
    return values


def natural(height: int, width: int, seed: int = 0) -> Array:
    """Noise with the 1/f amplitude spectrum of photographs (Field 1987)."""
    rng = np.random.default_rng([height, width, seed])
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    white = np.fft.rfft2(rng.standard_normal((3, height, width)))
    planes = np.fft.irfft2(white / frequency, (height, width))
    scaled: Array = (planes / planes.std() * 0.9)[None].astype(np.float32)
    return scaled


def _drawing(height: int, width: int) -> Array:
    """Black lines and grey boxes on white: large areas of ties beside hard edges."""
    image = np.full((1, 3, height, width), 2.2, np.float32)
    image[..., height // 5, 9:-9] = -2.0
    image[..., 9:-9, width // 3 : width // 3 + 2] = -2.0
    image[..., height // 2 :, width // 2 :] = 0.1
    image[:, 0, height // 2 : -20, width // 2 : -30] = 1.5
    return image


def read_bundle(folder: Path) -> tuple[dict[str, Any], Program]:
    """The manifest and the program in ``folder``; raises ExportError where they are not whole."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for segment in manifest["program"]["segments"]:
            data = (folder / segment["file"]).read_bytes()
            if hashlib.sha256(data).hexdigest() != manifest["files"][segment["file"]]["sha256"]:
                raise ExportError(
                    f"{folder / segment['file']} is damaged: its sha256 is not the manifest's."
                )
        program = read_program(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{str(folder)!r} holds no readable model ({error}).") from error
    return manifest, program


def is_known(folder: Path) -> bool:
    """Whether a bundle is of an architecture that torch has modules of here (modules.py)."""
    manifest, _ = read_bundle(folder)
    known = BACKBONES.get(manifest["backbone"])
    return known is not None and manifest["layers"] == list(known.layers)


@dataclass(frozen=True)
class TapGiven:
    """One tap's M [R, C, C], v [R, C] or None, guides [R, h, w] or None, P [1, C, h, w] and w.

    ``own`` are the rows and columns that count.
    """

    mixing: Array
    shift: Array | None
    guides: Array | None
    content: Array
    weight: float
    own: tuple[slice, slice] = (slice(None), slice(None))


@dataclass(frozen=True)
class Given:
    """What a program is asked for: by tap, and of the pixels."""

    taps: Mapping[int, TapGiven]
    tv_weight: float
    own: tuple[slice, slice] = (slice(None), slice(None))

    @staticmethod
    def plain(maps: Sequence[Array], contents: Sequence[Array], taps: Sequence[int]) -> Given:
        """One region everywhere, no shifts."""
        rng = np.random.default_rng(0)
        given = {t: _tap(rng, m, c, 1) for t, m, c in zip(taps, maps, contents, strict=True)}
        return Given(given, 0.02 / maps[0][0, 0].size)

    @staticmethod
    def guided(
        maps: Sequence[Array],
        contents: Sequence[Array],
        taps: Sequence[int],
        shape: Sequence[int],
    ) -> Given:
        """In turn one, two and three regions with guides; the inner positions count."""
        rng = np.random.default_rng(1)
        given = {}
        for index, (tap, features, content) in enumerate(zip(taps, maps, contents, strict=True)):
            plain = _tap(rng, features, content, 1 + index % 3)
            channels, *space = features.shape[1:]
            scale = np.sqrt(channels * _energy(features)) or 1.0
            regions = len(plain.mixing)
            shift = rng.standard_normal((regions, channels)) / scale / np.prod(space)
            own = tuple(_inner(length) for length in space)
            given[tap] = replace(
                plain,
                shift=shift.astype(np.float32),
                guides=rng.random((regions, *space), np.float32),
                own=(own[0], own[1]),
            )
        return Given(given, 0.02 / np.prod(shape[2:]), (_inner(shape[2]), _inner(shape[3])))


def _energy(features: Array) -> float:
    return float(np.square(features, dtype=np.float64).mean())


def _inner(length: int) -> slice:
    return slice(length // 4, length - length // 5)


def _tap(rng: np.random.Generator, features: Array, content: Array, regions: int) -> TapGiven:
    """M and w for which every tap has about one say in the gradient."""
    _, channels, *space = features.shape
    energy = _energy(features) or 1.0
    per_position = 1 / np.prod(space)
    mixing = rng.standard_normal((regions, channels, channels)) / channels / energy
    mixing = (mixing + mixing.transpose(0, 2, 1)) * per_position
    weight = float(0.1 * per_position / channels / energy)
    return TapGiven(mixing.astype(np.float32), None, None, content, weight)


def fed(program: Program, given: Given, image: Array) -> tuple[dict[str, Any], set[str]]:
    """The program's inputs, and the switches that are on."""
    feed: dict[str, Any] = {"image": image, "tv_weight": np.array(given.tv_weight, np.float32)}
    on = {name for name in all_switches(program) if not name.endswith(_PLACES)}
    height, width = image.shape[2:]
    _bound(feed, "pixels", given.own, (height, width), Part(""))
    for tap, own in given.taps.items():
        channels = own.mixing.shape[1]
        feed[f"mixing_{tap}"] = np.ascontiguousarray(
            own.mixing.transpose(1, 0, 2).reshape(channels, -1)
        )
        feed[f"content_weight_{tap}"] = np.array(own.weight, np.float32)
        if own.shift is not None and own.guides is not None:
            on |= {*_PLACES}
            feed[f"shift_{tap}"] = np.ascontiguousarray(own.shift.T)
        for index, part in enumerate(program.taps[tap]):
            (down, right), step = part.phase, part.step
            name = f"{tap}_{index}"
            feed[f"content_{name}"] = np.ascontiguousarray(
                own.content[..., down::step, right::step]
            )
            if own.guides is not None:
                guides = own.guides[:, None, down::step, right::step]
                feed[f"guides_{name}"] = np.ascontiguousarray(guides)
            _bound(feed, name, own.own, own.content.shape[2:], part)
    return feed, on


def _bound(
    feed: dict[str, Any],
    name: str,
    own: tuple[slice, slice],
    shape: Sequence[int],
    part: Part,
) -> None:
    """Where the positions that count begin and end in a part of a map of that shape."""
    bounds = []
    for positions, length, phase in zip(own, shape, part.phase, strict=True):
        counted = range(length)[positions]
        bounds.append([-(-max(0, b - phase) // part.step) for b in (counted.start, counted.stop)])
    feed[f"first_{name}"], feed[f"end_{name}"] = np.array(bounds, np.int64).T.copy()


def whole(program: Program, tap: int, values: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The map of a tap, put together from its parts."""
    parts = program.taps[tap]
    if len(parts) == 1:
        return values[parts[0].value]
    return joined(dict(zip(PHASES, (values[part.value] for part in parts), strict=True)))


def joined(phases: Mapping[str, Array]) -> Array:
    """The map whose even and odd rows and columns they are."""
    (_, channels, *even), odd = phases["ee"].shape, phases["oo"].shape[2:]
    whole = np.empty((1, channels, even[0] + odd[0], even[1] + odd[1]), np.float32)
    for suffix, (down, right) in PHASES.items():
        whole[..., down::2, right::2] = phases[suffix]
    return whole


def variation(image: NDArray[np.float64], own: tuple[slice, slice]) -> float:
    """The sum over counted pixels x_i of x_i times its differences from its neighbours."""
    slope = np.zeros_like(image)
    for axis in (1, 2):
        difference = np.diff(image, axis=axis)
        widths = [(0, 0)] * 3
        widths[axis] = (1, 0)
        slope += np.pad(difference, widths)
        widths[axis] = (0, 1)
        slope -= np.pad(difference, widths)
    return float((image * slope)[(slice(None), *own)].sum())


def worst(computed: Sequence[Any], expected: Sequence[Any]) -> float:
    """The largest of the errors of values in pairs."""
    return float(np.max([error_of(a, b) for a, b in zip(computed, expected, strict=True)]))


def error_of(computed: Any, expected: Any) -> float:
    """The largest difference over the largest expected component."""
    scale = float(np.abs(expected).max()) or 1.0
    return float(np.abs(np.asarray(computed, np.float64) - expected).max()) / scale
