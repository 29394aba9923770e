"""Files that cost out of all proportion: refused from their blocks, before Pillow reads them."""

from __future__ import annotations

import io
import struct
import time
from pathlib import Path

import pytest
from ortist.errors import OptionError, PictureError
from ortist.pictures.reading import load_picture, read_header
from PIL import Image

from tests.attacks.pictures import commented_gif, segmented_jpeg, striped_tiff
from tests.conftest import SAMPLES, kept


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("exif.jpg", segmented_jpeg(900), "more than 16 segments of one kind of metadata"),
        ("many.jpg", segmented_jpeg(600, b"http://x"), "more than 33554432 bytes of metadata"),
        ("comments.gif", commented_gif(120_000), "more than 2097152 bytes of comments"),
        ("strips.tif", striped_tiff(1_000_000), "1000000 strips or tiles, more than 65536"),
    ],
    ids=["exif", "segments", "comments", "strips"],
)
def test_what_would_take_long_is_refused_at_once(
    name: str, data: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    began = time.process_time()
    for read in (read_header, load_picture):
        with pytest.raises(PictureError, match=said) as caught:
            read(tmp_path / name, 10**8, "style image")
        assert "save it again without, or name another." in str(caught.value)
    assert time.process_time() - began < 2


def test_a_webp_of_no_bytes_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (5000, 5000)).save(tmp_path / "a.webp", lossless=True, quality=0)
    with pytest.raises(PictureError, match="which would take gigabytes to decode"):
        read_header(tmp_path / "a.webp", 10**8)
    Image.new("RGB", (2000, 2000)).save(tmp_path / "a.webp", lossless=True, quality=0)
    assert read_header(tmp_path / "a.webp", 10**8).size == (2000, 2000)


@pytest.mark.parametrize("form", ["JPEG", "GIF", "TIFF", "WEBP", "PNG"])
def test_usual_files_pass_and_damaged_ones_are_the_decoders(form: str, tmp_path: Path) -> None:
    """With metadata as cameras write it; cut off anywhere, or one byte another."""
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "harbour"
    with Image.open(SAMPLES / "harbour.jpg") as image:
        small = image.resize((40, 30))
    small.save(stream, form, exif=exif, icc_profile=b"no profile", comment=b"painted")
    data, path = stream.getvalue(), tmp_path / "a"
    path.write_bytes(data)
    assert load_picture(path, 10**6).size == (40, 30)
    for index in range(0, min(len(data), 600), 3):
        for damaged in (data[:index], data[:index] + b"\xff" + data[index + 1 :]):
            path.write_bytes(damaged)
            try:
                load_picture(path, 10**6)
            except PictureError:
                continue


def test_pages_without_end_are_refused(tmp_path: Path) -> None:
    data = b"II*\0" + struct.pack("<L", 8)
    for page in range(5000):  # each says that there is another
        data += struct.pack("<HL", 0, 8 + 6 * (page + 1))
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(PictureError, match="more than 4096 pages"):
        read_header(tmp_path / "a.tif", 10**6)


@pytest.mark.parametrize(
    ("size", "side", "said"),
    [
        ((2400, 24), 512, "would have 51200 x 512; give --size 163 or less."),
        ((1, 60_000), 32, "has 1 x 60000 pixels, and is more than 256 times as long as"),
    ],
)
def test_a_ribbon_is_not_enlarged(size: tuple[int, int], side: int, said: str) -> None:
    narrow = Image.new("RGB", size)
    with pytest.raises(OptionError) as caught:
        kept.transfer(narrow, SAMPLES / "swirls.jpg", size=side, max_pixels=10**9)
    assert said in str(caught.value)


def test_enlarging_more_than_twice_is_said() -> None:
    small = Image.new("RGB", (20, 16), "teal")
    for side, notes in ((32, []), (33, ["the content has 20 x 16 pixels, the picture 41 x 33"])):
        run = kept.iterate(small, SAMPLES / "swirls.jpg", size=side, iterations=1)
        assert [note.split(":")[0] for note in run.notes] == notes
