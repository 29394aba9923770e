"""Options in TOML files: what is written is read back, and what is off is said."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ortist.errors import OptionError
from ortist.options.choice import layered_options
from ortist.options.fields import STARTS, Bounds, Optimizer, Options, Provider
from ortist.options.parsing import parse_duration
from ortist.options.presets import PRESETS
from ortist.options.toml import read_config, to_toml

WEIGHT = st.floats(0, 1e12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LAYER = st.integers(0, 99) | TEXT.map(str.strip).filter(
    lambda text: text and not text.removeprefix("-").isdigit() and text != "auto"
)
FREE: dict[str, st.SearchStrategy[Any]] = {
    "size": st.integers(16, 100_000),
    "smallest_size": st.none() | st.integers(16, 100_000),
    "style_size": st.none() | st.integers(16, 100_000),
    "time_limit": st.none() | st.floats(0.1, 1e8),
    "strength": st.floats(1e-6, 1e6),
    "content_layers": st.none() | st.lists(LAYER, unique=True, max_size=4),
    "style_layers": st.none()
    | st.lists(LAYER, unique=True, max_size=4)
    | st.dictionaries(LAYER, WEIGHT, max_size=4),
    "content_weight": st.none() | WEIGHT,
    "tv_weight": st.none() | WEIGHT,
    "learning_rate": st.none() | st.floats(0, 1000),
    "optimizer": st.sampled_from(get_args(Optimizer)),
    "bounds": st.sampled_from(get_args(Bounds)),
    "provider": st.sampled_from(get_args(Provider)),
    "init": st.none()
    | st.sampled_from(STARTS)
    | TEXT.filter(lambda text: text and text.strip() != "auto"),
    "rescale": st.booleans(),
    "snapshots": st.lists(st.integers(0, 300), max_size=4),
    "model": st.none() | TEXT.filter(lambda text: text.strip() != "auto"),
    "seed": st.integers(0, 2**32 - 1),
}


@given(st.fixed_dictionaries({}, optional=FREE))
def test_what_is_written_is_read_back(options: dict[str, Any]) -> None:
    import tomllib

    expected = Options(**options)
    read = tomllib.loads(to_toml(expected))
    assert list(read) == [field.name for field in dataclasses.fields(Options)]
    assert Options(**read) == expected


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_read_back(preset: str, tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text(to_toml(Options.of(preset)), encoding="utf-8")
    assert layered_options(config=path) == Options.of(preset)


def test_the_file_is_over_the_preset_and_under_the_keywords(tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text('size = 100\niterations = 50\nsmallest_size = "none"\ntime_limit = "1m30s"\n')
    found = layered_options("cs231n-the-scream", path, iterations=7)
    assert (found.size, found.iterations, found.style_size) == (100, 7, 224)
    assert (found.smallest_size, found.time_limit) == ("none", 90.0)
    assert layered_options("cs231n-the-scream", path, style_size="none").style_size is None
    assert read_config(path)["iterations"] == 50


WRONG = [
    ("sise = 1", "in {file}: there is no option 'sise'; did you mean 'size'?"),
    ("zzz = 1", "in {file}: there is no option 'zzz'; the options are size, quality"),
    ("[size]\nx = 1", "in {file}: size should be a number, not {'x': 1}."),
    ('size = "48"', "in {file}: size should be a number, not '48'."),
    ("size = 3", "in {file}: size 3 is out of range; it should be from 16 to 100000."),
    ("rescale = 1", "in {file}: rescale cannot be 1; give bool."),
    ("init = 1", "in {file}: there is no init 1; give content, noise, gray, style or a picture"),
    ("strength = nan", "in {file}: strength nan is out of range"),
    ("model = 2020-01-01", "in {file}: model cannot be datetime.date(2020, 1, 1); give str"),
    ("style_layers = [1, [2, 3]]", "in {file}: in [1, [2, 3]] some layers have a weight"),
    ('time_limit = "soon"', "in {file}: cannot read the time 'soon'; write seconds, or as in 20s"),
    ("size = ", "the configuration {file} is no TOML (Invalid value"),
    ("size = 1\nsize = 2", "the configuration {file} is no TOML (Cannot overwrite a value"),
    ("x = " + "[" * 9999, "the configuration {file} is no TOML ("),
    (
        "# " + "x" * 2**20,
        "the configuration {file} is larger than one may be (1048576 byte",
    ),
    (
        'optimizer = "lbfgs"\njitter = 4',
        "with the options in {file}, jitter 4 changes the loss at every step",
    ),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[text[:20] for text, _ in WRONG])
def test_what_is_off_is_said(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        layered_options(config=path)
    assert str(caught.value).startswith(said.replace("{file}", repr(str(path))))


def test_no_file_no_text(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"absent.toml' does not exist; --print-config writes"):
        layered_options(config=tmp_path / "absent.toml")
    with pytest.raises(OptionError, match="is not a regular file"):
        layered_options(config=tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'model = "\xe9"')
    with pytest.raises(OptionError, match=r"is no TOML \('utf-8' codec can't decode"):
        layered_options(config=tmp_path / "latin.toml")
    with pytest.raises(OptionError, match="is not Unicode and cannot be written in TOML"):
        to_toml(Options(model="\udce9"))


def test_given_values_are_not_blamed_on_the_file(tmp_path: Path) -> None:
    (tmp_path / "options.toml").write_text("size = 100")
    with pytest.raises(OptionError, match=r"^size 3 is out of range"):
        layered_options(config=tmp_path / "options.toml", size=3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20s", 20), ("2m", 120), ("1h30m", 5400), ("1h0m1.5s", 3601.5), ("90", 90), (" 0.5 ", 0.5)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert Options(time_limit=text).time_limit == seconds  # type: ignore[arg-type]


@given(st.integers(0, 99), st.integers(0, 59), st.floats(0, 60).map(lambda s: round(s, 3)))
def test_hours_minutes_and_seconds_add_up(hours: int, minutes: int, seconds: float) -> None:
    text = f"{hours}h{minutes}m{seconds:.3f}s"
    assert parse_duration(text) == pytest.approx(3600 * hours + 60 * minutes + seconds)


@given(st.text("0123456789.hms -", max_size=8) | st.text(max_size=6))
def test_any_text_is_a_time_or_an_option_error(text: str) -> None:
    with contextlib.suppress(OptionError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize("text", ["", "s", "20x", "1h30", "2m1h", "-5", "1.2.3s", "٣s", "inf"])
def test_no_time(text: str) -> None:
    with pytest.raises(OptionError, match="write seconds, or as in 20s, 2m or 1h30m"):
        parse_duration(text)


def test_every_nullable_option_has_its_word() -> None:
    for field in dataclasses.fields(Options):
        word = field.metadata["unset"]
        assert (word is not None) == ("None" in str(field.type)), field.name
        if word:
            assert Options.check(field.name, word) is None
            if field.name not in ("model", "init", "content_layers", "style_layers", "scratch"):
                with pytest.raises(OptionError):
                    Options.check(field.name, "neither")
