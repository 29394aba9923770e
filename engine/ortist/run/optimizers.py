"""Optimisers as pure functions: ``init`` makes a state, ``step`` takes one and returns the next.

And the running average of the iterates, which is pure in the same way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Array, Arrays, Field

__all__ = ["AdamState", "Point", "RunningAverage", "Values", "adam_init", "adam_step"]

Values = NDArray[Any]
"""float32 in the engine; tests prove the algorithms in float64.

Steps are functions of NumPy arrays; what a state holds may also lie in files (arrays.py), of which
the loop gives them a band at a time.
"""


class Point(NamedTuple):
    """Where an optimiser is: values x, loss f(x), its gradient, and what else f returned."""

    values: Any
    loss: float
    gradient: Any
    detail: Any = None


class AdamState(NamedTuple):
    """``steps`` steps done (t); running means of the gradient (m) and of its square (v)."""

    steps: int
    first: Any
    second: Any


def adam_init(values: Field, arrays: Arrays) -> AdamState:
    """The state before the first step from ``values``."""
    return AdamState(0, arrays.zeros(values.shape), arrays.zeros(values.shape))


def adam_step(
    values: Array,
    gradient: Array,
    state: AdamState,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
) -> tuple[Array, AdamState]:
    """One step of Adam (Kingma and Ba, ICLR 2015, algorithm 1), in float32.

    Returns the new values and state; the arguments stay as they are. The bias corrections are
    gathered as PyTorch gathers them: values - lr / c1 * m / (sqrt(v) / sqrt(c2) + eps) with
    c = 1 - beta ** t.
    """
    steps = state.steps + 1
    first = state.first * np.float32(beta1)
    first += gradient * np.float32(1 - beta1)
    second = state.second * np.float32(beta2)
    square = gradient * gradient
    square *= np.float32(1 - beta2)
    second += square
    scale = np.sqrt(second, out=square)
    scale /= np.float32(np.sqrt(1 - beta2**steps))
    scale += np.float32(epsilon)
    np.divide(first, scale, out=scale)
    scale *= np.float32(learning_rate / (1 - beta1**steps))
    return np.subtract(values, scale, out=scale), AdamState(steps, first, second)


class RunningAverage(NamedTuple):
    """The mean of the iterates x_1 … x_t with weights decay^(t - i) (Polyak averaging, decayed)."""

    decay: float
    total: Any = None
    weight: float = 0.0

    def including(self, values: Array) -> RunningAverage:
        """The next average, with the iterate ``values`` in it."""
        if self.decay == 0:
            return self
        return self.followed_by(self.total_with(values, self.total))

    def total_with(self, values: Array, total: Array | None = None) -> Array:
        """The next weighted sum: of ``values`` and the ``total`` before, or some rows of both."""
        with_them = values * np.float32(1 - self.decay)
        if total is not None:
            with_them += total * np.float32(self.decay)
        return with_them

    def followed_by(self, total: Any) -> RunningAverage:
        """The next average, whose weighted sum is ``total``."""
        return RunningAverage(self.decay, total, self.decay * self.weight + 1 - self.decay)

    def value(self, without: Field, arrays: Arrays) -> Any:
        """The mean, or ``without`` where nothing has been averaged."""
        weight = np.float32(self.weight)
        if self.total is None:
            return without
        return arrays.derived(lambda total: total / weight, self.total)
