"""Adam against the textbook's recursion and torch's; the running average by its definition."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from ortist.arrays import Arrays
from ortist.run.optimizers import RunningAverage, adam_init, adam_step


def test_adam_follows_algorithm_1() -> None:
    """Kingma and Ba, algorithm 1, in float64 on the same gradients; float32 costs 1e-6."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((1, 3, 4, 5), np.float32)
    theta = values.astype(np.float64)
    m = v = np.zeros_like(theta)
    state = adam_init(values, Arrays())
    for t in range(1, 51):
        gradient = rng.standard_normal(values.shape, np.float32)
        values, state = adam_step(values, gradient, state, 0.05, 0.9, 0.99)
        m = 0.9 * m + 0.1 * gradient.astype(np.float64)
        v = 0.99 * v + 0.01 * gradient.astype(np.float64) ** 2
        theta -= 0.05 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
    np.testing.assert_allclose(values, theta, atol=5e-6)


def test_adam_is_torchs() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal((1, 3, 4, 5), np.float32)
    parameter = torch.from_numpy(values.copy()).requires_grad_()
    optimizer = torch.optim.Adam([parameter], lr=3.0)
    state = adam_init(values, Arrays())
    for _ in range(100):
        gradient = rng.standard_normal(values.shape, np.float32) * 100
        parameter.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        values, state = adam_step(values, gradient, state, 3.0)
    np.testing.assert_allclose(values, parameter.detach().numpy(), rtol=1e-5, atol=1e-4)


def test_a_step_leaves_its_arguments_as_they_are() -> None:
    values, gradient = np.ones((1, 3, 2, 2), np.float32), np.full((1, 3, 2, 2), 2.0, np.float32)
    state = adam_init(values, Arrays())
    adam_step(values, gradient, state, 1.0)
    assert (values == 1).all()
    assert (gradient == 2).all()
    assert (state.first == 0).all()
    assert (state.second == 0).all()
    assert state.steps == 0


@given(st.floats(0.01, 0.999), st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=20))
def test_the_running_average_is_the_weighted_mean(decay: float, values: list[float]) -> None:
    average = RunningAverage(decay)
    for value in values:
        average = average.including(np.full((1, 1), value, np.float32))
    weights = decay ** np.arange(len(values))[::-1]
    expected = (weights * values).sum() / weights.sum()
    np.testing.assert_allclose(
        average.value(np.zeros((1, 1), np.float32), Arrays()), expected, atol=1e-4
    )


def test_without_averaging_the_iterate_is_the_picture() -> None:
    values = np.ones(3, np.float32)
    average = RunningAverage(0.0).including(np.zeros(3, np.float32))
    assert average.value(values, Arrays()) is values
