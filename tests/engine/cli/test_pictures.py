"""The command's pictures: bits, transparency, colours, and repeating from the settings inside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from ortist.pictures.reading import load_picture
from PIL import Image

from tests.conftest import SAMPLES, Ortist

QUICK = ("--size", 48, "--iterations", 6)


@pytest.fixture
def files(content_file: Path, style_file: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies that a test may change."""
    copies = tmp_path / "photo.jpg", tmp_path / "style.jpg"
    for old, new in zip((content_file, style_file), copies, strict=True):
        shutil.copy(old, new)
    return copies


@pytest.fixture
def cutout(files: tuple[Path, Path], tmp_path: Path) -> Path:
    """The photo with its left half transparent."""
    with Image.open(files[0]) as image:
        mask = Image.new("L", image.size, 255)
        mask.paste(0, (0, 0, image.width // 2, image.height))
        image.putalpha(mask)
        image.save(tmp_path / "cutout.png")
    return tmp_path / "cutout.png"


def test_tiff_has_16_bits_and_png_where_asked_for(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    pixels = []
    for name, words in (
        ("a.tif", ()),
        ("b.png", ("--depth", 16)),
        ("c.tif", ("--depth", 8)),
    ):
        sheet = tmp_path / f"sheet-{name}"
        done = ortist("transfer", *files, "-o", tmp_path / name, "--sheet", sheet, *words, *QUICK)
        assert (done.returncode, done.stderr) == (0, "")
        assert load_picture(sheet, 10**7).pixels.dtype == np.uint8
        pixels.append(load_picture(tmp_path / name, 10**6).pixels)
    assert [found.dtype.itemsize for found in pixels] == [2, 2, 1]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert len(np.unique(pixels[0])) > 1000
    assert np.abs(pixels[0] / 257 - pixels[2]).max() < 0.51


def test_transparency_is_kept(
    ortist: Ortist, files: tuple[Path, Path], cutout: Path, tmp_path: Path
) -> None:
    for name in ("a.webp", "b.tif"):
        words = ("-o", tmp_path / name, "--snapshots", 0, "--colors", "content-luminance")
        done = ortist("transfer", cutout, files[1], *words, *QUICK)
        assert (done.returncode, done.stderr) == (0, "")
        for path in (tmp_path / name, tmp_path / name.replace(".", "-0000.")):
            with Image.open(path) as image:
                assert image.mode == "RGBA"
                alpha = np.asarray(image)[..., 3]
            assert alpha[:, :30].max() == 0
            assert alpha[:, 34:].min() == 255
    done = ortist("transfer", cutout, files[1], "-o", tmp_path / "d.jpg", *QUICK)
    assert done.returncode == 0
    assert "ortist: .jpg holds no transparency; " in done.stderr
    assert "is laid over white" in done.stderr
    with Image.open(tmp_path / "d.jpg") as image:
        assert np.asarray(image)[:, :24].min() > 250


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_picture_repeats_itself(
    suffix: str, ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out, again = tmp_path / f"out{suffix}", tmp_path / f"again{suffix}"
    words = ("--seed", 5, "--init", "noise", "--style-layers", "1:1e4,fire3:2")
    done = ortist("transfer", *files, "-o", out, *words, *QUICK)
    assert done.returncode == 0, done.stderr
    done = ortist("transfer", "--from", out, "-o", again)
    assert (done.returncode, done.stderr) == (0, "")
    assert again.read_bytes() == out.read_bytes()


def test_snapshots_inversions_and_textures_repeat_themselves(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    again = tmp_path / "again.png"
    done = ortist("transfer", *files, "-o", tmp_path / "out.png", "--snapshots", "3", *QUICK)
    assert done.returncode == 0, done.stderr
    done = ortist("transfer", "--from", tmp_path / "out-0003.png", "-o", again)
    assert (done.returncode, done.stderr) == (0, "")
    assert again.read_bytes() == (tmp_path / "out-0003.png").read_bytes()
    for command, file in (("invert", files[0]), ("texture", files[1])):
        done = ortist(command, file, "-o", tmp_path / "out.png", *QUICK)
        assert done.returncode == 0, done.stderr
        done = ortist(command, "--from", tmp_path / "out.png", "-o", again)
        assert (done.returncode, done.stderr) == (0, "")
        assert again.read_bytes() == (tmp_path / "out.png").read_bytes()


def test_several_styles_and_masks_repeat_themselves(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out, again = tmp_path / "out.png", tmp_path / "again.png"
    other = SAMPLES / "pencil.jpg"
    masks = (
        "--mask",
        SAMPLES / "harbour-sky.png",
        "-",
        "--mask",
        SAMPLES / "harbour-land.png",
        "-",
    )
    words = ("--style-weights", "2,1", "--colors", "style-matched", *masks)
    done = ortist("transfer", *files, other, "-o", out, *words, *QUICK)
    assert done.returncode == 0, done.stderr
    done = ortist("transfer", "--from", out, "-o", again)
    assert (done.returncode, done.stderr) == (0, "")
    assert again.read_bytes() == out.read_bytes()


def test_what_is_given_goes_before_what_is_recorded(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out, again, expected = (tmp_path / f"{name}.png" for name in ("out", "again", "expected"))
    done = ortist("transfer", *files, "-o", out, "--tv-weight", 0.1, *QUICK)
    assert done.returncode == 0, done.stderr
    done = ortist("transfer", files[1], "--from", out, "-o", again, "--iterations", 4)
    assert done.returncode == 0, done.stderr
    words = ("-o", expected, "--tv-weight", 0.1, "--size", 48, "--iterations", 4)
    done = ortist("transfer", files[1], files[1], *words)
    assert done.returncode == 0, done.stderr
    assert again.read_bytes() == expected.read_bytes()


def test_what_cannot_be_repeated_is_one_sentence(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ortist("transfer", "photo.jpg", "style.jpg", "-o", "out.png", *QUICK)
    assert done.returncode == 0, done.stderr
    shutil.copy("out.png", "old.png")

    def refused(code: int, said: str, *words: object, command: str = "transfer") -> None:
        before = sorted(os.listdir())
        done = ortist(command, *words, "-o", "again.png")
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert done.stderr.startswith("ortist: ")
        assert done.stderr.count("\n") == 1
        assert sorted(os.listdir()) == before

    refused(2, "'old.png' was made by ortist transfer", "--from", "old.png", command="invert")
    refused(2, "--from or --preset", "--from", "old.png", "--preset", "cs231n-the-scream")
    refused(3, "'absent.png' does not exist", "--from", "absent.png")
    refused(3, "'photo.jpg' has no settings in it", "--from", "photo.jpg")
    refused(2, "Missing argument 'CONTENT'")
    refused(2, "Missing argument 'STYLE'", "photo.jpg")
    refused(2, "no depth 12", "photo.jpg", "style.jpg", "--depth", 12)
    refused(3, "no model 'x'", "--from", "old.png", "--model", "x")
    with open("photo.jpg", "ab") as stream:
        stream.write(b"more")
    refused(3, "'photo.jpg' has changed since 'old.png' was made", "--from", "old.png")
    os.unlink("photo.jpg")
    refused(3, "'photo.jpg' of 'old.png' does not exist; put it there", "--from", "old.png")


def test_the_depth_must_fit_the_format(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    for suffix in ("jpg", "webp", "bmp"):
        out = tmp_path / f"o.{suffix}"
        done = ortist("transfer", *files, "-o", out, "--depth", 16)
        assert done.returncode == 2
        assert f"holds 8 bits per channel; for depth 16, end 'o.{suffix}' in" in done.stderr
        assert not out.exists()


def test_settings_stay_out_where_unwanted(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    done = ortist("transfer", *files, "-o", tmp_path / "out.png", "--no-settings", *QUICK)
    assert done.returncode == 0, done.stderr
    data = (tmp_path / "out.png").read_bytes()
    assert b"photo.jpg" not in data
    assert b"eXIf" not in data
