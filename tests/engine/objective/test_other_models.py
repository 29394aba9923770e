"""Programs of other networks than the shipped one: average pooling, SqueezeNet 1.0, VGG-19."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ortist.network.bundle import Model, load_model
from ortist.objective.objective import Manner, Objective
from ortist.objective.sweeper import Sweeper
from ortist.objective.targets import ByteBudget, ContentFeatures, Targets
from ortist.objective.weights import Weights
from ortist.style.guides import Guides
from ortist.style.losses import STYLE_LOSSES
from ortist_export.backbones import BACKBONES, Pooling
from ortist_export.bundle import export_bundle
from ortist_export.foreign import export_onnx
from ortist_export.modules import build_module
from ortist_export.weights import Weights as File

from tests.export.networks import model_of, node, numbers

from .aims import Aimed, noise, pictures, same, soft_masks, style_weight

KINDS = {
    "avg": ("squeezenet1_1", "avg", (1, 2, 3, 4, 6, 7)),
    "1.0": ("squeezenet1_0", "max", (1, 3, 5, 8, 12)),
    "vgg": ("vgg19", "max", (1, 6, 11)),
}


@pytest.fixture(scope="module", params=[*KINDS, "chain"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Exported with weights after He et al.; "chain" is a network of others."""
    if request.param == "chain":
        return load_model(chain(tmp_path_factory.mktemp("chain")))
    name, pooling, taps = KINDS[request.param]
    folder = tmp_path_factory.mktemp("other")
    return load_model(exported(name, pooling, taps, folder))  # type: ignore[arg-type]


def chain(folder: Path) -> Path:
    """Layers that look at one row, or at the next one each side, with a sum of two ways."""
    side = {"pads": [1] * 4}
    nodes = [
        node("Conv", "x", "u", to="a", **side),
        node("LeakyRelu", "a", to="b"),
        node("Conv", "b", "v", to="c", **side),
        node("Add", "b", "c", to="d"),
        node("MaxPool", "d", to="e", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "e", "w", to="f", **side),
        node("LRN", "f", to="g", size=3, alpha=0.5),
        node("AveragePool", "g", to="h", kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", "h", "o", to="i"),
        node("Clip", "i", to="y"),
    ]
    shapes = {"u": (8, 3, 3, 3), "v": (8, 8, 3, 3), "w": (12, 8, 3, 3), "o": (16, 12, 1, 1)}
    kernels = {name: numbers(*shape) / 6 for name, shape in shapes.items()}
    path = folder / "chain.onnx"
    path.write_bytes(model_of(nodes, kernels).SerializeToString())
    return export_onnx(path, "b,d,g,y", "chain", folder, File(path, "chain", "none"), "imagenet")


def exported(name: str, pooling: Pooling, taps: tuple[int, ...], folder: Path) -> Path:
    torch.manual_seed(0)
    state = {}
    for key, value in build_module(name, pooling).state_dict().items():
        state[f"features.{key}"] = value
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
    torch.save(state, folder / "random.pth")
    weights = File(folder / "random.pth", "random", "none")
    return export_bundle(BACKBONES[name], weights, taps, "other", folder, pooling)


def aimed(objective: Objective, loss: str, masked: bool) -> Aimed:
    content, _ = pictures(104, 131)
    taps = tuple(tap.index for tap in objective.model.taps)
    style, content_tap = taps[:1] + taps[2:], taps[1]
    parts = objective.moments(noise(90, 80, 3), style)
    found = {tap: regions[0].statistics() for tap, regions in parts.items()}
    count = 2 if masked else 1
    guides = Guides(soft_masks(104, 131)) if masked else None
    losses = {tap: [STYLE_LOSSES[loss](own)] * count for tap, own in found.items()}
    known = ContentFeatures(content, (content_tap,), ByteBudget(2**30))
    targets = Targets(losses, known, guides)
    weight = 0.1 / objective.energies(targets)[content_tap]
    weights = {tap: style_weight(loss, own) for tap, own in found.items()}
    return Aimed(objective, targets, Weights({content_tap: weight}, weights, 1e-6))


@pytest.mark.long
@pytest.mark.parametrize("loss", ["gram", "meanstd"])
@pytest.mark.parametrize("masked", [False, True])
def test_bands_and_tiles_give_what_the_whole_gives(model: Model, loss: str, masked: bool) -> None:
    _, image = pictures(104, 131)
    one = Sweeper(model, "cpu", 1)
    assert one.program.in_bands
    expected = aimed(Objective(one), loss, masked)(image)
    for rows in (16, 40):
        one.band_pixels = rows * 131
        same(aimed(Objective(one), loss, masked)(image), expected)
    same(aimed(Objective(one, Manner(56)), loss, masked)(image), expected)


def test_seamless_bands_and_tiles(model: Model) -> None:
    image = noise(64, 96)
    one = Sweeper(model, "cpu", 1)
    found = []
    for rows, tile in ((1000, None), (16, None), (32, 48)):
        one.band_pixels = rows * 96
        objective = Objective(one, Manner(tile, wraps=True))
        taps = tuple(tap.index for tap in model.taps)
        parts = objective.moments(noise(90, 80, 3), taps)
        losses = {t: [STYLE_LOSSES["gram"](own[0].statistics())] for t, own in parts.items()}
        weights = {t: style_weight("gram", own[0].statistics()) for t, own in parts.items()}
        at = Aimed(objective, Targets(losses), Weights({}, weights, 1e-5))
        found.append(at(image))
        rolled = at(np.roll(image, (16, 48), (2, 3)))
        same((rolled[0], np.roll(rolled[1], (-16, -48), (2, 3))), found[-1])
    for other in found[1:]:
        same(other, found[0])
