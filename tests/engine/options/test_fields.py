"""Options: every form in which they may be given, and every way to get them wrong."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ortist.errors import OptionError
from ortist.options.fields import Options
from ortist.options.parsing import parse_layers
from ortist.options.presets import PRESETS


def test_defaults_are_valid_and_documented() -> None:
    Options()
    for field in dataclasses.fields(Options):
        assert field.metadata["help"].endswith((".", "100,199.")), field.name


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_valid_and_can_be_overridden(preset: str) -> None:
    assert Options.of(preset).size == 192
    assert Options.of(preset, size=64).size == 64


def test_the_notebooks_numbers() -> None:
    """The table of shared/cs231n/README.md, copied by hand."""
    expected = {
        "cs231n-composition-vii": (512, 5e-2, (20000, 500, 12, 1), 5e-2, None),
        "cs231n-the-scream": (224, 3e-2, (200000, 800, 12, 1), 2e-2, None),
        "cs231n-starry-night": (192, 6e-2, (300000, 1000, 15, 3), 2e-2, None),
        "cs231n-feature-inversion": (192, 6e-2, (0, 0, 0, 0), 2e-2, "noise"),
    }
    assert set(PRESETS) == set(expected)
    for name, (style_size, content, style, tv, init) in expected.items():
        found = Options.of(name)
        assert found.style_size == style_size
        assert found.content_weight == content
        assert found.style_layers == tuple(zip((1, 4, 6, 7), style, strict=True))
        assert (found.tv_weight, found.init, found.iterations) == (tv, init, 200)
        assert found.content_layers == ((3, None),)
        assert (found.learning_rate, found.final_learning_rate, found.beta2) == (3.0, 0.1, 0.999)
        assert (found.final_iterations, found.free_iterations) == (20, 10)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1:300000,4:1000", ((1, 300000.0), (4, 1000.0))),
        ("1, fire3 ,6", ((1, None), ("fire3", None), (6, None))),
        ("", ()),
        (3, ((3, None),)),
        ([1, "fire2"], ((1, None), ("fire2", None))),
        ({1: 2, "fire2": 0}, ((1, 2.0), ("fire2", 0.0))),
        ([(1, 2.5)], ((1, 2.5),)),
    ],
)
def test_layers_in_every_form(value: Any, expected: Any) -> None:
    assert parse_layers(value) == expected


@given(st.dictionaries(st.integers(0, 99), st.floats(0, 1e9), max_size=8))
def test_layers_survive_being_written_down(layers: dict[int, float]) -> None:
    text = ",".join(f"{layer}:{weight!r}" for layer, weight in layers.items())
    assert parse_layers(text) == parse_layers(layers) == tuple(layers.items())
    assert parse_layers(parse_layers(layers)) == tuple(layers.items())


@given(st.text(max_size=20))
def test_any_text_is_layers_or_an_option_error(text: str) -> None:
    with contextlib.suppress(OptionError):
        assert isinstance(parse_layers(text), tuple)


@pytest.mark.parametrize(
    ("given_options", "said"),
    [
        ({"size": 3}, "size 3 is out of range; it should be from 16"),
        ({"size": 2.5}, "size should be a whole number, not 2.5"),
        ({"size": "big"}, "size should be a number, not 'big'"),
        ({"size": True}, "size should be a number"),
        ({"iterations": -1}, "iterations -1 is out of range"),
        (
            {"content_weight": -0.1},
            "content_weight -0.1 is out of range; it should be from 0 to 1000000000000.",
        ),
        ({"tv_weight": float("nan")}, "tv_weight nan is out of range"),
        ({"threads": 0}, "threads 0 is out of range"),
        ({"init": b"blank"}, "no init b'blank'; give content, noise, gray, style or a picture's"),
        ({"provider": "tpu"}, "no provider 'tpu'; choose one of auto, cpu, cuda"),
        ({"bounds": "none"}, "no bounds 'none'"),
        ({"snapshots": "1,x"}, "cannot read the snapshots '1,x'"),
        ({"iterations": 300, "snapshots": (301,)}, "no iteration 301"),
        ({"style_layers": "1:a"}, "cannot read the layer"),
        ({"style_layers": "1:-5"}, "cannot read the layer"),
        ({"style_layers": "1,1"}, "the layer 1 is named twice"),
        ({"style_layers": "1:3,4"}, "give all a weight, or none"),
        ({"content_layers": "3:1"}, "content_weight"),
        ({"colour": 1}, "no option 'colour'"),
    ],
)
def test_what_is_off_is_said(given_options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        Options.of(None, **given_options)
    assert said in str(caught.value)


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(OptionError, match="no preset 'van-gogh'; choose one of cs231n-comp"):
        Options.of("van-gogh")
