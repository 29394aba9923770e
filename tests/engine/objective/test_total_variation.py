"""Total variation: both forms against their definition, their gradients against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from ortist.objective.total_variation import add_variation

FORMS = ("squares", "nine-point")


def total_variation(
    image: NDArray[Any], form: str, wraps: bool = False
) -> tuple[float, NDArray[Any]]:
    """The loss and its gradient, in the image's own precision."""
    gradient = np.zeros_like(image)
    return add_variation(image, gradient, form, 1.0, wraps), gradient


def by_hand(image: NDArray[Any], form: str, wraps: bool) -> float:
    """The sum over all pairs, one by one."""
    _, channels, height, width = image.shape
    axial, diagonal = (1.0, 0.0) if form == "squares" else (2 / 3, 1 / 6)
    steps = [(1, 0, axial), (0, 1, axial), (1, 1, diagonal), (1, -1, diagonal)]
    total = 0.0
    for channel in range(channels):
        for i in range(height):
            for j in range(width):
                for down, right, weight in steps:
                    k, m = i + down, j + right
                    if wraps or (k < height and 0 <= m < width):
                        there = image[0, channel, k % height, m % width]
                        total += weight * (there - image[0, channel, i, j]) ** 2
    return total


@given(
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    form=st.sampled_from(FORMS),
    wraps=st.booleans(),
    seed=st.integers(0, 99),
)
def test_it_is_the_sum_over_pairs_and_its_gradient(
    height: int, width: int, form: str, wraps: bool, seed: int
) -> None:
    """In float64 the loss is quadratic, so that central differences are exact but for rounding."""
    image, direction = np.random.default_rng(seed).standard_normal((2, 1, 3, height, width))
    loss, gradient = total_variation(image, form, wraps)
    assert loss == pytest.approx(by_hand(image, form, wraps), rel=1e-12, abs=1e-12)
    ahead, behind = (total_variation(image + s * direction, form, wraps)[0] for s in (1, -1))
    slope = float(np.vdot(direction, gradient))
    assert (ahead - behind) / 2 == pytest.approx(slope, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_flat_pictures_and_slopes(form: str) -> None:
    """Nothing on a flat one; on a slope both are the integral of the squared slope."""
    assert total_variation(np.full((1, 3, 9, 8), 0.3, np.float32), form)[0] == 0
    size = 400
    rows, columns = np.mgrid[:size, :size] / size
    for across in (columns, (rows + columns) / np.sqrt(2)):
        loss, gradient = total_variation(across[None, None], form)
        assert loss == pytest.approx(1, rel=0.01)
        assert np.abs(gradient[..., 1:-1, 1:-1]).max() < 1e-12


def test_nine_points_are_the_same_in_every_direction() -> None:
    """Of short waves the plain squares count those along an axis less than diagonal ones."""
    rows, columns = np.mgrid[:64, :64] * (2 * np.pi / 64)
    along = np.sin(10 * rows)[None, None]
    across = np.sin(6 * rows + 8 * columns)[None, None]  # as many waves, along another line
    ratio = {
        form: total_variation(across, form, wraps=True)[0]
        / total_variation(along, form, wraps=True)[0]
        for form in FORMS
    }
    assert abs(ratio["nine-point"] - 1) < abs(ratio["squares"] - 1) / 10
