"""Animated GIFs: how long each frame is shown, read from the file's blocks (GIF89a).

FFmpeg decodes the frames. How long the last one stays some of its versions do not tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import IO

__all__ = ["Timing", "gif_timing"]

_USUAL = 10
"""Hundredths of a second of a frame that says less than 2, as browsers and FFmpeg show it."""
_MOST = 100_000
"""Frames that are looked at, at most."""


@dataclass(frozen=True)
class Timing:
    """Hundredths of a second for each frame, and whether the first may have transparent pixels."""

    delays: tuple[int, ...]
    transparent: bool

    @property
    def seconds(self) -> Fraction:
        """How long all frames take."""
        return Fraction(sum(self.delays), 100)

    @property
    def rate(self) -> Fraction:
        """Frames a second of a film that shows each frame for its time."""
        return Fraction(100, math.gcd(*self.delays))


def gif_timing(stream: IO[bytes]) -> Timing | None:
    """The timing of a GIF of two frames or more; None for anything else, or what is damaged."""
    try:
        delays, transparent = _frames(stream)
    except (EOFError, ValueError):
        return None
    return Timing(tuple(delays), transparent) if len(delays) > 1 else None


def _frames(stream: IO[bytes]) -> tuple[list[int], bool]:
    """The delays of all frames, and whether the first has a transparent colour.

    Raises EOFError where the file ends within a block, ValueError where it is no GIF.
    """
    head = _exactly(stream, 13)
    if head[:6] not in (b"GIF87a", b"GIF89a"):
        raise ValueError
    _skip_colors(stream, head[10])
    delays: list[int] = []
    delay, transparent = 0, False
    while len(delays) < _MOST and (kind := stream.read(1)) in (b"!", b","):
        if kind == b"!":
            label, block = _exactly(stream, 1), _block(stream)
            if label == b"\xf9" and len(block) >= 4:
                delay = int.from_bytes(block[1:3], "little")
                if not delays:  # in later frames it also means: as before
                    transparent = bool(block[0] & 1)
            if not block:
                continue
        else:
            _skip_colors(stream, _exactly(stream, 9)[8])
            _exactly(stream, 1)
            delays.append(delay if delay >= 2 else _USUAL)
            delay = 0
        while _block(stream):
            pass
    return delays, transparent


def _block(stream: IO[bytes]) -> bytes:
    """The next sub-block; b"" for the one that ends a row of them."""
    return _exactly(stream, _exactly(stream, 1)[0])


def _skip_colors(stream: IO[bytes], flags: int) -> None:
    if flags & 0x80:
        _exactly(stream, 3 * 2 ** ((flags & 7) + 1))


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data
