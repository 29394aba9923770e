"""The export: torch -> bundle, and the command that checks one."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from ortist.errors import ModelError
from ortist.network.bundle import load_model
from ortist_export.backbones import BACKBONES, parse_taps
from ortist_export.bundle import export_bundle, measure_bundle, read_program
from ortist_export.check import check_bundle
from ortist_export.errors import ExportError, ExportUsageError
from ortist_export.foreign import export_onnx
from ortist_export.modules import AveragePool, Taps, build_module, load_weights
from ortist_export.probes import TOLERANCE
from ortist_export.weights import Weights
from ortist_models import FEATURES, MANIFEST, SEGMENT, SHIPPED

from tests.conftest import Ortist, shared

from .networks import CONV, W, model_of, node
from .told import check_doc_strings

PROCEDURAL = SHIPPED / "squeezenet1_1-procedural"


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNet 1.0 as torchvision names it, with a classifier, initialised after He et al."""
    torch.manual_seed(0)
    state = {}
    for key, value in build_module("squeezenet1_0").state_dict().items():
        state[f"features.{key}"] = value
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
    state["classifier.1.weight"] = torch.zeros(1000, 512, 1, 1)
    path = tmp_path_factory.mktemp("weights") / "squeezenet1_0.pth"
    torch.save(state, path)
    return path


@pytest.mark.long
def test_the_shipped_bundle_equals_autograd() -> None:
    """Flat images (ties in max pooling), tiny, odd and wide ones included."""
    found = list(check_bundle(PROCEDURAL, None, {}))
    assert {"real", "natural", "flat", "white", "drawing", "tiny", "odd", "wide"} == {
        deviation.image for deviation in found
    }
    for deviation in found:
        assert deviation.features <= TOLERANCE, deviation
        assert deviation.sums <= TOLERANCE, deviation
        assert deviation.gradient <= TOLERANCE, deviation
        assert deviation.guided <= TOLERANCE, deviation
        assert deviation.passed


@pytest.mark.long
def test_the_imagenet_bundle_equals_autograd_on_real_pictures(
    imagenet_folder: Path, ortist: Ortist
) -> None:
    done = ortist(
        *("export", "check", imagenet_folder, "--weights", shared("weights/squeezenet1_1.pth")),
        *("--image", shared("images/tubingen.jpg"), "--image", shared("images/starry_night.jpg")),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    worst = float(re.findall(r"worst (\S+),", done.stdout)[0])
    assert worst <= TOLERANCE
    assert "tubingen.jpg" in done.stdout


def backward_kernels() -> list[str]:
    """The files of the shipped program that hold kernels of the way back."""
    files = sorted(path.name for path in PROCEDURAL.glob("*.onnx"))
    return [f for f in files if any(t.name.endswith(".transposed") for t in tensors(f))]


def tensors(file: str) -> Any:
    return onnx.load(PROCEDURAL / file, load_external_data=False).graph.initializer


@pytest.mark.long
@pytest.mark.parametrize("place", [0, -1])
@pytest.mark.parametrize("wrong", [0.1, np.nan])
def test_a_wrong_gradient_is_found(wrong: float, place: int, tmp_path: Path) -> None:
    """The check must be able to fail: one kernel of the backward pass is changed."""
    folder, file = tmp_path / "spoilt", backward_kernels()[place]
    shutil.copytree(PROCEDURAL, folder)
    model = onnx.load(folder / file, load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.name.endswith(".transposed"))
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] += wrong * np.abs(values).max()
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    data = model.SerializeToString()
    (folder / file).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][file]["sha256"] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    deviation = next(check_bundle(folder, None, {}))
    assert not deviation.passed
    assert not deviation.gradient <= TOLERANCE
    assert not deviation.guided <= TOLERANCE
    assert deviation.features <= TOLERANCE


def test_a_damaged_bundle_is_not_checked(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PROCEDURAL, tmp_path / "copy"))
    file = folder / SEGMENT.format(3)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ExportError, match="is damaged"):
        next(check_bundle(folder, None, {}))
    edited(folder, program={})
    with pytest.raises(ExportError, match="holds no readable model"):
        next(check_bundle(folder, None, {}))


@pytest.mark.long
def test_squeezenet1_0_exports_with_chosen_taps(random_weights: Path, tmp_path: Path) -> None:
    backbone = BACKBONES["squeezenet1_0"]
    weights = Weights(random_weights, "random", "none")
    taps = parse_taps("1, fire4, 8,12", backbone)
    assert taps == (1, 5, 8, 12)
    folder = export_bundle(backbone, weights, taps, "deep", tmp_path)
    manifest = json.loads((folder / MANIFEST).read_text())
    assert [tap["name"] for tap in manifest["taps"]] == ["conv1", "fire4", "fire6", "fire9"]
    assert [tap["stride"] for tap in manifest["taps"]] == [2, 4, 8, 16]
    assert all(deviation.passed for deviation in check_bundle(folder, random_weights, {}))


def edited(folder: Path, **changes: Any) -> Path:
    manifest = json.loads((folder / MANIFEST).read_text()) | changes
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_average_pooling_is_twice_torchs(name: str) -> None:
    """Odd sizes and even ones, so that windows end at the border and beyond it."""
    torch.manual_seed(0)
    features = build_module(name, "avg")
    for layer in features:
        for height, width in ((12, 13), (13, 12)):
            x = torch.randn(1, 2, height, width)
            if isinstance(layer, AveragePool):
                expected = 2 * torch.nn.functional.avg_pool2d(x, 3, 2, ceil_mode=True)
                torch.testing.assert_close(layer(x), expected)
    assert sum(isinstance(layer, AveragePool) for layer in features) == 3
    assert features.state_dict().keys() == build_module(name).state_dict().keys()


@pytest.mark.long
def test_average_pooling_by_the_command(
    random_weights: Path, tmp_path: Path, ortist: Ortist
) -> None:
    """Exported under a name of its own, checked against torch, seen by the engine."""
    words = ("export", "squeezenet1_0", "--weights", random_weights, "--output", tmp_path)
    done = ortist(*words, "--pooling", "avg")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "squeezenet1_0-avg"
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    done = ortist("export", "check", folder, "--weights", random_weights, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    model = load_model(folder)
    assert model.pooling == "avg"
    with pytest.raises(ModelError, match="--taps 1,2,3,4,5,6,7,9 --pooling avg --weights"):
        model.tap(9)
    done = ortist("models", "list", ORTIST_HOME=str(tmp_path))
    assert "squeezenet1_0, average pooling, layers 1,2" in done.stdout
    done = ortist(*words, "--pooling", "avg", "--name", "own", "--taps", "3")
    assert load_model(tmp_path / "own").pooling == "avg"


def test_a_bundle_without_its_pooling_is_one_of_max_pooling(tmp_path: Path) -> None:
    """As those were that had no such key; what is said of the pooling matters to the check."""
    folder = Path(shutil.copytree(PROCEDURAL, tmp_path / "copy"))
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest.pop("pooling") == "max"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert load_model(folder).pooling == "max"
    assert not next(check_bundle(edited(folder, pooling="avg"), None, {})).passed
    edited(folder, pooling="median")
    with pytest.raises(ExportError, match="pooling 'median'"):
        next(check_bundle(folder, None, {}))
    with pytest.raises(ModelError, match="pooling 'median'"):
        load_model(folder)


def test_files_are_standard_onnx_and_free_of_machine_paths() -> None:
    for path in sorted(PROCEDURAL.glob("*.onnx")):
        model = onnx.load(path, load_external_data=False)
        # Switches are external data without a file, which only ONNX Runtime is given.
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                assert tensor.data_type == onnx.TensorProto.BOOL
                tensor.ClearField("external_data")
                tensor.ClearField("data_location")
                tensor.raw_data = b"\1"
        onnx.checker.check_model(model, full_check=True)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
        assert {node.domain for node in model.graph.node} == {""}
        assert not model.functions
        data = path.read_bytes()
        assert b".py" not in data
        assert b"/home" not in data
        assert b"/root" not in data


def test_exporting_twice_gives_the_same_bytes(random_weights: Path, tmp_path: Path) -> None:
    weights = Weights(random_weights, "random", "none")
    folders = [
        export_bundle(BACKBONES["squeezenet1_0"], weights, (1, 3), "twice", tmp_path / part)
        for part in ("a", "b", "b")  # the third replaces the second
    ]
    files = sorted(path.name for path in folders[0].glob("*.onnx"))
    assert files == sorted(path.name for path in folders[1].glob("*.onnx"))
    for file in files:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    first, second = (json.loads((folder / MANIFEST).read_text()) for folder in folders[:2])
    assert first == second
    # Counted from shapes; tests/benchmarks/budget.py is about its accuracy.
    sizes = [first["program"][name] for name in ("kept", "working")]
    assert all(3 * 4 <= size < 10_000 for size in sizes)  # the image, at the least
    assert first["files"].keys() == {*files}
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["twice"]


@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_every_input_and_output_is_described(
    pooling: Any, random_weights: Path, tmp_path: Path
) -> None:
    """In the features' graph too, whose hash without that tells which networks are alike."""
    weights = Weights(random_weights, "random", "none")
    backbone = BACKBONES["squeezenet1_0"]
    folder = export_bundle(backbone, weights, (1, 3), "name", tmp_path, pooling)
    check_described(folder)


@pytest.mark.parametrize("nodes", [[CONV], [CONV, node("GlobalAveragePool", "c", to="g"),
                                           node("Mul", "c", "g")]])  # fmt: skip
def test_a_network_of_others_is_described(nodes: list[onnx.NodeProto], tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_of(nodes, W).SerializeToString())
    weights = Weights(path, "", "")
    check_described(export_onnx(path, nodes[-1].output[0], "own", tmp_path, weights, "unit"))


def check_described(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    program = read_program(folder, manifest)
    check_doc_strings(program.segments, manifest["program"]["taps"])
    features = onnx.load(folder / FEATURES)
    for value in (*features.graph.input, *features.graph.output):
        assert value.doc_string
        value.ClearField("doc_string")
    bare = features.SerializeToString(deterministic=True)
    assert manifest["backbone_sha256"] == hashlib.sha256(bare).hexdigest()


def test_memory_can_be_measured_anew(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(PROCEDURAL, tmp_path / "copy"))
    before = json.loads((folder / MANIFEST).read_text())
    raw = json.loads((folder / MANIFEST).read_text())
    raw["program"] |= {"kept": 1, "working": 1}
    (folder / MANIFEST).write_text(json.dumps(raw))
    found = measure_bundle(folder)
    assert found == {name: before["program"][name] for name in ("kept", "working")}
    assert json.loads((folder / MANIFEST).read_text()) == before
    with pytest.raises(ExportError, match="cannot measure the model"):
        measure_bundle(tmp_path)


def test_smallest_side_is_smallest() -> None:
    manifest = json.loads((PROCEDURAL / MANIFEST).read_text())
    side = manifest["smallest_side"]
    module = Taps(build_module("squeezenet1_1"), (1, 2, 3, 4, 5, 6, 7))
    module(torch.zeros(1, 3, side, side))
    with pytest.raises(RuntimeError):
        module(torch.zeros(1, 3, side - 1, side - 1))


def test_weights_that_do_not_fit_are_refused(random_weights: Path, tmp_path: Path) -> None:
    features = build_module("squeezenet1_1")
    with pytest.raises(ExportError, match=r"features\.0\.weight should have shape \(64, 3, 3, 3\)"):
        load_weights(features, Weights(random_weights, "", ""))
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(random_weights.read_bytes()[:1000])
    with pytest.raises(ExportError, match=r"damaged\.pth"):
        load_weights(features, Weights(damaged, "", ""))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ExportError, match="no state dict"):
        load_weights(features, Weights(tmp_path / "list.pth", "", ""))


def test_weights_files_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run",)

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ExportError, match=r"evil\.pth"):
        load_weights(build_module("squeezenet1_1"), Weights(tmp_path / "evil.pth", "", ""))


def test_a_folder_that_is_no_model_is_never_replaced(random_weights: Path, tmp_path: Path) -> None:
    precious = tmp_path / "name" / "precious.txt"
    precious.parent.mkdir()
    precious.write_text("x")
    weights = Weights(random_weights, "random", "none")
    with pytest.raises(ExportUsageError, match="exists and is no model"):
        export_bundle(BACKBONES["squeezenet1_0"], weights, (1,), "name", tmp_path)
    assert precious.read_text() == "x"


@pytest.mark.parametrize("text", ["0", "13", "fire99", "", "1,,3"])
def test_unknown_taps_are_refused(text: str) -> None:
    with pytest.raises(ExportUsageError, match="it has 1 conv1"):
        parse_taps(text, BACKBONES["squeezenet1_1"])
