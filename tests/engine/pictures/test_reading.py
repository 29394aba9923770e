"""Pictures in and out: what is read, how it is turned into numbers, what is refused."""

from __future__ import annotations

import io
import math
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import ortist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ortist.errors import PictureError
from ortist.network.bundle import Model
from ortist.pictures.outputs import save_picture
from ortist.pictures.raster import Painting, Raster, to_levels
from ortist.pictures.reading import load_picture, read_header
from ortist.pictures.values import denormalize, extremes, normalize, shorter_side_to
from PIL import Image, ImageCms, features

LIMIT = 10**8


def gradient_image(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    pixels = np.indices((size[1], size[0], 3)).sum(0) * 3 % 256
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def test_normalising_and_back_is_exact(procedural: Model) -> None:
    every_level = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    values = normalize(shorter_side_to(Raster(every_level), 16), procedural)
    assert values.shape == (1, 3, 16, 16)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    np.testing.assert_array_equal(to_levels(denormalize(values, procedural), 8), every_level)


def test_rescaling_stretches_to_the_whole_range(procedural: Model) -> None:
    values = np.random.default_rng(0).standard_normal((1, 3, 8, 8), np.float32) * 9
    pixels = denormalize(values, procedural, extremes(values, procedural))
    assert (pixels.min(), pixels.max()) == (0, 1)


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 300))
def test_resizing_follows_the_assignment(width: int, height: int, side: int) -> None:
    resized = shorter_side_to(Raster(np.zeros((height, width, 3), np.uint8)), side)
    assert min(resized.shape[:2]) == side
    longer = max(width, height) * side / min(width, height)
    assert max(resized.shape[:2]) == int(longer)


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    raster = load_picture(gradient_image(mode), LIMIT)
    assert raster.pixels.shape == (30, 40, 3)
    assert raster.pixels.dtype == np.uint8
    assert raster.alpha is None


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    clear = Image.new("RGBA", (5, 4), (10, 20, 30, 0)).convert(mode)
    raster = load_picture(clear, LIMIT)
    assert raster.pixels.min() == 255
    assert raster.alpha is not None
    assert raster.alpha.max() == 0


def test_sixteen_bits_keep_their_tones() -> None:
    levels = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    pixels = load_picture(Image.fromarray(levels), LIMIT).pixels
    np.testing.assert_array_equal(pixels, levels[..., None].repeat(3, axis=2))


def test_orientation_is_applied(tmp_path: Path) -> None:
    image = gradient_image()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert load_picture(tmp_path / "turned.jpg", LIMIT).size == (30, 40)


def test_profiles_are_converted_and_broken_ones_passed_over(tmp_path: Path) -> None:
    image = gradient_image()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "srgb.png", icc_profile=srgb)
    pixels = load_picture(tmp_path / "srgb.png", LIMIT).pixels.astype(int)
    assert np.abs(pixels - np.asarray(image, int)).max() <= 1
    image.save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    np.testing.assert_array_equal(load_picture(tmp_path / "broken.png", LIMIT).pixels, image)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image.save(tmp_path / "foreign.png", icc_profile=lab)
    np.testing.assert_array_equal(load_picture(tmp_path / "foreign.png", LIMIT).pixels, image)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3), (4, 5, 4)])
def test_arrays_are_pictures(shape: tuple[int, ...]) -> None:
    assert load_picture(np.full(shape, 255, np.uint8), LIMIT).size == (5, 4)


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 5, 3), np.int32), np.zeros((4, 5, 2), np.uint8), np.zeros((0, 5), np.uint8)],
)
def test_other_arrays_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(PictureError, match="give uint8, uint16 or floats"):
        load_picture(array, LIMIT)


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be of that size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + b"\x00\x00\x00\x00IEND\xaeB`\x82"


def test_huge_pictures_are_refused_from_the_header(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png_header(60000, 60000))
    with pytest.raises(PictureError, match=r"60000 x 60000 .* limit of 100000000.*--max-pixels"):
        load_picture(bomb, LIMIT)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".gif"])
def test_pillows_own_limit_stays_for_others(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is never changed, not even for a moment, and does not hold for pictures that are read.

    But for WebP and TIFF beyond twice that limit, while their header is read.
    """

    class Watched(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            assert name != "MAX_IMAGE_PIXELS"
            super().__setattr__(name, value)

    path = tmp_path / f"picture{suffix}"
    gradient_image().save(path)
    pixels = math.prod(gradient_image().size)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", pixels - 1)
        patch.setattr(Image, "__class__", Watched)
        load_picture(path, LIMIT)
        read_header(path, LIMIT)
    with monkeypatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        load_picture(path, LIMIT)
        assert Image.MAX_IMAGE_PIXELS == 10


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="does not exist"):
        load_picture(tmp_path / "absent.png", LIMIT)
    with pytest.raises(PictureError, match="is not a regular file"):
        load_picture(tmp_path, LIMIT)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PictureError, match="is not a regular file"):
        load_picture(tmp_path / "pipe", LIMIT)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_damage_is_an_error_in_words(form: str, tmp_path: Path) -> None:
    """Every truncation and 50 random changes of a small file: a picture or a PictureError."""
    buffer = io.BytesIO()
    gradient_image(size=(24, 18)).save(buffer, form)
    data = buffer.getvalue()
    rng = np.random.default_rng(0)
    cuts = [data[: int(n)] for n in np.linspace(0, len(data) - 1, 60)]
    flips = []
    for _ in range(50):
        changed = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            changed[position] ^= int(rng.integers(1, 256))
        flips.append(bytes(changed))
    messages = []
    for attack in (*cuts, *flips, b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>"):
        path = tmp_path / "attack.png"
        path.write_bytes(attack)
        try:
            load_picture(path, 10**6)
        except PictureError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all("attack.png" in message for message in messages)


def test_a_jpeg_may_lack_its_end_marker_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    values = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    for options in ({}, {"progressive": True}, {"optimize": True}):
        whole = io.BytesIO()
        Image.fromarray(values).save(whole, "JPEG", quality=90, **options)
        data = whole.getvalue()
        assert data.endswith(b"\xff\xd9")
        path.write_bytes(data[:-2])
        with Image.open(io.BytesIO(data)) as image:
            np.testing.assert_array_equal(load_picture(path, 10**6).pixels, np.asarray(image))
        for cut in (20, 50, 200, len(data) // 2):
            path.write_bytes(data[:-cut])
            with pytest.raises(PictureError, match="damaged or cut short"):
                load_picture(path, 10**6)


@pytest.mark.parametrize(("form", "several"), [("GIF", 3), ("TIFF", 2), ("PNG", 2), ("WEBP", 2)])
def test_more_frames_or_pages_are_noticed_and_said(form: str, several: int, tmp_path: Path) -> None:
    shots = [Image.new("RGB", (48, 40), (60 * i, 9, 9)) for i in range(1, several + 1)]
    path = tmp_path / f"a.{form.lower()}"
    shots[0].save(path, form)
    assert not load_picture(path, 10**6).several
    shots[0].save(path, form, save_all=True, append_images=shots[1:])
    assert load_picture(path, 10**6).several
    run = ortist.iterate(path, shots[0], size=40, iterations=0)
    assert run.notes == ["the content has several frames or pages; the first is used."]


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif_is_read_and_written(tmp_path: Path) -> None:
    values = np.zeros((40, 56, 3), np.float32) + np.array([0.2, 0.5, 0.7], np.float32)
    save_picture(Painting(values), tmp_path / "a.avif")
    picture = load_picture(tmp_path / "a.avif", 10**6)
    assert picture.size == (56, 40)
    assert np.abs(picture.pixels / 255 - values).max() < 0.02
    data = (tmp_path / "a.avif").read_bytes()
    for cut in range(0, len(data), 7):
        (tmp_path / "b.avif").write_bytes(data[:cut])
        with pytest.raises(PictureError):
            load_picture(tmp_path / "b.avif", 10**6)


STYLE_PEAK = """
import sys
from ortist.options.fields import Options
from ortist.pictures.reading import read_header
from ortist.style.files import load_style

least = float(sys.argv[2]) or None
header = read_header(sys.argv[1], 10**9, "style image", least)
before = peak()
style = load_style(sys.argv[1], 10**9, least)
print(header.size, style.size, style.full, header.decoding, peak() - before)
"""
PEAK = """
def peak():
    status = open("/proc/self/status").read()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
def test_a_style_of_100_megapixels_takes_memory_for_what_is_looked_at(tmp_path: Path) -> None:
    tile = Image.effect_noise((1000, 800), 60).convert("RGB")
    tile.resize((11_000, 9_100)).save(tmp_path / "wide.jpg", quality=60)

    def read(least: float) -> tuple[list[int], int]:
        script = [sys.executable, "-c", PEAK + STYLE_PEAK, str(tmp_path / "wide.jpg"), str(least)]
        words = subprocess.check_output(script, text=True)
        *numbers, taken = [int(n) for n in re.findall(r"\d+", words)]
        return numbers, taken

    numbers, taken = read(512)
    assert numbers[:6] == [11_000, 9_100, 2750, 2275, 11_000, 9_100]
    assert taken < numbers[6] + 3 * 10**7 < 10**8
    numbers, whole = read(0)
    assert numbers[2:4] == [11_000, 9_100]
    assert whole > 4 * taken


@pytest.mark.long
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_shrunk_jpeg_is_what_it_would_have_been(tmp_path: Path, orientation: int) -> None:
    image = gradient_image(size=(4400, 4100))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "large.jpg", quality=95, exif=exif)
    data = (tmp_path / "large.jpg").read_bytes()
    (tmp_path / "endless.jpg").write_bytes(data[:-2])
    upright = (4400, 4100) if orientation == 1 else (4100, 4400)
    whole = load_picture(tmp_path / "large.jpg", LIMIT)
    assert (whole.size, whole.full) == (upright, None)
    for name in ("large.jpg", "endless.jpg"):
        small = load_picture(tmp_path / name, LIMIT, least=300)
        assert small.size == (upright[0] // 2, upright[1] // 2)  # 2048 pixels are left in any case
        assert small.full == upright
        assert read_header(tmp_path / name, LIMIT, least=300).size == upright
        seen = [shorter_side_to(picture, 300) for picture in (small, whole)]
        assert np.abs(seen[0] - seen[1]).mean() < 1 / 255
    assert load_picture(tmp_path / "large.jpg", LIMIT, least=1200).full is None
    with pytest.raises(PictureError, match="more than the limit"):
        load_picture(tmp_path / "large.jpg", 10**7, least=300)
