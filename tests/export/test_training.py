"""The generator of textures and the fitting of layers to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist_export.errors import ExportError
from ortist_export.modules import Fire, build_module, load_weights
from ortist_export.procedural import FAMILIES, draw_texture
from ortist_export.training import (
    fit_backbone,
    principal_components,
    spherical_kmeans,
    textures,
    train,
    whitening,
)
from ortist_export.weights import Weights
from torch import nn

from tests.conftest import Ortist


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_draws_fields_or_pictures_from_its_seed_alone(name: str) -> None:
    for seed in range(6):
        drawn, again = (FAMILIES[name](np.random.default_rng(seed), 40) for _ in range(2))
        assert drawn.dtype == np.float32
        assert drawn.shape in {(40, 40), (40, 40, 3)}
        assert drawn.min() >= 0
        assert drawn.max() <= 1
        assert np.array_equal(drawn, again)


@given(st.integers(0, 2**32), st.integers(16, 70))
@settings(max_examples=40, deadline=None)
def test_a_texture_is_a_picture_of_any_side(seed: int, side: int) -> None:
    drawn = draw_texture(seed, side)
    assert drawn.dtype == np.uint8
    assert drawn.shape == (side, side, 3)
    assert np.array_equal(drawn, draw_texture(seed, side))


def test_textures_differ_and_reach_the_pixels_limit() -> None:
    """A fair part of the energy of horizontal differences is in those of neighbouring pixels."""
    drawn = textures(40, 48, 0)
    assert drawn.shape == (40, 3, 48, 48)
    flat = drawn.reshape(40, -1)
    assert torch.pdist(flat).min() > 1
    near = (drawn[..., 1:] - drawn[..., :-1]).square().mean((1, 2, 3))
    far = (drawn[..., 8:] - drawn[..., :-8]).square().mean((1, 2, 3))
    assert (near > 0.5 * far).float().mean() > 0.2


def _correlated(count: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(size, size, generator=generator)
    return torch.randn(count, size, generator=generator) @ mixing + 3


@pytest.mark.parametrize("least", [1e-3, 0.1])
def test_whitened_samples_have_unit_covariance_but_for_what_is_added(least: float) -> None:
    samples = _correlated(4000, 4)
    mean, whiten = whitening(samples, least)
    covariance = torch.cov(((samples - mean) @ whiten).T, correction=0)
    values = torch.linalg.eigvalsh(torch.cov(samples.T, correction=0))
    # Each variance v becomes v / (v + least of the largest).
    expected = (values / (values + least * values.max())).sort().values
    assert torch.allclose(torch.linalg.eigvalsh(covariance), expected, atol=1e-3)


def test_principal_components_are_uncorrelated_of_unit_variance_and_keep_the_most() -> None:
    samples = _correlated(4000, 6)
    mean, components = principal_components(samples, 3)
    scores = (samples - mean) @ components.T
    assert torch.allclose(torch.cov(scores.T, correction=0), torch.eye(3), atol=1e-3)
    rest = samples - mean - scores @ torch.linalg.lstsq(scores, samples - mean).solution
    lost = torch.linalg.eigvalsh(torch.cov(samples.T, correction=0))[:3].sum()
    assert torch.allclose(rest.square().sum(1).mean(), lost, rtol=1e-3)


def test_kmeans_finds_the_directions_that_there_are() -> None:
    generator = torch.Generator().manual_seed(0)
    directions = torch.eye(5)
    chosen = torch.randint(5, (500,), generator=generator)
    lengths = torch.rand(500, 1, generator=generator) + 0.5
    samples = directions[chosen] * lengths + 0.02 * torch.randn(500, 5, generator=generator)
    centroids = spherical_kmeans(samples, 40, generator)
    assert torch.allclose(centroids.norm(dim=1), torch.ones(40), atol=1e-5)
    assert ((centroids @ directions.T).max(0).values > 0.99).all()


def first_layers(count: int) -> nn.Sequential:
    return nn.Sequential(*list(build_module("squeezenet1_1").children())[:count])


def test_fitted_layers_are_balanced_and_squeezing_ones_let_all_but_pass() -> None:
    features = first_layers(5)
    images = textures(20, 64, 0)
    fit_backbone(features, images, 0)
    x = images
    with torch.no_grad():
        for layer in features:
            if isinstance(layer, Fire):
                squeezed = layer.squeeze(x)
                assert (squeezed < 0).float().mean() < 0.03
                passed = torch.relu(squeezed).flatten(2).transpose(0, 1).flatten(1)
                assert torch.corrcoef(passed).fill_diagonal_(0).abs().max() < 0.3
            x = layer(x)
            if isinstance(layer, Fire):
                energy = x.square().mean((0, 2, 3))
                assert torch.allclose(energy, torch.ones_like(energy), rtol=1e-3)


def test_the_same_seed_gives_the_same_weights_and_another_others() -> None:
    weights = []
    for seed in (0, 0, 1):
        features = first_layers(4)
        fit_backbone(features, textures(16, 48, 0), seed)
        weights.append(torch.cat([value.flatten() for value in features.state_dict().values()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_file_written_is_one_that_the_export_takes(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    lines: list[str] = []
    train(path, 32, 0, lines.append)
    assert any("features[12]: 512 channels" in line for line in lines)
    features = build_module("squeezenet1_1")
    load_weights(features, Weights(path, "", ""))
    assert all(torch.isfinite(value).all() for value in features.state_dict().values())
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path, ortist: Ortist) -> None:
    missing = tmp_path / "missing" / "weights.pth"
    with pytest.raises(ExportError, match="cannot write the weights to"):
        train(missing, 16, 0)
    done = ortist("export", "train", missing, "--textures", "32")
    assert done.returncode == 3
    assert done.stderr.startswith(f"ortist: cannot write the weights to '{missing}'")
    assert done.stderr.count("\n") == 1
