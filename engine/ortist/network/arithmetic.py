"""Products of large matrices, by ONNX Runtime with the threads that the user gave.

NumPy's BLAS has threads of its own choosing, and is left in mid-product by a fork.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from ortist_models import ARITHMETIC, ASSIGNMENT, PRODUCT, SHIPPED

from ..arrays import Array
from .providers import CPU
from .sessions import open_session

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Arithmetic", "Assigned"]

_SCORES = 2**22
"""Scores that are computed at a time: 16 MB in float32, some of it three times."""


class Assigned(NamedTuple):
    """``match`` [n], int64: the best of m places for each of n; ``load`` [m]: how much of each of
    the m is wanted, which sums to n.
    """

    match: NDArray[np.int64]
    load: Array


class Arithmetic:
    """Products on the CPU, with so many ``threads``."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def product(self, a: Array, b: Array) -> Array:
        """The product [n, m] of float32 matrices [n, k] and [k, m]."""
        feeds = {"a": np.ascontiguousarray(a), "b": np.ascontiguousarray(b)}
        (product,) = self._sessions[PRODUCT].run(None, feeds)
        return product  # type: ignore[no-any-return]

    def assigned(self, queries: Array, pool: Array, bias: Array, temperature: float) -> Assigned:
        """The column of ``pool`` [d, m] with the highest score for each row of ``queries`` [n, d].

        A score is the product of both and the column's ``bias`` [m]. The load is the sum over the
        rows of the softmax of their scores / ``temperature``.
        """
        known = {
            "pool": np.ascontiguousarray(pool),
            "bias": bias,
            "temperature": np.array(temperature, np.float32),
        }
        matches, load = [], np.zeros(pool.shape[1], np.float32)
        rows = max(1, _SCORES // pool.shape[1])
        for top in range(0, len(queries), rows):
            part = np.ascontiguousarray(queries[top : top + rows])
            match, own = self._sessions[ASSIGNMENT].run(None, {"queries": part, **known})
            matches.append(match)
            load += own
        return Assigned(np.concatenate(matches), load)

    @functools.cached_property
    def _sessions(self) -> dict[str, onnxruntime.InferenceSession]:
        folder = SHIPPED / ARITHMETIC
        return {
            name: open_session((folder / name).read_bytes(), CPU, self._threads, spinning=False)
            for name in (PRODUCT, ASSIGNMENT)
        }
