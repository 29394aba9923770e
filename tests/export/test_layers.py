"""Graphs built without torch against torch's modules, on one file of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from ortist_export.backbones import BACKBONES, Pooling
from ortist_export.errors import ExportError
from ortist_export.layers import backbone_model
from ortist_export.modules import Taps, build_module, load_weights
from ortist_export.weights import Weights, read_weights

from tests.conftest import shared

from .zoo import random_state, zoo_file

LAST = {name: len(backbone.features) - 1 for name, backbone in BACKBONES.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of every architecture, in the form of before PyTorch 1.6."""
    folder, found = tmp_path_factory.mktemp("weights"), {}
    for name in BACKBONES:
        found[name] = folder / f"{name}.pth"
        torch.save(random_state(name), found[name], _use_new_zipfile_serialization=False)
    return found


def features(model: onnx.ModelProto, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return [np.asarray(value) for value in session.run(None, {"image": image})]


@pytest.mark.parametrize("name", BACKBONES)
def test_the_parameters_are_torchs(name: str) -> None:
    module = build_module(name)
    expected = {f"features.{k}": tuple(v.shape) for k, v in module.state_dict().items()}
    assert BACKBONES[name].parameters(LAST[name]) == expected
    assert len(BACKBONES[name].layers) == len(BACKBONES[name].features) == len(module)


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("name", BACKBONES)
def test_features_are_torchs(name: str, pooling: Pooling, files: dict[str, Path]) -> None:
    """At every layer, and for odd sizes and even ones."""
    backbone, taps = BACKBONES[name], tuple(range(1, LAST[name] + 1))
    module = build_module(backbone, pooling)
    load_weights(module, Weights(files[name], "", ""))
    model = backbone_model(backbone, read_weights(files[name], backbone, taps[-1]), taps, pooling)
    for size in ((49, 66), (64, 51)):
        image = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
        with torch.no_grad():
            expected = [value.numpy() for value in Taps(module, taps)(torch.from_numpy(image))]
        for got, other in zip(features(model, image), expected, strict=True):
            assert got.shape == other.shape
            np.testing.assert_allclose(got, other, atol=5e-6 * np.abs(other).max())


def test_imagenets_features_are_torchs() -> None:
    path, backbone = shared("weights/squeezenet1_1.pth"), BACKBONES["squeezenet1_1"]
    module = build_module(backbone)
    load_weights(module, Weights(path, "", ""))
    ours = backbone_model(backbone, read_weights(path, backbone, 12), (1, 7, 12))
    image = np.random.default_rng(0).standard_normal((1, 3, 97, 120)).astype(np.float32)
    with torch.no_grad():
        expected = [value.numpy() for value in Taps(module, (1, 7, 12))(torch.from_numpy(image))]
    for got, other in zip(features(ours, image), expected, strict=True):
        np.testing.assert_allclose(got, other, atol=2e-6 * np.abs(other).max())


@pytest.mark.parametrize("name", BACKBONES)
def test_a_file_of_the_zoo_has_the_weights_of_the_state_dict(
    name: str, files: dict[str, Path], tmp_path: Path
) -> None:
    backbone = BACKBONES[name]
    file = zoo_file(name, random_state(name), tmp_path / "model-7.onnx")
    read = read_weights(file, backbone, LAST[name])
    for key, value in read_weights(files[name], backbone, LAST[name]).items():
        np.testing.assert_array_equal(read[key], value)
    other = BACKBONES["squeezenet1_1" if name == "squeezenet1_0" else "squeezenet1_0"]
    with pytest.raises(ExportError, match=r"features\.0\.weight should have shape"):
        read_weights(file, other, 3)


def test_only_what_lies_below_the_last_tap_is_asked_of_a_file(tmp_path: Path) -> None:
    """A file cut off behind the layers that are wanted will do, one with other shapes will not."""
    state = random_state("vgg19", classifier=False)
    wanted = BACKBONES["vgg19"].parameters(11)
    torch.save({k: v for k, v in state.items() if k in wanted}, tmp_path / "part.pth")
    assert read_weights(tmp_path / "part.pth", BACKBONES["vgg19"], 11).keys() == wanted.keys()
    with pytest.raises(ExportError, match=r"features\.12\.weight should have .* has nothing"):
        read_weights(tmp_path / "part.pth", BACKBONES["vgg19"], 12)
    with pytest.raises(ExportError, match=r"features\.3\.squeeze\.weight .* has nothing"):
        read_weights(tmp_path / "part.pth", BACKBONES["squeezenet1_1"], 12)
