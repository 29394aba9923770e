"""The objective against torch's autograd in float64, with losses written from their formulas.

Nothing of the program, of the moments or of the decisions is shared with the reference: it has the
backbone as a torch module, torch's own linear algebra, and masks averaged over cells by a pooling.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from ortist.arrays import Array
from ortist.network.bundle import Tap
from ortist.objective.objective import Manner, Objective
from ortist.style.losses import STYLE_LOSSES
from ortist_export.check import bundled_module
from torch import Tensor

from .aims import (
    TOLERANCE,
    Aimed,
    aimed,
    noise,
    pictures,
    shipped,
    soft_masks,
    statistics,
    sweeper,
)

STYLE, CONTENT = (1, 2, 4, 6, 7), (3, 5)
TAPS = tuple(range(1, 8))
RIDGE = 1e-4


@functools.cache
def module() -> Any:
    return bundled_module(shipped().folder, TAPS).to(torch.float64).requires_grad_(False)


def double(array: Any) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float64))


def guide(masks: Array, tap: Tap, size: tuple[int, int]) -> Tensor:
    """[R, h, w]: the masks' means over stride x stride cells about each position's middle."""
    shifted = tap.receptive_start + (tap.receptive_field - tap.stride) / 2
    fine = 2  # cells may begin at half a pixel
    pixels = double(masks)[None].repeat_interleave(fine, 2).repeat_interleave(fine, 3)
    before, stride = round(fine * shifted), fine * tap.stride
    padded = torch.nn.functional.pad(pixels, (64, 64, 64, 64), mode="replicate")
    means = torch.nn.functional.avg_pool2d(padded[..., 64 + before :, 64 + before :], stride)
    return means[0, :, : size[0], : size[1]]


def covariance(second: Tensor, mean: Tensor, ridge: float) -> Tensor:
    return second - mean[:, None] * mean + ridge * torch.eye(len(mean), dtype=torch.float64)


def style_loss(name: str, features: Tensor, weights: Tensor, target: Any) -> Tensor:
    """Of features [C, N] with weights [N] of the positions."""
    mass, channels = weights.sum(), len(features)
    second, mean = (weights * features) @ features.T / mass, features @ weights / mass
    second_t, mean_t = double(target.second), double(target.mean)
    if name == "gram":
        return (second - second_t).square().sum() / channels**2
    ridge = RIDGE * float(second_t.trace()) / channels
    own, other = (covariance(q, m, ridge) for q, m in ((second, mean), (second_t, mean_t)))
    apart = (mean - mean_t).square().sum()
    if name == "meanstd":
        return (apart + (own.diagonal().sqrt() - other.diagonal().sqrt()).square().sum()) / channels
    # tr (A B)^1/2 by a root L L^T = A: the singular values of L^T M, M M^T = B.
    roots = torch.linalg.svdvals(torch.linalg.cholesky(own).T @ torch.linalg.cholesky(other))
    found: Tensor = (apart + own.trace() + other.trace() - 2 * roots.sum()) / channels
    return found


def reference(
    at: Aimed, image: Array, content: Array, loss: str, masks: Array
) -> tuple[dict[str, dict[int, float]], Array]:
    """The losses by term and layer, and the gradient."""
    x = double(image).requires_grad_()
    maps = dict(zip(TAPS, module()(x), strict=True))
    wanted = dict(zip(TAPS, module()(double(content)), strict=True))
    targets = statistics(STYLE, len(masks))
    terms: dict[str, dict[int, Tensor]] = {"style": {}, "content": {}, "tv": {}}
    for tap, weight in at.weights.style.items():
        features = maps[tap][0]
        guides = guide(masks, shipped().tap(tap), (features.shape[1], features.shape[2]))
        flat, total = features.flatten(1), torch.zeros((), dtype=torch.float64)
        for own, target in zip(guides.flatten(1), targets[tap], strict=True):
            total = total + style_loss(loss, flat, own, target) * own.sum() / own.numel()
        terms["style"][tap] = weight * total
    for tap, weight in at.weights.content.items():
        terms["content"][tap] = weight * (maps[tap] - wanted[tap]).square().sum()
    rows, columns = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
    terms["tv"][0] = at.weights.tv * (rows.square().sum() + columns.square().sum())
    sum(part for own in terms.values() for part in own.values()).backward()  # type: ignore
    assert x.grad is not None
    return {k: {t: v.item() for t, v in own.items()} for k, own in terms.items()}, x.grad.numpy()


@functools.cache
def decided_picture(height: int, width: int) -> Array:
    """One of which rounding decides no ReLU and no maximum: float32 and float64 agree in torch.

    Where two values of a window are all but equal, either may be the maximum, and each program is
    right with its own gradient, which differs by much more than rounding.
    """
    for seed in range(20):
        image = pictures(height, width)[0] + np.float32(0.1) * noise(height, width, seed)
        found = []
        for dtype in (torch.float32, torch.float64):
            x = torch.from_numpy(image).to(dtype).requires_grad_()
            maps = module().to(dtype)(x)
            squares = [features.square().sum() for features in maps]
            sum(square / square.detach() for square in squares).backward()
            assert x.grad is not None
            found.append(x.grad.numpy())
        module().to(torch.float64)
        if np.abs(found[0] - found[1]).max() <= 2e-6 * np.abs(found[1]).max():
            return image
    raise AssertionError("rounding decides something of every picture")


@pytest.mark.parametrize("tile", [None, 40])
@pytest.mark.parametrize("loss", sorted(STYLE_LOSSES))
def test_losses_and_gradient_are_autograds(loss: str, tile: int | None) -> None:
    """Of two overlapping soft regions, with two content layers, in three bands and in tiles."""
    # Of w2 the deepest layers need about as many positions as channels: near the ridge its roots
    # blow up what float32 sums have lost.
    # And a tile sees all of what is smaller.
    height, width = (136, 160) if loss == "w2" or tile else (72, 88)
    content, _ = pictures(height, width)
    image, masks = decided_picture(height, width), soft_masks(height, width)
    objective = Objective(sweeper(1, height * width // 3), Manner(tile))
    at = aimed(objective, content, STYLE, loss, masks, CONTENT)
    losses, gradient = at(image)
    expected, slope = reference(at, image, content, loss, masks)
    tolerance = 5 * TOLERANCE if loss == "w2" else TOLERANCE
    for term, found in {"style": losses.style_by_layer, "content": losses.content_by_layer}.items():
        assert found.keys() == expected[term].keys()
        for tap, value in expected[term].items():
            assert found[tap] == pytest.approx(value, rel=tolerance), (term, tap)
    assert losses.tv == pytest.approx(expected["tv"][0], rel=tolerance)
    error = np.abs(gradient - slope).max() / np.abs(slope).max()
    assert error <= tolerance
