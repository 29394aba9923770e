"""Moments: sums that can be taken in parts, and blends of them."""

from __future__ import annotations

import numpy as np
from ortist.style.moments import Statistics, blend, pack, packed_size, rounded, sum_moments, unpack

RNG = np.random.default_rng(0)


def test_moments_are_what_they_say() -> None:
    features = RNG.standard_normal((1, 5, 120, 130), np.float32)  # more than one block
    guide = RNG.random((120, 130), np.float32)
    matrix = features.reshape(5, -1).astype(np.float64)
    for weights in (None, guide):
        moments = sum_moments(features, weights)
        t = np.ones(matrix.shape[1]) if weights is None else weights.reshape(-1).astype(np.float64)
        np.testing.assert_allclose(moments.second, (matrix * t) @ matrix.T, rtol=1e-5, atol=1e-2)
        np.testing.assert_allclose(moments.first, matrix @ t, rtol=1e-5, atol=1e-2)
        np.testing.assert_allclose(moments.mass, t.sum())


def test_parts_add_up_to_the_whole() -> None:
    features = RNG.random((1, 4, 30, 41), np.float32)
    guide = RNG.random((30, 41), np.float32)
    whole = sum_moments(features, guide).statistics()
    halves = sum_moments(features[..., :17], guide[:, :17])
    halves += sum_moments(features[..., 17:], guide[:, 17:])
    np.testing.assert_allclose(halves.statistics().second, whole.second, rtol=1e-5)
    np.testing.assert_allclose(halves.statistics().mean, whole.mean, rtol=1e-5)


def test_a_blend_is_the_statistics_of_the_mixture() -> None:
    """Three parts of one to one of the other: as if their positions lay in one picture, 3 : 1."""
    one, other = RNG.random((2, 1, 4, 8, 8), np.float32)
    together = sum_moments(np.concatenate([one, one, one, other], 3)).statistics()
    parts = [sum_moments(part).statistics() for part in (one, other)]
    mixed = blend([(6.0, parts[0]), (2.0, parts[1])])
    np.testing.assert_allclose(mixed.second, together.second, rtol=1e-5)
    np.testing.assert_allclose(mixed.mean, together.mean, rtol=1e-5)


def test_one_to_nothing_is_exactly_the_one() -> None:
    parts = [Statistics(RNG.random((3, 3)), RNG.random(3)) for _ in range(2)]
    blended = blend([(0.3, parts[0]), (0.0, parts[1])])
    np.testing.assert_array_equal(blended.second, parts[0].second)
    np.testing.assert_array_equal(blended.mean, parts[0].mean)


def test_packing_loses_nothing_but_the_digits_beyond_float32() -> None:
    statistics = sum_moments(RNG.standard_normal((1, 7, 9, 9), np.float32)).statistics()
    packed = pack(statistics)
    assert packed.shape == (packed_size(7),)
    assert packed.dtype == np.float32
    again = unpack(packed, 7)
    np.testing.assert_allclose(again.second, statistics.second, rtol=1e-7)
    np.testing.assert_array_equal(again.second, again.second.T)
    np.testing.assert_array_equal(again.mean, statistics.mean.astype(np.float32))
    np.testing.assert_array_equal(pack(again), packed)
    np.testing.assert_array_equal(rounded(again).second, again.second)
