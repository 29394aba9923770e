"""The measures of likeness, on pictures whose figures are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.likeness import best_cosines, colour_distance, edge_map, lab, places
from tests.conftest import small_pictures

CONTENT, STYLE = small_pictures(96)


def test_lab_of_known_colours() -> None:
    known = np.array([[[255, 255, 255], [0, 0, 0], [255, 0, 0]]], np.uint8)
    # CIE's formulas, D65
    expected = np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]])
    np.testing.assert_allclose(lab(known), expected, atol=0.05)


def test_a_picture_is_most_like_itself() -> None:
    features = {tap: np.random.default_rng(tap).random((1, 8, 5, 6), np.float32) for tap in (3, 4)}
    means = {tap: f.reshape(8, -1).mean(1, keepdims=True) for tap, f in features.items()}
    own = places(features, means)
    np.testing.assert_allclose(best_cosines(own, own), (1, 1), atol=1e-5)
    part = own[:7]
    like, cover = best_cosines(part, own)
    assert like > 0.9999 > cover


def test_colours_are_as_far_as_they_are_moved() -> None:
    assert colour_distance(CONTENT, CONTENT) == 0
    shuffled = CONTENT.reshape(-1, 3).copy()
    np.random.default_rng(0).shuffle(shuffled)
    assert colour_distance(CONTENT, shuffled.reshape(CONTENT.shape)) < 1e-6
    assert colour_distance(CONTENT, STYLE) > 5


def test_edges_tell_a_drawing_from_another() -> None:
    def correlation(pixels: NDArray[np.uint8]) -> float:
        return float(np.corrcoef(edge_map(pixels), edge_map(CONTENT))[0, 1])

    inverted = 255 - CONTENT
    assert correlation(inverted) > 0.99
    assert correlation(STYLE) < 0.5
