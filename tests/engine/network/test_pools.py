"""Pools of memory have a limit: a few bytes of a graph cannot take more than a model says."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from ortist.errors import ModelError, ResourceError
from ortist.network.bundle import Model
from ortist.network.features import FeatureMaps
from ortist.network.sessions import open_session, private_arena, wants_memory
from ortist.objective.opened import OpenProgram
from ortist.objective.sweeper import Sweeper

Nodes = list[onnx.NodeProto]


def graph(nodes: Nodes, **numbers: Any) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(np.array(v), name) for name, v in numbers.items()]
    model = helper.make_graph(nodes, "graph", [x], [y], initializers)
    opset = helper.make_opsetid("", 17)
    data: bytes = helper.make_model(model, opset_imports=[opset], ir_version=8).SerializeToString()
    return data


def growing() -> dict[str, bytes]:
    """Some 3 GB each, out of numbers none of which is large."""
    make = helper.make_node
    filled = make("ConstantOfShape", ["v"], ["y"])
    unsqueezed = make("Unsqueeze", ["m", "axis"], ["v"])
    size, axis = make("Size", ["x"], ["s"]), [0]
    return {
        "pads": graph([make("Pad", ["x", "p"], ["y"])], p=[0] * 7 + [2**22]),
        "a product": graph(
            [size, make("Mul", ["s", "k"], ["m"]), unsqueezed, filled], k=2**16, axis=axis
        ),
        "constants": graph([make("Mul", ["a", "b"], ["v"]), filled], a=[2**15], b=[2**15]),
        "scales": graph(
            [make("Resize", ["x", "", "f"], ["y"], mode="nearest")],
            f=np.array([1, 1, 250, 250], np.float32),
        ),
        "a side and a side": graph(
            [
                size,
                make("Unsqueeze", ["s", "axis"], ["q"]),
                make("Concat", ["q", "q"], ["v"], axis=0),
                filled,
            ],
            axis=axis,
        ),
    }


@pytest.mark.parametrize("what", growing())
def test_a_pool_ends_before_memory_is_taken(what: str) -> None:
    def used() -> None:
        with private_arena(2**26):
            session = open_session(growing()[what], "CPUExecutionProvider", 1)
        session.run(None, {"x": np.zeros((1, 3, 64, 96), np.float32)})

    with pytest.raises(Exception, match=r"memory|requested|alloc") as caught:
        used()
    # What is constant may be computed when a session is opened, and fails there.
    assert wants_memory(caught.value) or isinstance(caught.value, ModelError)


def test_a_thread_has_what_the_manifest_says(
    procedural: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = OpenProgram(procedural, "cpu", 1)
    assert program._most > 10 * 45_000 * procedural.program.working
    assert program._most < 10**9
    monkeypatch.setattr(OpenProgram, "_most", 2**20)
    pixels = np.zeros((1, 3, 128, 128), np.float32)
    with pytest.raises(ModelError, match=r"more memory for a band|cannot load the model"):
        Sweeper(procedural, "cpu", 1).features(pixels, [7])


def test_features_say_where_memory_ends(procedural: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortist.network.features.available_memory", lambda: 2**24)
    with pytest.raises(ResourceError, match="not enough memory to look at a picture of 900 x 700"):
        FeatureMaps(procedural, 1).of(np.zeros((1, 3, 700, 900), np.float32), [7])
