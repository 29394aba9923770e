"""What a picture starts from: every kind of init, and noise mixed into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.errors import CheckpointError, OptionError, PictureError
from ortist.jobs.video import Painter
from ortist.options.fields import Options
from ortist.pictures.colors import colored_noise
from ortist.run.settings import read_settings
from PIL import Image

from tests.conftest import kept, small_pictures

CONTENT, STYLE = small_pictures()
QUICK: dict[str, Any] = {"size": 48, "smallest_size": None, "iterations": 4, "provider": "cpu"}
START: dict[str, Any] = {**QUICK, "iterations": 0}
LEFT = np.zeros(CONTENT.shape[:2], np.uint8)
LEFT[:, :32] = 255


def start(init: Any, style: Any = STYLE, **options: Any) -> NDArray[np.float32]:
    found = kept.transfer(CONTENT, style, init=init, **{**START, **options}).painting.values
    return np.asarray(found)


def test_content_gray_and_noise() -> None:
    np.testing.assert_allclose(start("content"), CONTENT / 255, atol=1e-6)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(start("gray"), np.broadcast_to(mean, CONTENT.shape), atol=1e-6)
    noise = (start("noise") - mean) / std
    assert -1e-5 < noise.min() < 0.01
    assert 0.99 < noise.max() < 1 + 1e-5
    assert not np.array_equal(start("noise"), start("noise", seed=1))


def test_a_picture_is_resized_to_the_canvas() -> None:
    np.testing.assert_allclose(start(STYLE), STYLE / 255, atol=1e-6)
    turned = np.ascontiguousarray(STYLE.transpose(1, 0, 2))
    assert start(turned).shape == CONTENT.shape
    np.testing.assert_array_equal(start(Image.fromarray(STYLE)), start(STYLE))
    for command in (ortist.invert, ortist.texture):
        result = command(CONTENT, init=STYLE, **START)
        assert result.options.init == "image"
    square = Image.fromarray(STYLE).resize((48, 48), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(result.painting.values, np.asarray(square) / 255, atol=1e-6)


def test_noise_has_the_colours_asked_for() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((3, 3)) / 15
    noise = rng.standard_normal((300, 300, 3), np.float32)
    found = colored_noise(noise, np.full(3, 0.5), mixing @ mixing.T).reshape(-1, 3)
    np.testing.assert_allclose(found.mean(0), 0.5, atol=3e-3)
    np.testing.assert_allclose(np.cov(found.T), mixing @ mixing.T, atol=1e-3)
    flat = colored_noise(noise, np.array([0.2, 0.4, 0.6]), np.zeros((3, 3)))
    np.testing.assert_allclose(flat, np.broadcast_to([0.2, 0.4, 0.6], flat.shape), atol=1e-6)


def test_style_is_noise_in_the_colours_of_the_style() -> None:
    """Of a painting, of its file, of several, and of one matched to the content's colours."""
    dim = (STYLE // 4 + 96).astype(np.uint8)  # so that no noise leaves the range
    values = (dim / 255).reshape(-1, 3)
    found = start("style", dim)
    np.testing.assert_allclose(found.mean((0, 1)), values.mean(0), atol=0.01)
    np.testing.assert_allclose(np.cov(found.reshape(-1, 3).T), np.cov(values.T), atol=1e-3)
    file = ortist.extract_style(dim, **START)
    np.testing.assert_array_equal(start("style", file), found)
    light = start("style", [dim, np.full_like(dim, 200)], style_weights=(1, 3))
    expected = 0.25 * values.mean(0) + 0.75 * 200 / 255
    np.testing.assert_allclose(light.mean((0, 1)), expected, atol=0.02)
    plain = (CONTENT // 4 + 96).astype(np.uint8)
    matched = kept.transfer(plain, dim, init="style", colors="style-matched", **START)
    theirs = (plain / 255).reshape(-1, 3)
    np.testing.assert_allclose(matched.painting.values.mean((0, 1)), theirs.mean(0), atol=0.01)
    assert not np.array_equal(start("style", dim, seed=1), found)
    regions = kept.transfer(CONTENT, dim, init="style", masks=[(LEFT, LEFT)], **START)
    np.testing.assert_array_equal(regions.painting.values, found)


def test_noise_is_mixed_into_any_start() -> None:
    noise = start("noise")
    np.testing.assert_array_equal(start("content", init_noise=0.0), start("content"))
    for init in ("content", "gray", "style", STYLE):
        np.testing.assert_array_equal(start(init, init_noise=1.0), noise)
        mixed = start(init, init_noise=0.3)
        np.testing.assert_allclose(mixed, 0.7 * start(init) + 0.3 * noise, atol=1e-5)
    np.testing.assert_array_equal(start("noise", init_noise=0.3), noise)


@pytest.mark.parametrize("init", ["style", "gray", CONTENT[::-1]], ids=["style", "gray", "picture"])
def test_runs_go_through_scales_from_any_start(init: Any) -> None:
    options: dict[str, Any] = {**QUICK, "iterations": 30, "smallest_size": 24, "averaging": 0.5}
    result = kept.transfer(CONTENT, STYLE, init=init, init_noise=0.1, **options)
    assert result.final.total < result.initial.total
    again = kept.transfer(CONTENT, STYLE, init=init, init_noise=0.1, **options)
    np.testing.assert_array_equal(again.pixels, result.pixels)


def test_a_file_is_recorded_with_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "start.png"
    Image.fromarray(STYLE).save(path)
    Image.fromarray(CONTENT).save(tmp_path / "photo.png")
    both = (tmp_path / "photo.png", path)
    result = kept.transfer(*both, init=path, **QUICK)
    told = json.loads(result.settings_json())
    assert told["options"]["init"] == "image"
    assert told["inputs"]["init"]["path"] == str(path)
    result.save(tmp_path / "out.png")
    found = read_settings(tmp_path / "out.png", 10**6)
    assert found.find_input("init") == str(path)
    again = kept.transfer(*both, **{**found.options, "init": found.find_input("init")})
    np.testing.assert_array_equal(again.pixels, result.pixels)
    array = kept.transfer(*both, init=STYLE, **QUICK)
    np.testing.assert_array_equal(array.pixels, result.pixels)
    array.save(tmp_path / "array.png")
    with pytest.raises(PictureError, match=r"the init image of .* was no file; name one"):
        read_settings(tmp_path / "array.png", 10**6).find_input("init")


def test_checkpoints_know_the_start(tmp_path: Path) -> None:
    run = kept.iterate(CONTENT, STYLE, init=STYLE, **QUICK)
    for progress in run:
        if progress.iteration == 2:
            break
    run.save_checkpoint(tmp_path / "ckpt")
    again = kept.iterate(CONTENT, STYLE, init=STYLE, **QUICK)
    again.resume(tmp_path / "ckpt")
    assert again.iteration == 2
    for init, said in (
        (CONTENT, "the init image is another"),
        ("style", 'init was "image" and is now "style"'),
    ):
        with pytest.raises(CheckpointError, match=said):
            kept.iterate(CONTENT, STYLE, init=init, **QUICK).resume(tmp_path / "ckpt")


def test_a_video_starts_from_it_once(tmp_path: Path) -> None:
    Image.fromarray(STYLE).save(tmp_path / "start.png")
    options = Options.of(None, init=tmp_path / "start.png", **QUICK)
    painter = Painter(STYLE, options, 2)
    first = painter(CONTENT)
    expected = kept.transfer(CONTENT, STYLE, options).pixels
    np.testing.assert_array_equal(first.pixels, expected)
    assert not painter(CONTENT).fresh


@pytest.mark.parametrize(
    ("inputs", "given", "error", "said"),
    [
        ((CONTENT, None), {"init": "style"}, OptionError, "no style to start from; use --init noi"),
        ((None, STYLE), {"init": "content"}, OptionError, "no content image to start from; use"),
        ((CONTENT, STYLE), {"init": "nois"}, PictureError, "no init 'nois'; give content, noise,"),
        ((CONTENT, STYLE), {"init": "."}, PictureError, "the init image '.' is not a regular fi"),
        ((CONTENT, STYLE), {"init": __file__}, PictureError, "test_starts.py' is not a picture"),
        ((CONTENT, STYLE), {"init": "image"}, OptionError, "none was given; give its path as in"),
        ((CONTENT, STYLE), {"init": ""}, OptionError, "there is no init ''; give content, noise"),
        ((CONTENT, STYLE), {"init": 5}, OptionError, "there is no init 5; give content"),
        ((CONTENT, STYLE), {"init_noise": 1.5}, OptionError, "init_noise 1.5 is out of range"),
        ((CONTENT, STYLE), {"init": STYLE, "max_pixels": 100}, PictureError, "more than the limit"),
        (
            (CONTENT, STYLE),
            {"init": STYLE[..., 0:2]},
            PictureError,
            "the init image is an array of",
        ),
    ],
)
def test_what_is_off_is_said(inputs: Any, given: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        kept.iterate(*inputs, **{**QUICK, **given})
