"""The check that needs no torch: it passes what is right, and finds what is not."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from ortist_export.differences import check_differences
from ortist_export.errors import ExportError
from ortist_export.foreign import export_onnx
from ortist_export.probes import TOLERANCE
from ortist_export.weights import Weights
from ortist_models import MANIFEST, SHIPPED

from tests.conftest import Ortist

from .light import light_model

PROCEDURAL = SHIPPED / "squeezenet1_1-procedural"


def test_the_shipped_bundle_passes_where_torch_is_missing() -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'onnxscript']))\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
        "from ortist.cli import main; sys.exit(main())"
    )
    words = ["export", "check", PROCEDURAL.name]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == ["real", "natural", "tiny"]
    assert lines[-1].startswith("worst ")


def spoilt(folder: Path, target: Path, suffix: str, place: int) -> Path:
    """A copy of a bundle in which one number of one tensor is wrong by a tenth."""
    shutil.copytree(folder, target)
    manifest = json.loads((target / MANIFEST).read_text())
    files = [
        (file, tensor.name)
        for file in sorted(manifest["files"])
        for tensor in onnx.load(target / file, load_external_data=False).graph.initializer
        if tensor.name.endswith(suffix)
    ]
    file, name = files[place]
    model = onnx.load(target / file, load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.1 * np.abs(values).max()
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    data = model.SerializeToString()
    (target / file).write_bytes(data)
    manifest["files"][file]["sha256"] = hashlib.sha256(data).hexdigest()
    (target / MANIFEST).write_text(json.dumps(manifest))
    return target


@pytest.mark.parametrize("place", [0, -1])
def test_a_wrong_gradient_is_found(place: int, tmp_path: Path) -> None:
    folder = spoilt(PROCEDURAL, tmp_path / "spoilt", ".transposed", place)
    found = next(check_differences(folder, None, {}))
    assert not found.passed
    assert found.difference > 10 * TOLERANCE
    assert found.features <= TOLERANCE  # the way there is right


def test_wrong_weights_are_found(tmp_path: Path) -> None:
    """Of a network of others, against the file that it came from."""
    path = tmp_path / "net.onnx"
    onnx.save(light_model("bvlc_alexnet"), path)
    folder = export_onnx(path, "r1,r3,r5", "own", tmp_path, Weights(path, "", ""), "caffe")
    assert all(found.passed for found in check_differences(folder, path, {}))
    wrong = spoilt(folder, tmp_path / "wrong", ".kernel", 0)
    assert not next(check_differences(wrong, path, {})).features <= TOLERANCE
    other = tmp_path / "other.onnx"
    other.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ExportError, match="is not the file that own came from"):
        next(check_differences(folder, other, {}))


def test_by_the_command(tmp_path: Path, ortist: Ortist) -> None:
    """One sentence says that a bundle is wrong; its residual sums have a gradient otherwise."""
    path = tmp_path / "net.onnx"
    onnx.save(light_model("resnet50"), path)
    folder = export_onnx(path, "r2,r12", "own", tmp_path, Weights(path, "", ""), "imagenet")
    done = ortist("export", "check", folder, "--weights", path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "PyTorch" not in done.stdout  # which has no module of it
    wrong = spoilt(folder, tmp_path / "wrong", ".transposed", -1)
    done = ortist("export", "check", wrong)
    assert done.returncode == 3
    assert done.stderr == (
        f"ortist: {wrong} differs from what is right on real, natural, tiny.\n"
    ), done.stdout
