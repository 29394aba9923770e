"""Networks of others: adopted with their values, differentiated, or refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from ortist.errors import ModelError
from ortist.network.bundle import Tap, load_model
from ortist_export.adopting import Adopted, adopt
from ortist_export.backbones import BACKBONES
from ortist_export.differentiate import append_gradient
from ortist_export.float64 import evaluator, in_float64
from ortist_export.foreign import export_onnx, input_of
from ortist_export.geometry import Geometry
from ortist_export.graph import GraphBuilder
from ortist_export.modules import Taps, build_module, load_weights
from ortist_export.reading import read_model
from ortist_export.survey import survey
from ortist_export.weights import Weights
from ortist_models import EVERYTHING, MANIFEST

from tests.conftest import Ortist

from .light import LIGHT, light_file, light_model
from .networks import CONV, POINTS, SCALES, Values, W, model_of, node, numbers
from .zoo import random_state, zoo_file


def run(model: onnx.ModelProto, feed: dict[str, Values], *outputs: str) -> list[Values]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [np.asarray(value) for value in session.run(list(outputs), feed)]


def cut_off(model: onnx.ModelProto, value: str) -> onnx.ModelProto:
    """The given model, with ``value`` as its output, and nothing behind it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    wanted, kept = {value}, list[onnx.NodeProto]()
    for maker in reversed(copy.graph.node):
        if wanted.intersection(maker.output):
            kept.insert(0, maker)
            wanted.update(maker.input)
    del copy.graph.node[:], copy.graph.output[:]
    copy.graph.node.extend(kept)
    copy.graph.output.append(onnx.ValueInfoProto(name=value))
    return copy


def gradient_error(adopted: Adopted, tap: str, size: tuple[int, int]) -> float:
    """|<v, g> - central difference| over |g|, at most, of <u, tap> in float64; v is normal.

    Of two steps the better one counts: a long one crosses kinks, a short one rounds. A gradient
    that is wrong is so with both.
    """
    model, rng = in_float64(adopted.model), np.random.default_rng(0)
    image, forward = rng.standard_normal((1, 3, *size)), evaluator(model)

    def features(values: Values) -> Any:
        return forward.run([tap], {"image": values})[0]  # type: ignore[index]

    u = rng.standard_normal(features(image).shape)
    builder = GraphBuilder.extending(model.graph)
    builder.dtype = np.float64
    name = append_gradient(builder, "image", {tap: lambda _: builder.constant(u, "u")})
    output = helper.make_tensor_value_info(name, TensorProto.DOUBLE, None)
    graph = helper.make_graph(
        builder.nodes, "full", model.graph.input, [output], initializer=builder.initializers
    )
    full = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    gradient: Any = evaluator(full).run([name], {"image": image})[0]  # type: ignore[index]
    errors = []
    for _ in range(2):
        v = rng.standard_normal(image.shape)
        own = []
        for step in (1e-6, 1e-7):
            ahead, behind = features(image + step * v), features(image - step * v)
            expected = ((ahead - behind) * u).sum() / (2 * step)
            own.append(abs((v * gradient).sum() - expected) / np.linalg.norm(gradient))
        errors.append(min(own))
    return float(max(errors))


@pytest.mark.long
@pytest.mark.parametrize("name", LIGHT)
def test_light_models_keep_their_values_and_have_a_gradient(name: str) -> None:
    """Nine networks, down to their deepest maps; values at the one size that the files have."""
    model, path, deepest = light_model(name), light_file(name), LIGHT[name]
    found = survey(path, model)
    (tap,) = found.taps(deepest)
    middle = tap // 2
    adopted = adopt(found, (middle, tap))
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    names = [f"tap_{middle}", f"tap_{tap}"]
    for got, value in zip(
        run(adopted.model, {"image": image}, *names), (found.values[middle], deepest), strict=True
    ):
        (expected,) = run(cut_off(model, value), {found.source: image}, value)
        np.testing.assert_allclose(got, expected, atol=1e-5 * np.abs(expected).max())
    assert gradient_error(adopted, names[1], (64, 96)) < 1e-5


def test_inception_is_taken_behind_its_third_pooling() -> None:
    """There convolutions with strides, which round up, meet poolings that round another way."""
    found = survey(light_file("inception_v2"), light_model("inception_v2"))
    (tap,) = found.taps("r504")
    adopted = adopt(found, (tap,))
    assert "Slice" in {node.op_type for node in adopted.model.graph.node}
    geometry = Geometry(adopted.model.graph)
    least, path = geometry.smallest_side(), tuple(geometry.path_to(f"tap_{tap}"))
    for size in ((least, least + 1), (75, 98), (109, 131)):
        image = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
        (got,) = run(adopted.model, {"image": image}, f"tap_{tap}")
        lengths = [Tap(tap, "", 1, 1, 1, 0, path).length(side) for side in size]
        assert list(got.shape[2:]) == lengths
        assert geometry.lengths(size[0])[f"tap_{tap}"] == lengths[0]
    assert gradient_error(adopted, f"tap_{tap}", (75, 98)) < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("name", LIGHT)
def test_light_models_become_bundles(name: str, tmp_path: Path) -> None:
    """By the first map of every stride up to 8, as the engine reads them."""
    path = light_file(name)
    found = survey(path, read_model(path))
    graph = adopt(found, range(1, min(60, len(found.values)))).model.graph
    strides = {v: w.stride for v, w in Geometry(graph).windows().items() if v.startswith("tap_")}
    taps = [next((t[4:] for t, s in strides.items() if s == stride), "") for stride in (2, 4, 8)]
    chosen = ",".join(filter(None, taps))
    assert chosen
    folder = export_onnx(path, chosen, "own", tmp_path, Weights(path, "the wheel", ""), "imagenet")
    model = load_model(folder)
    model.verify()
    assert [str(tap.index) for tap in model.taps] == chosen.split(",")
    assert model.layers == tuple(found.layers)


NORM = ("s", "t", "b", "s")
RESIZE = {"mode": "nearest", "nearest_mode": "floor"}
FORMS: dict[str, tuple[onnx.ModelProto, set[str]]] = {
    "batch normalisation is folded": (
        model_of([CONV, node("BatchNormalization", "c", *NORM)], W | POINTS, 9),
        {"Conv"},
    ),
    "scales and shifts are folded": (
        model_of(
            [
                CONV,
                node("BatchNormalization", "c", *NORM, to="n"),
                node("Mul", "n", "column", to="m"),
                node("Sub", "one", "m", to="e"),
                node("Div", "e", "one", to="d"),
                node("Add", "column", "d", to="f"),
                node("Sub", "f", "one"),
            ],
            W | POINTS,
        ),
        {"Conv"},
    ),
    "but not where somebody else looks": (
        model_of(
            [CONV, node("BatchNormalization", "c", *NORM, to="n"), node("Add", "n", "c")],
            W | POINTS,
        ),
        {"Conv", "BatchNormalization", "Add"},
    ),
    "a normalisation over places": (
        model_of([CONV, node("InstanceNormalization", "c", "s", "t")], W | POINTS),
        {"Conv", "GlobalAveragePool", "Mul", "Add", "Pow", "BatchNormalization"},
    ),
    "a reflection": (
        model_of(
            [node("Pad", "x", "p", mode="reflect", to="q"), node("Conv", "q", "w", "b")],
            W | {"p": np.array([0, 0, 2, 1, 0, 0, 1, 2])},
        ),
        {"Pad", "Conv"},
    ),
    "the border again": (
        model_of(
            [node("Pad", "x", "p", mode="edge", to="q"), node("Conv", "q", "w", "b")],
            W | {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        ),
        {"Pad", "Conv"},
    ),
    "channels apart": (
        model_of(
            [
                CONV,
                helper.make_node("Split", ["c", "l"], ["l1", "l2"], "split", axis=1),
                node("Relu", "l1", to="r"),
                node("Concat", "r", "l2", axis=1),
            ],
            W | {"l": np.array([3, 5])},
        ),
        {"Conv", "Slice", "Relu", "Concat"},
    ),
    "the same size, over strides": (
        model_of(
            [
                node("Conv", "x", "w", "b", auto_pad="SAME_UPPER", strides=[2, 2], to="c"),
                node("MaxPool", "c", kernel_shape=[3, 3], auto_pad="SAME_LOWER", strides=[2, 2]),
            ],
            W,
        ),
        {"Conv", "MaxPool"},
    ),
    "branches that round up and down": (
        model_of(
            [
                node("Conv", "x", "w", "b", strides=[2, 2], pads=[1] * 4, to="c"),
                node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2], to="p"),
                node("Concat", "c", "p", axis=1),
            ],
            W,
        ),
        {"Conv", "AveragePool", "Shape", "Slice", "Concat"},
    ),
    "a normalisation of the picture": (
        model_of(
            [
                node("Mul", "x", "q", to="a"),
                node("Sub", "a", "p", to="e"),
                node("Conv", "e", "w", "b"),
            ],
            W | {"p": numbers(1, 3, 1, 1), "q": np.array([2.0], np.float32)},
        ),
        {"BatchNormalization", "Conv"},
    ),
    "dropout and identity are left out": (
        model_of(
            [
                node("Identity", "x", to="i"),
                node("Conv", "i", "w", "b", to="c"),
                helper.make_node("Dropout", ["c"], ["d", "mask"], "drop"),
                node("Relu", "d"),
            ],
            W,
            7,
        ),
        {"Conv", "Relu"},
    ),
    "clip with attributes": (
        model_of([CONV, node("Clip", "c", min=0.0, max=6.0)], W, 7),
        {"Conv", "Clip"},
    ),
    "clip with inputs, one computed": (
        model_of(
            [
                node("Constant", to="low", value_float=-0.5),
                node("Neg", "low", to="high"),
                CONV,
                node("Clip", "c", "low", "high"),
            ],
            W,
        ),
        {"Conv", "Clip"},
    ),
    "hard swish": (
        model_of([CONV, node("HardSwish", "c")], W, 14),
        {"Conv", "HardSigmoid", "Mul"},
    ),
    "silu": (
        model_of([CONV, node("Sigmoid", "c", to="g"), node("Mul", "c", "g")], W),
        {"Conv", "Sigmoid", "Mul"},
    ),
    "leaky and parametric": (
        model_of(
            [CONV, node("LeakyRelu", "c", alpha=0.3, to="l"), node("PRelu", "l", "column")],
            W | POINTS,
        ),
        {"Conv", "LeakyRelu", "PRelu"},
    ),
    "squeeze and excitation": (
        model_of(
            [
                CONV,
                node("ReduceMean", "c", axes=[2, 3], keepdims=1, to="m"),
                node("Conv", "m", "v", to="n"),
                node("Relu", "n", to="r"),
                node("HardSigmoid", "r", alpha=0.5, to="g"),
                node("Mul", "g", "c"),
            ],
            W | {"v": numbers(8, 8, 1, 1)},
        ),
        {"Conv", "GlobalAveragePool", "Relu", "HardSigmoid", "Mul"},
    ),
    "sums and joins": (
        model_of(
            [CONV, node("Relu", "c", to="r"), node("Sum", "c", "r", to="t2"),
             node("Concat", "t2", "r", axis=-3)],
            W,
        ),
        {"Conv", "Relu", "Add", "Concat"},
    ),
    "padding in attributes": (
        model_of([node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 1, 0], value=0.5), ], None, 2),
        {"Pad"},
    ),
    "padding of named axes": (
        model_of(
            [node("Pad", "x", "p", "", "a")],
            {"p": np.array([1, 2, 2, 1]), "a": np.array([-1, 2])},
            18,
        ),
        {"Pad"},
    ),
    "valid": (model_of([node("Conv", "x", "w", auto_pad="VALID")], W), {"Conv"}),
    "the same size, the odd pixel last": (
        model_of([node("Conv", "x", "v", auto_pad="SAME_UPPER")], {"v": numbers(2, 3, 4, 2)}),
        {"Conv"},
    ),
    "the same size, the odd pixel first": (
        model_of(
            [node("Conv", "x", "v", auto_pad="SAME_LOWER")],
            {"v": numbers(2, 3, 4, 2)},
        ),
        {"Conv"},
    ),
    "upsample": (
        model_of([node("Upsample", "x", "scales", to="u"), node("MaxPool", "u", kernel_shape=[2, 2],
                  strides=[2, 2])], SCALES, 9),
        {"Resize", "MaxPool"},
    ),
    "resize by repeating": (
        model_of(
            [
                node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], to="p"),
                node("Resize", "p", "none", "scales", **RESIZE,
                     coordinate_transformation_mode="asymmetric"),
            ],
            SCALES,
        ),
        {"MaxPool", "Resize"},
    ),
    "resize from centres": (
        model_of(
            [
                node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], to="p"),
                node("Resize", "p", "", "scales", mode="nearest"),
            ],
            SCALES,
        ),
        {"MaxPool", "Resize"},
    ),
    "pools": (
        model_of(
            [
                node("MaxPool", "x", kernel_shape=[3, 3], pads=[1] * 4, ceil_mode=1, to="p",
                     strides=[2, 2], storage_order=0),
                node("AveragePool", "p", kernel_shape=[2, 2], count_include_pad=1, pads=[1] * 4),
            ],
        ),
        {"MaxPool", "AveragePool"},
    ),
    "channel shuffle": (
        model_of(
            [
                CONV,
                node("Reshape", "c", "split", to="five"),
                node("Transpose", "five", perm=[0, 2, 1, 3, 4], to="turned"),
                node("Reshape", "turned", "joined"),
            ],
            W | {"split": np.array([1, 2, 4, 12, 16]), "joined": np.array([1, 8, 12, 16])},
        ),
        {"Conv", "Gather"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_forms_keep_their_values_and_have_a_gradient(name: str) -> None:
    model, ops = FORMS[name]
    onnx.checker.check_model(model)
    last = model.graph.node[-1].output[0]
    found = survey(Path("net.onnx"), model)
    (tap,) = found.taps(last)
    adopted = adopt(found, (tap,))
    assert {n.op_type for n in adopted.model.graph.node} == ops
    assert [o.version for o in adopted.model.opset_import] == [18]
    image = np.random.default_rng(0).standard_normal((1, 3, 12, 16)).astype(np.float32)
    (expected,) = run(model, {"x": image}, last)
    (got,) = run(adopted.model, {"image": image}, f"tap_{tap}")
    np.testing.assert_allclose(got, expected, atol=2e-6 * np.abs(expected).max())
    if name != "upsample":  # larger than the picture, on the way
        path = Geometry(adopted.model.graph).path_to(f"tap_{tap}")
        engines = Tap(tap, "", 1, 1, 1, 0, tuple(path))
        assert (engines.length(12), engines.length(16)) == expected.shape[2:]
    for size in ((12, 16), (17, 13)):
        assert gradient_error(adopted, f"tap_{tap}", size) < 1e-5


def shuffled(source: str, to: str, counted: bool) -> list[onnx.NodeProto]:
    """A channel shuffle in two groups as PyTorch writes it where sizes are left open.

    With the channels of a group a constant, or ``counted`` too.
    """
    sizes = [node("Shape", source, to=f"{to}.sizes")]
    for axis in ("i0", "i1", "i2", "i3"):
        sizes.append(node("Gather", f"{to}.sizes", axis, axis=0, to=f"{to}.{axis}.number"))
        sizes.append(node("Unsqueeze", f"{to}.{axis}.number", "zero", to=f"{to}.{axis}"))
    batch, channels, height, width = (f"{to}.i{axis}" for axis in range(4))
    each = f"{to}.each" if counted else "four"
    if counted:
        sizes.append(node("Div", channels, "two", to=each))
    return [
        *sizes,
        node("Concat", batch, "two", each, height, width, axis=0, to=f"{to}.split"),
        node("Concat", batch, "eight", height, width, axis=0, to=f"{to}.joined"),
        node("Reshape", source, f"{to}.split", to=f"{to}.five"),
        node("Transpose", f"{to}.five", perm=[0, 2, 1, 3, 4], to=f"{to}.turned"),
        node("Reshape", f"{to}.turned", f"{to}.joined", to=to),
    ]


SIZED = {
    **{f"i{axis}": np.array(axis) for axis in range(4)},
    **{name: np.array([n]) for name, n in (("zero", 0), ("two", 2), ("four", 4), ("eight", 8))},
}


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 12, 16), ("n", 3, "h", "w")])
def test_shuffles_by_computed_shapes(shape: tuple[Any, ...], counted: bool) -> None:
    """One behind the other, of which the second is known when the first one is."""
    nodes = [CONV, *shuffled("c", "s1", counted), node("Relu", "s1", to="r")]
    nodes += shuffled("r", "y", counted)
    model = model_of(nodes, W | SIZED, shape=shape)
    found = survey(Path("net.onnx"), model)
    assert found.layers == ["image", "c", "s1", "r", "y"]
    adopted = adopt(found, found.taps("y")).model
    assert {n.op_type for n in adopted.graph.node} == {"Conv", "Gather", "Relu"}
    for size in ((12, 16),) if shape[2] == 12 else ((12, 16), (17, 13)):
        image = np.random.default_rng(0).standard_normal((1, 3, *size)).astype(np.float32)
        (expected,) = run(model, {"x": image}, "y")
        (got,) = run(adopted, {"image": image}, "tap_4")
        np.testing.assert_allclose(got, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("split", "joined"),
    [
        ([1, 2, 4, 16, 12], [1, 8, 12, 16]),  # height and width change places
        ([1, 2, 8, 6, 16], [1, 8, 12, 16]),
        ([1, 2, 4, 12, 16], [1, 4, 24, 16]),
        ([1, 2, 4, 12, 16], [8, 12, 16]),
    ],
)
def test_other_shapes_are_no_shuffle(split: list[int], joined: list[int]) -> None:
    nodes = FORMS["channel shuffle"][0].graph.node
    model = model_of([*nodes], W | {"split": np.array(split), "joined": np.array(joined)})
    assert survey(Path("net.onnx"), model).layers == ["image", "c"]


def test_padding_that_is_not_there_does_not_count() -> None:
    """ONNX Runtime before 1.30 takes what ceil_mode adds for padding, and divides by too much."""
    form: dict[str, Any] = {"kernel_shape": [3, 3], "strides": [2, 2]}
    form |= {"ceil_mode": 1, "count_include_pad": 1}
    found = survey(Path("net.onnx"), model_of([node("AveragePool", "x", **form)]))
    adopted = adopt(found, found.taps("y"))
    (got,) = run(adopted.model, {"image": np.ones((1, 3, 12, 16), np.float32)}, "tap_1")
    np.testing.assert_allclose(got, 1, atol=1e-6)


def test_what_is_tapped_is_not_folded_away() -> None:
    model, _ = FORMS["batch normalisation is folded"]
    adopted = adopt(survey(Path("net.onnx"), model), (1, 2))
    image = np.random.default_rng(0).standard_normal((1, 3, 12, 16)).astype(np.float32)
    (expected,) = run(cut_off(model, "c"), {"x": image}, "c")
    got, _ = run(adopted.model, {"image": image}, "tap_1", "tap_2")
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["batch normalisation is folded", "a normalisation of the picture"]
)
def test_blue_first(name: str) -> None:
    model, _ = FORMS[name]
    last = model.graph.node[-1].output[0]
    found = survey(Path("net.onnx"), model)
    (tap,) = found.taps(last)
    image = np.random.default_rng(0).standard_normal((1, 3, 12, 16)).astype(np.float32)
    (expected,) = run(model, {"x": image[:, ::-1].copy()}, last)
    (got,) = run(adopt(found, (tap,), swapped=True).model, {"image": image}, f"tap_{tap}")
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_gate_sees_the_whole_picture() -> None:
    model, _ = FORMS["squeeze and excitation"]
    found = survey(Path("net.onnx"), model)
    assert found.layers == ["image", "c", "y"]
    adopted = adopt(found, (1, 2))
    windows = Geometry(adopted.model.graph).windows()
    assert windows["tap_1"].size == 3
    assert windows["tap_2"].size == EVERYTHING
    assert windows["tap_2"].stride == 1


def test_a_file_of_the_zoo_gives_torchs_features_inside(tmp_path: Path) -> None:
    """Its poolings have no ceil mode: maps end sooner, and differ where they see the border."""
    state, backbone = random_state("squeezenet1_1"), BACKBONES["squeezenet1_1"]
    path = zoo_file("squeezenet1_1", state, tmp_path / "squeezenet1.1-7.onnx")
    torch.save(state, tmp_path / "w.pth")
    taps = {3: "squeezenet0_concat0_fwd", 7: "squeezenet0_concat3_fwd"}
    found = survey(path, read_model(path))
    own = found.taps(",".join(taps.values()))
    module = build_module(backbone)
    load_weights(module, Weights(tmp_path / "w.pth", "", ""))
    image = np.random.default_rng(0).standard_normal((1, 3, 142, 158)).astype(np.float32)
    with torch.no_grad():
        expected = [value.numpy() for value in Taps(module, (3, 7))(torch.from_numpy(image))]
    model = adopt(found, own).model
    windows = Geometry(model.graph).windows()
    names = [f"tap_{tap}" for tap in own]
    for name, got, other in zip(names, run(model, {"image": image}, *names), expected, strict=True):
        border = -(-windows[name].size // windows[name].stride)
        assert 0 <= other.shape[2] - got.shape[2] <= 1
        inside = (..., slice(0, got.shape[2] - border), slice(0, got.shape[3] - border))
        assert got[inside].size > 1000
        np.testing.assert_allclose(
            got[inside], other[inside], atol=1e-5 * float(np.abs(other).max())
        )


def test_names_that_are_numbers_get_others() -> None:
    """PyTorch's older exports number their values; layers are named after nodes then."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["27"], "Conv_3"),
        helper.make_node("Relu", ["27"], ["28"], ""),
    ]
    found = survey(Path("net.onnx"), model_of(nodes, W))
    assert found.layers == ["image", "Conv_3", "Relu2"]
    assert found.taps("Conv_3, Relu2") == found.taps("1,2") == found.taps("27,28") == (1, 2)


def test_what_a_network_is_shown() -> None:
    assert input_of(Path("bvlcalexnet-9.onnx"), "auto") == "caffe"
    assert input_of(Path("inception-v2-9.onnx"), "auto") == "caffe"
    assert input_of(Path("resnet50-v1-7.onnx"), "auto") == "imagenet"
    assert input_of(Path("bvlcalexnet-9.onnx"), "unit") == "unit"


def test_by_the_command(tmp_path: Path, ortist: Ortist) -> None:
    """Listed, exported, and painted with."""
    path = tmp_path / "own.onnx"
    onnx.save(light_model("squeezenet"), path)
    done = ortist("export", path, "--list")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^ +10 +r9 +Concat +128 +4 +15$", done.stdout, re.MULTILINE)
    assert ortist("export", "--list", path).stdout == done.stdout
    done = ortist("export", path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "say with --taps which layers of own.onnx" in done.stderr
    words = ("--taps", "r1,10,r16", "--input", "symmetric", "--output", tmp_path)
    done = ortist("export", path, *words)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "own" / MANIFEST).read_text())
    assert manifest["normalization"] == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert manifest["weights"]["source"] == "own.onnx"
    with pytest.raises(ModelError, match=r"ortist export own\.onnx --name own --taps 2,10,17,r20$"):
        load_model(tmp_path / "own").tap("r20")
    photo = Path(__file__).parents[2] / "docs" / "samples" / "harbour.jpg"
    done = ortist(
        *("transfer", photo, photo, "-o", tmp_path / "out.png", "--model", tmp_path / "own"),
        *("--size", "64", "--iterations", "2"),
    )
    assert done.returncode == 0, done.stderr
