"""Settings and metadata in pictures: what goes in comes out, and strangers' files do no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.errors import ModelError, OptionError, PictureError
from ortist.options.fields import Options
from ortist.pictures.metadata import exif_of, text_of, with_text
from ortist.pictures.outputs import save_picture
from ortist.pictures.reading import load_picture
from ortist.run.settings import read_settings
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from tests.conftest import kept, small_pictures

LIMIT = 10**7
QUICK: dict[str, Any] = {"size": 48, "iterations": 3, "provider": "cpu"}
CONTENT, STYLE = small_pictures()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "content.png", tmp_path / "style.png"
    for path, pixels in zip(found, (CONTENT, STYLE), strict=True):
        Image.fromarray(pixels).save(path)
    return found


def photo_with_exif() -> Image.Image:
    image = Image.fromarray(CONTENT)
    exif = Image.Exif()
    exif.update({Base.Orientation: 3, Base.Artist: "A. Painter", Base.Copyright: "all hers"})
    exif[Base.XPComment] = b"private"
    inner = exif.get_ifd(IFD.Exif)
    inner.update({Base.DateTimeOriginal: "2026:01:02 03:04:05", Base.FNumber: 2.8})
    inner.update({Base.MakerNote: b"secret", Base.ExifImageWidth: 9999})
    inner[Base.LensModel] = "x" * 5000
    exif.get_ifd(IFD.GPSInfo)[GPS.GPSLatitudeRef] = "N"
    image.info["exif"] = exif.tobytes()
    image.getexif().load(image.info["exif"])
    return image


@pytest.mark.parametrize(
    ("suffix", "depth"),
    [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".jpg", 8), (".webp", 8)],
)
def test_settings_survive_every_format(
    suffix: str, depth: int, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / f"out{suffix}"
    layers = {1: 1e5, "fire2": 2.5}
    result = kept.transfer(*files, depth=depth, seed=7, style_layers=layers, **QUICK)
    result.save(out)
    found = read_settings(out, LIMIT)
    content, style = found.find_input("content"), found.find_input("style")
    again = kept.transfer(content, style, **found.options)
    np.testing.assert_array_equal(again.pixels, result.pixels)
    again.save(tmp_path / f"again{suffix}")
    assert (tmp_path / f"again{suffix}").read_bytes() == out.read_bytes()
    found.check_model()


def test_pictures_of_before_there_were_qualities_are_the_papers(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    result = kept.transfer(*files, quality="paper", **QUICK)
    told = json.loads(result.settings_json())
    assert told["options"].pop("quality") == "paper"
    assert not {"matching", "style_loss", "smallest_size"} & told["options"].keys()
    told["options"]["smallest_size"] = None  # as it was written then
    path = tmp_path / "old.png"
    save_picture(result.painting, path, text=json.dumps(told))
    options = read_settings(path, LIMIT).options
    assert options["quality"] == "paper"
    assert Options.of(**options).settled(True).style_loss == "gram"
    assert Options.of(**options).smallest_size == "none"


def test_only_what_differs_from_the_defaults_is_told(files: tuple[Path, Path]) -> None:
    options = {**QUICK, "iterations": 5}
    result = kept.transfer(*files, max_pixels=10**8, snapshots=(1,), **options)
    told = json.loads(result.settings_json())
    expected = {"size": 48, "iterations": 5, "provider": "cpu", "init": "content"}
    expected |= {"quality": "standard", "model": "squeezenet1_1-procedural"}
    assert told["options"] == expected
    assert told["inputs"]["content"]["path"] == str(files[0])
    assert "iteration" not in told
    assert json.loads(result.settings_json(1))["iteration"] == 1
    stopped = kept.transfer(*files, on_progress=lambda p: p.iteration < 2, **options)
    assert json.loads(stopped.settings_json())["iteration"] == 2


def test_pictures_without_a_file_or_settings_say_so(tmp_path: Path) -> None:
    result = kept.texture(STYLE, **QUICK)
    result.save(tmp_path / "out.png")
    found = read_settings(tmp_path / "out.png", LIMIT)
    assert found.command == "texture"
    with pytest.raises(PictureError, match="was no file; name one"):
        found.find_input("style")
    kept.texture(STYLE, settings=False, **QUICK).save(tmp_path / "bare.png")
    with Image.open(tmp_path / "bare.png") as image:
        assert "exif" not in image.info
    with pytest.raises(PictureError, match=r"bare.png' has no settings in it.*--no-settings"):
        read_settings(tmp_path / "bare.png", LIMIT)


def test_inputs_and_model_are_those_of_then(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.transfer(*files, **QUICK).save(tmp_path / "out.png")
    found = read_settings(tmp_path / "out.png", LIMIT)
    assert found.find_input("content") == str(files[0])
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "out.png").rename(moved / "out.png")
    files[0].rename(moved / "content.png")
    found = read_settings(moved / "out.png", LIMIT)
    assert found.find_input("content") == str(moved / "content.png")  # beside the picture
    files[1].write_bytes(files[1].read_bytes() + b"x")
    with pytest.raises(PictureError, match=r"style\.png' has changed since .*bring the old file"):
        found.find_input("style")
    files[1].unlink()
    with pytest.raises(PictureError, match=r"style\.png' of .* does not exist; put it there"):
        found.find_input("style")
    monkeypatch.setattr("ortist.network.bundle.Model.sha256", "0" * 64)
    with pytest.raises(ModelError, match=r"is not the one that .* begins with 000000000000"):
        found.check_model()


def test_a_hurried_run_is_repeated_from_its_schedule(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    """Which says what the time limit made of the plan."""
    options: dict[str, Any] = {"size": 64, "smallest_size": 24, "iterations": 10_000}
    run = kept.iterate(*files, time_limit=6, **options)
    list(run)
    result = run.result()
    assert result.stopped == "time limit"
    result.save(tmp_path / "out.png")
    found = read_settings(tmp_path / "out.png", LIMIT)
    assert found.iteration == result.iterations
    assert found.schedule is not None
    assert (found.schedule[0][0], found.schedule[-1][0]) == (32, 64)
    assert sum(steps for _, steps in found.schedule) == result.iterations
    again = kept.iterate(*files, **found.options)
    again.reschedule(found.schedule)
    list(again)
    assert again.finished
    again.result().save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    with pytest.raises(OptionError, match="a schedule is for a run's beginning"):
        again.reschedule(found.schedule)
    with pytest.raises(OptionError, match="is not one of the scales"):
        kept.iterate(*files, **found.options).reschedule([(32, 1), (40, 1)])
    wrong: Any
    for wrong in (5, [(32, "x")], [32], None, [(32, -3)], [(32, 1), (64, 1), (32, 1)]):
        with pytest.raises(OptionError, match="schedule"):
            kept.iterate(*files, **found.options).reschedule(wrong)


def forged(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "forged.png"
    Image.new("RGB", (4, 4)).save(path, exif=with_text(b"", text).tobytes())
    return path


GOOD: dict[str, Any] = {
    "ortist": "9.9",
    "command": "invert",
    "options": {"model": "m"},
    "model": {"name": "m", "sha256": "0"},
    "inputs": {"content": {"path": "p", "sha256": "0"}},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"command": "rm"}, "command 'rm'"),
        ({"options": {"model": "m", "max_pixels": 10**12}}, "option 'max_pixels'"),
        ({"options": {"model": "m", "colour": 1}}, "no option 'colour'"),
        ({"options": {"model": "m", "size": "big"}}, "size should be a number"),
        ({"options": {"model": ["m"]}}, "model cannot be"),
        ({"options": {}}, "KeyError: 'model'"),
        ({"options": 5}, "TypeError"),
        ({"inputs": {}}, "KeyError"),
        ({"inputs": {**GOOD["inputs"], "style": {"path": "p", "sha256": "0"}}}, "command 'invert'"),
        ({"inputs": {"content": GOOD["inputs"]["content"], "x": {}}}, "input 'x'"),
        ({"inputs": {"content": {"path": "a\nb", "sha256": "0"}}}, "is no path"),
        ({"inputs": {"content": {"path": 7, "sha256": "0"}}}, "7 is no path"),
        ({"options": {"model": "m", "init": "image"}}, "init 'image'"),
        ({"options": {"model": "m", "init": "private.png"}}, "init 'private.png'"),
        ({"inputs": {**GOOD["inputs"], "init": {"path": "p", "sha256": "0"}}}, "init None"),
        ({"iteration": 301}, "iteration 301"),
        ({"iteration": True}, "iteration True"),
        ({"iteration": 9, "schedule": [[128, 9], [500, 0]]}, "schedule"),
        ({"iteration": 9, "schedule": [[512, 9]]}, "schedule"),
        ({"iteration": 9, "schedule": [[128, 8]]}, "schedule"),
        ({"iteration": 9, "schedule": [[128, -1], [512, 10]]}, "-1 is not a number of steps"),
        ({"schedule": [["128"]]}, "ValueError"),
        ({"schedule": 7}, "TypeError"),
        ({"model": None}, "TypeError"),
        ({"ortist": {}}, "not printable text"),
    ],
)
def test_forged_settings_are_refused(change: Any, said: str, tmp_path: Path) -> None:
    assert read_settings(forged(tmp_path, json.dumps(GOOD)), LIMIT).version == "9.9"
    with pytest.raises(PictureError, match=r"forged\.png' cannot be used") as caught:
        read_settings(forged(tmp_path, json.dumps({**GOOD, **change})), LIMIT)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '{"ortist"',
        '{"ortist": ' + "[" * 20_000,
        '{"ortist": ' + "1" * 20_000,
        '["ortist"]',
        '"ortist"',
        '{"ortist": "' + "x" * 40_000 + '"}',
        '{"ortist": NaN}',
    ],
    ids=range(7),
)
def test_text_that_is_no_settings_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"cannot be used|no settings") as caught:
        read_settings(forged(tmp_path, text), LIMIT)
    assert len(str(caught.value)) < 1000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from([*GOOD, "iteration", "schedule"]), json_values),
    st.dictionaries(st.sampled_from(list(ortist.Options.__dataclass_fields__)), json_values),
)
@settings(deadline=None, max_examples=100)
def test_any_json_is_settings_or_a_picture_error(change: Any, options: Any) -> None:
    from ortist.run.settings import _parse_text

    raw = {**GOOD, "options": {"model": "m", **options}, **change}
    try:
        found = _parse_text("x.png", json.dumps(raw))
    except PictureError:
        return
    ortist.Options.of(None, **found.options)


def test_exif_goes_along_only_where_asked_for(tmp_path: Path) -> None:
    photo_with_exif().save(tmp_path / "photo.jpg", exif=photo_with_exif().getexif())
    for keep in (False, True):
        result = kept.transfer(tmp_path / "photo.jpg", STYLE, keep_metadata=keep, **QUICK)
        for suffix in (".png", ".jpg", ".tif", ".webp"):
            out = tmp_path / f"out{suffix}"
            result.save(out)
            with Image.open(out) as image:
                exif = image.getexif()
                inner, place = exif.get_ifd(IFD.Exif), exif.get_ifd(IFD.GPSInfo)
                assert text_of(image) is not None
            for tag in (Base.Orientation, Base.XPComment):
                assert tag not in exif
            for tag in (Base.MakerNote, Base.ExifImageWidth, Base.LensModel):
                assert tag not in inner
            assert exif.get(Base.Artist) == ("A. Painter" if keep else None)
            assert exif.get(Base.Copyright) == ("all hers" if keep else None)
            assert inner.get(Base.DateTimeOriginal) == ("2026:01:02 03:04:05" if keep else None)
            assert inner.get(Base.FNumber) == (pytest.approx(2.8) if keep else None)
            assert place.get(GPS.GPSLatitudeRef) == ("N" if keep else None)


def test_damaged_exif_is_passed_over(tmp_path: Path) -> None:
    """Random changes of EXIF data: the picture is read and can be written all the same."""
    whole = photo_with_exif().getexif().tobytes()
    rng = np.random.default_rng(0)
    kept = 0
    for number in range(400):
        changed = bytearray(whole if number % 4 else whole[: number + 10])
        for position in rng.integers(6, min(len(changed), 300), 4):
            changed[position] = int(rng.integers(0, 256))
        image = Image.new("RGB", (4, 4))
        image.info["exif"] = bytes(changed)
        exif = load_picture(image, LIMIT).exif
        with_text(exif, "text").tobytes()
        kept += bool(exif)
    assert kept > 20
    assert exif_of(Image.new("RGB", (4, 4))) == b""
