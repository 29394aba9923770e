"""The ops of exported graphs against what the documentation of providers lists.

The lists hold what of the ops of our graphs each provider's documentation names: WebGPU's is
webgpu-operators.md of onnxruntime-web, CoreML's the table of ML programs, CUDA's that of kernels.
What one of them lacks, its graphs leave to the CPU; docs/format.md names those ops.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import onnx
import pytest
from ortist_export.bundle import read_program
from ortist_models import MANIFEST, SHIPPED, SHIPPED_MODEL

from tests.conftest import ROOT
from tests.portability.case import packages

COMMON = {
    *("Add", "Concat", "Conv", "ConvTranspose", "Gemm", "HardSigmoid", "MatMul", "Mul"),
    *("ReduceSum", "Relu", "Reshape", "Shape", "Slice", "Split", "Sqrt", "Sub", "Transpose"),
    *("Unsqueeze",),
}
"""Ops that all three name."""
LACKING = {
    "WebGPU": {"ConstantOfShape", "Identity", "Max", "Size"},
    "CoreML": {
        *("ConstantOfShape", "Expand", "Flatten", "Greater", "If", "Neg", "Pad", "Size"),
    },
    "CUDA": set[str](),
}
"""Ops of the shipped graphs that a provider's documentation does not name."""
ATTRIBUTES = {
    "Concat": {"axis"},
    "ConstantOfShape": {"value"},
    "Conv": {"dilations", "group", "kernel_shape", "pads", "strides", "auto_pad"},
    "ConvTranspose": {"output_padding", "pads", "strides"},
    "Flatten": {"axis"},
    "Gemm": {"transB"},
    "HardSigmoid": {"alpha", "beta"},
    "If": {"then_branch", "else_branch"},
    "Pad": {"mode"},
    "ReduceSum": {"keepdims"},
    "Shape": {"start", "end"},
    "Split": {"axis"},
    "Transpose": {"perm"},
}
"""The attributes that our graphs give ops; none where an op is not listed."""


def nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes(attribute.g)


@pytest.fixture(scope="module")
def shipped() -> list[onnx.NodeProto]:
    folder = SHIPPED / SHIPPED_MODEL
    program = read_program(folder, json.loads((folder / MANIFEST).read_text()))
    return [node for segment in program.segments for node in nodes(segment.graph)]


def test_ops_are_those_that_all_have_or_named_exceptions(shipped: list[onnx.NodeProto]) -> None:
    found = {node.op_type for node in shipped}
    assert all(node.domain == "" for node in shipped)
    assert found == COMMON | set[str]().union(*LACKING.values())
    page = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")
    for provider, lacking in LACKING.items():
        (line,) = re.findall(rf"^\| {provider} \| (.*) \|$", page, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", line)) == lacking


def test_attributes_are_few_and_pads_name_no_axes(shipped: list[onnx.NodeProto]) -> None:
    for node in shipped:
        given = {attribute.name for attribute in node.attribute}
        assert given <= ATTRIBUTES.get(node.op_type, set()), node.name
        if node.op_type == "Pad":
            assert len(node.input) < 4, node.name
        if node.op_type == "ReduceSum" and len(node.input) > 1:
            kept = [a.i for a in node.attribute if a.name == "keepdims"]
            assert kept in ([], [1]), node.name  # else CUDA refuses a sum over no position
        for attribute in node.attribute:
            if attribute.name == "auto_pad":
                assert attribute.s == b"NOTSET", node.name
            if attribute.name == "pads" and node.op_type == "ConvTranspose":
                assert attribute.ints[:2] == attribute.ints[2:], node.name  # what CUDA has


def test_webgpus_own_table_says_so() -> None:
    table = packages("onnxruntime-web") / "onnxruntime-web" / "docs" / "webgpu-operators.md"
    named = set(re.findall(r"^\| (\w+) \|", table.read_text(encoding="utf-8"), re.MULTILINE))
    assert named >= COMMON
    assert not named & LACKING["WebGPU"]


READ_ON_CPU = {"Reshape": [1], "Pad": [1], "Split": [1], "Expand": [1], "Slice": [1, 2, 3, 4]}
READ_ON_CPU |= {"ConstantOfShape": [0], "Unsqueeze": [1], "ReduceSum": [1]}
"""Inputs that CUDA's kernels read in the CPU's memory, by their op."""


def counted_on_cpu(members: list[onnx.NodeProto], given: set[str]) -> set[str]:
    """What is computed on the CPU of the lengths that are asked for in a segment.

    That is ONNX Runtime's rule for CUDA: a node of which one input is such, and all others too, or
    a constant, or ``given`` to the graph.
    """
    found: set[str] = set()
    for node in members:
        names = {name for name in node.input if name}
        if node.op_type in ("Shape", "Size") or (names & found and names <= found | given):
            found |= {*node.output}
    return found


def test_no_length_is_computed_on_a_gpu_that_the_cpu_waits_for() -> None:
    folder = SHIPPED / SHIPPED_MODEL
    program = read_program(folder, json.loads((folder / MANIFEST).read_text()))
    looked_at = 0
    for segment in program.segments:
        graph = segment.graph
        given = {value.name for value in (*graph.input, *graph.initializer)}
        members = [*nodes(graph)]
        there = given | counted_on_cpu(members, given)
        for node in members:
            for place in READ_ON_CPU.get(node.op_type, []):
                if node.input[place : place + 1] not in ([], [""]):
                    looked_at += 1
                    assert node.input[place] in there, node.name
    assert looked_at > 100
