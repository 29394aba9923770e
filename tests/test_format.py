"""docs/format.md against the shipped model: its fields, switches, inputs, outputs and versions."""

from __future__ import annotations

import hashlib
import json
import re

import onnx
import pytest
from ortist_export.bundle import read_program
from ortist_models import FEATURES, FORMAT, MANIFEST, SHIPPED, SHIPPED_MODEL

from tests.conftest import ROOT
from tests.export.told import check_doc_strings

PAGE = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
FOLDER = SHIPPED / SHIPPED_MODEL
RAW = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))


def table(heading: str, after: str = "") -> list[list[str]]:
    """The rows, in cells, of the table with that first heading that follows those words."""
    text = PAGE.split(after, 1)[1] if after else PAGE
    lines = text.split(f"\n| {heading} |", 1)[1].split("\n\n")[0].splitlines()[2:]
    return [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def fields(after: str) -> set[str]:
    return {name for row in table("field", after) for name in names(row[0])}


def general(name: str) -> str:
    """A value's name as the page has it: l for a tap, i for a part."""
    found = re.fullmatch(r"([a-z_]+?)_\d+(_\d+)?", name)
    return name if found is None else found[1] + "_l" + ("_i" if found[2] else "")


@pytest.fixture(scope="module")
def segments() -> list[onnx.ModelProto]:
    return read_program(FOLDER, RAW).segments


def described(segments: list[onnx.ModelProto], side: str) -> dict[str, list[onnx.ValueInfoProto]]:
    """The segments' inputs or outputs that have a meaning outside, by the page's names.

    Features, halos and edges are left out, whose names the manifest tells, and what a segment hands
    on to another.
    """
    told = {part["value"] for parts in RAW["program"]["taps"].values() for part in parts}
    told |= {str(name) for exchange in RAW["program"]["exchanges"] for name in exchange.values()}
    found: dict[str, list[onnx.ValueInfoProto]] = {}
    for segment in segments:
        for value in getattr(segment.graph, side):
            if not value.doc_string.startswith("Handed on") and value.name not in told:
                found.setdefault(general(value.name), []).append(value)
    return found


def test_the_pages_fields_are_the_manifests() -> None:
    assert fields("## The manifest") == {*RAW}
    assert all(fields("An entry of `taps`") == {*tap} for tap in RAW["taps"])
    assert fields("## The recipe") == {*RAW["recipe"]}
    told = names(PAGE.split("## The program")[1])
    assert {*RAW["program"]} <= {name.removeprefix("program.") for name in told}
    for exchange in RAW["program"]["exchanges"]:
        assert {*exchange} <= {*told}
    for key in ("normalization", "weights"):
        (row,) = [row for row in table("field", "## The manifest") if row[0] == f"`{key}`"]
        assert names(row[1]) == [*RAW[key]]


def test_the_pages_switches_are_the_programs() -> None:
    switches = {name for s in RAW["program"]["segments"] for name in s["switches"]}
    assert {names(row[0])[0] for row in table("switch")} == {general(name) for name in switches}


@pytest.mark.parametrize("side", ["input", "output"])
def test_the_pages_inputs_and_outputs_are_the_graphs(
    segments: list[onnx.ModelProto], side: str
) -> None:
    rows = table(side)
    if side == "output":
        assert "program.taps" in rows.pop(0)[0]
    known = described(segments, side)
    assert {name for row in rows for name in names(row[0])} == {*known}
    for row in rows:
        shape = row[1].strip("[]")
        for name in names(row[0]):
            for value in known[name]:
                kind = value.type.tensor_type
                assert len(kind.shape.dim) == len(shape.split(", ") if shape else [])
                integers = name.startswith(("first_", "end_"))
                assert kind.elem_type == (7 if integers else 1)  # int64, float32
                if name not in ("rows",):  # whose own rows have another letter there
                    assert f"[{shape}]" in value.doc_string


def test_every_input_and_output_has_a_doc_string(segments: list[onnx.ModelProto]) -> None:
    check_doc_strings(segments, RAW["program"]["taps"])
    features = onnx.load(FOLDER / FEATURES).graph
    for value in (*features.input, *features.output):
        assert value.doc_string
    assert [v.doc_string.split(",")[1] for v in features.output] == [
        f" features of tap {tap['index']}" for tap in RAW["taps"]
    ]


def test_the_files_have_the_hashes_and_lengths_of_the_manifest() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*RAW["files"], MANIFEST}
    for file, entry in RAW["files"].items():
        data = (FOLDER / file).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def test_the_page_has_the_versions(segments: list[onnx.ModelProto]) -> None:
    assert f"version {FORMAT} of the format" in PAGE
    assert RAW["format"] == FORMAT
    for segment in segments:
        (opset,) = segment.opset_import
        assert opset.domain == ""
        assert f"opset {opset.version} and\nIR version {segment.ir_version}" in PAGE
