"""Graphs for bands of rows: cut right, for what can be cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from ortist_export.backbones import BACKBONES, Taps
from ortist_export.bands import NoBandsError, cut_into_bands
from ortist_export.forward import forward_model
from ortist_export.graph import GraphBuilder
from ortist_export.one_band import kept_bytes, run_one_band
from ortist_export.segments import cut, reads

from .reference import reference


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.DOUBLE, [3])


def test_a_graph_is_cut_where_it_waits_for_others() -> None:
    """y = f(x), z = g(y, what others make of y): the second half is a graph of its own."""
    builder = GraphBuilder(np.float64)
    builder.rename(builder.op("Exp", "x"), "y")
    shared = builder.op("Neg", "x", name="shared")
    builder.rename(builder.op("Mul", shared, "others"), "z")
    segments = cut(builder, [value("x"), value("others")], [value("z")], ["y"], {"others": ["y"]})
    assert len(segments) == 2
    x, others = np.array([1.0, 2, 3]), np.array([5.0, 7, 9])
    (y,) = reference(segments[0]).run(["y"], {"x": x})
    # What is computed for the second alone is in the second; it reads x again instead.
    assert {v.name for v in segments[0].graph.output} == {"y"}
    assert {v.name for v in segments[1].graph.input} == {"x", "others"}
    (z,) = reference(segments[1]).run(["z"], {"x": x, "others": others})
    np.testing.assert_array_equal(y, np.exp(x))
    np.testing.assert_array_equal(z, -x * others)


def test_what_others_add_to_a_value_makes_a_cut_behind_it() -> None:
    builder = GraphBuilder(np.float64)
    builder.rename(builder.op("Exp", "x"), "y")
    builder.rename(builder.op("Neg", "y"), "z")
    first, second = cut(builder, [value("x")], [value("z")], ["y"], {"y": ["y"]})
    assert [v.name for v in first.graph.output] == ["y"]
    assert [v.name for v in second.graph.input] == ["y"]


def test_a_value_that_both_halves_read_is_handed_on_and_a_view_is_made_anew() -> None:
    builder = GraphBuilder(np.float64)
    dear = builder.op("Exp", "x", name="dear")
    view = builder.op("Flatten", dear, name="view")
    builder.rename(builder.op("ReduceSum", view), "y")
    builder.rename(builder.op("Mul", view, "others"), "z")
    first, second = cut(
        builder, [value("x"), value("others")], [value("z")], ["y"], {"others": ["y"]}
    )
    assert {v.name for v in first.graph.output} == {"y", "dear"}
    assert [node.op_type for node in second.graph.node] == ["Flatten", "Mul"]


def test_the_values_that_branches_read_count() -> None:
    builder = GraphBuilder()
    (name,) = builder.branch(
        "flag", lambda: [builder.op("Neg", "a")], lambda: [builder.op("Identity", "b")], ["c"]
    )
    assert name == "c"
    assert set(reads(builder.nodes[-1])) == {"flag", "a", "b"}


def forward(name: str, taps: tuple[int, ...], pooling: Any = "max") -> onnx.ModelProto:
    return forward_model(Taps(BACKBONES[name].build(pooling), taps))


def test_squeezenet1_0_is_cut_too() -> None:
    """Its first kernel is 7 x 7, and its taps may lie behind three poolings."""
    model = forward("squeezenet1_0", (1, 5, 8, 12))
    bands = cut_into_bands(model, (1, 5, 8, 12))
    assert (bands.unit, bands.reach) == (16, 5)
    assert [name for names in bands.switches() for name in names if "style" in name][:4] == [
        *("style_1", "style_5", "style_8", "style_12"),
    ]


def test_no_segment_hands_on_more_than_is_read() -> None:
    model = forward("squeezenet1_1", (1, 3, 4, 6, 7))
    segments = cut_into_bands(model, (1, 3, 4, 6, 7)).segments
    read = {v.name for segment in segments for v in segment.graph.input}
    ends = ("edge", "d_halo", "moments", "size", "content_loss", "tv_loss", "gradient")
    for segment in segments:
        for made in segment.graph.output:
            assert made.name in read or made.name.startswith(ends)
    assert kept_bytes(segments, {1: 64, 3: 128, 4: 128, 6: 256, 7: 256}) < 450


def test_means_are_not_cut() -> None:
    with pytest.raises(NoBandsError, match="AveragePool"):
        cut_into_bands(forward("squeezenet1_1", (1, 3), "avg"), (1, 3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pads": [2, 2, 2, 2]}, "kernel of .3, 3. with pads"),
        ({"pads": [1, 1, 1, 1], "strides": [2, 2]}, "strided"),
        ({"pads": [0, 0, 0, 0]}, "kernel of .3, 3. with pads"),
    ],
)
def test_other_convolutions_are_not_cut(changes: dict[str, Any], message: str) -> None:
    nodes = [
        helper.make_node("Conv", ["image", "v"], ["a"], "first", strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node(
            "MaxPool", ["b"], ["c"], "pool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1
        ),
        helper.make_node("Conv", ["c", "w"], ["tap_1"], "second", **changes),
    ]
    weights = {"v": np.zeros((4, 3, 3, 3), np.float32), "w": np.zeros((4, 4, 3, 3), np.float32)}
    graph = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("tap_1", TensorProto.FLOAT, [1, 4, "y", "x"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    with pytest.raises(NoBandsError, match=message):
        cut_into_bands(model, (1,))


def test_a_run_as_one_band_leaves_the_segments_as_they_are() -> None:
    model = forward("squeezenet1_1", (1,))
    segments = cut_into_bands(model, (1,)).segments
    before = [segment.SerializeToString() for segment in segments]
    zero = np.zeros((), np.float32)
    feed = {
        "image": np.zeros((1, 3, 40, 56), np.float32),
        "tv_weight": zero,
        "gram_1": np.eye(64, dtype=np.float32),
        "features_1": np.zeros((0, 64, 1, 1), np.float32),
        "style_weight_1": np.ones((), np.float32),
        "content_weight_1": zero,
    }
    names = [n.output[0] for s in segments for n in s.graph.node if n.op_type == "Relu"]
    found = run_one_band(segments, feed, names)
    assert found["gradient"].shape == (1, 3, 40, 56)
    assert set(names) <= set(found)
    assert [segment.SerializeToString() for segment in segments] == before
