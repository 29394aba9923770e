"""A photo on standard input, a picture on standard output, and a name for a picture without one."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ortist.run.settings import read_settings
from PIL import Image

from tests.conftest import SAMPLES, Ortist, refused

QUICK = ("--size", 48, "--smallest-size", 32, "--iterations", 4)
Piped = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with a photo and a painting."""
    shutil.copy(SAMPLES / "harbour.jpg", tmp_path / "photo.jpg")
    shutil.copy(SAMPLES / "shards.jpg", tmp_path / "painting.jpg")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def piped(home: Path, tmp_path: Path) -> Piped:
    """Runs the command with bytes on standard input, none by default; temporary files go here."""
    (tmp_path / "temporary").mkdir()

    def run(*words: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "ortist", *map(str, words)]
        environment = {
            **os.environ,
            "ORTIST_HOME": str(home),
            "TMPDIR": str(tmp_path / "temporary"),
        }
        done = subprocess.run(
            command, input=given, capture_output=True, timeout=120, env=environment
        )
        assert list((tmp_path / "temporary").iterdir()) == []
        return done

    return run


def test_a_picture_gets_its_name_from_content_and_styles(ortist: Ortist) -> None:
    done = ortist("transfer", "photo.jpg", "painting.jpg", *QUICK)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "ortist: the picture is 'photo-painting.png'.\n"
    first = Path("photo-painting.png").read_bytes()
    refused(
        ortist,
        2,
        "'photo-painting.png' is there already; give --overwrite to replace it, or name another",
        *("transfer", "photo.jpg", "painting.jpg", "--seed", 1, *QUICK),
    )
    assert Path("photo-painting.png").read_bytes() == first
    done = ortist("transfer", "photo.jpg", "painting.jpg", "--seed", 1, "--overwrite", *QUICK)
    assert done.returncode == 0
    assert Path("photo-painting.png").read_bytes() != first

    Path("below").mkdir()
    shutil.copy("photo.jpg", Path("below", "other.name.jpg"))
    done = ortist("transfer", "below/other.name.jpg", "ink", "painting.jpg", *QUICK)
    assert done.returncode == 0
    assert Path("other.name-ink-painting.png").is_file()  # in the working directory


def test_a_link_to_nowhere_is_not_written_through(ortist: Ortist) -> None:
    Path("photo-painting.png").symlink_to("elsewhere.png")
    words = ("transfer", "photo.jpg", "painting.jpg", *QUICK)
    refused(ortist, 2, "is there already", *words)


def test_no_picture_is_written_where_something_else_is_asked_for(ortist: Ortist) -> None:
    words = ("transfer", "photo.jpg", "painting.jpg", *QUICK)
    before = sorted(os.listdir())
    for more in ("--json", "--plan", "--print-config"):
        assert ortist(*words, more).returncode == 0
    assert sorted(os.listdir()) == before
    assert ortist(*words, "--sheet", "sheet.png").returncode == 0
    assert sorted(os.listdir()) == sorted([*before, "sheet.png"])
    refused(ortist, 2, "there is no place for the picture", "texture", "painting.jpg", *QUICK)


def test_a_run_goes_on_to_the_same_name(ortist: Ortist) -> None:
    """An interrupted picture is in the way of another one, but not of its own end."""
    words = ("transfer", "photo.jpg", "painting.jpg", "--checkpoint", "state", *QUICK)
    assert ortist(*words).returncode == 0
    refused(ortist, 2, "is there already", *words)
    Path("state").write_bytes(b"damaged")
    done = ortist(*words)
    assert "checkpoint" in done.stderr
    assert "is there already" not in done.stderr


def test_from_stream_to_stream_is_the_file_s_picture(ortist: Ortist, piped: Piped) -> None:
    photo = Path("photo.jpg").read_bytes()
    done = ortist("transfer", "photo.jpg", "painting.jpg", "-o", "file.png", *QUICK)
    assert done.returncode == 0
    streamed = piped("transfer", "-", "painting.jpg", "-o", "-", *QUICK, given=photo)
    assert (streamed.returncode, streamed.stderr) == (0, b"")
    with Image.open(io.BytesIO(streamed.stdout)) as image, Image.open("file.png") as file:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), np.asarray(file))
    Path("streamed.png").write_bytes(streamed.stdout)
    assert read_settings("streamed.png", 10**7).inputs["content"] is None
    again = ("transfer", "--from", "streamed.png", "-o", "again.png")
    refused(ortist, 3, "the content image of 'streamed.png' was no file", *again)
    assert piped("transfer", "-", *again[1:], given=photo).returncode == 0
    with Image.open("again.png") as image, Image.open("file.png") as file:
        assert np.array_equal(np.asarray(image), np.asarray(file))


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "tiff", "bmp"])
def test_the_format_of_standard_output(piped: Piped, form: str) -> None:
    done = piped("transfer", "photo.jpg", "painting.jpg", "-o", "-", "--format", form, *QUICK)
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.format == form.upper()
        assert image.size == (64, 48)


def test_invert_and_texture_go_by_streams_too(piped: Piped) -> None:
    photo = Path("photo.jpg").read_bytes()
    for words in (("invert", "-"), ("texture", "painting.jpg")):
        done = piped(*words, "-o", "-", *QUICK, given=photo)
        assert (done.returncode, done.stderr) == (0, b"")
        with Image.open(io.BytesIO(done.stdout)) as image:
            assert min(image.size) == 48


def test_sheet_and_report_call_the_photo_a_stream(piped: Piped) -> None:
    photo = Path("photo.jpg").read_bytes()
    more = ("--report", "r.html", "--sheet", "sheet.png")
    done = piped("transfer", "-", "ink", "-o", "out.png", *more, *QUICK, given=photo)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "content: -" in Path("r.html").read_text()
    assert Path("sheet.png").is_file()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", b"standard input is empty; pipe a photo into it, or name a file."),
        (b"hello\n", b"the content image on standard input is not a picture that can be read ("),
        (
            (SAMPLES / "harbour.jpg").read_bytes()[:9000],
            b"the content image on standard input is damaged or cut short (",
        ),
    ],
    ids=["empty", "no picture", "cut"],
)
def test_what_is_no_photo_gets_one_sentence(piped: Piped, given: bytes, said: bytes) -> None:
    done = piped("transfer", "-", "painting.jpg", "-o", "out.png", *QUICK, given=given)
    assert done.returncode == 3
    assert done.stderr.startswith(b"ortist: " + said)
    assert (done.stderr.count(b"\n"), done.stdout) == (1, b"")
    assert not Path("out.png").exists()


def shell(line: str, home: Path) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a line, in which ORTIST stands for the command that paints."""
    command = f"{sys.executable} -m ortist transfer --size 48 --iterations 4"
    return subprocess.run(
        ["bash", "-c", line.replace("ORTIST", command)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "ORTIST_HOME": str(home)},
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("ORTIST - ink -o out.png <&-", 3, "standard input is closed; pipe a photo into it"),
        ("ORTIST photo.jpg ink -o - >&-", 2, "standard output is closed; name a file with -o."),
        (
            "ORTIST photo.jpg ink -o - | true; exit ${PIPESTATUS[0]}",
            2,
            "cannot write the picture to standard output (Broken pipe); name a file with -o.",
        ),
    ],
)
def test_closed_streams_get_one_sentence(home: Path, line: str, code: int, said: str) -> None:
    done = shell(line, home)
    assert done.returncode == code
    assert done.stderr.startswith(f"ortist: {said}")
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


def test_a_full_disk_behind_standard_output(home: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full here")
    done = shell("ORTIST photo.jpg ink -o - >/dev/full", home)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot write the picture to standard output (No space left on device)" in done.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("-o", "-", "--json"), "--json and the picture cannot both go to standard output"),
        (("-o", "-", "--snapshots", "2"), "snapshots are files beside the picture's"),
        (("-o", "-", "--format", "gif"), "there is no format 'gif'; choose one of png, jpeg"),
        (("-o", "-", "--format", "jpeg", "--depth", 16), "jpeg holds 8 bits per channel"),
        (("-o", "-", "--preview-every", 2), "there is no place for the preview"),
        (("-o", "out.png", "--format", "png"), "--format is for a picture on standard output"),
    ],
)
def test_what_a_stream_cannot_do_is_said(
    ortist: Ortist, more: tuple[object, ...], said: str
) -> None:
    refused(ortist, 2, said, "transfer", "photo.jpg", "painting.jpg", *more, *QUICK)


def test_more_than_a_photo_can_have_is_not_kept(piped: Piped) -> None:
    """Neither an endless stream nor a file that is larger than its pixels may be fills the disk."""
    most = ("--max-pixels", 1)
    given = b"\xff" * (2**26 + 9)
    done = piped("transfer", "-", "ink", "-o", "out.png", *most, *QUICK, given=given)
    assert done.returncode == 3
    assert b"standard input brings more than 67108872 bytes" in done.stderr
