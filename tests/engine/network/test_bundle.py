"""Models: which is the default, and that nothing but a whole bundle is ever loaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import set_external_data
from ortist.errors import ModelError, OptionError
from ortist.network.bundle import Model, find_model, installed_models, load_model
from ortist.objective.sweeper import Sweeper
from ortist_models import MANIFEST, SEGMENT, SHIPPED

from tests.conftest import edit, rehashed

FIRST, MIDDLE, LAST = (SEGMENT.format(index) for index in (0, 6, 13))


def test_the_shipped_model_is_there_and_whole() -> None:
    assert [name for name, _ in installed_models()] == ["squeezenet1_1-procedural"]
    model = find_model()
    assert model.name == "squeezenet1_1-procedural"
    assert model.folder == SHIPPED / model.name
    model.verify()
    assert "MIT" in model.license
    segments = [segment.file for segment in model.program.segments]
    assert ["features.onnx", *segments] == sorted(model.hashes)
    assert model.has_features
    assert [segment.file for segment in model.program.segments][::13] == [FIRST, LAST]
    assert all(100 < size < 1000 for size in (model.program.kept, model.program.working))


def test_a_models_hash_is_that_of_all_its_segments(copy: Path) -> None:
    whole = load_model(copy).sha256
    edit(copy, lambda m: m["files"][MIDDLE].update(sha256="0" * 64))
    assert load_model(copy).sha256 != whole


def test_a_model_of_an_older_ortist_is_refused(copy: Path) -> None:
    edit(copy, lambda m: m.update(format=1))
    with pytest.raises(ModelError, match=r"format 1, and this Ortist reads format 2.*again"):
        load_model(copy)


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


@pytest.mark.parametrize("file", [FIRST, MIDDLE, LAST])
def test_a_changed_byte_is_found(copy: Path, file: str) -> None:
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(ModelError, match="is damaged"):
        load_model(copy).verify()


def test_missing_and_oversized_files_are_found(copy: Path) -> None:
    (copy / MIDDLE).unlink()
    with pytest.raises(ModelError, match=r"the model file .* does not exist; export"):
        load_model(copy).verify()
    with (copy / MIDDLE).open("wb") as stream:
        stream.truncate(10**9)
    with pytest.raises(ModelError, match=r"the model file .* is larger than one may be"):
        load_model(copy).verify()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.clear(),
        lambda m: m.update(format=3),
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
        lambda m: m["taps"][0].pop("path"),
        lambda m: m["taps"][0].update(path=[[3, 0, 0, False]]),
        lambda m: m["taps"][0].update(path=[[0, 2, 0, False]]),
        lambda m: m["taps"][0].update(path=[[3, 2]]),
        lambda m: m.pop("backbone_sha256"),
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


@pytest.mark.parametrize(
    "change",
    [
        lambda program: program.clear(),
        lambda program: program.update(segments=[]),
        lambda program: program.update(segments={}),
        lambda program: program.update(segments=["segment-00.onnx"]),
        lambda program: program["segments"][0].update(file="segment-99.onnx"),
        lambda program: program["segments"][0].update(file=MANIFEST),
        lambda program: program["segments"][0].update(file="../segment-00.onnx"),
        lambda program: program["segments"][0].pop("switches"),
        lambda program: program["segments"][0].update(switches=3),
        lambda program: program.update(unit=0),
        lambda program: program.update(unit=2.5),
        lambda program: program.update(unit=True),
        lambda program: program.update(kept=10**9),
        lambda program: program.update(working=-1),
        lambda program: program.update(working="much"),
        lambda program: program.pop("kept"),
        lambda program: program.update(reach="many"),
        lambda program: program.update(reach=-1),
        lambda program: program.update(reach=256),
        lambda program: program.pop("exchanges"),
        lambda program: program.update(exchanges=[3]),
        lambda program: program["exchanges"][0].pop("row"),
        lambda program: program["exchanges"][0].update(neighbour=0),
        lambda program: program["exchanges"][0].update(neighbour=[1]),
        lambda program: program["exchanges"][0].update(beyond=2),
        lambda program: program["taps"].pop("3"),
        lambda program: program["taps"].update({"9": program["taps"]["3"]}),
        lambda program: program["taps"].update({"3": []}),
        lambda program: program["taps"]["3"][0].update(phase=[0, 2]),
        lambda program: program["taps"]["3"][0].update(phase=[0]),
        lambda program: program["taps"]["3"][0].update(step=0),
        lambda program: program["taps"]["3"][0].update(step=3),
        lambda program: program["taps"]["3"][0].pop("value"),
    ],
)
def test_an_odd_program_is_refused(copy: Path, change: Callable[[dict[str, Any]], object]) -> None:
    edit(copy, lambda m: change(m["program"]))
    with pytest.raises(ModelError, match="is not the manifest of an Ortist model"):
        load_model(copy)


@pytest.mark.parametrize("program", [None, [], 3, "segments"])
def test_what_is_no_program_is_refused(copy: Path, program: Any) -> None:
    edit(copy, lambda m: m.update(program=program))
    with pytest.raises(ModelError, match="is not the manifest of an Ortist model"):
        load_model(copy)


def test_external_data_is_never_read(
    copy: Path, monkeypatch: pytest.MonkeyPatch, procedural: Model
) -> None:
    """A graph with the right hash that keeps its weights in a file of its own."""
    graph = onnx.load(procedural.folder / MIDDLE, load_external_data=False)
    monkeypatch.chdir(copy)
    weights = [t for t in graph.graph.initializer if t.name.startswith("features.")]
    data = b"".join(tensor.raw_data for tensor in weights)
    assert len(data) > 50_000
    Path("outside.bin").write_bytes(data)
    offset = 0
    for tensor in weights:
        length = len(tensor.raw_data)
        set_external_data(tensor, "outside.bin", offset=offset, length=length)
        tensor.ClearField("raw_data")
        offset += length
    model = rehashed(copy, MIDDLE, graph.SerializeToString())
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        Sweeper(model, "cpu", 1).maps(np.zeros((1, 3, 32, 32), np.float32), [3])


def test_a_fifo_is_no_model_file(copy: Path) -> None:
    (copy / MIDDLE).unlink()
    os.mkfifo(copy / MIDDLE)
    with pytest.raises(ModelError, match=r"the model file .* is not a regular file; export"):
        load_model(copy).verify()


def test_what_lies_about_in_the_home_is_no_default(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORTIST_HOME", str(tmp_path))
    shutil.copytree(copy, tmp_path / "aaa")
    copy.rename(tmp_path / ".squeezenet1_1-killed")
    assert find_model().folder.parent == SHIPPED
    assert [name for name, _ in installed_models()] == ["aaa", "squeezenet1_1-procedural"]
