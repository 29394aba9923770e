"""The objective: in tiles what the whole gives, by regions, with every loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.errors import ResourceError
from ortist.objective.objective import Manner, Objective
from ortist.objective.sweeper import Sweeper
from ortist.objective.targets import ByteBudget, ContentFeatures, Targets
from ortist.objective.weights import Weights
from ortist.style.guides import Guides
from ortist.style.losses import STYLE_LOSSES

from .aims import TOLERANCE, Aimed, aimed, objective, pictures, same, soft_masks, sweeper

LOSSES = sorted(STYLE_LOSSES)


def maps(image: Any, tap: int) -> Any:
    """The features of the whole image."""
    return sweeper().maps(image, [tap])[tap]


def test_nine_point_total_variation_beside_the_graph() -> None:
    content, image = pictures(60, 71)
    whole = aimed(objective(tv_loss="nine-point"), content, (1, 4))(image)
    same(aimed(objective(32, tv_loss="nine-point"), content, (1, 4))(image), whole)
    assert whole[0].tv != aimed(objective(), content, (1, 4))(image)[0].tv


@pytest.mark.parametrize("tv_loss", ["squares", "nine-point"])
def test_without_any_target_total_variation_is_left(tv_loss: str) -> None:
    _, image = pictures(50, 61)
    whole, tiled = (
        Aimed(objective(tile, tv_loss=tv_loss), Targets(), Weights({}, {}, 2.0))(image)
        for tile in (None, 32)
    )
    same(tiled, whole)
    if tv_loss == "squares":
        squares = sum(np.square(np.diff(image, axis=axis)).sum() for axis in (2, 3))
        assert whole[0].total == pytest.approx(2 * squares, rel=1e-5)


@pytest.mark.parametrize("tap", range(1, 8))
@pytest.mark.parametrize(
    ("size", "side"), [((47, 61), 16), ((101, 131), 37), ((101, 131), 64)], ids=str
)
def test_tiles_give_the_gradient_of_the_whole_at_every_depth(
    tap: int, size: tuple[int, int], side: int
) -> None:
    content, image = pictures(*size)
    whole = aimed(objective(), content, (tap,))(image)
    same(aimed(objective(side), content, (tap,))(image), whole)


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(9, 150),
    width=st.integers(9, 170),
    side=st.integers(24, 100),
    taps=st.sets(st.integers(1, 7), min_size=1, max_size=3),
    loss=st.sampled_from(LOSSES),
    masked=st.booleans(),
    normalize=st.booleans(),
    bands=st.integers(1, 4),
)
def test_tiles_compose_with_everything(
    height: int,
    width: int,
    side: int,
    taps: set[int],
    loss: str,
    masked: bool,
    normalize: bool,
    bands: int,
) -> None:
    """Each tile is swept in bands itself."""
    if loss == "w2":  # the root of a covariance of a few positions blows rounding up
        height, width = max(64, height), max(64, width)
    content, image = pictures(height, width)
    masks = None
    if masked:
        right = np.linspace(0, 1, width, dtype=np.float32)
        masks = np.stack([np.tile(right, (height, 1)), np.eye(height, width, dtype=np.float32)])
    arguments = (content, tuple(sorted(taps)), loss, masks)
    whole = aimed(objective(None, normalize), *arguments)(image)
    # Where a layer has fewer positions than channels, w2's roots are near their ridge.
    tolerance = 5 * TOLERANCE if loss == "w2" else TOLERANCE
    in_bands = Objective(sweeper(1, side**2 // bands), Manner(side, normalize=normalize))
    same(aimed(in_bands, *arguments)(image), whole, tolerance)


def test_tiles_on_flat_pictures() -> None:
    """Where every window is a tie."""
    content, _ = pictures(140, 170)
    image = np.full_like(content, 0.3)
    whole = aimed(objective(), content, (1, 4, 7))(image)
    same(aimed(objective(40), content, (1, 4, 7))(image), whole)


def test_tiles_that_all_see_the_whole_picture() -> None:
    content, image = pictures(72, 88)
    whole = aimed(objective(), content, (1, 4, 7))(image)
    same(aimed(objective(40), content, (1, 4, 7))(image), whole)


def test_moments_in_tiles() -> None:
    content, _ = pictures(119, 143)
    whole, tiled = objective(), objective(48)
    masks = np.random.default_rng(0).random((2, 119, 143), np.float32)
    for guides in (None, Guides(masks)):
        expected_moments = whole.moments(content, (1, 6), guides)
        for tap, regions in tiled.moments(content, (1, 6), guides).items():
            for a, b in zip(regions, expected_moments[tap], strict=True):
                assert a.mass == pytest.approx(b.mass, rel=1e-6)
                np.testing.assert_allclose(a.second, b.second, rtol=1e-4)
                np.testing.assert_allclose(a.first, b.first, rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tile", [None, 40])
def test_white_masks_are_no_masks(loss: str, tile: int | None) -> None:
    content, image = pictures(133, 150)
    white = np.ones((1, 133, 150), np.float32)
    plain = aimed(objective(), content, (1, 4, 7), loss)(image)
    same(aimed(objective(tile), content, (1, 4, 7), loss, white)(image), plain, 5 * TOLERANCE)


def test_two_half_masks_are_two_sums() -> None:
    """The moments of each half, by hand, and those of the whole when added up."""
    content, _ = pictures(80, 96)
    masks = np.zeros((2, 80, 96), np.float32)
    masks[0, :, :48], masks[1, :, 48:] = 1, 1
    found = objective().moments(content, (1, 7), Guides(masks))
    features = {tap: maps(content, tap) for tap in (1, 7)}
    whole = objective().moments(content, (1, 7))
    for tap, regions in found.items():
        total = regions[0] + regions[1]
        np.testing.assert_allclose(total.second, whole[tap][0].second, rtol=1e-4)
        np.testing.assert_allclose(total.first, whole[tap][0].first, rtol=1e-4)
        assert total.mass == pytest.approx(whole[tap][0].mass)
    # conv1's feature 23 looks at pixels 46 … 48, its cell is 46.5 … 48.5: 3/4 lie on the left.
    left = features[1][0, :, :, :24].astype(np.float64)
    left[:, :, 23] *= 0.75
    right = features[1][0, :, :, :24].astype(np.float64)
    expected = np.einsum("chw,dhw->cd", left, right)
    np.testing.assert_allclose(found[1][0].second, expected, rtol=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bands", [1, 3])
def test_tiles_of_one_size_show_regions_of_their_own(loss: str, bands: int) -> None:
    """Of three regions some tiles and bands show none, some one, some all."""
    content, image = pictures(96, 160)
    masks = np.zeros((3, 96, 160), np.float32)
    masks[0, :, :40], masks[1, 20:60, 20:90], masks[2, 40:64, 30:50] = 1, 0.5, 1
    args = (content, (1, 2), loss, masks)
    whole = aimed(objective(), *args)(image)
    for side in (32, 48):
        tiled = Objective(sweeper(1, 48**2 // bands), Manner(side))
        at = aimed(tiled, *args)
        for _ in range(2):
            same(at(image), whole, 5 * TOLERANCE if loss == "w2" else TOLERANCE)
    same(aimed(Objective(sweeper(1, 16 * 160)), *args)(image), whole, 5 * TOLERANCE)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tile", [None, 40])
def test_the_gradient_is_that_of_the_losses(loss: str, tile: int | None) -> None:
    """By regions, against central differences of the total (float32: see test_loop.py)."""
    content, image = pictures(128, 136)
    masks = np.zeros((2, 128, 136), np.float32)
    masks[0, :30], masks[1, 20:, 10:] = 1, 0.5
    at = aimed(objective(tile), content, (1, 4, 6), loss, masks)
    _, gradient = at(image)
    direction = gradient / np.linalg.norm(gradient)
    step = np.float32(0.02)
    ahead, behind = (at(image + s * step * direction)[0].total for s in (1, -1))
    slope = float((direction * gradient).sum())
    assert slope == pytest.approx((ahead - behind) / (2 * float(step)), rel=1e-2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tile", [None, 48])
def test_outside_of_all_masks_no_style_pulls(loss: str, tile: int | None) -> None:
    content, image = pictures(120, 150)
    masks = np.zeros((1, 120, 150), np.float32)
    masks[:, :30, :30] = 1
    at = aimed(objective(tile), content, (1, 4), loss, masks)
    _, gradient = at.weighing(content={1: 0.0}, tv=0.0)(image)
    assert np.abs(gradient[..., :30, :30]).max() > 0
    assert np.abs(gradient[..., 60:, :]).max() == 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("tile", [None, 40])
def test_a_region_that_the_image_does_not_show_has_no_loss(loss: str, tile: int | None) -> None:
    """Of two the other is left; of one nothing but content and variation."""
    content, image = pictures(64, 80)
    black = np.zeros((2, 64, 80), np.float32)
    soft = soft_masks(64, 80)
    soft[1] = 0
    one = aimed(objective(tile), content, (1, 4), loss, soft[:1])(image)
    same(aimed(objective(tile), content, (1, 4), loss, soft)(image), one)
    losses, gradient = aimed(objective(tile), content, (1, 4), loss, black)(image)
    assert losses.style == 0
    _, plain = aimed(objective(tile), content, (), content_taps=(1,))(image)
    np.testing.assert_allclose(gradient, plain, atol=1e-6 * np.abs(plain).max())


@pytest.mark.parametrize("normalize", [False, True])
def test_content_is_the_same_kept_or_computed_anew(normalize: bool) -> None:
    """For every tap, those split into phases too (phases.py)."""
    content, image = pictures(101, 131)
    for tap in (1, 3, 4, 7):
        error = maps(image, tap) - maps(content, tap)
        for tile in (None, 48):
            found = []
            for budget in (2**30, 0):
                one = objective(tile, normalize)
                known = ContentFeatures(content, (tap,), ByteBudget(budget))
                targets = Targets(content=known)
                energy = one.energies(targets)
                assert energy == {tap: pytest.approx(np.square(maps(content, tap)).sum(), rel=1e-4)}
                at = Aimed(one, targets, Weights({tap: 0.5}, {}, 0.0))
                found += [at(image), at(image)]
            for again in found[1:]:
                same(again, found[0], 0)
            expected = 0.5 * np.square(error, dtype=np.float64).sum()
            assert found[0][0].content == pytest.approx(expected, rel=1e-5)


def test_a_picture_that_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    content, image = pictures(60, 71)
    at = aimed(objective(), content, (1,))
    expected = at(image)
    with monkeypatch.context() as patch:
        patch.setattr(Sweeper, "step", _out_of_memory)
        with pytest.raises(ResourceError):
            at(image)
    same(at(image), expected, 0)
    at.objective.sweeper.release()
    same(at(image), expected, 0)


def _out_of_memory(*_: Any) -> None:
    raise ResourceError("there is not enough memory")
