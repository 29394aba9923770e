"""Receptive fields read off the graph, against where the gradient of one feature really reaches."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from ortist.network.bundle import Tap
from ortist_export.backbones import BACKBONES, Pooling
from ortist_export.geometry import Geometry, Window
from ortist_export.layers import backbone_model
from ortist_export.modules import Taps, build_module


def graph_of(name: str, pooling: Pooling) -> onnx.GraphProto:
    backbone = BACKBONES[name]
    taps = backbone.default_taps
    shapes = backbone.parameters(max(taps))
    weights = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
    return backbone_model(backbone, weights, taps, pooling).graph


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_windows_are_where_a_feature_looks(name: str, pooling: Pooling) -> None:
    torch.manual_seed(0)
    backbone = BACKBONES[name]
    module = Taps(build_module(backbone, pooling), backbone.default_taps).eval()
    by_value = Geometry(graph_of(name, pooling)).windows()
    image = torch.randn(1, 3, 160, 160, requires_grad=True)
    for tap, features in zip(module.taps, module(image), strict=True):
        window: Window = by_value[f"tap_{tap}"]
        row = features.shape[2] // 2
        (gradient,) = torch.autograd.grad(features[0, :, row, row].sum(), image, retain_graph=True)
        rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
        first = row * window.stride + window.start
        # Max pooling may ignore the outermost pixels, so the reach may be smaller, never larger.
        assert first <= int(rows[0])
        assert int(rows[-1]) <= first + window.size - 1
        assert int(rows[-1]) - int(rows[0]) + 1 > window.size / 2


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1", "vgg19"])
def test_paths_tell_the_sizes_of_maps(name: str, pooling: Pooling) -> None:
    """And the smallest picture that has a feature at every tap."""
    backbone = BACKBONES[name]
    module = Taps(build_module(backbone, pooling), backbone.default_taps).eval()
    geometry = Geometry(graph_of(name, pooling))
    paths = {tap: geometry.path_to(f"tap_{tap}") for tap in module.taps}
    least = geometry.smallest_side()
    for side in (*range(least, least + 20), 160):
        with torch.no_grad():
            maps = module(torch.zeros(1, 3, side, least + 3))
        for tap, features in zip(module.taps, maps, strict=True):
            windows_ = tuple((k, s, p, c) for k, s, p, c, *_ in paths[tap])
            known = Tap(tap, "", 1, 1, 1, 0, windows_)
            assert (known.length(side), known.length(least + 3)) == tuple(features.shape[2:])
    with pytest.raises(RuntimeError):
        module(torch.zeros(1, 3, least - 1, least + 3))
