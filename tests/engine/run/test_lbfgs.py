"""L-BFGS against the textbook's matrices, SciPy's program, and its own promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.run.lbfgs import Bounds, LbfgsState, lbfgs_direction, lbfgs_step
from ortist.run.optimizers import Point, Values


def rosenbrock(x: Values) -> Point:
    loss = float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())
    gradient = np.zeros_like(x)
    gradient[:-1] += -400 * x[:-1] * (x[1:] - x[:-1] ** 2) - 2 * (1 - x[:-1])
    gradient[1:] += 200 * (x[1:] - x[:-1] ** 2)
    return Point(x, loss, gradient)


def minimise(f: Any, x: Values, bounds: Bounds | None, steps: int) -> tuple[Point, int]:
    """The point that is reached, and how many evaluations it took."""
    evaluations = 0

    def counted(values: Values) -> Point:
        nonlocal evaluations
        evaluations += 1
        point: Point = f(values)
        return point

    point, state = f(x), LbfgsState()
    for _ in range(steps):
        before = point.loss
        point, state = lbfgs_step(point, state, counted, bounds)
        assert point.loss <= before
    return point, evaluations


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(1, 10), st.integers(0, 10**6))
def test_the_two_loops_are_the_matrix_form(size: int, pairs: int, seed: int) -> None:
    """H_{k+1} = V^T H V + rho s s^T, V = I - rho y s^T (eq. 7.16), in float64 to 1e-10."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((size, size))
    curvature = root @ root.T + size * np.eye(size)
    steps = [rng.standard_normal(size) for _ in range(pairs)]
    known = tuple((s, curvature @ s) for s in steps)
    s, y = known[-1]
    inverse = np.eye(size) * (s @ y) / (y @ y)
    for s, y in known:
        rho = 1 / (s @ y)
        v = np.eye(size) - rho * np.outer(y, s)
        inverse = v.T @ inverse @ v + rho * np.outer(s, s)
    gradient = rng.standard_normal(size)
    found = lbfgs_direction(gradient, known)
    np.testing.assert_allclose(found, -inverse @ gradient, rtol=1e-10, atol=1e-10)


def test_it_keeps_up_with_scipy_without_bounds() -> None:
    start = np.tile([-1.2, 1.0], 10)
    theirs = scipy.optimize.minimize(
        lambda x: rosenbrock(x)[1:3], start, jac=True, method="L-BFGS-B", options={"maxcor": 10}
    )
    point, evaluations = minimise(rosenbrock, start, None, 150)
    assert point.loss < 1e-8
    assert evaluations < 1.5 * theirs.nfev


def test_it_keeps_up_with_scipy_within_bounds() -> None:
    start = np.tile([-1.2, 0.5], 10)
    bounds = (np.full(20, -1.5), np.full(20, 0.8))
    theirs = scipy.optimize.minimize(
        lambda x: rosenbrock(x)[1:3],
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(*bounds, strict=True)),
    )
    point, _ = minimise(rosenbrock, start, bounds, 150)
    assert (point.values >= bounds[0]).all()
    assert (point.values <= bounds[1]).all()
    assert point.loss == pytest.approx(theirs.fun, rel=1e-6)


def test_a_quadratic_in_a_box_ends_at_its_corner() -> None:
    def f(x: Values) -> Point:
        return Point(x, float((x**2).sum() - 4 * x.sum()), 2 * x - 4)

    point, _ = minimise(f, np.zeros(5), (np.full(5, -1.0), np.ones(5)), 10)
    np.testing.assert_array_equal(point.values, np.ones(5))


def test_at_the_minimum_it_stays() -> None:
    point, _ = minimise(lambda x: Point(x, float((x**2).sum()), 2 * x), np.zeros(3), None, 3)
    assert (point.values == 0).all()


def test_float32_stays_float32() -> None:
    def f(x: Values) -> Point:
        return Point(x, float((x**2).sum()), 2 * x)

    point, _ = minimise(f, np.ones(5, np.float32), (np.float32(-2), np.float32(2)), 5)  # type: ignore[arg-type]
    assert point.values.dtype == np.float32
    assert point.loss < 1e-6
