"""The shipped model's weights: each layer fitted to drawn textures, from the first to the deepest.

Learned without labels and without gradients, after Coates, Lee and Ng ("An analysis of single-layer
networks in unsupervised feature learning", AISTATS 2011) and Coates and Ng ("Learning feature
representations with k-means", 2012), carried over to SqueezeNet's fire modules:

1. Every expanding convolution (conv1, expand1x1, expand3x3) sees patches of its input through a
   partial whitening, and its kernels are the centroids of spherical k-means over the whitened
   patches. Whitening gives edges of any direction a kernel each. It stops well above the smallest
   variances: with fine detail made as strong as coarse, pictures get specks where brush strokes
   should be, the more so behind the first layer.
2. Every squeezing convolution keeps the input's first principal components, scaled to equal
   variance and lifted by three deviations, so that its ReLU cuts off next to nothing: a bottleneck
   that passes on as much as so few channels can, and lets the gradient through.
3. Expanding convolutions are shifted to a mean of half a deviation before the ReLU, and scaled to a
   mean square of one behind it, so that no channel and no layer rules a Gram matrix. A lower shift
   makes features sparser, and the pictures that Gram matrices of them lead to poorer (by the judge
   of tests/benchmarks/judge.py).

Nothing here has seen a photograph, a painting or another network's weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .bundle import IMAGENET
from .errors import ExportError
from .modules import Fire, build_module
from .procedural import draw_texture

__all__ = [
    "TEXTURES",
    "fit_backbone",
    "principal_components",
    "spherical_kmeans",
    "textures",
    "train",
    "whitening",
]

TEXTURES = 400
"""How many textures the shipped weights were fitted to."""
_SIDE = 96
"""The side of a texture, in pixels."""

_PATCHES = 40_000
"""How many patches a layer is fitted to at most."""
_ROUNDS = 12
"""How many times k-means moves its centroids."""
_LEAST_FIRST, _LEAST_DEEPER = 0.02, 0.1
"""Added to all variances before whitening pixels, and features: parts of the largest variance."""
_SHIFT = 0.5
"""Deviations by which the mean of an expanded channel lies above the ReLU's zero."""
_LIFT = 3.0
"""Deviations by which squeezed channels are lifted above the ReLU's zero."""


def train(
    output: Path, count: int, seed: int, report: Callable[[str], None] = lambda _: None
) -> None:
    """Fits SqueezeNet 1.1 to ``count`` textures, 32 at least, and writes its weights, float32.

    ``output`` becomes a state dict in .pth form, with keys ``features.*``. ``report`` gets a line
    for each thing done. Raises ExportError for a file that cannot be written.
    """
    if not output.parent.is_dir():  # found out before the work, not after it
        raise ExportError(f"cannot write the weights to {str(output)!r}: there is no such folder.")
    features = build_module("squeezenet1_1")
    report(f"drawing {count} textures")
    fit_backbone(features, textures(count, _SIDE, seed), seed, report)
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    part = output.with_name(f".{output.name}.part")
    try:
        torch.save(state, part)
        os.replace(part, output)
    except (OSError, RuntimeError) as error:
        part.unlink(missing_ok=True)
        raise ExportError(f"cannot write the weights to {str(output)!r} ({error}).") from error
    report(f"wrote {output}")


def textures(count: int, side: int, seed: int) -> Tensor:
    """Textures drawn from ``seed``, as normalised values, float32 [count, 3, side, side]."""
    drawn = np.stack([draw_texture((seed, index), side) for index in range(count)])
    mean, std = np.array(IMAGENET.mean, np.float32), np.array(IMAGENET.std, np.float32)
    values = (drawn.astype(np.float32) / 255 - mean) / std
    return torch.from_numpy(values.transpose(0, 3, 1, 2).copy())


def whitening(samples: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """(mean [d], symmetric W [d, d]) of samples [n, d], so that W (s - mean) has unit covariance.

    This is ZCA, but for variances being raised by ``least`` times the largest one, which keeps the
    smaller ones small.
    """
    mean, values, vectors = _covariance(samples)
    scales = (values + least * values.max()).rsqrt()
    return mean, (vectors * scales) @ vectors.T


def principal_components(samples: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(mean [d], P [count, d]): the first components of samples [n, d], scaled to unit variance.

    Each has the sign that makes its third moment positive, so that the answer does not depend on
    the eigensolver's choice.
    """
    mean, values, vectors = _covariance(samples)
    scales = (values[-count:] + 1e-5 * values.max()).rsqrt()
    components = (vectors[:, -count:] * scales).T
    skewness = ((samples - mean) @ components.T).pow(3).mean(0)
    return mean, components * torch.where(skewness < 0, -1.0, 1.0)[:, None]


def _covariance(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [d], eigenvalues [d] in rising order and eigenvectors [d, d] of samples [n, d]."""
    mean = samples.mean(0)
    centred = samples - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(samples))
    return mean, values.clamp_min(0), vectors


def spherical_kmeans(samples: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Unit vectors [count, d]: mean directions of the samples [n, d] that are nearest to each.

    Starts from samples drawn at random; a centroid that lost all its samples starts anew.
    """
    unit = functional.normalize(samples, dim=1)

    def drawn(number: int) -> Tensor:
        return unit[torch.randperm(len(unit), generator=generator)[:number]]

    centroids = drawn(count)
    for _ in range(_ROUNDS):
        nearest = (unit @ centroids.T).argmax(1)
        sums = torch.zeros_like(centroids).index_add_(0, nearest, unit)
        empty = sums.norm(dim=1) < 1e-6
        sums[empty] = drawn(int(empty.sum()))
        centroids = functional.normalize(sums, dim=1)
    return centroids


@torch.no_grad()
def fit_backbone(
    features: nn.Sequential,
    images: Tensor,
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Fits the layers in place to images [n, 3, H, W], normalised.

    ``report`` gets a line for each layer fitted. The same images, seed and number of threads give
    the same weights.
    """
    generator = torch.Generator().manual_seed(seed)
    x = images
    for index, layer in enumerate(features.children()):
        if isinstance(layer, nn.Conv2d):
            _fit_expanding(layer, x, _LEAST_FIRST, generator)
        elif isinstance(layer, Fire):
            _fit_squeezing(layer.squeeze, x, generator)
            squeezed = torch.relu(layer.squeeze(x))
            _fit_expanding(layer.expand1x1, squeezed, _LEAST_DEEPER, generator)
            _fit_expanding(layer.expand3x3, squeezed, _LEAST_DEEPER, generator)
        x = layer(x)
        if isinstance(layer, (nn.Conv2d, Fire)):
            active = (x > 0).float().mean().item()
            report(f"features[{index}]: {x.shape[1]} channels, {active:.0%} of values positive")


def _fit_expanding(conv: nn.Conv2d, x: Tensor, least: float, generator: torch.Generator) -> None:
    """Fits an expanding convolution to its input x: whitened k-means, shifted and scaled."""
    samples = _patches(x, conv, generator)
    mean, whiten = whitening(samples, least)
    centroids = spherical_kmeans((samples - mean) @ whiten, conv.out_channels, generator)
    _set(conv, centroids @ whiten, torch.zeros(conv.out_channels))
    output = conv(x)
    bias = _SHIFT * output.std((0, 2, 3)) - output.mean((0, 2, 3))
    _set(conv, conv.weight, bias)
    scale = torch.relu(conv(x)).square().mean((0, 2, 3)).sqrt().clamp_min(1e-6)
    _set(conv, conv.weight / scale[:, None, None, None], bias / scale)


def _fit_squeezing(conv: nn.Conv2d, x: Tensor, generator: torch.Generator) -> None:
    """Fits a squeezing convolution to its input x: principal components, lifted."""
    mean, components = principal_components(_patches(x, conv, generator), conv.out_channels)
    _set(conv, components, _LIFT - components @ mean)


def _set(conv: nn.Conv2d, kernels: Tensor, bias: Tensor) -> None:
    """Sets kernels, [out, in * k * k] or in the layer's own shape, and bias [out]."""
    conv.load_state_dict({"weight": kernels.reshape(conv.weight.shape), "bias": bias})


def _patches(x: Tensor, conv: nn.Conv2d, generator: torch.Generator) -> Tensor:
    """Patches [n, in * k * k] of x that the kernels of ``conv`` see at n random places.

    n is 40 000, or all the places that there are.
    """
    size, stride = conv.kernel_size[0], conv.stride[0]
    rows = (x.shape[2] - size) // stride + 1
    columns = (x.shape[3] - size) // stride + 1
    chosen = torch.randperm(len(x) * rows * columns, generator=generator)[:_PATCHES]
    image, place = chosen // (rows * columns), chosen % (rows * columns)
    top, left = place // columns * stride, place % columns * stride
    window = torch.arange(size)
    patches = x[
        image[:, None, None],
        :,
        (top[:, None] + window)[:, :, None],
        (left[:, None] + window)[:, None, :],
    ]  # [n, k, k, in]
    return patches.permute(0, 3, 1, 2).reshape(len(chosen), -1)
