"""The judge's measures on cases whose answer is known, and its command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ortist.jobs.distances import (
    Statistics,
    content_distance,
    gram_distance,
    grid_strength,
    statistics_of,
    wasserstein_distance,
)
from ortist.jobs.judging import Figures, at_equal_content
from ortist.pictures.raster import to_levels
from ortist.pictures.reading import load_picture
from ortist.pictures.values import shorter_side_to
from ortist_models import SHIPPED
from PIL import Image

from tests.conftest import ROOT, SAMPLES

PROCEDURAL = SHIPPED / "squeezenet1_1-procedural"


def features(seed: int, channels: int = 4) -> Any:
    return np.random.default_rng(seed).random((1, channels, 9, 11), dtype=np.float32)


def test_statistics_are_those_of_numpy() -> None:
    matrix = features(0).reshape(4, -1)
    found = statistics_of(features(0))
    np.testing.assert_allclose(found.mean, matrix.mean(1), rtol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(matrix, bias=True), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found.gram, matrix @ matrix.T / matrix.size, rtol=1e-5)


def test_distances_between_the_same_and_between_known_distributions() -> None:
    same = statistics_of(features(0))
    assert gram_distance(same, same) == 0
    assert wasserstein_distance(same, same) < 1e-6
    mean, variances = np.array([1.0, 2.0]), np.array([4.0, 9.0])
    a = Statistics(np.zeros((2, 2)), mean, np.diag(variances))
    b = Statistics(np.full((2, 2), 3.0), mean + np.array([3.0, 4.0]), np.diag([1.0, 25.0]))
    assert gram_distance(a, b) == pytest.approx(6)
    # Normal distributions on the same axes: 3^2 + 4^2 + (2 - 1)^2 + (3 - 5)^2.
    assert wasserstein_distance(a, b) == pytest.approx(30**0.5)


def test_w2_does_not_mind_a_rotation_and_is_symmetric() -> None:
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    a, b = statistics_of(features(0)), statistics_of(features(1) ** 2)
    turned = [Statistics(s.gram, turn @ s.mean, turn @ s.covariance @ turn.T) for s in (a, b)]
    assert wasserstein_distance(*turned) == pytest.approx(wasserstein_distance(a, b))
    assert wasserstein_distance(b, a) == pytest.approx(wasserstein_distance(a, b))


def test_content_distance_is_relative() -> None:
    target = {3: features(0), 4: features(1)}
    assert content_distance(target, target) == 0
    doubled = {3: target[3] * 2, 4: target[4], 7: features(2)}
    assert content_distance(doubled, target) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["harbour.jpg", "swirls.jpg", "pencil.jpg"])
@pytest.mark.parametrize("period", [2, 4, 8])
def test_a_grid_is_seen_even_where_its_sign_changes(name: str, period: int) -> None:
    picture = to_levels(shorter_side_to(load_picture(SAMPLES / name, 10**8), 192), 8)
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    signs = np.random.default_rng(0).choice([-1, 1], (height // 32 + 1, width // 32 + 1))
    comb = ((x % period == 0) & (y % period == 0)) * signs[y // 32, x // 32] * 12.0 * period
    with_grid = np.clip(picture + comb[..., None], 0, 255).astype(np.uint8)
    assert grid_strength(picture) < 1.1
    assert grid_strength(with_grid) > grid_strength(picture) * 1.02
    other = ((x % 7 == 0) & (y % 7 == 0)) * 40.0  # a lattice that is no stride's
    aside = np.clip(picture + other[..., None], 0, 255).astype(np.uint8)
    assert grid_strength(aside) < grid_strength(picture) * 1.02


def test_grid_strength_of_noise_is_one_and_small_pictures_are_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    assert grid_strength(noise) == pytest.approx(1, abs=0.05)
    assert grid_strength(np.full((64, 64, 3), 9, np.uint8)) == pytest.approx(1)
    with pytest.raises(ValueError, match="60 x 64 pixels are too few"):
        grid_strength(noise[:60, :64])


def figures(strength: float) -> Figures:
    """A painter whose content distance and style removed grow with the strength's logarithm."""
    at = np.log(strength) / 10
    return Figures(strength, 0.4 + at, 0.5 + at, 1 - at, np.zeros((1, 1, 3), np.uint8))


@pytest.mark.parametrize("distance", [0.45, 0.5, 0.55, 0.7])
def test_figures_are_interpolated_at_equal_content_distance(distance: float) -> None:
    found, tried = at_equal_content(figures, distance)
    assert found.content_distance == pytest.approx(distance)
    assert found.style_removed == pytest.approx(distance - 0.1)
    assert found.grid == pytest.approx(1.5 - distance)
    assert tried[0].strength == 1


def test_a_distance_out_of_reach_takes_the_nearest_picture() -> None:
    found, tried = at_equal_content(figures, 2.0)
    assert found == tried[-1]
    assert found.strength == max(one.strength for one in tried)


def judge(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks.judge", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=ROOT)


@pytest.mark.long
def test_a_model_judged_by_itself_equals_itself(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    pair = ("--content", str(SAMPLES / "harbour.jpg"), "--style", str(SAMPLES / "shards.jpg"))
    model = ("--model", str(PROCEDURAL), "--judge", str(PROCEDURAL))
    small = ("--size", "64", "--iterations", "6", "--sheet", str(sheet))
    done = judge(*model, *pair, *small, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["style_removed"] == pytest.approx(1, abs=0.02)
    assert found["grid"] == pytest.approx(1, abs=0.02)
    (row,) = found["pairs"]
    assert row["tried"][0] == row["judge"]
    with Image.open(sheet) as page:
        assert page.width > 4 * 256


def test_bad_words_are_one_sentence() -> None:
    done = judge("--judge", "nowhere.pth")
    assert done.returncode == 2
    assert done.stderr == (
        "there is no judge 'nowhere.pth'; name weights or a model's folder with --judge.\n"
    )
