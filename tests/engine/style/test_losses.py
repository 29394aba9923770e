"""Style losses: their derivatives against central differences in float64, and hard statistics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ortist.style.losses import STYLE_LOSSES, StyleLoss, energy
from ortist.style.moments import Statistics
from scipy.linalg import sqrtm

Matrix = NDArray[np.float64]
NAMES = sorted(STYLE_LOSSES)


def statistics(features: Matrix) -> Statistics:
    """The statistics of features, a C x N matrix."""
    return Statistics(features @ features.T / features.shape[1], features.mean(1))


def pixel_gradient(loss: StyleLoss, features: Matrix) -> Matrix:
    """dL/dF = (2 dL/dQ F + dL/dmu) / N."""
    _, d_second, d_mean = loss(statistics(features))
    gradient: Matrix = 2 * d_second @ features / features.shape[1]
    return gradient if d_mean is None else gradient + d_mean[:, None] / features.shape[1]


def ordinary(rng: np.random.Generator, positions: int) -> Matrix:
    """Eight channels of different strength, positive on the average, as after a ReLU."""
    mixed: Matrix = rng.standard_normal((8, 8)) @ rng.standard_normal((8, positions))
    return np.maximum(mixed + 1, 0) * np.geomspace(0.1, 3, 8)[:, None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("positions", [50, 5], ids=["C < N", "C > N"])
def test_derivatives(name: str, positions: int) -> None:
    rng = np.random.default_rng(positions)
    loss = STYLE_LOSSES[name](statistics(ordinary(rng, 60)))
    features = ordinary(rng, positions)
    gradient = pixel_gradient(loss, features)
    # Steps small beside the ridge, where w2 of few positions bends most.
    step = 1e-6
    for _ in range(5):
        v = rng.standard_normal(features.shape)
        ahead, behind = (loss(statistics(features + s * step * v))[0] for s in (1, -1))
        assert (gradient * v).sum() == pytest.approx((ahead - behind) / (2 * step), rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_is_symmetric_and_nothing_at_the_target(name: str) -> None:
    rng = np.random.default_rng(1)
    target = statistics(ordinary(rng, 40))
    loss = STYLE_LOSSES[name](target)
    value, d_second, d_mean = loss(target)
    assert value == pytest.approx(0, abs=1e-11)
    assert np.abs(d_second).max() < 1e-6
    assert (d_mean is not None) == loss.shifts
    assert d_mean is None or np.abs(d_mean).max() < 1e-6
    value, d_second, _ = loss(statistics(ordinary(rng, 40)))
    assert value > 0
    np.testing.assert_allclose(d_second, d_second.T, atol=1e-12)


def test_values_by_other_formulas() -> None:
    rng = np.random.default_rng(2)
    one, other = ordinary(rng, 90), ordinary(rng, 70)
    seen, target = statistics(one), statistics(other)
    gram = np.square((seen.second - target.second) / 8).sum()
    assert STYLE_LOSSES["gram"](target)(seen)[0] == pytest.approx(gram)
    means = np.square(one.mean(1) - other.mean(1)).sum()
    spread = np.square(one.std(1) - other.std(1)).sum()
    assert STYLE_LOSSES["meanstd"](target)(seen)[0] == pytest.approx((means + spread) / 8, rel=1e-2)
    a, b = np.cov(one, bias=True), np.cov(other, bias=True)
    bures = np.trace(a + b - 2 * np.real(sqrtm(sqrtm(b) @ a @ sqrtm(b))))
    assert STYLE_LOSSES["w2"](target)(seen)[0] == pytest.approx((means + bures) / 8, rel=1e-2)


FLAT: Callable[[int], Matrix] = lambda n: np.tile(np.arange(8.0)[:, None], n)  # noqa: E731
HARD: dict[str, Matrix] = {
    "flat": FLAT(30),
    "zero": np.zeros((8, 30)),
    "one position": FLAT(1),
    "one channel": np.eye(8)[:, :1] * np.arange(30.0),
    "tiny": FLAT(30) * 1e-12,
    "huge": ordinary(np.random.default_rng(3), 30) * 1e6,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", HARD)
@pytest.mark.parametrize("seen", HARD)
def test_hard_statistics_stay_finite(name: str, target: str, seen: str) -> None:
    """Rank-deficient and ill-conditioned covariances, on either side."""
    loss = STYLE_LOSSES[name](statistics(HARD[target]))
    value, d_second, d_mean = loss(statistics(HARD[seen]))
    assert np.isfinite(value)
    assert value >= -1e-9 * np.square(HARD[seen]).sum()
    alone = loss.value(statistics(HARD[seen]))
    assert alone == pytest.approx(value, rel=1e-9, abs=1e-9 * np.square(HARD[seen]).sum() + 1e-12)
    assert np.isfinite(d_second).all()
    assert d_mean is None or np.isfinite(d_mean).all()
    gradient = pixel_gradient(loss, HARD[seen])
    # No step of the features' own size lowers the loss by more than there is.
    scale = np.abs(HARD[seen]).max() + np.abs(HARD[target]).max()
    if name != "gram":
        assert np.abs(gradient).max() <= 10 * scale


@pytest.mark.parametrize("name", NAMES)
def test_descent_reaches_the_target(name: str) -> None:
    """From flat features, where all covariance is missing, with a little noise to start from."""
    rng = np.random.default_rng(4)
    loss = STYLE_LOSSES[name](statistics(ordinary(rng, 40)))
    features: Any = FLAT(40) / 8 + 0.01 * rng.standard_normal((8, 40))
    start = loss(statistics(features))[0]
    for _ in range(300):
        features = features - (4 if name == "gram" else 40) * pixel_gradient(loss, features)
    assert loss(statistics(features))[0] < 0.05 * start


def test_energy_is_the_size_of_the_target() -> None:
    target = statistics(ordinary(np.random.default_rng(5), 40))
    assert energy(STYLE_LOSSES["gram"](target), 8) == pytest.approx(
        np.square(target.second / 8).sum()
    )
    for name in ("meanstd", "w2"):
        size = energy(STYLE_LOSSES[name](target), 8)
        assert size == pytest.approx(np.trace(target.second) / 8, rel=0.1)
        assert energy(replace(STYLE_LOSSES[name](target), factor=3.0), 8) == pytest.approx(3 * size)


@pytest.mark.parametrize("name", NAMES)
def test_a_factor_multiplies_all(name: str) -> None:
    rng = np.random.default_rng(6)
    loss, seen = STYLE_LOSSES[name](statistics(ordinary(rng, 40))), ordinary(rng, 40)
    twice = replace(loss, factor=2.0)
    assert twice.shifts == loss.shifts
    assert twice(statistics(seen))[0] == pytest.approx(2 * loss(statistics(seen))[0])
    np.testing.assert_allclose(pixel_gradient(twice, seen), 2 * pixel_gradient(loss, seen))
