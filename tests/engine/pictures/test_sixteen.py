"""16 bits a channel: what others' files hold is read exactly, what is written can be read."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ortist.errors import PictureError
from ortist.pictures.outputs import save_picture
from ortist.pictures.raster import Painting
from ortist.pictures.reading import load_picture
from PIL import Image

from tests.conftest import kept, small_pictures

LIMIT = 10**6
Samples = NDArray[np.uint16]


def samples(channels: int, size: tuple[int, int] = (9, 7), seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 65536, (size[1], size[0], channels)).astype(np.uint16)


def png(values: Samples, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose rows use the five filters in turn, written from the specification."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    step = 2 * channels
    rows = values.astype(">u2").view(np.uint8).reshape(height, -1).astype(int)
    lines = b""
    for y, row in enumerate(rows):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        up = rows[y - 1] if y else np.zeros_like(row)
        corner = np.concatenate([np.zeros(step, int), up[:-step]])
        guess = left + up - corner
        near = [np.abs(guess - other) for other in (left, up, corner)]
        paeth = np.where(
            (near[0] <= near[1]) & (near[0] <= near[2]),
            left,
            np.where(near[1] <= near[2], up, corner),
        )
        predicted = (0 * row, left, up, (left + up) // 2, paeth)[y % 5]
        lines += bytes([y % 5]) + ((row - predicted) % 256).astype(np.uint8).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    encoded = b"\x89PNG\r\n\x1a\n"
    for name, data in parts:
        check = struct.pack(">I", zlib.crc32(name + data))
        encoded += struct.pack(">I", len(data)) + name + data + check
    return encoded


def tiff(values: Samples, order: str = "<", planes: bool = False) -> bytes:
    """An uncompressed TIFF, written from the specification."""
    height, width, channels = values.shape
    data = values.transpose(2, 0, 1) if planes else values
    raw = data.astype(f"{order}u2").tobytes()
    size = len(raw) // channels if planes else len(raw)
    starts = [8 + i * size for i in range(channels if planes else 1)]
    tags: dict[int, tuple[str, list[int]]] = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [16] * channels),
        259: ("H", [1]),
        262: ("H", [2]),
        273: ("I", starts),
        277: ("H", [channels]),
        278: ("H", [height]),
        279: ("I", [size] * len(starts)),
        284: ("H", [2 if planes else 1]),
    }
    if channels == 4:
        tags[338] = ("H", [2])
    place = 8 + len(raw)
    extra = place + 2 + 12 * len(tags) + 4
    entries, beyond = b"", b""
    for tag, (code, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(packed) > 4:
            beyond, packed = beyond + packed, struct.pack(f"{order}I", extra + len(beyond))
        kind = 3 if code == "H" else 4
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, place)
    count = struct.pack(f"{order}H", len(tags))
    return head + raw + count + entries + bytes(4) + beyond


def written(data: bytes, tmp_path: Path, name: str = "picture.png") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_opaque_pngs_are_read_exactly(channels: int, tmp_path: Path) -> None:
    values = samples(channels)
    raster = load_picture(written(png(values), tmp_path), LIMIT)
    np.testing.assert_array_equal(raster.pixels, np.broadcast_to(values, (7, 9, 3)))
    assert raster.pixels.dtype == np.uint16
    assert raster.alpha is None


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_of_16_bits_is_kept_and_laid_over_white(channels: int, tmp_path: Path) -> None:
    values = samples(channels)
    raster = load_picture(written(png(values), tmp_path), LIMIT)
    assert raster.alpha is not None
    np.testing.assert_array_equal(raster.alpha, values[..., -1])
    colors, alpha = values[..., :-1].astype(float), values[..., -1:] / 65535
    expected = np.broadcast_to(65535 - (65535 - colors) * alpha, (7, 9, 3))
    np.testing.assert_allclose(raster.pixels, expected, atol=0.51)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_clear_colour_is_found_by_all_its_bits(channels: int, tmp_path: Path) -> None:
    """Pillow's own comparison is of 8 bits."""
    values = samples(channels)
    values |= 1
    values[0, 0] = 5 * 256
    values[0, 1] = 5 * 256 + 1  # the same in 8 bits
    key = struct.pack(">H", 5 * 256) * channels
    raster = load_picture(written(png(values, (b"tRNS", key)), tmp_path), LIMIT)
    assert raster.alpha is not None
    assert (raster.alpha == 0).sum() == 1
    assert raster.alpha[0, 0] == 0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiffs_of_either_byte_order_are_read_exactly(
    order: str, channels: int, tmp_path: Path
) -> None:
    values = samples(channels)
    values[..., 3:] = 65535
    raster = load_picture(written(tiff(values, order), tmp_path, "a.tif"), LIMIT)
    np.testing.assert_array_equal(raster.pixels, values[..., :3])
    assert raster.alpha is None


def test_planes_that_pillow_misreads_are_refused(tmp_path: Path) -> None:
    path = written(tiff(samples(3), planes=True), tmp_path, "planes.tif")
    with pytest.raises(PictureError, match="separate planes; save it interleaved"):
        load_picture(path, LIMIT)


def test_orientation_turns_both_bytes(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    values = samples(3)
    data = png(values, (b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    raster = load_picture(written(data, tmp_path), LIMIT)
    np.testing.assert_array_equal(raster.pixels, np.rot90(values, -1))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("size", [(9, 7), (1, 1), (300, 900)])
def test_what_is_written_is_read_back(suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    """300 x 900 needs several strips."""
    values = samples(3, size)
    path = tmp_path / f"picture{suffix}"
    save_picture(Painting((values / 65535).astype(np.float32)), path, 16, text="a note")
    np.testing.assert_array_equal(load_picture(path, LIMIT).pixels, values)
    with Image.open(path) as image:
        image.verify()
        assert image.info["icc_profile"][36:40] == b"acsp"


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_alpha_is_written_too(suffix: str, tmp_path: Path) -> None:
    values = (samples(4) / 65535).astype(np.float32)
    alpha = values[..., 3]
    alpha[0] = 0
    painting = Painting((1 - (1 - values[..., :3]) * alpha[..., None]), alpha)
    path = tmp_path / f"picture{suffix}"
    save_picture(painting, path, 16)
    raster = load_picture(path, LIMIT)
    np.testing.assert_allclose(raster.pixels, painting.values * 65535, atol=2)
    assert raster.alpha is not None
    np.testing.assert_allclose(raster.alpha, alpha * 65535, atol=0.51)


def test_no_step_in_between_has_8_bits() -> None:
    """A ramp over two 8-bit levels keeps its tones; so it does where it is resized."""
    ramp = np.linspace(30000, 30512, 64).astype(np.uint16)
    content = np.broadcast_to(ramp[None, :, None], (48, 64, 3))
    style = small_pictures()[1]
    same = kept.transfer(content, style, size=48, iterations=0, quality="paper")
    np.testing.assert_allclose(same.painting.levels(16), content, atol=1)
    smaller = kept.transfer(content, style, size=36, iterations=0, quality="paper")
    assert len(np.unique(smaller.painting.levels(16))) >= 48
    assert len(np.unique(smaller.pixels)) <= 3


def test_arrays_of_more_bits_and_floats_are_pictures() -> None:
    values = samples(4)
    exact = load_picture(values, LIMIT)
    again = load_picture(values / 65535, LIMIT)
    np.testing.assert_array_equal(exact.pixels, again.pixels)
    half = load_picture(np.full((4, 5), 1, np.float16), LIMIT)
    assert half.pixels.min() == 65535
    for outside in (1.5, -0.1, float("nan")):
        with pytest.raises(PictureError, match=r"outside \[0, 1\]"):
            load_picture(np.full((4, 5), outside), LIMIT)


def attacks() -> dict[str, bytes]:
    whole = samples(3, (24, 18))
    buffer = io.BytesIO()
    deflated = Painting((whole / 65535).astype(np.float32))
    files: dict[str, Any] = {"png": png(whole), "tiff": tiff(whole), "big": tiff(whole, ">")}
    from ortist.pictures.sixteen import write_tiff

    write_tiff(deflated.levels(16), buffer, Image.Exif())
    return {**files, "deflated": buffer.getvalue(), "gray-alpha": png(samples(2, (24, 18)))}


@pytest.mark.parametrize("name", attacks())
def test_damage_is_an_error_in_words(name: str, tmp_path: Path) -> None:
    """Truncations and random changes: a picture or a PictureError, and soon."""
    data = attacks()[name]
    rng = np.random.default_rng(0)
    cuts = [data[: int(n)] for n in np.linspace(0, len(data) - 1, 60)]
    flips = []
    for number in range(150):
        changed = bytearray(data)
        reach = len(data) if number % 2 else min(len(data), 200)  # headers and directories too
        for position in rng.integers(0, reach, 3):
            changed[position if number % 3 else -1 - position] ^= int(rng.integers(1, 256))
        flips.append(bytes(changed))
    messages = []
    for attack in (*cuts, *flips):
        began = time.process_time()
        try:
            load_picture(written(attack, tmp_path, "attack.png"), LIMIT)
        except PictureError as error:
            messages.append(str(error))
        assert time.process_time() - began < 2
    assert len(messages) > 30
    assert all("attack.png" in message for message in messages)


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    data = bytearray(png(samples(3)))
    data[16:24] = struct.pack(">II", 60000, 60000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(PictureError, match="60000 x 60000"):
        load_picture(written(bytes(data), tmp_path), LIMIT)
