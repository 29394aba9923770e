"""The general objective: the fast one's results, the same in tiles, by regions, with every loss."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.arrays import Array
from ortist.errors import ResourceError
from ortist.network.bundle import Model, find_model
from ortist.objective.general import GeneralObjective
from ortist.objective.objective import Objective
from ortist.objective.targets import Losses, Room, Targets
from ortist.objective.tile_work import TileWorker
from ortist.objective.weights import Weights
from ortist.style.guides import Guides
from ortist.style.losses import STYLE_LOSSES
from ortist_models import CONTENT

from tests.conftest import small_pictures

TOLERANCE = 1e-5


@functools.cache
def objective(tile: int | None = None, normalize: bool = False) -> GeneralObjective:
    return GeneralObjective(find_model("squeezenet1_1-procedural"), "cpu", None, tile, normalize)


@functools.cache
def worker() -> TileWorker:
    return TileWorker(find_model("squeezenet1_1-procedural"), "cpu", None)


def maps(image: Array, tap: int) -> Array:
    """The features of the whole image."""
    return worker().features(image, [tap])[tap]


@functools.cache
def pictures(height: int, width: int) -> tuple[Array, Array]:
    """A content, normalised to about [-2, 2], and one near it."""
    content, _ = small_pictures(160)
    cut = content[:height, :width].astype(np.float32).transpose(2, 0, 1)[None] / 60 - 2
    noise = np.random.default_rng(0).standard_normal(cut.shape, np.float32)
    return np.ascontiguousarray(cut), cut + np.float32(0.1) * noise


def aimed(
    at: Any, content: Array, taps: tuple[int, ...], loss: str = "gram", masks: Array | None = None
) -> Any:
    """``at`` aimed at the content and, in each region, at a style's statistics."""
    _, style = small_pictures(96)
    painting = np.ascontiguousarray(style.astype(np.float32).transpose(2, 0, 1)[None] / 60 - 2)
    plain = objective()
    found = [
        plain.moments(np.ascontiguousarray(painting[..., : 60 + 30 * region]), taps)
        for region in range(1 if masks is None else len(masks))
    ]
    statistics = {tap: [part[tap][0].statistics() for part in found] for tap in taps}
    losses = {
        tap: [STYLE_LOSSES[loss](part) for part in parts] for tap, parts in statistics.items()
    }
    features = {tap: maps(content, tap) for tap in [min(3, taps[0])]}
    grams = {
        tap: (parts[0].second / len(parts[0].mean)).astype(np.float32)
        for tap, parts in statistics.items()
    }
    guides = None if masks is None else Guides(masks)
    # As balanced weights are: of order one in all.
    size = {tap: float(np.square(gram).sum()) for tap, gram in grams.items()}
    style_weights = {
        tap: 1 / size[tap] if loss == "gram" else 64 / np.trace(statistics[tap][0].second)
        for tap in taps
    }
    content_weights = {tap: 0.1 / float(np.square(f).sum()) for tap, f in features.items()}
    at.aim(
        at.seeing(Targets({}, grams, None, losses, guides), content, features, Room(2**20)),
        Weights(content_weights, style_weights, 0.1 / content.size),
    )
    return at


def same(
    found: tuple[Losses, Array], expected: tuple[Losses, Array], tolerance: float = TOLERANCE
) -> None:
    """Losses and gradients, to rounding."""
    for name in ("content", "style", "tv", "total"):
        assert getattr(found[0], name) == pytest.approx(getattr(expected[0], name), rel=tolerance)
    assert set(found[0].style_by_layer) == set(expected[0].style_by_layer)
    assert set(found[0].content_by_layer) == set(expected[0].content_by_layer)
    scale = np.abs(expected[1]).max()
    assert np.abs(found[1] - expected[1]).max() <= tolerance * scale


@pytest.mark.parametrize("taps", [(1, 4, 6, 7), (1,), (5,)])
def test_with_gram_matrices_it_is_the_fast_objective(taps: tuple[int, ...]) -> None:
    content, image = pictures(113, 157)
    fast = aimed(Objective(objective().model, "cpu"), content, taps)
    same(aimed(objective(), content, taps)(image), fast(image))


def test_nine_point_total_variation_beside_the_graph() -> None:
    content, image = pictures(60, 71)
    fast = Objective(objective().model, "cpu", tv_loss="nine-point")
    general = GeneralObjective(objective().model, "cpu", tv_loss="nine-point")
    found = aimed(fast, content, (1, 4))(image)
    same(aimed(general, content, (1, 4))(image), found)
    assert found[0].tv != aimed(objective(), content, (1, 4))(image)[0].tv


def test_without_any_target_total_variation_is_left() -> None:
    _, image = pictures(50, 61)
    fast, general = Objective(objective().model, "cpu"), objective(32)
    for one in (fast, general):
        one.aim(Targets(), Weights({}, {}, 2.0))
    same(general(image), fast(image))


@pytest.mark.parametrize("tap", range(1, 8))
@pytest.mark.parametrize("side", [16, 37, 64])
def test_tiles_give_the_gradient_of_the_whole_at_every_depth(tap: int, side: int) -> None:
    content, image = pictures(101, 131)
    whole = aimed(objective(), content, (tap,))(image)
    same(aimed(objective(side), content, (tap,))(image), whole)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(9, 150),
    width=st.integers(9, 170),
    side=st.integers(16, 120),
    taps=st.sets(st.integers(1, 7), min_size=1, max_size=3),
    loss=st.sampled_from(sorted(STYLE_LOSSES)),
    masked=st.booleans(),
    normalize=st.booleans(),
)
def test_tiles_compose_with_everything(
    height: int,
    width: int,
    side: int,
    taps: set[int],
    loss: str,
    masked: bool,
    normalize: bool,
) -> None:
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
    same(aimed(objective(side, normalize), *arguments)(image), whole, tolerance)


def test_tiles_on_flat_pictures() -> None:
    """Where every window is a tie."""
    content, _ = pictures(100, 120)
    image = np.full_like(content, 0.3)
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


@pytest.mark.parametrize("loss", sorted(STYLE_LOSSES))
def test_white_masks_are_no_masks(loss: str) -> None:
    content, image = pictures(77, 90)
    white = np.ones((1, 77, 90), np.float32)
    plain = aimed(objective(), content, (1, 4, 7), loss)(image)
    same(aimed(objective(), content, (1, 4, 7), loss, white)(image), plain)


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
        assert total.mass == pytest.approx(whole[tap][0].mass)
    # conv1's feature 23 looks at pixels 46 … 48, its cell is 46.5 … 48.5: 3/4 lie on the left.
    left = features[1][0, :, :, :24].astype(np.float64)
    left[:, :, 23] *= 0.75
    right = features[1][0, :, :, :24].astype(np.float64)
    expected = np.einsum("chw,dhw->cd", left, right)
    np.testing.assert_allclose(found[1][0].second, expected, rtol=1e-4)


@pytest.mark.parametrize("loss", sorted(STYLE_LOSSES))
def test_the_gradient_is_that_of_the_losses(loss: str) -> None:
    """By regions, against central differences of the total (float32: see test_loop.py)."""
    content, image = pictures(64, 72)
    masks = np.zeros((2, 64, 72), np.float32)
    masks[0, :30], masks[1, 20:, 10:] = 1, 0.5
    at = aimed(objective(40), content, (1, 4, 6), loss, masks)
    _, gradient = at(image)
    direction = gradient / np.linalg.norm(gradient)
    step = np.float32(0.02)
    ahead, behind = (at(image + s * step * direction)[0].total for s in (1, -1))
    slope = float((direction * gradient).sum())
    assert slope == pytest.approx((ahead - behind) / (2 * float(step)), rel=1e-2)


def test_outside_of_all_masks_no_style_pulls() -> None:
    content, image = pictures(120, 150)
    masks = np.zeros((1, 120, 150), np.float32)
    masks[:, :30, :30] = 1
    at = aimed(objective(), content, (1, 4), "gram", masks)
    at.aim(at._targets, Weights({3: 0.0, 1: 0.0}, {1: 1.0, 4: 1.0}, 0.0))
    _, gradient = at(image)
    assert np.abs(gradient[..., :30, :30]).max() > 0
    assert np.abs(gradient[..., 60:, :]).max() == 0


@pytest.mark.parametrize("loss", sorted(STYLE_LOSSES))
def test_normalised_gradients_have_the_weights_for_norms(loss: str) -> None:
    """At conv1, whose gradient can be had at the features themselves."""
    content, image = pictures(70, 81)
    at = aimed(objective(None, True), content, (1,), loss)
    moments = at.moments(image, (1,))[1]
    at.aim(at._targets, Weights({1: 0.0}, {1: 3.0}, 0.0))
    features = maps(image, 1)[0].reshape(64, -1).astype(np.float64)
    tap = at.model.tap(1)
    _, mixing, shift = at._style(tap, moments, features.shape[1])
    assert np.linalg.norm(mixing[0] @ features + shift[0]) == pytest.approx(3, rel=1e-4)


def test_normalised_content_and_variation_have_their_weights_too() -> None:
    content, image = pictures(70, 81)
    at = aimed(objective(None, True), content, (3,))
    difference = maps(image, 3) - maps(content, 3)
    at.aim(at._targets, Weights({3: 2.0}, {3: 1.0}, 5.0))
    energy = at.energies(at._targets)[3]
    weight = at._content_weight(3, float(np.square(difference).sum()), energy)
    assert np.linalg.norm(2 * weight * difference) == pytest.approx(2, rel=1e-4)
    at.aim(Targets(), Weights({}, {}, 5.0))
    assert np.linalg.norm(at(image)[1]) == pytest.approx(5, rel=1e-4)
    at.aim(at.seeing(Targets(), content, (3,), Room(0)), Weights({3: 2.0}, {}, 0.0))
    # Of a picture that is the content itself only rounding would be blown up.
    at.aim(at._targets, Weights({3: 2.0}, {3: 0.0}, 0.0))
    assert np.abs(at(content)[1]).max() < 1e-3


@pytest.mark.parametrize("normalize", [False, True])
def test_content_is_the_same_kept_or_computed_anew(normalize: bool) -> None:
    """For every tap, those split into phases too (phases.py)."""
    content, image = pictures(101, 131)
    for tap in range(1, 8):
        found = []
        for room in (2**30, 0):
            one = objective(48, normalize)
            targets = one.seeing(Targets(), content, (tap,), Room(room))
            assert one.energies(targets).keys() == {tap}
            one.aim(targets, Weights({tap: 0.5}, {}, 0.0))
            found.append(one(image))
        same(found[0], found[1], 0)
        error = maps(image, tap) - maps(content, tap)
        assert found[0][0].content == pytest.approx(0.5 * np.square(error).sum(), rel=1e-5)


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        yield executor


def test_tiles_by_the_processes_of_an_executor(processes: Executor) -> None:
    """The same to the last bit, whoever does the work."""
    content, image = pictures(101, 131)
    masks = np.random.default_rng(0).random((2, 101, 131), np.float32)
    model = objective().model
    for executor in (processes, ThreadPoolExecutor(3)):
        shared = GeneralObjective(model, "cpu", 1, 32, executor=executor)
        own = GeneralObjective(model, "cpu", 1, 32)
        found = [aimed(one, content, (1, 4, 7), "w2", masks)(image) for one in (own, shared)]
        same(found[1], found[0], 0)
        shared.release()


def test_a_lost_worker_is_said() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        one = GeneralObjective(objective().model, "cpu", 1, 32, executor=executor)
        content, image = pictures(60, 71)
        aimed(one, content, (1,))
        executor.submit(os._exit, 1)
        with pytest.raises(ResourceError, match="was ended from outside"):
            one(image)


def test_features_of_the_first_layers_are_those_of_all(procedural: Model) -> None:
    """By the graph that ends at the recipe's content layer, the whole one, and an older model's."""
    content, _ = pictures(60, 71)
    older = dataclasses.replace(
        procedural, hashes={k: v for k, v in procedural.hashes.items() if k != CONTENT}
    )
    found = [TileWorker(one, "cpu", 1).features(content, [3])[3] for one in (procedural, older)]
    found.append(TileWorker(procedural, "cpu", 1).features(content, [3, 7])[3])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)
    np.testing.assert_array_equal(found[2], found[1])
