"""Style files: what is read is what was written, and every file that is none is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.errors import OptionError, OutputError, StyleFileError
from ortist.style.files import ExtractedStyle, FileTap, Painted, load_style
from ortist.style.moments import packed_size

from tests.conftest import kept, small_pictures

CONTENT, STYLE = small_pictures()
MAGIC = b"ortist style 1\n"
SMALL = (FileTap(1, "conv1", 5), FileTap(4, "fire3", 7))


def made(sides: tuple[int, ...] = (16, 32), **changed: Any) -> ExtractedStyle:
    """One with numbers from a hat, positive as mean squares are."""
    numbers = packed_size(3) + sum(packed_size(tap.channels) for tap in SMALL)
    values = np.random.default_rng(0).random((len(sides), numbers), np.float32)
    thumbnail = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    painted = (Painted("a.jpg", "00", 64, 48), Painted("", "", 10, 20))
    style = ExtractedStyle("m", "0" * 64, SMALL, sides, False, painted, values, thumbnail)
    return dataclasses.replace(style, **changed)


def packed(header: Any, inflated: bytes) -> bytes:
    """A file with such a header and such numbers, and a hash that fits."""
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    rest = len(words).to_bytes(8, "little") + words + zlib.compress(inflated)
    return MAGIC + hashlib.sha256(rest).digest() + rest


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    body = data[len(MAGIC) + 32 :]
    length = int.from_bytes(body[:8], "little")
    return json.loads(body[8 : 8 + length]), zlib.decompress(body[8 + length :])


@functools.cache
def whole() -> bytes:
    return made().encoded()


def refused(path: Path, data: bytes, said: str) -> None:
    path.write_bytes(data)
    with pytest.raises(StyleFileError) as caught:
        ortist.read_style(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400
    assert path.read_bytes() == data


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    style = made()
    style.save(tmp_path / "a.ostyle")
    read = ortist.read_style(tmp_path / "a.ostyle")
    for field in dataclasses.fields(ExtractedStyle):
        if field.name != "source":
            np.testing.assert_array_equal(getattr(read, field.name), getattr(style, field.name))
    assert read.encoded() == style.encoded() == (tmp_path / "a.ostyle").read_bytes()
    assert read.sha256 == style.sha256
    assert read.source is not None
    assert read.source.sha256 == hashlib.sha256(whole()).hexdigest()
    assert read.image.size == (3, 2)
    assert os.listdir(tmp_path) == ["a.ostyle"]


def test_it_is_known_by_its_suffix_or_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "renamed.jpg").write_bytes(whole())
    assert isinstance(load_style(tmp_path / "renamed.jpg", 100), ExtractedStyle)
    with pytest.raises(StyleFileError, match=r"absent\.ostyle' does not exist; ortist style extr"):
        load_style(tmp_path / "absent.ostyle", 100)
    (tmp_path / "folder.ostyle").mkdir()
    with pytest.raises(StyleFileError, match="is not a regular file"):
        load_style(str(tmp_path / "folder.ostyle"), 100)
    style = made()
    assert load_style(style, 100) is style


def test_a_size_between_two_is_a_mixture_and_beyond_them_the_nearest() -> None:
    style = made((16, 32, 64))
    low, high = style.statistics(16), style.statistics(32)
    for tap in SMALL:
        between = style.statistics(23)[tap.layer]  # 23 is nearly the mean of 16 and 32 by logarithm
        mean = (low[tap.layer].second + high[tap.layer].second) / 2
        np.testing.assert_allclose(between.second, mean, atol=0.03)
        np.testing.assert_array_equal(between.second, between.second.T)
        assert (np.diag(between.second) >= 0).all()
    np.testing.assert_array_equal(style.colors(8).mean, style.colors(16).mean)
    np.testing.assert_array_equal(style.colors(99).second, style.colors(64).second)
    assert style.note([16, 20, 64]) is None
    assert style.note([8, 20, 99, 70]) == (
        "the extracted style holds sizes from 16 to 64 pixels, and the nearest stands for 8, 70, "
        "99; extract it with the --size of the run."
    )
    assert made((16, 64), whole=True).note([99]) is None
    assert "the size of 16 pixels only" in str(made((16,)).note([32]))


def test_damaged_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    path, data = tmp_path / "x.ostyle", whole()
    other = b"ortist style 12\n" + data[len(MAGIC) :]
    refused(
        path,
        other,
        "has format 12, and this Ortist reads formats 1 and 2; extract the style again.",
    )
    for start in (b"", b"ortist sty", b"ortist style \n", b"\x89PNG\r\n\x1a\n" + data, b"\n\n"):
        refused(path, start, "is not a style file; ortist style extract writes such.")
    for cut in (data[: len(MAGIC)], data[:-1], data[: len(data) // 2], data + b"\0"):
        refused(path, cut, "is cut short or damaged; copy or extract it again.")
    rng = np.random.default_rng(0)
    for position in [*range(len(MAGIC), len(MAGIC) + 60), *rng.integers(60, len(data), 200)]:
        changed = bytearray(data)
        changed[position] ^= 1 << int(rng.integers(8))
        refused(path, bytes(changed), "is cut short or damaged")
    for position in rng.integers(1, len(data), 100):
        path.write_bytes(data[:position])
        with pytest.raises(StyleFileError):
            ortist.read_style(path)


FORGED: list[tuple[dict[str, Any], str]] = [
    ({"sides": []}, "sizes ()"),
    ({"sides": [32, 16]}, "sizes (32, 16)"),
    ({"sides": [16, 16]}, "sizes (16, 16)"),
    ({"sides": [16, 10**9]}, "1000000000 is not a number from 1 to 100000"),
    ({"sides": list(range(1, 100_001))}, "bytes of numbers"),  # more than memory holds
    ({"sides": [16, 32.5]}, "32.5 is not a number"),
    ({"sides": [True, 32]}, "True is not a number"),
    ({"taps": []}, "no taps"),
    ({"taps": [[1, "a", 5], [1, "b", 7]]}, "one twice"),
    ({"taps": [[1, "a", 16384], [4, "b", 7]]}, "bytes of numbers"),
    ({"taps": [[1, "a", 2**40], [4, "b", 7]]}, "is not a number from 1 to 16384"),
    ({"taps": [[1, "a", 5], [4, "b", 8]]}, "bytes of numbers"),
    ({"taps": [[1, "a"]]}, "ValueError"),
    ({"taps": {"1": 5}}, "ValueError"),
    ({"taps": [[1, "a\nb", 5], [4, "b", 7]]}, "printable"),
    ({"thumbnail": [10**6, 10**6]}, "is not a number from 1 to 256"),
    ({"thumbnail": [3]}, "ValueError"),
    ({"whole": "yes"}, "neither true nor false"),
    ({"model": {"name": "m"}}, "KeyError"),
    ({"model": ["m"]}, "TypeError"),
    ({"paintings": [["a.jpg", "00", 0, 0]]}, "0 is not a number"),
    ({"paintings": 7}, "TypeError"),
]


@pytest.mark.parametrize(("change", "said"), FORGED, ids=range(len(FORGED)))
def test_forged_headers_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    header, numbers = taken_apart(whole())
    assert packed(header, numbers) == whole()
    refused(tmp_path / "x.ostyle", packed({**header, **change}, numbers), said)


def test_forged_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.ostyle"
    for value, said in ((np.nan, "not finite"), (np.inf, "not finite"), (-1, "negative mean of")):
        values = made().values.copy()
        values[1, -8] = value  # the last variance of the last tap, at the last size
        refused(path, made(values=values).encoded(), said)
    header, numbers = taken_apart(whole())
    for wrong in (numbers[:-1], numbers + b"\0", b""):
        refused(path, packed(header, wrong), "bytes of numbers")
    body = whole()[len(MAGIC) + 32 :] + b"more"
    refused(path, MAGIC + hashlib.sha256(body).digest() + body, "bytes of numbers")
    noise = len(json.dumps(header)).to_bytes(8, "little") + json.dumps(header).encode() + b"x" * 99
    refused(path, MAGIC + hashlib.sha256(noise).digest() + noise, "incorrect header check")


def test_bombs_do_not_go_off(tmp_path: Path) -> None:
    header, numbers = taken_apart(whole())
    bomb = packed(header, numbers + bytes(2**28))
    assert len(bomb) < 2**20
    refused(tmp_path / "x.ostyle", bomb, "bytes of numbers")
    for text in (b"[" * 100_000, b"9" * 100_000, b'{"taps": ' + b"[" * 50_000, b"\xff", b"null"):
        refused(tmp_path / "x.ostyle", packed(text, numbers), "is not one that Ortist wrote")
    long = (2**62).to_bytes(8, "little") + b"{}"
    data = MAGIC + hashlib.sha256(long).digest() + long
    refused(tmp_path / "x.ostyle", data, f"a header of {2**62} bytes")
    with (tmp_path / "x.ostyle").open("wb") as stream:
        stream.truncate(2**40)  # as large as a disk, and empty
    with pytest.raises(StyleFileError, match="is larger than one may be"):
        ortist.read_style(tmp_path / "x.ostyle")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*taken_apart(whole())[0]]), json_values, min_size=1))
@settings(deadline=None, max_examples=100)
def test_any_json_is_a_style_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, change: Any
) -> None:
    header, numbers = taken_apart(whole())
    path = tmp_path_factory.getbasetemp() / "any.ostyle"
    path.write_bytes(packed({**header, **change}, numbers))
    try:
        ortist.read_style(path)
    except StyleFileError:
        return
    assert set(change) <= {"whole", "model", "paintings"}


@pytest.mark.parametrize("loss", ["gram", "meanstd", "w2"])
def test_a_style_without_a_layer_of_the_run_is_named(loss: str) -> None:
    """Left out, of another width, or under another number: one sentence, which names the layer."""
    style = ortist.extract_style(STYLE, size=32, smallest_size=None)
    options: dict[str, Any] = {"size": 32, "iterations": 1, "style_loss": loss}
    sizes = [packed_size(3), *(packed_size(tap.channels) for tap in style.taps)]
    parts = np.split(style.values, np.cumsum(sizes)[:-1], axis=1)
    run_layers = kept.transfer(CONTENT, style, **options).final.style_by_layer
    for index, tap in enumerate(style.taps):
        taps = (*style.taps[:index], *style.taps[index + 1 :])
        values = np.concatenate([*parts[: index + 1], *parts[index + 2 :]], axis=1)
        other = tap._replace(layer=99)
        moved = (*style.taps[:index], other, *style.taps[index + 1 :])
        narrow = np.concatenate([*parts[: index + 1], parts[0], *parts[index + 2 :]], axis=1)
        thinner = (*style.taps[:index], tap._replace(channels=3), *style.taps[index + 1 :])
        for damaged in (
            dataclasses.replace(style, taps=taps, values=values),
            dataclasses.replace(style, taps=moved),
            dataclasses.replace(style, taps=thinner, values=narrow),
        ):
            if tap.layer in run_layers:
                with pytest.raises(
                    StyleFileError, match=rf"lacks the layer {tap.layer} {tap.name} "
                ):
                    kept.transfer(CONTENT, damaged, **options)


def test_numbers_that_no_picture_has_do_no_harm() -> None:
    """Finite, and too large for the graph's float32: no warning, and a picture or one sentence."""
    style = ortist.extract_style(STYLE, size=32, smallest_size="none")
    style = dataclasses.replace(style, values=np.full_like(style.values, 3e38))
    with pytest.raises(ortist.DivergedError, match="the loss became"):
        kept.transfer(CONTENT, style, size=32, iterations=2, quality="paper")
    for loss in ("meanstd", "w2"):
        with contextlib.suppress(ortist.DivergedError):
            result = kept.transfer(CONTENT, style, size=32, iterations=2, style_loss=loss)
            assert np.isfinite(result.painting.values).all()


def test_it_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"name ends in \.ostyle, unlike '.*a\.jpg'"):
        made().save(tmp_path / "a.jpg")
    with pytest.raises(OutputError, match="cannot write"):
        made().save(tmp_path / "absent" / "a.ostyle")
    with pytest.raises(OptionError, match="more than a style file may have"):
        made(values=np.zeros((1, 2**24), np.float32)).save(tmp_path / "a.ostyle")
    assert os.listdir(tmp_path) == []
