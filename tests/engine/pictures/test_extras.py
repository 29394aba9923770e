"""HEIC and JPEG XL: known by their first bytes, read where their packages are, named where not."""

from __future__ import annotations

import importlib
import importlib.util
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ortist.errors import PictureError
from ortist.pictures.extras import _jxl_size, extra_form, has_extra, looks_like_picture
from ortist.pictures.reading import load_picture, read_header
from PIL import Image

from tests.conftest import SAMPLES

HEIC = struct.pack(">L", 24) + b"ftypheic\0\0\0\0mif1heic"
AVIF = struct.pack(">L", 28) + b"ftypmif1\0\0\0\0mif1avifmiaf"
MODULES = {"heic": "pillow_heif", "jxl": "pillow_jxl"}


def jxl(height: int, width: int) -> bytes:
    """The beginning of a JPEG XL of that size, without a ratio."""
    bits, place = 0, 0

    def put(number: int, count: int) -> None:
        nonlocal bits, place
        bits |= number << place
        place += count

    put(0, 1)
    for index, side in enumerate((height, width)):
        if index:
            put(0, 3)
        put(3, 2)
        put(side - 1, 30)
    return b"\xff\x0a" + bits.to_bytes(16, "little")


def boxed(codestream: bytes) -> bytes:
    begin = b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">L", 20) + b"ftypjxl \0\0\0\0jxl "
    return begin + struct.pack(">L", 8 + len(codestream)) + b"jxlc" + codestream


def test_known_by_their_first_bytes(tmp_path: Path) -> None:
    for begin in (HEIC, AVIF, jxl(4, 5), boxed(jxl(4, 5)), b"\xff\xd8\xff\xe0", b"II*\0"):
        assert looks_like_picture(begin), begin
    for begin in (b"", b"BMW", b"<svg", HEIC.replace(b"ftyp", b"free"), b"RIFF\0\0\0\0WAVE"):
        assert not looks_like_picture(begin), begin
    assert extra_form("x", AVIF, 10**8, "picture") is None
    assert _jxl_size(jxl(1000, 3)) == (3, 1000)
    assert _jxl_size(boxed(jxl(2**30, 2**30))) == (2**30, 2**30)
    for cut in (jxl(4, 5)[:6], boxed(jxl(4, 5))[:40], b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(8)):
        assert _jxl_size(cut) is None


@pytest.mark.parametrize(("extra", "data"), [("heic", HEIC), ("jxl", jxl(48, 64))])
def test_without_the_package_its_extra_is_named(
    extra: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, MODULES[extra], None)
    (tmp_path / "photo.jpg").write_bytes(data)
    with pytest.raises(PictureError, match=rf"takes an extra: pip install 'ortist\[{extra}\]'"):
        load_picture(tmp_path / "photo.jpg", 10**8)


def needs(extra: str) -> None:
    if not has_extra(extra):
        pytest.skip(f"without the extra {extra}")
    importlib.import_module(MODULES[extra])


@pytest.mark.parametrize("extra", [*MODULES])
def test_read_where_the_package_is(extra: str, tmp_path: Path) -> None:
    needs(extra)
    image = Image.open(SAMPLES / "harbour.jpg").convert("RGB")
    if extra == "heic":
        importlib.import_module("pillow_heif").register_heif_opener()
    path = tmp_path / f"photo.{extra}"
    image.save(path, quality=95)
    header, picture = read_header(path, 10**8), load_picture(path, 10**8)
    assert header.size == picture.size == image.size
    assert np.abs(picture.pixels.astype(int) - np.asarray(image)).mean() < 5
    data = path.read_bytes()
    for end in (len(data) // 2, 80):
        (tmp_path / "cut").write_bytes(data[:end])
        with pytest.raises(PictureError, match="damaged or cut short") as caught:
            load_picture(tmp_path / "cut", 10**8)
        assert "\n" not in str(caught.value)
    with pytest.raises(PictureError, match="640 x 480 pixels, more than the limit of 1000"):
        load_picture(path, 1000)


def test_a_jpeg_xl_is_judged_before_it_is_decoded(tmp_path: Path) -> None:
    needs("jxl")
    for data in (jxl(2**30, 2**30), boxed(jxl(2**20, 2**10))):
        (tmp_path / "bomb.jxl").write_bytes(data)
        with pytest.raises(PictureError, match="more than the limit"):
            read_header(tmp_path / "bomb.jxl", 10**8)


def test_the_packages_are_imported_for_such_files_alone() -> None:
    script = (
        "import sys, ortist; from ortist.pictures.reading import load_picture;"
        f"load_picture({str(SAMPLES / 'harbour.jpg')!r}, 10**8);"
        "print([m for m in sys.modules if m.startswith(('pillow_heif', 'pillow_jxl'))])"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "[]"
