"""Values of every kind, in the place of every option: kept in one form, or refused by name."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import fractions
import io
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.errors import OptionError
from ortist.options.choice import choose_options, layered_options
from ortist.options.declaring import Heading, declaration
from ortist.options.fields import Options
from ortist.options.kinds import NUMBER, TILE, WHOLE
from ortist.options.parsing import parse_layers, parse_size, shown
from ortist.options.toml import to_toml
from PIL import Image

FIELDS = {field.name: field for field in dataclasses.fields(Options)}


class Mute:
    """Has no repr, and no text either."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Odd:
    """A path that is none."""

    def __fspath__(self) -> bytes:
        return b"\xff"


HUGE = (10**400, -(10**400), fractions.Fraction(10**400), "9" * 400, "9" * 5000)
OBJECTS = (
    *(object(), object, print, Ellipsis, Odd(), io.BytesIO(b"x"), range(3), 1j),
    *(np.float32(2), np.int64(32), np.uint8(8), np.bool_(True), np.array(2.0), np.array([2.0])),
    *(
        np.arange(3),
        np.eye(2),
        np.array(["auto", "off"]),
        np.array([]),
        np.datetime64("2020-01-01"),
    ),
    *(Path("a"), Path("auto"), Image.new("L", (2, 2)), memoryview(b"12"), bytearray(b"12")),
    *(datetime.date(2020, 1, 1), decimal.Decimal("2.5"), Options, Options(), Heading.STYLE),
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.sampled_from(HUGE)
    | st.sampled_from(OBJECTS)
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.lists(inner, max_size=3).map(iter)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), inner, max_size=3)
        | st.frozensets(st.integers(0, 99), max_size=3)
    ),
    max_leaves=6,
)


def held(name: str, value: Any) -> None:
    """Options are made with the value, and are the same again, or an error names the option."""
    try:
        options = Options(**{name: value})
    except OptionError as error:
        said = str(error)
        assert name in said
        assert said.endswith(".")
        assert len(said) < 300
        assert "\n" not in said
    else:
        assert dataclasses.replace(options) == options
        assert Options.check(name, getattr(options, name)) == getattr(options, name)
        if str(value).isprintable():  # what is no Unicode cannot be written
            assert Options(**tomllib.loads(to_toml(options))) == options


@pytest.mark.parametrize("name", FIELDS)
@settings(max_examples=40, deadline=None)
@given(JUNK)
def test_any_value_is_an_option_or_an_error_that_names_it(name: str, value: Any) -> None:
    held(name, value)


@pytest.mark.parametrize("name", FIELDS)
def test_odd_objects_one_by_one(name: str) -> None:
    for value in (10**5000, Mute(), *HUGE, *OBJECTS):  # hypothesis has to show its own
        for wrapped in (value, [value], {1: value}, (1, value), [(1, value)], [[value]]):
            held(name, wrapped)


@pytest.mark.parametrize(
    ("given_options", "said"),
    [
        ({"provider": None}, "there is no provider None; choose one of auto, cpu, cuda, "),
        ({"colors": 5}, "there is no colors 5; choose one of style, content-luminance"),
        ({"size": [512]}, "size should be a number, not [512]."),
        ({"size": 10**5000}, "size <int> is out of range; it should be from 16 to 100000."),
        ({"strength": 10**400}, "strength inf is out of range"),
        ({"model": b"x"}, "model cannot be b'x'; give str or None."),
        ({"rescale": np.array([1, 0])}, "rescale cannot be array([1, 0]); give bool."),
        ({"depth": 12}, "there is no depth 12; choose one of 8, 16."),
        ({"style_layers": b"12"}, "cannot read the layer b'12'"),
        ({"style_layers": {1: 10**400}}, "cannot read the layer (1, 1000"),
        ({"style_layers": "1,1"}, "the layer 1 is named twice; name it once (style_layers)."),
        ({"snapshots": b"12"}, "cannot read the snapshots b'12'; write iterations"),
        ({"style_weights": {2: 1}}, "style weights {2: 1}; write a number for each"),
        ({"time_limit": "soon"}, "as in 20s, 2m or 1h30m (time_limit)."),
        ({"max_memory": "9" * 400 + "G"}, "write bytes, or as in 2GB or 800MB (max_memory)."),
        ({"tile": True}, "cannot read the tile True; give its side in pixels, auto or off."),
        ({"tile": -5}, "tile -5 is out of range; it should be from 16 to 100000."),
        ({"threads": 2**63}, "out of range; it should be from 1 to 9223372036854775807."),
    ],
)
def test_the_sentences(given_options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        Options.of(None, **given_options)
    assert said in str(caught.value)


@pytest.mark.parametrize("value", [5, [], object(), 1.5, b"\xff", Image.new("L", (2, 2))])
def test_presets_and_files_of_wrong_types(value: Any) -> None:
    with pytest.raises(OptionError, match="config"):
        choose_options(None, None, {"config": value})
    with pytest.raises(OptionError, match="there is no preset"):
        layered_options(value)


def test_numpys_numbers_and_paths_are_kept_as_pythons() -> None:
    options = Options(
        size=np.int64(64),  # type: ignore[arg-type]
        strength=np.float32(0.5),  # type: ignore[arg-type]
        depth=np.uint8(16),  # type: ignore[arg-type]
        tile=np.int32(64),  # type: ignore[arg-type]
        style_weights=np.array([2, 1]),  # type: ignore[arg-type]
        snapshots=np.array([9, 0]),  # type: ignore[arg-type]
        scratch=Path("a"),  # type: ignore[arg-type]
    )
    kept = (options.size, options.strength, options.depth, options.tile, options.scratch)
    assert kept == (64, 0.5, 16, 64, "a")
    assert [type(value) for value in kept] == [int, float, int, int, str]
    assert (options.style_weights, options.snapshots) == ((2.0, 1.0), (0, 9))
    assert {type(value) for value in (*options.style_weights, *options.snapshots)} == {int, float}


@pytest.mark.parametrize("name", FIELDS)
def test_annotations_and_declarations_agree(name: str) -> None:
    hint, declared = get_type_hints(Options)[name], declaration(FIELDS[name])
    nullable = type(None) in get_args(hint)
    assert nullable == (declared.unset is not None)
    (kind,) = [part for part in get_args(hint) if part is not type(None)] if nullable else [hint]
    if get_origin(kind) is Literal:
        unset = [declared.unset] if declared.unset else []
        words = "|".join([*get_args(kind), *unset])
        if name == "provider":  # of many the first
            words = "|".join([*get_args(kind)[:3], "…"])
        assert declared.metavar == words
    if kind is bool:
        assert declared.metavar is None
    if kind in (int, float) and declared.kind.literal is not None:
        assert declared.kind.literal is kind


def test_a_kind_with_a_range_says_it() -> None:
    for kind, value, said in (
        (WHOLE.within(3), 2, "n 2 is out of range; it should be at least 3."),
        (NUMBER.within(0, 0.5), 1, "n 1.0 is out of range; it should be from 0 to 0.5."),
        (TILE.within(16, 99), "100", "n 100 is out of range; it should be from 16 to 99."),
    ):
        with pytest.raises(OptionError) as caught:
            kind.read(value, "n")
        assert str(caught.value) == said
    assert WHOLE.within(3).read(3, "n") == WHOLE.read(3, "n") == 3
    assert TILE.within(16, 99).read("off", "n") == "off"


def test_values_are_shown_on_one_short_line() -> None:
    assert shown("a b") == "'a b'"
    assert shown(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    assert shown(Mute()) == "<Mute>"
    assert shown("x" * 100) == "'" + "x" * 78 + "…"
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "<list>"


def test_numbers_of_thousands_of_digits_are_no_layers_and_no_sizes() -> None:
    for text in ("9" * 5000, f"1:{'9' * 5000}", f"{'9' * 5000}:1"):
        with pytest.raises(OptionError, match="cannot read the layer"):
            parse_layers(text)
    with pytest.raises(OptionError, match="cannot read the memory"):
        parse_size("9" * 5000)
