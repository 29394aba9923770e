"""TIFFs read strip by strip have the pixels that Pillow decodes, or are left to it."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ortist.arrays import Arrays, Rows
from ortist.errors import PictureError
from ortist.pictures.outputs import save_picture
from ortist.pictures.raster import Painting, Raster
from ortist.pictures.reading import load_picture, read_header, spool_picture
from ortist.pictures.strips import strips_of
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (61, 47, 3), np.uint8)
LIMIT = 10**6


def tiled(path: Path, order: str, kind: str, deflated: bool) -> None:
    """A TIFF of 32 x 16 tiles, put together by hand."""
    values = PIXELS.astype(kind) * (257 if kind == "u2" else 1)
    width, height = values.shape[1], values.shape[0]
    padded = np.pad(values, ((0, -height % 16), (0, -width % 32), (0, 0)), mode="edge")
    parts = []
    for top in range(0, height, 16):
        for left in range(0, width, 32):
            part = padded[top : top + 16, left : left + 32].astype(f"{order}{kind}").tobytes()
            parts.append(zlib.compress(part) if deflated else part)
    places = np.cumsum([8, *(len(part) for part in parts)])
    size = values.dtype.itemsize
    tags: list[tuple[int, str, list[int]]] = [
        (256, "H", [width]),
        (257, "H", [height]),
        (258, "H", [8 * size] * 3),
        (259, "H", [8 if deflated else 1]),
        (262, "H", [2]),
        (277, "H", [3]),
        (284, "H", [1]),
        (322, "H", [32]),
        (323, "H", [16]),
        (324, "I", [int(place) for place in places[:-1]]),
        (325, "I", [len(part) for part in parts]),
    ]
    begin = int(places[-1])
    more = begin + 2 + 12 * len(tags) + 4
    entries, rest = b"", b""
    for tag, form, own in tags:
        data = struct.pack(f"{order}{len(own)}{form}", *own)
        if len(data) > 4:
            value = struct.pack(f"{order}I", more + len(rest))
            rest += data
        else:
            value = data.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, 3 if form == "H" else 4, len(own)) + value
    mark = b"II" if order == "<" else b"MM"
    path.write_bytes(
        mark
        + struct.pack(f"{order}HI", 42, begin)
        + b"".join(parts)
        + struct.pack(f"{order}H", len(tags))
        + entries
        + bytes(4)
        + rest
    )


def spooled(path: Path, folder: Path) -> Raster:
    return spool_picture(path, LIMIT, Arrays(folder), "picture")


def same(path: Path, folder: Path) -> NDArray[Any]:
    """Both ways' pixels, which are the same."""
    with Image.open(path) as image:
        assert strips_of(image, path) is not None
    assert read_header(path, LIMIT).spooling > 0
    raster, whole = spooled(path, folder), load_picture(path, LIMIT)
    assert isinstance(raster.pixels, Rows)
    assert raster.source == whole.source
    pixels: NDArray[Any] = raster.pixels[slice(None)]
    np.testing.assert_array_equal(pixels, whole.pixels)
    assert pixels.dtype == whole.pixels.dtype
    np.testing.assert_array_equal(raster.pixels[slice(17, 40)], whole.pixels[17:40])
    return pixels


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("deflated", [False, True])
def test_tiles(order: str, kind: str, deflated: bool, tmp_path: Path) -> None:
    path = tmp_path / "tiled.tif"
    tiled(path, order, kind, deflated)
    pixels = same(path, tmp_path)
    np.testing.assert_array_equal(pixels // (257 if kind == "u2" else 1), PIXELS)


@pytest.mark.parametrize("depth", [8, 16])
def test_what_ortist_writes(depth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortist.pictures.sixteen._STRIP_BYTES", 2000)
    path = tmp_path / "own.tif"
    save_picture(Painting(PIXELS / np.float32(255)), path, depth)
    same(path, tmp_path)


@pytest.mark.parametrize("compression", [None, "tiff_deflate", "tiff_adobe_deflate"])
def test_what_pillow_writes(compression: Any, tmp_path: Path) -> None:
    path = tmp_path / "pillow.tif"
    Image.fromarray(PIXELS).save(path, compression=compression)
    np.testing.assert_array_equal(same(path, tmp_path), PIXELS)


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        ("RGB", {"compression": "tiff_lzw"}),
        ("RGBA", {}),
        ("L", {}),
        ("CMYK", {}),
        ("RGB", {"tiffinfo": {274: 6}}),
    ],
)
def test_the_others_are_decoded_whole(mode: str, more: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "other.tif"
    Image.fromarray(PIXELS).convert(mode).save(path, **more)
    with Image.open(path) as image:
        assert strips_of(image, path) is None
    raster = spooled(path, tmp_path)
    np.testing.assert_array_equal(raster.pixels[slice(None)], load_picture(path, LIMIT).pixels)


def test_a_file_cut_short_is_said(tmp_path: Path) -> None:
    for name, compression in (("raw.tif", None), ("deflated.tif", "tiff_deflate")):
        stream = io.BytesIO()
        Image.fromarray(PIXELS).save(stream, "TIFF", compression=compression)
        data = bytearray(stream.getvalue())
        path = tmp_path / name
        with Image.open(io.BytesIO(data)) as image:
            offset = image.tag_v2[273][0]  # type: ignore[attr-defined]
        data[offset + 20 : offset + 90] = bytes(70)
        if compression is None:
            with Image.open(io.BytesIO(data)) as image:
                count = image.tag_v2[279][0]  # type: ignore[attr-defined]
            data = data.replace(struct.pack("<I", count), struct.pack("<I", 5))
        path.write_bytes(data)
        with pytest.raises(PictureError, match="damaged or cut short"):
            spooled(path, tmp_path)
