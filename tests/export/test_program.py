"""Programs: cut right, at row exchanges where they can be, at the moments alone where not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from ortist_export.backbones import BACKBONES
from ortist_export.float64 import evaluator
from ortist_export.footprint import measure_footprint
from ortist_export.graph import GraphBuilder
from ortist_export.layers import backbone_model
from ortist_export.one_piece import all_switches, run_one_piece
from ortist_export.program import Program, build_program, switches
from ortist_export.segments import cut, reads


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
    (y,) = evaluator(segments[0]).run(["y"], {"x": x})
    # What is computed for the second alone is in the second; it reads x again instead.
    assert {v.name for v in segments[0].graph.output} == {"y"}
    assert {v.name for v in segments[1].graph.input} == {"x", "others"}
    (z,) = evaluator(segments[1]).run(["z"], {"x": x, "others": others})
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
    backbone, rng = BACKBONES[name], np.random.default_rng(0)
    weights = {
        name: (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in backbone.parameters(max(taps)).items()
    }
    return backbone_model(backbone, weights, taps, pooling)


def test_squeezenet1_0_is_cut_too() -> None:
    """Its first kernel is 7 x 7, and its taps may lie behind three poolings."""
    program = build_program(forward("squeezenet1_0", (1, 5, 8, 12)), (1, 5, 8, 12))
    assert (program.unit, program.reach) == (16, 5)
    assert program.exchanges
    known = [name for segment in program.segments for name in switches(segment)]
    assert {f"with_style_{tap}" for tap in (1, 5, 8, 12)} < {*known}


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_no_segment_hands_on_more_than_is_read(pooling: Any) -> None:
    taps = (1, 3, 4, 6, 7)
    program = build_program(forward("squeezenet1_1", taps, pooling), taps)
    read = {v.name for segment in program.segments for v in segment.graph.input}
    parts = {part.value for own in program.taps.values() for part in own}
    ends = ("edge", "d_edge", "d_halo", "moments", "sums", "content_error", "variation", "gradient")
    for segment in program.segments:
        for made in segment.graph.output:
            assert made.name in read | parts or made.name.startswith(ends)
    footprint = measure_footprint(program)
    assert footprint.keys() == {"kept", "working"}
    assert all(100 < size < 450 for size in footprint.values())


def test_exchanges_join_what_there_is() -> None:
    """Each halo is an input, each row and gradient an output, made before it is read."""
    taps = (1, 3, 4, 6, 7)
    for pooling in ("max", "avg"):
        program = build_program(forward("squeezenet1_1", taps, pooling), taps)
        made = {v.name: i for i, s in enumerate(program.segments) for v in s.graph.output}
        read: dict[str, int] = {}
        for index, segment in enumerate(program.segments):
            for value_ in segment.graph.input:
                read.setdefault(value_.name, index)
        assert program.exchanges
        for exchange in program.exchanges:
            assert made[exchange.row] < read[exchange.halo]
            assert max(made[exchange.gradient], made[exchange.into]) < read[exchange.into]
        # An average looks at the row below alone, beyond which there is nothing.
        beyond = {exchange.beyond for exchange in program.exchanges}
        assert beyond == {0, 1}


def test_every_input_and_switch_is_of_a_term(program: Program) -> None:
    words = ("mixing", "shift", "content_weight", "content", "guides", "first", "end", "halo")
    made = {v.name for s in program.segments for v in s.graph.output}
    for segment in program.segments:
        for value_ in segment.graph.input:
            name = value_.name
            assert name in made | {"image", "rows", "tv_weight"} or name.startswith(words)
    kinds = ("moments", "style", "error", "content")
    wanted = {f"with_{kind}_{tap}" for kind in kinds for tap in program.taps}
    assert all_switches(program) == wanted | {"with_shifts", "with_guides", "with_inside"}


@pytest.fixture(scope="module")
def program() -> Program:
    return build_program(forward("squeezenet1_1", (1, 3)), (1, 3))


@pytest.mark.parametrize(
    "changes",
    [
        {"pads": [2, 2, 2, 2]},
        {"pads": [1, 1, 1, 1], "strides": [2, 2]},
        {"pads": [0, 0, 0, 0]},
    ],
)
def test_other_convolutions_are_cut_at_the_moments_alone(changes: dict[str, Any]) -> None:
    """And give the same as a whole, as one piece and one band."""
    nodes = [
        helper.make_node("Conv", ["image", "v"], ["a"], "first", strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node(
            "MaxPool", ["b"], ["c"], "pool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1
        ),
        helper.make_node("Conv", ["c", "w"], ["tap_1"], "second", **changes),
    ]
    rng = np.random.default_rng(0)
    shapes = {"v": (4, 3, 3, 3), "w": (4, 4, 3, 3)}
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    graph = helper.make_graph(
        nodes,
        "other",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("tap_1", TensorProto.FLOAT, [1, 4, "y", "x"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    program = build_program(model, (1,))
    assert program.exchanges == []
    assert program.reach == 0
    assert len(program.segments) == 2
    feed = fed(rng.standard_normal((1, 3, 24, 28), np.float32))
    found = run_one_piece(program, feed, {"with_moments_1", "with_style_1"})
    matrix = tap_1(model, feed["image"]).reshape(4, -1)
    np.testing.assert_allclose(found["moments_1"], matrix @ matrix.T, rtol=1e-4)
    # L = 1/2 tr M S, against central differences.
    direction = rng.standard_normal(feed["image"].shape)
    totals = []
    for sign in (1, -1):
        image = feed["image"] + sign * 1e-4 * direction
        totals.append(0.5 * float(np.square(tap_1(double(model), image)).sum()))
    slope = (totals[0] - totals[1]) / 2e-4
    assert float((found["gradient"] * direction).sum()) == pytest.approx(slope, rel=1e-3)


def tap_1(model: onnx.ModelProto, image: Any) -> Any:
    found: Any = evaluator(model).run(["tap_1"], {"image": image})
    return found[0]


def double(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph in float64."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        array = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value_ in (*copy.graph.input, *copy.graph.output):
        value_.type.tensor_type.elem_type = TensorProto.DOUBLE
    return copy


def fed(image: Any) -> dict[str, Any]:
    """The inputs of a run with M = 1 at tap 1 and nothing else."""
    channels = 4 if image.shape[2] == 24 else 64
    zero = np.zeros((), np.float32)
    names = {"tv_weight": zero, "content_weight_1": zero}
    return {"image": image, "mixing_1": np.eye(channels, dtype=np.float32), **names}


def test_a_run_as_one_piece_leaves_the_segments_as_they_are() -> None:
    program = build_program(forward("squeezenet1_1", (1,)), (1,))
    before = [segment.SerializeToString() for segment in program.segments]
    names = [n.output[0] for s in program.segments for n in s.graph.node if n.op_type == "Relu"]
    feed = fed(np.zeros((1, 3, 40, 56), np.float32))
    found = run_one_piece(program, feed, {"with_moments_1", "with_style_1"}, names)
    assert found["gradient"].shape == (1, 3, 40, 56)
    assert set(names) <= set(found)
    assert [segment.SerializeToString() for segment in program.segments] == before


def test_segments_and_joints_are_data(program: Program) -> None:
    """What the manifest says is all that there is to know."""
    files = [f"{index}.onnx" for index in range(len(program.segments))]
    entry = program.as_json(files)
    assert [segment["file"] for segment in entry["segments"]] == files
    assert len(entry["exchanges"]) == len(program.exchanges)
    assert entry["taps"].keys() == {"1", "3"}
    assert (entry["unit"], entry["reach"]) == (program.unit, program.reach) == (4, 1)
    for segment, told in zip(program.segments, entry["segments"], strict=True):
        given = {t.name for t in segment.graph.initializer if t.data_type == TensorProto.BOOL}
        assert {*told["switches"]} == given
