"""Products by ONNX Runtime against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from ortist.network.arithmetic import Arithmetic

ARITHMETIC = Arithmetic(2)


def test_a_product_is_numpys() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((37, 65), (65, 12)))
    np.testing.assert_allclose(ARITHMETIC.product(a, b), a @ b, atol=1e-5)
    np.testing.assert_allclose(ARITHMETIC.product(b.T, a.T), (a @ b).T, atol=1e-5)


@pytest.mark.parametrize(("asked", "places"), [(5, 7), (3000, 2100)])  # the second, in two parts
def test_the_best_place_and_what_is_wanted_of_each(asked: int, places: int) -> None:
    rng = np.random.default_rng(1)
    queries, pool = (rng.standard_normal(shape, np.float32) for shape in ((asked, 4), (4, places)))
    bias = rng.standard_normal(places, np.float32)
    match = ARITHMETIC.best(queries, pool, bias)
    scores = queries.astype(np.float64) @ pool + bias
    near = scores[np.arange(asked), match]
    np.testing.assert_allclose(near, scores.max(1), atol=1e-5)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    load = ARITHMETIC.load(queries, pool, bias)
    np.testing.assert_allclose(load, shares.sum(0), rtol=1e-3, atol=1e-5)
