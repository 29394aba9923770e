"""The content's colours, three ways: what each promises about luminance, moments and histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ortist.errors import OptionError
from ortist.pictures.colors import luminance_of, match_affine, match_histogram

from tests.conftest import kept, small_pictures

CONTENT, STYLE = small_pictures()
LUMA = np.array([0.299, 0.587, 0.114])
Array = NDArray[np.float32]


def colored(seed: int, count: int = 4000) -> Array:
    """Correlated colours, well inside the displayable range, [40, count / 40, 3]."""
    rng = np.random.default_rng(seed)
    values = 0.5 + rng.standard_normal((count, 3)) @ rng.uniform(-0.04, 0.04, (3, 3))
    return np.clip(values, 0, 1).astype(np.float32).reshape(40, -1, 3)


def covariance(values: Array) -> NDArray[np.float64]:
    return np.cov(values.reshape(-1, 3).T.astype(np.float64), bias=True)


@pytest.mark.parametrize("match", [luminance_of, match_affine, match_histogram])
def test_a_picture_matched_to_itself_stays(match: Any) -> None:
    for values in (colored(0), CONTENT / np.float32(255)):
        matched = match(values, values)
        assert matched.dtype == np.float32
        np.testing.assert_allclose(matched, values, atol=2e-3)


def test_luminance_is_the_pictures_and_chroma_the_contents() -> None:
    values, content = colored(1), colored(2)
    shown = luminance_of(values, content)
    np.testing.assert_allclose(shown @ LUMA, values @ LUMA, atol=2e-6)
    chroma = content - (content @ LUMA)[..., None]
    np.testing.assert_allclose(shown - (shown @ LUMA)[..., None], chroma, atol=1e-6)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_luminance_is_kept_where_colours_leave_the_range(seed: int) -> None:
    """Saturation gives way: chroma keeps its direction and shrinks."""
    rng = np.random.default_rng(seed)
    values, content = rng.random((2, 8, 8, 3), np.float32).round(1)
    shown = luminance_of(values, content)
    assert 0 <= shown.min() <= shown.max() <= 1
    np.testing.assert_allclose(shown @ LUMA, values @ LUMA, atol=1e-5)
    before = content - (content @ LUMA)[..., None]
    after = shown - (shown @ LUMA)[..., None]
    np.testing.assert_allclose(np.cross(before, after), 0, atol=1e-5)
    assert ((before * after).sum(-1) >= -1e-6).all()
    assert (np.linalg.norm(after, axis=-1) <= np.linalg.norm(before, axis=-1) + 1e-5).all()


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_the_affine_map_gives_mean_and_covariance(seed: int) -> None:
    values, like = colored(seed), colored(seed + 1)
    matched = match_affine(values, like)
    if matched.min() > 0 and matched.max() < 1:
        np.testing.assert_allclose(matched.mean((0, 1)), like.mean((0, 1)), atol=1e-4)
        scale = np.abs(covariance(like)).max()
        # Directions that hardly vary (see _LEAST_VARIANCE) are the exception.
        if np.linalg.eigvalsh(covariance(values)).min() > 2e-6:
            np.testing.assert_allclose(covariance(matched), covariance(like), atol=1e-3 * scale)


def test_the_affine_map_moves_colours_less_than_choleskys() -> None:
    values, like = colored(3), colored(4)
    matched = match_affine(values, like)
    ours, theirs = (np.linalg.cholesky(covariance(v)) for v in (values, like))
    flat = values.reshape(-1, 3) - values.mean((0, 1))
    cholesky = flat @ (theirs @ np.linalg.inv(ours)).T + like.mean((0, 1))
    moved = [((v.reshape(-1, 3) - values.reshape(-1, 3)) ** 2).sum() for v in (matched, cholesky)]
    assert moved[0] < moved[1]


def test_flat_and_gray_pictures_have_no_covariance_to_match() -> None:
    like = colored(5)
    flat = np.full((40, 100, 3), 0.3, np.float32)
    for match in (match_affine, match_histogram):
        matched = match(flat, like)
        assert np.ptp(matched.reshape(-1, 3), axis=0).max() < 1e-6  # one colour still
    np.testing.assert_allclose(match_affine(flat, like)[0, 0], like.mean((0, 1)), atol=1e-4)
    np.testing.assert_allclose(match_affine(like, flat), flat, atol=1e-5)
    gray = colored(6)[..., :1].repeat(3, axis=2)
    noisy = gray + np.random.default_rng(0).uniform(-1e-4, 1e-4, gray.shape).astype(np.float32)
    matched = match_affine(noisy, like)  # rounding noise is not blown up to colours
    left = matched - matched.mean((0, 1))
    assert np.linalg.svd(left.reshape(-1, 3), compute_uv=False)[1] < 0.05


def test_histograms_agree_and_stay_in_range() -> None:
    values, like = ((v / 255).astype(np.float32) for v in (STYLE, CONTENT))
    matched = match_histogram(values, like)
    for channel in range(3):
        quantiles = np.linspace(0, 1, 101)
        ours = np.quantile(matched[..., channel], quantiles)
        np.testing.assert_allclose(ours, np.quantile(like[..., channel], quantiles), atol=0.02)
        assert like[..., channel].min() <= matched[..., channel].min()
        assert matched[..., channel].max() <= like[..., channel].max()


QUICK: dict[str, Any] = {"size": 48, "iterations": 12, "smallest_size": None}


def test_every_way_brings_the_contents_colours() -> None:
    distance = {}
    for colors in ("style", "content-luminance", "content-histogram", "style-matched"):
        result = kept.transfer(CONTENT, STYLE, colors=colors, snapshots=(12,), **QUICK)
        painted, content = result.painting.values, CONTENT / np.float32(255)
        chroma = [v - (v @ LUMA)[..., None] for v in (painted, content)]
        distance[colors] = np.abs(chroma[0].mean((0, 1)) - chroma[1].mean((0, 1))).max()
        np.testing.assert_array_equal(result.snapshots[12].pixels, result.pixels)
    assert distance["content-luminance"] < distance["style"] / 4
    assert distance["content-histogram"] < distance["style"] / 4
    assert distance["style-matched"] < distance["style"] / 2


def test_colours_need_both_pictures() -> None:
    with pytest.raises(OptionError, match="needs a content image and a style image"):
        kept.texture(STYLE, colors="style-matched", **QUICK)
    with pytest.raises(OptionError, match="needs a content image and a style image"):
        kept.invert(CONTENT, colors="content-luminance", **QUICK)
    with pytest.raises(OptionError, match="no colors 'mine'; choose one of style, content-lum"):
        kept.transfer(CONTENT, STYLE, colors="mine")
