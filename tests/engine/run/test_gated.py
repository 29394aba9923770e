"""A network with gates, whose features see the whole picture: painted and tiled, not seamless."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from ortist.errors import OptionError
from ortist.network.bundle import load_model
from ortist_export.foreign import export_onnx
from ortist_export.weights import Weights

from tests.conftest import small_pictures
from tests.export.networks import CONV, W, model_of, node, numbers

QUICK: dict[str, Any] = {"size": 48, "iterations": 3, "smallest_size": None, "threads": 1}


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model with one squeeze and excitation."""
    folder = tmp_path_factory.mktemp("gated")
    nodes = [
        CONV,
        node("GlobalAveragePool", "c", to="m"),
        node("Conv", "m", "k", to="g"),
        node("Sigmoid", "g", to="s"),
        node("Mul", "c", "s"),
    ]
    path = folder / "gated.onnx"
    path.write_bytes(model_of(nodes, W | {"k": numbers(8, 8, 1, 1)}).SerializeToString())
    weights = Weights(path, "gated", "none")
    return str(export_onnx(path, "c,y", "gated", folder, weights, "imagenet"))


def test_it_paints_the_same_in_tiles(gated: str) -> None:
    assert [tap.sees_everything for tap in load_model(Path(gated)).taps] == [False, True]
    content, style = small_pictures()
    whole, tiled = (
        ortist.transfer(content, style, model=gated, tile=tile, **QUICK) for tile in ("off", 32)
    )
    assert tiled.final.total == pytest.approx(whole.final.total, rel=1e-4)
    assert np.abs(tiled.pixels.astype(int) - whole.pixels).mean() < 0.5


def test_a_seamless_texture_is_refused_but_by_layers_before_the_gate(gated: str) -> None:
    _, style = small_pictures()
    with pytest.raises(OptionError, match="cannot be seamless by the layers y of gated, which see"):
        ortist.texture(style, model=gated, seamless=True, **QUICK)
    result = ortist.texture(style, model=gated, seamless=True, style_layers=(1,), **QUICK)
    assert np.isfinite(result.final.total)
