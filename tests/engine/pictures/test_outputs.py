"""Pictures out: what is written, and that it is read back as it was."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from ortist.errors import OptionError, OutputError
from ortist.files import atomic_writer, check_writable
from ortist.pictures.outputs import output_depth, picture_format, save_picture
from ortist.pictures.raster import Painting
from ortist.pictures.reading import load_picture
from PIL import Image

from tests.engine.pictures.test_reading import LIMIT, gradient_image


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_saving_and_reading_back(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{suffix}"
    save_picture(Painting.of(gradient_image()), path, depth=8)
    pixels = load_picture(path, LIMIT).pixels.astype(int)
    assert np.abs(pixels - np.asarray(gradient_image(), int)).max() <= (
        12 if suffix == ".jpg" else 0
    )


def test_unknown_suffixes_are_refused() -> None:
    with pytest.raises(OptionError, match=r"'picture\.xyz'; end it in one of \.jpg"):
        picture_format(Path("picture.xyz"))


def test_what_a_format_cannot_hold_is_refused_before_it_is_painted() -> None:
    assert output_depth(Path("x.tif"), None, (20_000, 20_000)) == 16
    assert output_depth(Path("x.tif"), 8, (30_000, 30_000)) == 8
    assert output_depth(Path("x.png"), 16, (30_000, 30_000)) == 16
    with pytest.raises(OptionError, match=r"at most 4 GB, and 30000 x 30000 .* or give --depth 8"):
        output_depth(Path("x.tif"), None, (30_000, 30_000))
    with pytest.raises(OptionError, match=r"TIFF holds at most 4 GB, .*'x\.tif' in \.png\."):
        output_depth(Path("x.tif"), 8, (40_000, 40_000))
    with pytest.raises(OptionError, match="JPEG holds at most 65500 pixels each way"):
        output_depth(Path("x.jpg"), None, (70_000, 30_000))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def write_and_fail(error: Exception) -> None:
        with atomic_writer(path) as stream:
            stream.write(b"half of the new")
            raise error

    with pytest.raises(RuntimeError):
        write_and_fail(RuntimeError())
    with pytest.raises(OutputError, match="No space left on device"):
        write_and_fail(OSError(28, "No space left on device"))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_what_is_no_file_is_said_once(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        check_writable(tmp_path)
    said = f"cannot write {str(tmp_path)!r}: it is a folder; name another file."
    assert str(caught.value) == said


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
def test_what_does_not_fit_is_never_torn(suffix: str, depth: int, tmp_path: Path) -> None:
    """A full disk, and a limit of file sizes, wherever in the file they strike."""
    resource = pytest.importorskip("resource")
    if depth == 16 and suffix not in (".png", ".tif"):
        pytest.skip("it holds 8 bits")
    noise = np.random.default_rng(0).integers(0, 256, (120, 120, 3), np.uint8)
    painting = Painting.of(Image.fromarray(noise))
    path = tmp_path / f"picture{suffix}"
    save_picture(painting, path, depth)
    whole = path.read_bytes()
    path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for room in (0, 100, 4096, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
            with pytest.raises(OutputError, match="File too large"):
                save_picture(painting, path, depth)
            assert os.listdir(tmp_path) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    save_picture(painting, path, depth)
    assert path.read_bytes() == whole
