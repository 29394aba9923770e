"""L-BFGS with box bounds, in NumPy: each step takes a state and returns the next.

Two-loop recursion after Nocedal and Wright, "Numerical Optimization", 2nd ed., algorithms 7.4 and
7.5. Bounds are kept by projection (Bertsekas, SIAM J. Control Optim. 20, 1982): pixels that sit on
a bound and are pushed outwards are held, the others move along the projected direction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .optimizers import Point, Values

__all__ = ["Bounds", "LbfgsState", "lbfgs_direction", "lbfgs_step"]

Bounds = tuple[Values, Values]
"""The lowest and the highest values of the pixels, broadcastable to [1, 3, H, W]."""

_MEMORY = 10
"""Pairs kept (m): Nocedal and Wright call 3 to 20 satisfactory."""
_ARMIJO, _WOLFE = 1e-4, 0.9
"""c1 and c2 of the weak Wolfe conditions (eq. 3.6), the book's values for quasi-Newton steps."""
_TRIALS = 12


class LbfgsState(NamedTuple):
    """Pairs (s_i, y_i), oldest first, s = step, y = change of the gradient."""

    pairs: tuple[tuple[Values, Values], ...] = ()


@np.errstate(over="raise", invalid="raise")
def lbfgs_direction(gradient: Values, pairs: tuple[tuple[Values, Values], ...]) -> Values:
    """-H g by the two-loop recursion, H_0 = (s^T y / y^T y) I of the latest pair (eq. 7.20).

    Raises ArithmeticError where the numbers leave their type.
    """
    q = -gradient
    alphas = []
    for s, y in reversed(pairs):
        alpha = _dot(s, q) / _dot(s, y)
        q -= q.dtype.type(alpha) * y
        alphas.append(alpha)
    if pairs:
        s, y = pairs[-1]
        q *= q.dtype.type(_dot(s, y) / _dot(y, y))
    for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
        beta = _dot(y, q) / _dot(s, y)
        q += q.dtype.type(alpha - beta) * s
    return q


def lbfgs_step(
    point: Point, state: LbfgsState, evaluate: Callable[[Values], Point], bounds: Bounds | None
) -> tuple[Point, LbfgsState]:
    """One iteration: a direction, a line search along its projection, the next point and state.

    The returned point is the given one where no decrease is found any more. The line search bisects
    for the weak Wolfe conditions (Lewis and Overton, Math. Program. 141, 2013); most iterations
    accept their first trial. Raises ArithmeticError where numbers leave their type.
    """
    free = _free(point, bounds)
    direction = lbfgs_direction(point.gradient * free, state.pairs) * free
    slope = _dot(direction, point.gradient)
    if not slope < 0:  # the pairs no longer fit the held pixels: start over from the gradient
        state = state._replace(pairs=())
        direction = -point.gradient * free
        slope = _dot(direction, point.gradient)
        if slope == 0:
            return point, state
    # Without curvature the first trial moves no pixel by more than a tenth of a deviation.
    length = 1.0 if state.pairs else 0.1 / float(np.abs(direction).max())
    low, high, best = 0.0, np.inf, None
    for _ in range(_TRIALS):
        trial = evaluate(_moved(point.values, direction, length, bounds))
        step = trial.values - point.values
        if not trial.loss <= point.loss + _ARMIJO * _dot(step, point.gradient):
            high = length
        elif _dot(direction * _free(trial, bounds), trial.gradient) < _WOLFE * slope:
            low, best = length, trial
        else:
            best = trial
            break
        length = 2 * length if high == np.inf else (low + high) / 2
    if best is None:
        return point, LbfgsState()
    pairs = state.pairs
    s, y = best.values - point.values, best.gradient - point.gradient
    # A pair of no positive curvature would make H indefinite; it is left out (page 537).
    if _dot(s, y) > 1e-10 * _dot(y, y):
        pairs = (*pairs, (s, y))[-_MEMORY:]
    return best, LbfgsState(pairs)


@np.errstate(over="raise", invalid="raise")
def _moved(values: Values, direction: Values, length: float, bounds: Bounds | None) -> Values:
    moved: Values = values + values.dtype.type(length) * direction
    if bounds is not None:
        np.clip(moved, *bounds, out=moved)
    return moved


def _free(point: Point, bounds: Bounds | None) -> Values:
    """1 for pixels that may move along -gradient, 0 for those held by their bound."""
    if bounds is None:
        return np.ones((), point.values.dtype)
    low, high = bounds
    held = (point.values <= low) & (point.gradient > 0)
    held |= (point.values >= high) & (point.gradient < 0)
    free: Values = (~held).astype(point.values.dtype)
    return free


def _dot(a: Values, b: Values) -> float:
    return float(np.vdot(a, b))
