"""Products of large matrices, by ONNX Runtime with the threads that the user gave.

NumPy's BLAS has threads of its own choosing, and is left in mid-product by a fork.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ortist_models import ARITHMETIC, BEST, LOAD, PRODUCT, SHIPPED

from ..arrays import Array
from .providers import CPU
from .sessions import open_session

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Arithmetic"]

_SCORES = 2**22
"""Scores that are computed at a time: 16 MB in float32, some of it three times."""


class Arithmetic:
    """Products on the CPU, with so many ``threads``."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def product(self, a: Array, b: Array) -> Array:
        """The product [n, m] of float32 matrices [n, k] and [k, m]."""
        feeds = {"a": np.ascontiguousarray(a), "b": np.ascontiguousarray(b)}
        (product,) = self._sessions[PRODUCT].run(None, feeds)
        return product  # type: ignore[no-any-return]

    def best(self, queries: Array, pool: Array, bias: Array) -> NDArray[np.int64]:
        """[n]: the column of ``pool`` [d, m] with the highest score for each row of ``queries``.

        A score is the product of both, of queries [n, d], and the column's ``bias`` [m].
        """
        return np.concatenate(list(self._of_scores(BEST, queries, pool, bias)))

    def load(self, queries: Array, pool: Array, bias: Array) -> Array:
        """[m]: how much of each column of ``pool`` is wanted, which sums to n.

        It is the sum over the rows of the softmax of their scores, as ``best`` has them.
        """
        total = np.zeros(pool.shape[1], np.float32)
        for part in self._of_scores(LOAD, queries, pool, bias):
            total += part
        return total

    def _of_scores(
        self, name: str, queries: Array, pool: Array, bias: Array
    ) -> Iterator[NDArray[Any]]:
        """What that graph makes of some of the rows at a time."""
        known = {"pool": np.ascontiguousarray(pool), "bias": bias}
        rows = max(1, _SCORES // pool.shape[1])
        for top in range(0, len(queries), rows):
            part = np.ascontiguousarray(queries[top : top + rows])
            (made,) = self._sessions[name].run(None, {"queries": part, **known})
            yield made

    @functools.cached_property
    def _sessions(self) -> dict[str, onnxruntime.InferenceSession]:
        folder = SHIPPED / ARITHMETIC
        return {
            name: open_session((folder / name).read_bytes(), CPU, self.threads, spinning=False)
            for name in (PRODUCT, BEST, LOAD)
        }
