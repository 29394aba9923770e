"""What cannot be a model: files that are none, networks without a rule, taps that are none."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from ortist_export.adopting import adopt
from ortist_export.cli import run
from ortist_export.errors import ExportError
from ortist_export.foreign import export_onnx, list_layers
from ortist_export.reading import read_model
from ortist_export.survey import survey
from ortist_export.weights import Weights

from .networks import CONV, POINTS, SCALES, W, model_of, node, numbers

NET = [
    CONV,
    node("Relu", "c", to="r"),
    node("Flatten", "r", to="f"),
    node("Gemm", "f", "g", to="y"),
]
BEHIND_GEMM = model_of(NET, W | {"g": numbers(8 * 12 * 16, 5)})


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    return folder / "net.onnx"


REFUSED: dict[str, tuple[onnx.ModelProto, str, str]] = {
    "two inputs": (
        model_of([node("Add", "x", "z")], z=[1, 3, 12, 16]),
        "1",
        r"has 2 inputs \(x, z\), and only a network of one picture",
    ),
    "one channel": (
        model_of([node("Relu", "x")], shape=(1, 1, 12, 16)),
        "1",
        "takes pictures of 1 channels, and three are needed",
    ),
    "channels last": (
        model_of([node("Relu", "x")], shape=(1, 12, 16, 3)),
        "1",
        "channels come last",
    ),
    "no picture": (model_of([node("Relu", "x")], shape=(1, 3)), "1", "no picture"),
    "no such tap": (BEHIND_GEMM, "nonsense", "no value or node 'nonsense'; --list shows"),
    "no such number": (BEHIND_GEMM, "7", "no value or node '7'"),
    "the picture": (BEHIND_GEMM, "0", "no value or node '0'"),
    "behind a Gemm": (
        BEHIND_GEMM,
        "c,y",
        "'y' cannot be tapped: it lies behind Flatten 'Flatten_f', behind which there are no",
    ),
    "a Gemm by its node's name": (BEHIND_GEMM, "Gemm_y", "'Gemm_y' cannot be tapped"),
    "an op without a rule": (
        model_of([CONV, node("Tanh", "c", to="t"), node("Relu", "t")], W),
        "y",
        "lies behind Tanh 'Tanh_t', which has no gradient rule",
    ),
    "a mean of everything": (
        model_of([CONV, node("GlobalAveragePool", "c")], W),
        "y",
        "one feature for the whole picture",
    ),
    "a kernel that is computed": (
        model_of([CONV, node("Conv", "x", "c")], W),
        "y",
        "Conv 'Conv_y' has no gradient rule: its kernel must be a constant",
    ),
    "a picture that goes round": (
        model_of([node("Pad", "x", "p", mode="wrap")], {"p": np.array([0, 0, 1, 1] * 2)}, 19),
        "y",
        "Pad 'Pad_y' has no gradient rule: it pads by wrap",
    ),
    "a split of rows": (
        model_of(
            [CONV, helper.make_node("Split", ["c"], ["u", "v"], "s", axis=2), node("Relu", "u")], W
        ),
        "y",
        "it lies behind Split 's', which cuts other axes than the channels",
    ),
    "a resize that interpolates": (
        model_of([node("Resize", "x", "", "scales", mode="linear")], SCALES),
        "y",
        "does more than repeat places",
    ),
    "larger than the picture": (
        model_of([node("Resize", "x", "", "scales", mode="nearest")], SCALES),
        "y",
        "enlarged beyond the picture's own size",
    ),
    "a number for each place": (
        model_of([node("Add", "x", "n")], {"n": numbers(1, 3, 12, 16)}),
        "y",
        "a number for each place",
    ),
    "a value added to itself": (
        model_of([CONV, node("Add", "c", "c")], W),
        "y",
        "Add 'Add_y' cannot be taken: no gradient rule where it reads one value twice",
    ),
    "sizes that never meet": (
        model_of(
            [
                node("Conv", "x", "w", to="a"),
                node("Relu", "x", to="p"),
                node("Concat", "a", "p", axis=1),
            ],
            W,
            shape=(1, 3, "h", "w"),
        ),
        "y",
        "Concat 'Concat_y' cannot be taken: no picture of up to 1024 pixels has features there",
    ),
    "height and width apart": (
        model_of([node("MaxPool", "x", kernel_shape=[1, 2], strides=[1, 2])]),
        "y",
        "treats height and width differently",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    model, taps, said = REFUSED[name]
    path = saved(model, tmp_path)
    with pytest.raises(ExportError, match=said) as caught:
        export_onnx(path, taps, "own", tmp_path, Weights(path, "", ""), "imagenet")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_control_flow_is_refused(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("Relu", "x", to="inner")],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    branch = node("If", "flag", then_branch=body, else_branch=body)
    path = saved(model_of([branch], {"flag": np.array(True)}), tmp_path)
    with pytest.raises(ExportError, match="networks with control flow have no rule"):
        next(list_layers(path))


def test_a_transformer_has_its_first_map_alone(tmp_path: Path) -> None:
    """The convolution that cuts patches; what lies behind mixes places."""
    nodes = [
        node("Conv", "x", "w", strides=[3, 3], to="patches"),
        node("Reshape", "patches", "shape", to="tokens"),
        node("MatMul", "tokens", "v", to="q"),
        node("Softmax", "q"),
    ]
    constants = {"w": W["w"], "shape": np.array([1, 8, -1, 1]), "v": numbers(1, 1)}
    path = saved(model_of(nodes, constants), tmp_path)
    lines = list(list_layers(path))
    assert [line.split()[1] for line in lines[1:-1]] == ["patches"]
    assert "it lies behind Reshape 'Reshape_tokens'" in lines[-1]


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    cases = {
        b"<!DOCTYPE html><html>": "is no ONNX file",
        b"": "is no ONNX file",
        b"\x80\x02}q\x00.": "is no ONNX file",
        BEHIND_GEMM.SerializeToString()[:-500]: "net.onnx",
    }
    for data, said in cases.items():
        path.write_bytes(data)
        with pytest.raises(ExportError, match=said) as caught:
            read_model(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ExportError, match="there is no ONNX file"):
        read_model(tmp_path / "absent.onnx")
    with pytest.raises(ExportError, match="cannot read"):
        read_model(tmp_path)
    wrong = model_of([node("Relu", "nothing")])
    with pytest.raises(ExportError, match="is no valid ONNX model"):
        read_model(saved(wrong, tmp_path))


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    model = model_of([CONV], W)
    onnx.save(
        model,
        tmp_path / "net.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    with pytest.raises(ExportError, match=r"files beside it \(external data\); save it as one"):
        read_model(tmp_path / "net.onnx")


def external(name: str) -> TensorProto:
    """The tensor of eight kernels that stands in weights.bin, beside the file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[8, 3, 3, 3])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def sparse(values: TensorProto) -> onnx.SparseTensorProto:
    indices = numpy_helper.from_array(np.arange(216), "i")
    return helper.make_sparse_tensor(values, indices, [8, 3, 3, 3])


def in_a_branch(inner: onnx.NodeProto) -> onnx.NodeProto:
    made = helper.make_tensor_value_info(inner.output[0], TensorProto.FLOAT, None)
    body = helper.make_graph([inner], "body", [], [made])
    return node("If", "flag", then_branch=body, else_branch=body, to="w")


READ = node("Conv", "x", "w", pads=[1] * 4)
OUTSIDE: dict[str, list[onnx.NodeProto]] = {
    "a Constant": [node("Constant", to="w", value=external("w")), READ],
    "a sparse Constant": [node("Constant", to="w", sparse_value=sparse(external("w"))), READ],
    "a ConstantOfShape": [node("ConstantOfShape", "s", to="w", value=external("w")), READ],
    "a branch": [in_a_branch(node("Constant", to="v", value=external("v"))), READ],
    "a branch of a branch": [
        in_a_branch(in_a_branch(node("Constant", to="v", value=external("v")))),
        READ,
    ],
    "a list of an attribute": [node("Relu", "x", tensors=[external("v")])],
    "an op of others": [
        helper.make_node("Own", ["x"], ["w"], domain="other", value=external("v")),
        READ,
    ],
}


@pytest.mark.parametrize("name", [*OUTSIDE, "a constant", "a sparse constant", "a function"])
def test_weights_in_other_files_are_refused_wherever_they_are_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read from the folder that the command runs in."""
    (tmp_path / "weights.bin").write_bytes(W["w"].tobytes())
    monkeypatch.chdir(tmp_path)
    model = model_of(OUTSIDE.get(name, [READ]), {"flag": np.array(True), "s": np.array([8])})
    if name == "a constant":
        model.graph.initializer.append(external("w"))
    elif name == "a sparse constant":
        model.graph.sparse_initializer.append(sparse(external("w")))
    elif name == "a function":
        constant = node("Constant", to="w", value=external("w"))
        opsets = [helper.make_opsetid("", 13)]
        own = helper.make_function("other", "Own", [], ["w"], [constant], opsets)
        model.functions.append(own)
    with pytest.raises(ExportError, match=r"files beside it \(external data\); save it as one"):
        read_model(saved(model, tmp_path))


SHUFFLE = [
    CONV,
    node("Reshape", "c", "split", to="five"),
    node("Transpose", "five", perm=[0, 2, 1, 3, 4], to="turned"),
    node("Reshape", "turned", "joined"),
]
MEAN = [CONV, node("ReduceMean", "c", "axes", to="m"), node("Mul", "c", "m")]
ODD: dict[str, dict[str, Any]] = {
    "a number": {"value_int": 3},
    "a fraction": {"value_float": 1.0},
    "fractions": {"value_floats": [1.0, float("nan")]},
    "a text": {"value_string": b"abc"},
    "texts": {"value_strings": [b"a", b"b"]},
    "nothing": {},
    "two": {"value_int": 1, "value_float": 1.0},
    "a tensor of fractions": {"value": numpy_helper.from_array(np.ones(2, np.float32))},
    "a tensor of texts": {"value": numpy_helper.from_array(np.array(["a", "b"], object))},
    "a truth": {"value": numpy_helper.from_array(np.array([True, False]))},
    "a matrix": {"value": numpy_helper.from_array(np.ones((2, 2), np.int64))},
}


@pytest.mark.parametrize(
    ("name", "by"),
    [(name, by) for name in ODD for by in ("itself", "another node")]
    + [(name, "the file") for name in ODD if "value" in ODD[name]],
)
@pytest.mark.parametrize("where", ["split", "joined", "axes"])
def test_a_shape_that_is_no_list_of_whole_numbers(
    where: str, name: str, by: str, tmp_path: Path
) -> None:
    stored = W | {"split": np.array([1, 2, 4, 12, 16]), "joined": np.array([1, 8, 12, 16])}
    stored.pop(where, None)
    made = {
        "itself": [node("Constant", to=where, **ODD[name])],
        "another node": [
            node("Constant", to="before", **ODD[name]),
            node("Identity", "before", to=where),
        ],
        "the file": [],
    }[by]
    if by == "the file":
        stored[where] = numpy_helper.to_array(ODD[name]["value"])
    nodes, opset = (MEAN, 18) if where == "axes" else (SHUFFLE, 13)
    path = saved(model_of([*made, *nodes], stored, opset), tmp_path)
    with pytest.raises(ExportError, match=r"is no valid ONNX model \(.*\)\.$") as caught:
        list(list_layers(path))
    assert "\n" not in str(caught.value)


def test_a_constant_that_fills_the_memory_is_refused(tmp_path: Path) -> None:
    nodes = [node("ConstantOfShape", "shape", to="w"), node("Conv", "x", "w")]
    path = saved(model_of(nodes, {"shape": np.array([2**20, 3, 2**10, 2**10])}), tmp_path)
    found = survey(path, read_model(path))
    with pytest.raises(ExportError, match=r"that ConstantOfShape .* computes is none"):
        adopt(found, (1,))


DAMAGED: dict[str, onnx.ModelProto] = {
    "a chain": model_of(
        [
            *(CONV, node("BatchNormalization", "c", "s", "t", "b", "s", to="n")),
            *(node("Clip", "n", "one", to="k"), node("MaxPool", "k", kernel_shape=[2, 2], to="p")),
            node("Concat", "p", "p", axis=1),
        ],
        W | POINTS,
    ),
    "shapes and axes": model_of(
        [
            node("Constant", to="four", value_ints=[12, 16]),
            node("Constant", to="two", value=numpy_helper.from_array(np.array([2, 4]))),
            node("Constant", to="places", value_ints=[2, 3]),
            node("Constant", to="none", value_int=0),
            CONV,
            node("Shape", "c", to="sizes"),
            node("Gather", "sizes", "none", axis=0, to="n"),
            node("Unsqueeze", "n", "zero", to="batch"),
            node("Concat", "batch", "two", "four", axis=0, to="split"),
            node("Reshape", "c", "split", to="five"),
            node("Transpose", "five", perm=[0, 2, 1, 3, 4], to="turned"),
            node("Reshape", "turned", "joined", to="shuffled"),
            node("ReduceMean", "shuffled", "places", keepdims=1, to="m"),
            node("Mul", "shuffled", "m"),
        ],
        {"zero": np.array([0]), "joined": np.array([1, 8, 12, 16])} | W,
        18,
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_read_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    """Bits changed at random, where names, shapes and attributes are."""
    rng, path = np.random.default_rng(0), tmp_path / "net.onnx"
    data = np.frombuffer(DAMAGED[name].SerializeToString(), np.uint8)
    path.write_bytes(data.tobytes())
    assert len(list(list_layers(path))) == len(survey(path, read_model(path)).layers)
    weights = data.tobytes().find(W["w"].tobytes())
    refused = 0
    for _ in range(1000):
        changed, place = data.copy(), rng.integers(0, weights)
        changed[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(changed.tobytes())
        try:
            found = survey(path, read_model(path))
            adopt(found, (len(found.values) - 1,))
            list(list_layers(path))
        except ExportError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017 - either may happen
    assert 250 < refused < 950


@pytest.mark.parametrize("name", DAMAGED)
def test_attributes_of_other_types_are_read_or_refused(name: str, tmp_path: Path) -> None:
    """Each attribute in turn becomes a number, a text, a list, a tensor, a graph, or nothing."""
    path, values = tmp_path / "net.onnx", [*ODD.values(), {"value_ints": [2**40, -(2**40)]}]
    nodes = range(len(DAMAGED[name].graph.node))
    for index, odd in itertools.product(nodes, values):
        for domain in ("", "other"):
            model = onnx.ModelProto()
            model.CopyFrom(DAMAGED[name])
            model.opset_import.append(helper.make_opsetid("other", 1))
            changed = model.graph.node[index]
            changed.domain = domain
            kept = [attribute.name for attribute in changed.attribute]
            given = [helper.make_attribute(k, v) for k, v in odd.items()]
            for attribute, other in zip(kept, given, strict=False):
                other.name = attribute
            del changed.attribute[:]
            changed.attribute.extend(given)
            try:
                list(list_layers(saved(model, tmp_path)))
                found = survey(path, read_model(path))
                adopt(found, (len(found.values) - 1,))
            except ExportError as error:
                assert "\n" not in str(error)  # noqa: PT017 - either may happen


NUMBERS: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "Conv": ([node("Conv", "x", "w")], {"w": W["w"] * np.inf}),
    "Conv's bias": ([node("Conv", "x", "w", "b")], W | {"b": W["b"] * np.nan}),
    "BatchNormalization": (
        [CONV, node("BatchNormalization", "c", "s", "t", "b", "s")],
        W | POINTS | {"t": POINTS["t"] * np.nan},
    ),
    "Mul": ([CONV, node("Mul", "c", "n")], W | {"n": np.array(np.inf, np.float32)}),
    "PRelu": ([node("PRelu", "x", "n")], {"n": np.array([np.nan], np.float32)}),
    "LeakyRelu": ([node("LeakyRelu", "x", alpha=np.nan)], {}),
    "HardSigmoid": ([node("HardSigmoid", "x", beta=np.inf)], {}),
    "LRN": ([node("LRN", "x", size=3, bias=np.nan)], {}),
    "Clip": ([node("Clip", "x", "n")], {"n": np.array(np.nan, np.float32)}),
    "Pad": (
        [node("Pad", "x", "p", "n")],
        {"p": np.array([0, 0, 1, 1] * 2), "n": np.array(np.inf, np.float32)},
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_weights_that_are_not_finite_are_refused(name: str, tmp_path: Path) -> None:
    found = survey(tmp_path / "net.onnx", model_of(*NUMBERS[name]))
    op = name.partition("'")[0]
    with pytest.raises(ExportError, match=rf"the weights of {op} '{op}_y' are not finite"):
        adopt(found, (len(found.values) - 1,))


def test_a_clip_without_an_end_is_taken() -> None:
    ends = {"a": np.array(0, np.float32), "b": np.array(np.inf, np.float32)}
    found = survey(Path("net.onnx"), model_of([node("Clip", "x", "a", "b")], ends))
    assert [made.op_type for made in adopt(found, (1,)).model.graph.node] == ["Clip"]


@pytest.mark.parametrize(
    "words",
    [
        "net.onnx --list",
        "--list net.onnx",
        "onnx net.onnx --list",
        "onnx --list net.onnx",
        "--taps 1 --list net.onnx",
        "--name check --list net.onnx",
        "--list --input unit NET.ONNX",
    ],
)
def test_options_may_stand_before_the_file(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(saved(BEHIND_GEMM, tmp_path), words.split()[-1] if "NET" in words else "copy")
    assert run(words.split()) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:3] == ["1", "c", "Conv"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--list absent.onnx", "there is no ONNX file 'absent.onnx'"),
        ("--weights zoo.onnx squeezenet1_1", "say ortist export squeezenet1_1 --weights …"),
        ("--list onnx net.onnx", "say ortist export onnx --list …"),
        ("--textures 40 train", "say ortist export train --textures …"),
        ("--image a.png check", "say ortist export check --image …"),
    ],
)
def test_options_before_other_commands_are_told_their_place(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) in (2, 3)
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_the_help_names_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert "  ortist export FILE.onnx --list " in told
    assert "  ortist export FILE.onnx --taps " in told
