"""``ortist style``, and a style file wherever the command takes a style."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from ortist.run.settings import read_settings
from ortist.style.named import BUILT_IN
from PIL import Image

from tests.conftest import SAMPLES, Ortist, refused

QUICK = ("--size", 48, "--smallest-size", 32, "--iterations", 6)
SIZES = QUICK[:4]


@pytest.fixture
def folder(
    content_file: Path, style_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder, with copies that a test may change."""
    shutil.copy(content_file, tmp_path / "photo.jpg")
    shutil.copy(style_file, tmp_path / "style.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def style(ortist: Ortist, folder: Path) -> str:
    done = ortist("style", "extract", "style.jpg", "-o", "a.ostyle", *SIZES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return "a.ostyle"


def test_it_stands_for_the_painting(ortist: Ortist, style: str) -> None:
    """The same picture, to the byte but for the settings, with sheet and report; and repeated."""
    for path, out in (("style.jpg", "one.png"), (style, "other.png")):
        done = ortist("transfer", "photo.jpg", path, "-o", out, "--no-settings", *QUICK)
        assert (done.returncode, done.stderr) == (0, "")
    assert Path("one.png").read_bytes() == Path("other.png").read_bytes()
    words = ("-o", "out.png", "--sheet", "sheet.png", "--report", "r.html", "--seed", 3)
    done = ortist("transfer", "photo.jpg", style, SAMPLES / "shards.jpg", *words, *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert "style 1: a.ostyle" in Path("r.html").read_text()
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 1500
    done = ortist("transfer", "--from", "out.png", "-o", "again.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    done = ortist("texture", style, "-o", "texture.png", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    with open(style, "ab") as stream:
        stream.write(b"more")
    said = "'a.ostyle' has changed since 'out.png' was made"
    refused(ortist, 3, said, "transfer", "--from", "out.png", "-o", "x.png")


def test_show_says_what_is_inside(ortist: Ortist, style: str) -> None:
    done = ortist("style", "show", style)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "painting  style.jpg, 640 x 480\n"
        "sizes     34, 48 pixels\n"
        "patches   can be matched\n"
        "layers    1 conv1, 2 pool1, 3 fire2, 4 fire3, 5 pool3, 6 fire4, 7 fire5\n"
        "model     squeezenet1_1-procedural; usable with squeezenet1_1-procedural\n"
    )
    found = json.loads(ortist("style", "show", style, "--json").stdout)
    assert (found["sizes"], found["whole"]) == ([34, 48], False)
    assert found["bytes"] == os.path.getsize(style) < 2 * 10**6
    assert found["patches"] is True
    assert re.fullmatch("[0-9a-f]{64}", found["paintings"][0]["sha256"])
    done = ortist("style", "extract", "style.jpg", "photo.jpg", "-o", "b.ostyle", "--size", 999)
    assert (done.returncode, done.stderr) == (0, "")
    done = ortist("style", "show", "b.ostyle")
    assert "photo.jpg, 640 x 480\nsizes     177, 250, 353, 480 pixels, and what" in done.stdout
    done = ortist(
        "style", "extract", "style.jpg", "-o", "c.ostyle", "--preset", "cs231n-the-scream"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "sizes     224 pixels\n" in ortist("style", "show", "c.ostyle").stdout


def test_a_size_that_it_does_not_hold_is_said(ortist: Ortist, style: str) -> None:
    words = ("-o", "out.png", "--size", 64, "--smallest-size", "none", "--iterations", 2)
    done = ortist("transfer", "photo.jpg", style, *words)
    said = (
        "ortist: the style file 'a.ostyle' holds sizes from 34 to 48 pixels, and the nearest "
        "stands for 64; extract it with the --size of the run.\n"
    )
    assert (done.returncode, done.stderr) == (0, said)
    words = ("-o", "out", "--size", 64, "--smallest-size", "none", "--iterations", 2)
    done = ortist("batch", "photo.jpg", "style.jpg", "--style", style, *words)
    assert (done.returncode, done.stderr) == (0, said.replace("a.ostyle", f"{Path.cwd()}/a.ostyle"))


def test_batches_know_it_by_its_hash(ortist: Ortist, style: str) -> None:
    os.mkdir("styles")
    shutil.move(style, "styles/a.ostyle")
    shutil.copy("style.jpg", "styles/b.jpg")
    words = ("batch", "photo.jpg", "--style", "styles", "-o", "out", "--no-settings", *QUICK)
    done = ortist(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("out/photo-a.png").read_bytes() == Path("out/photo-b.png").read_bytes()
    assert "2 kept" in ortist(*words).stderr
    done = ortist("style", "extract", SAMPLES / "pencil.jpg", "-o", "styles/a.ostyle", *SIZES)
    assert done.returncode == 0, done.stderr
    assert "1 painted, 1 kept" in ortist(*words).stderr
    Path("styles/a.ostyle").write_bytes(Path("styles/a.ostyle").read_bytes()[:-9])
    refused(ortist, 3, "a.ostyle' is cut short or damaged", *words)


def test_what_is_off_is_one_sentence(ortist: Ortist, style: str) -> None:
    data = bytearray(Path(style).read_bytes())
    data[5000] ^= 4
    Path("flipped.ostyle").write_bytes(data)
    shutil.copy("style.jpg", "picture.ostyle")
    paint = ("transfer", "photo.jpg")
    to = ("-o", "x.png", *QUICK)
    refused(ortist, 3, "'flipped.ostyle' is cut short or damaged", *paint, "flipped.ostyle", *to)
    refused(ortist, 3, "'picture.ostyle' is not a style file", *paint, "picture.ostyle", *to)
    refused(ortist, 3, "'absent.ostyle' does not exist", *paint, "absent.ostyle", *to)
    refused(ortist, 3, "image 'a.ostyle' is not a picture", "transfer", style, "style.jpg", *to)
    refused(ortist, 3, "'photo.jpg' is not a style file", "style", "show", "photo.jpg")
    mask = ("--mask", "photo.jpg", "photo.jpg")
    refused(ortist, 2, "of which a style mask wants a part", *paint, style, *mask, *to)
    matched = ("--colors", "style-matched")
    refused(ortist, 2, "that the style file 'a.ostyle' holds", *paint, style, *matched, *to)
    refused(ortist, 2, "is a file that the run needs", *paint, style, "--report", style, *to)
    extract = ("style", "extract", "style.jpg")
    refused(ortist, 2, "name ends in .ostyle, unlike 'x.png'", *extract, "-o", "x.png")
    refused(ortist, 2, "is a file that the run needs", *extract, style, "-o", style)
    refused(ortist, 2, "there is no folder 'no'", *extract, "-o", "no/a.ostyle")
    refused(ortist, 3, "'no.jpg' does not exist", "style", "extract", "no.jpg", "-o", "x.ostyle")
    refused(
        ortist,
        2,
        "2 style weights do not fit 1",
        *extract,
        "-o",
        "x.ostyle",
        "--style-weights",
        "1,2",
    )
    assert os.path.getsize(style) == len(data)


def test_the_built_in_styles_are_listed(ortist: Ortist, folder: Path) -> None:
    done = ortist("style", "list", "-o", "sheet.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(BUILT_IN)
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 1000
        assert sheet.height > 500
    done = ortist("style", "list", "--json")
    listed = json.loads(done.stdout)
    assert [style["name"] for style in listed] == list(BUILT_IN)
    assert all(Path(style["file"]).is_file() for style in listed)
    refused(ortist, 2, "cannot tell a picture format", "style", "list", "-o", "sheet.txt")
    refused(ortist, 2, "there is no folder 'no'", "style", "list", "-o", "no/sheet.png")


def test_a_built_in_style_paints_and_is_repeated(ortist: Ortist, folder: Path) -> None:
    done = ortist("transfer", "photo.jpg", "ink", "-o", "out.png", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    settings = read_settings("out.png", 10**7)
    assert settings.inputs["style"] == ("ink", BUILT_IN["ink"].sha256)
    done = ortist("transfer", "--from", "out.png", "-o", "again.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    refused(ortist, 3, "perhaps ink is meant", "transfer", "photo.jpg", "inc", "-o", "x.png")

    shutil.copy("style.jpg", "ink")
    done = ortist("transfer", "photo.jpg", "ink", "-o", "file.png", *QUICK)
    assert done.returncode == 0
    assert done.stderr.startswith("ortist: the style is the file 'ink' here, not the built-in")
    assert Path("file.png").read_bytes() != Path("out.png").read_bytes()
    done = ortist("transfer", "--from", "out.png", "-o", "again.png", "--no-settings")
    assert (done.returncode, done.stderr) == (0, "")  # what it was made with, not the file
    with Image.open("again.png") as again, Image.open("out.png") as out:
        assert again.tobytes() == out.tobytes()


def test_a_batch_takes_names_beside_files(ortist: Ortist, folder: Path) -> None:
    styles = ("--style", "ink", "--style", "style.jpg")
    done = ortist("batch", "photo.jpg", *styles, "-o", "out", *QUICK)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in Path("out").glob("*.png")) == [
        "photo-ink.png",
        "photo-style.png",
    ]
    assert read_settings("out/photo-ink.png", 10**7).inputs["style"] == (
        "ink",
        BUILT_IN["ink"].sha256,
    )
    refused(ortist, 3, "perhaps ink is meant", "batch", "photo.jpg", "--style", "inc", "-o", "x")
    shutil.copy("style.jpg", "ink")
    done = ortist("batch", "photo.jpg", "--style", "ink", "-o", "other", *QUICK)
    assert done.returncode == 0
    assert "the style is the file 'ink' here" in done.stderr
