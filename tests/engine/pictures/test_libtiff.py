"""Damaged TIFFs: what is wrong is in the error, and nothing else is written to stderr."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ortist.errors import OrtistError, PictureError, reason_of
from ortist.pictures.libtiff import silent_libtiff
from ortist.pictures.reading import load_picture
from PIL import Image

from tests.conftest import SAMPLES

KINDS = ("raw", "tiff_lzw", "tiff_deflate", "jpeg", "packbits", "group3", "group4")


def damaged(folder: Path, count: int) -> list[Path]:
    rng, whole = np.random.default_rng(3), []
    picture = Image.open(SAMPLES / "harbour.jpg").resize((64, 48))
    for kind in KINDS:
        stream = io.BytesIO()
        picture.convert("1" if "group" in kind else "RGB").save(stream, "TIFF", compression=kind)
        whole.append(stream.getvalue())
    paths = []
    for number in range(count):
        data = bytearray(whole[number % len(whole)])
        begin = 8 if rng.random() < 0.7 else max(8, len(data) - 220)
        for _ in range(int(rng.integers(1, 12))):
            data[int(rng.integers(begin, len(data)))] = int(rng.integers(256))
        paths.append(folder / f"{number}.tif")
        paths[-1].write_bytes(data[: len(data) if number % 3 else int(rng.integers(20, len(data)))])
    return paths


def test_libtiff_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused = 0
    for path in damaged(tmp_path, 280):
        try:
            load_picture(path, 10**8)
        except OrtistError as error:
            refused += 1
            said = str(error)
            assert said.count(str(path)) == 1
            assert "\n" not in said
            assert len(said) < 600
    assert refused > 100
    assert capfd.readouterr().err == ""


def test_a_command_says_one_line(tmp_path: Path) -> None:
    path = next(path for path in damaged(tmp_path, 60) if _refused(path))
    words = ["-m", "ortist", "transfer", str(path), "oil", "-o", str(tmp_path / "o.png")]
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1


def _refused(path: Path) -> bool:
    try:
        load_picture(path, 10**8)
    except PictureError as error:
        return "decoder" in str(error)
    return False


def test_its_handlers_are_put_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    noisy = [path for path in damaged(tmp_path, 60) if _refused(path)]
    with silent_libtiff():
        pass
    for path in noisy:
        try:
            Image.open(path).load()
        except Exception:
            continue
    assert capfd.readouterr().err != ""


def test_reasons_are_one_line_and_bounded() -> None:
    assert reason_of(ValueError("a\n  b." + "c" * 900)) == "a b." + "c" * 196 + "…"
    assert reason_of(ValueError()) == "ValueError"
    assert reason_of(FileNotFoundError(2, "No such file or directory", "/a")) == (
        "No such file or directory"
    )
