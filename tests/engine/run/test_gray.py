"""Pictures without colour: what is made of greys alone is grey, to the last pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.pictures.values import in_gray

from tests.conftest import kept, small_pictures

CONTENT, STYLE = small_pictures()


def grays(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture without its colours."""
    gray: NDArray[np.uint8] = pixels.mean(2, keepdims=True).astype(np.uint8)
    return gray.repeat(3, 2)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"optimizer": "lbfgs", "smallest_size": 24},
        {"init": "noise"},
        {"style_loss": "w2"},
        {"colors": "content-luminance"},
        {"max_memory": 230_000_000, "tile": 64},
    ],
    ids=str,
)
def test_a_gray_photo_in_a_gray_style_is_gray(more: dict[str, Any]) -> None:
    options: dict[str, Any] = {"size": 48, "iterations": 12, "snapshots": (0, 6), **more}
    result = kept.transfer(grays(CONTENT), grays(STYLE), **options)
    for pixels in (result.pixels, *(painting.pixels for painting in result.snapshots.values())):
        assert (pixels == pixels[..., :1]).all()
    assert result.final.total < result.initial.total


def test_textures_and_style_files_too() -> None:
    style = ortist.extract_style(grays(STYLE), size=48)
    for given in (style, grays(STYLE)):
        pixels = kept.texture(given, size=48, iterations=6).pixels
        assert (pixels == pixels[..., :1]).all()
        assert pixels.std() > 1


@pytest.mark.parametrize(
    ("content", "style", "more"),
    [
        (CONTENT, grays(STYLE), {}),
        (grays(CONTENT), STYLE, {}),
        (grays(CONTENT), ortist.extract_style(STYLE, size=48), {}),
        (grays(CONTENT), [grays(STYLE), STYLE], {}),
        (grays(CONTENT), grays(STYLE), {"bounds": "cs231n"}),
    ],
    ids=["photo", "style", "style file", "second style", "the assignment's"],
)
def test_where_there_is_colour_it_stays(content: Any, style: Any, more: dict[str, Any]) -> None:
    pixels = kept.transfer(content, style, size=48, iterations=6, **more).pixels
    assert not (pixels == pixels[..., :1]).all()


def test_the_part_of_a_gradient_along_the_grays() -> None:
    """Against differences: a step along it changes the displayed grey, and nothing else."""
    model = ortist.Engine().model
    rng = np.random.default_rng(0)
    values, slope = rng.normal(size=(2, 1, 3, 4, 5)).astype(np.float32)
    gray = in_gray(values, model)
    np.testing.assert_allclose(in_gray(gray, model), gray, atol=1e-6)
    moved = gray + in_gray(slope, model, slope=True)
    np.testing.assert_allclose(in_gray(moved, model), moved, atol=1e-6)
    rest = slope - in_gray(slope, model, slope=True)
    np.testing.assert_allclose((rest * (moved - gray)).sum(1), 0, atol=1e-5)
