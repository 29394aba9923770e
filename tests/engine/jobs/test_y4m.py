"""Y4M streams: what is read, what is refused, and that what is written comes back."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.errors import InputError
from ortist.jobs.y4m import Header, read_frame, read_header, write_frame, write_header

SPACES = ("420", "420jpeg", "420mpeg2", "420paldv", "422", "444", "mono")


def planes(width: int, height: int, y: int, cb: int, cr: int) -> bytes:
    levels = [np.full((height, width), level, np.uint8).tobytes() for level in (y, cb, cr)]
    return b"FRAME\n" + b"".join(levels)


# R'G'B' and the levels that BT.601 gives its 100 % bars in limited range (ITU-R BT.801).
BARS = [
    ((255, 255, 255), (235, 128, 128)),
    ((0, 0, 0), (16, 128, 128)),
    ((255, 0, 0), (81, 90, 240)),
    ((0, 255, 0), (145, 54, 34)),
    ((0, 0, 255), (41, 240, 110)),
    ((255, 255, 0), (210, 16, 146)),
]


@pytest.mark.parametrize(("rgb", "levels"), BARS)
def test_colour_bars(rgb: tuple[int, int, int], levels: tuple[int, int, int]) -> None:
    header = Header(4, 2, Fraction(25), space="444")
    frame = read_frame(io.BytesIO(planes(4, 2, *levels)), header)
    assert frame is not None
    assert np.abs(frame.astype(int) - rgb).max() <= 2  # the levels are rounded
    out = io.BytesIO()
    write_frame(out, header, np.full((2, 4, 3), rgb, np.uint8))
    np.testing.assert_allclose(
        np.frombuffer(out.getvalue()[6:], np.uint8).reshape(3, 8)[:, 0], levels, atol=1
    )


def test_full_range() -> None:
    header = read_header(io.BytesIO(b"YUV4MPEG2 W2 H2 F30:1 C444 XCOLORRANGE=FULL\n"))
    frame = read_frame(io.BytesIO(planes(2, 2, 255, 128, 128)), header)
    assert frame is not None
    assert (frame == 255).all()
    out = io.BytesIO()
    write_header(out, header)
    assert b"XCOLORRANGE=FULL" in out.getvalue()


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(1, 9),
    height=st.integers(1, 9),
    space=st.sampled_from(SPACES),
    rate=st.fractions(Fraction(1, 100), 240),
    seed=st.integers(0, 99),
)
def test_what_is_written_comes_back(
    width: int, height: int, space: str, rate: Fraction, seed: int
) -> None:
    """The header as it was; the picture as far as the chroma allows: a flat grey one always."""
    header = Header(width, height, rate, "4:3", space)
    level = np.random.default_rng(seed).integers(0, 256)
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    gray = np.full((height, width, 3), level, np.uint8)
    stream = io.BytesIO()
    write_header(stream, header)
    write_frame(stream, header, gray)
    write_frame(stream, header, noise)
    stream.seek(0)
    assert read_header(stream) == header
    first, second = read_frame(stream, header), read_frame(stream, header)
    assert first is not None
    assert second is not None
    assert np.abs(first.astype(int) - gray).max() <= 1
    if space == "444":
        assert np.abs(second.astype(int) - noise).max() <= 4
    assert read_frame(stream, header) is None


BAD = [
    (b"", "is not a YUV4MPEG2 stream"),
    (b"\x00\x00\x00\x18ftypmp42", "is not a YUV4MPEG2 stream"),
    (b"YUV4MPEG2 W0 H4 F25:1\n", "no size or no frame rate"),
    (b"YUV4MPEG2 H4 F25:1\n", "no size or no frame rate"),
    (b"YUV4MPEG2 W4 H4 F25:0\n", "no size or no frame rate"),
    (b"YUV4MPEG2 W4 H4 Fx\n", "no size or no frame rate"),
    (b"YUV4MPEG2 W4 H4 F25:1 It\n", "is interlaced"),
    (b"YUV4MPEG2 W4 H4 F25:1 C420p10\n", "'420p10' cannot be read"),
    (b"YUV4MPEG2 W4 H4 F25:1 C444alpha\n", "'444alpha' cannot be read"),
    (b"YUV4MPEG2 W4 H4 F25:1 C411\n", "'411' cannot be read"),
]


@pytest.mark.parametrize(("data", "said"), BAD)
def test_bad_headers(data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_header(io.BytesIO(data))


def test_a_stream_cut_anywhere() -> None:
    header = Header(4, 4, Fraction(25), space="420jpeg")
    out = io.BytesIO()
    write_frame(out, header, np.zeros((4, 4, 3), np.uint8))
    whole = out.getvalue()
    assert read_frame(io.BytesIO(whole), header) is not None
    for length in range(1, len(whole)):
        with pytest.raises(EOFError):
            read_frame(io.BytesIO(whole[:length]), header)
    with pytest.raises(InputError, match="where a frame should begin"):
        read_frame(io.BytesIO(b"NO FRAME\n" + whole), header)
