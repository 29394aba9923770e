"""Models: which is the default, and that nothing but a whole bundle is ever loaded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ortist.errors import ModelError, OptionError
from ortist.network.bundle import Model, find_model, installed_models, load_model
from ortist.objective.objective import Objective
from ortist_models import CONTENT, FEATURES, MANIFEST, OBJECTIVE, PULLBACK, SHIPPED


@pytest.fixture
def copy(procedural: Model, tmp_path: Path) -> Path:
    """The shipped bundle, to be spoilt."""
    return Path(shutil.copytree(procedural.folder, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def test_the_shipped_model_is_there_and_whole() -> None:
    assert [name for name, _ in installed_models()] == ["squeezenet1_1-procedural"]
    model = find_model()
    assert model.name == "squeezenet1_1-procedural"
    assert model.folder == SHIPPED / model.name
    model.verify()
    assert "MIT" in model.license


def test_an_exported_imagenet_model_becomes_the_default(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORTIST_HOME", str(tmp_path))
    copy.rename(tmp_path / "squeezenet1_1")
    assert find_model().folder == tmp_path / "squeezenet1_1"
    assert find_model("squeezenet1_1-procedural").folder.parent == SHIPPED


def test_a_model_can_be_named_by_its_path(copy: Path) -> None:
    assert find_model(str(copy)).folder == copy
    with pytest.raises(ModelError, match="no model 'vgg'; there are squeezenet1_1-procedural"):
        find_model("vgg")


def test_taps_by_index_and_by_name(procedural: Model) -> None:
    assert procedural.tap(4) == procedural.tap("fire3")
    with pytest.raises(OptionError, match="squeezenet1_1 has no layer 'fire77'; it has 1 conv1"):
        procedural.tap("fire77")


def test_a_tap_that_was_not_exported_names_the_command(procedural: Model) -> None:
    with pytest.raises(ModelError) as caught:
        procedural.tap(9)
    assert str(caught.value).endswith(
        "ortist export squeezenet1_1 --name squeezenet1_1-procedural --taps 1,2,3,4,5,6,7,9 "
        "--weights squeezenet1_1-procedural.pth"
    )


@pytest.mark.parametrize("file", [FEATURES, CONTENT, OBJECTIVE, PULLBACK])
def test_a_changed_byte_is_found(copy: Path, file: str) -> None:
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(ModelError, match="is damaged"):
        load_model(copy).verify()


def test_missing_and_oversized_files_are_found(copy: Path) -> None:
    (copy / OBJECTIVE).unlink()
    with pytest.raises(ModelError, match="there is no model file"):
        load_model(copy).verify()
    with (copy / OBJECTIVE).open("wb") as stream:
        stream.truncate(10**9)
    with pytest.raises(ModelError, match="larger than a model may be"):
        load_model(copy).verify()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.clear(),
        lambda m: m.update(format=2),
        lambda m: m.update(taps=[]),
        lambda m: m.update(taps=[{"index": "x"}]),
        lambda m: m.update(files={}),
        lambda m: m["files"].update({"../outside.onnx": {"sha256": ""}}),
        lambda m: m["normalization"].update(std=[0, 1, 1]),
        lambda m: m["normalization"].update(mean=[1]),
        lambda m: m.pop("recipe"),
        lambda m: m.update(smallest_side=float("inf")),
        lambda m: m.update(smallest_side=0),
        lambda m: m["recipe"].update(content_layers=[99]),
        lambda m: m["recipe"].update(style_shares={"1": -1.0}),
        lambda m: m["recipe"].update(learning_rate=float("nan")),
        lambda m: m["recipe"].update(jitter=0),
        lambda m: m["recipe"].update(jitter=17),
        lambda m: m["recipe"].update(final_share=1.5),
        lambda m: m["recipe"].update(final_share=-0.1),
        lambda m: m["recipe"].update(final_rate=float("inf")),
        lambda m: m["taps"].append(m["taps"][0]),
        lambda m: m["taps"][0].update(stride=0),
        lambda m: m["taps"][0].update(receptive_start=5),
        lambda m: m.update(name="\x1b[2J"),
        lambda m: m.update(weights=None),
    ],
)
def test_a_manifest_of_something_else_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(copy, change)
    with pytest.raises(ModelError, match="is not the manifest of an Ortist model"):
        load_model(copy)


@pytest.mark.parametrize("text", ["", "[", "[]", "3", "[" * 100_000, "\x00\x01"])
def test_a_manifest_that_is_no_json_object_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    with pytest.raises(ModelError, match="is not the manifest"):
        load_model(copy)


def rehashed(folder: Path, file: str, data: bytes) -> Model:
    """The bundle with ``data`` for ``file`` and the manifest's hash to match."""
    (folder / file).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    edit(folder, lambda m: m["files"][file].update(sha256=digest))
    return load_model(folder)


@pytest.mark.parametrize(("file", "tap"), [(FEATURES, 7), (CONTENT, 3)])
def test_a_foreign_feature_graph_is_refused(copy: Path, file: str, tap: int) -> None:
    model = rehashed(copy, file, (copy / OBJECTIVE).read_bytes())
    image = np.zeros((1, 3, 32, 32), np.float32)
    with pytest.raises(ModelError, match="is not one that Ortist can run"):
        Objective(model, "cpu").features(image, [tap])


def test_external_data_is_never_read(
    copy: Path, monkeypatch: pytest.MonkeyPatch, procedural: Model
) -> None:
    """A graph with the right hash that keeps its weights in a file of its own."""
    graph = onnx.load(procedural.folder / OBJECTIVE)
    monkeypatch.chdir(copy)
    onnx.save(graph, "outside.onnx", save_as_external_data=True, location="outside.bin")
    assert Path("outside.bin").stat().st_size > 100_000
    model = rehashed(copy, OBJECTIVE, Path("outside.onnx").read_bytes())
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        Objective(model, "cpu")


def test_a_fifo_is_no_model_file(copy: Path) -> None:
    (copy / OBJECTIVE).unlink()
    os.mkfifo(copy / OBJECTIVE)
    with pytest.raises(ModelError, match="there is no model file"):
        load_model(copy).verify()


def test_what_lies_about_in_the_home_is_no_default(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORTIST_HOME", str(tmp_path))
    shutil.copytree(copy, tmp_path / "aaa")
    copy.rename(tmp_path / ".squeezenet1_1-killed")
    assert find_model().folder.parent == SHIPPED
    assert [name for name, _ in installed_models()] == ["aaa", "squeezenet1_1-procedural"]


def test_a_foreign_graph_with_the_right_hash_is_refused(copy: Path) -> None:
    data = (copy / FEATURES).read_bytes()  # a good ONNX file, but no objective
    (copy / OBJECTIVE).write_bytes(data)
    edit(copy, lambda m: m["files"][OBJECTIVE].update(sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(ModelError, match="is not one that Ortist can run"):
        Objective(load_model(copy), "cpu")
    (copy / OBJECTIVE).write_bytes(b"no graph")
    digest = hashlib.sha256(b"no graph").hexdigest()
    edit(copy, lambda m: m["files"][OBJECTIVE].update(sha256=digest))
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        Objective(load_model(copy), "cpu")
