"""The least time of a step on this machine: its products' operations over the rate of a product.

Operations are counted from the model's own graph, for the picture's size: two for each
multiplication and addition of its convolutions and matrix products, as the program has them. The
rate is measured beside the race, by ONNX Runtime on one large product with all threads. What a step
takes beyond that floor is data movement, and kernels that are slower than the product.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from ortist.network.bundle import Model

__all__ = ["Product", "operations", "processor"]

_SIDE = 1024


class Product:
    """One large product, as a contestant of the race beside which the floor is measured."""

    operations = 2 * _SIDE**3
    """Of one step."""

    def __init__(self, threads: int) -> None:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        node = helper.make_node("MatMul", ["a", "b"], ["c"])
        values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", "n"]) for n in "abc"]
        graph = helper.make_graph([node], "product", values[:2], values[2:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        matrices = np.random.default_rng(0).random((2, _SIDE, _SIDE), dtype=np.float32)
        self._feed = dict(zip("ab", matrices, strict=True))

    def step(self) -> None:
        self._session.run(None, self._feed)

    def wait(self) -> None:
        """Nothing is behind the program."""


def processor() -> str:
    """The processor's name, and whether it has AVX-512, where Linux says so."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    about = dict(line.replace("\t", "").partition(":")[::2] for line in lines if ":" in line)
    has = "with" if "avx512f" in about.get("flags", "").split() else "without"
    return f"{about.get('model name', platform.machine()).strip()}, {has} AVX-512"


def operations(model: Model, height: int, width: int, style: Collection[int]) -> int:
    """How many a step on a picture of that size takes, with Gram losses of the ``style`` taps.

    Segments beyond the deepest of them are not run, and not counted.
    """
    from ortist.objective.idle import find_idle
    from ortist.objective.opened import OpenProgram
    from ortist_export.bundle import read_program
    from ortist_export.one_piece import run_one_piece

    manifest = json.loads((model.folder / "manifest.json").read_text())
    program = read_program(model.folder, manifest)
    on = {f"with_{term}_{tap}" for term in ("moments", "style") for tap in style}
    idle = find_idle(OpenProgram(model, "cpu", 1).wiring, on).segments
    for segment in program.segments:
        nodes = list(_inlined(segment.graph.node, on))
        del segment.graph.node[:]
        segment.graph.node.extend(nodes)
        stored = [tensor for tensor in segment.graph.initializer if tensor.HasField("raw_data")]
        del segment.graph.initializer[:]
        segment.graph.initializer.extend(stored)
    counted = [s for index, s in enumerate(program.segments) if index not in idle]
    nodes = [node for segment in counted for node in segment.graph.node]
    zero = np.zeros((), np.float32)
    feed: dict[str, Any] = {"image": np.zeros((1, 3, height, width), np.float32)}
    feed |= {"tv_weight": zero, **{f"content_weight_{tap}": zero for tap in program.taps}}
    for value in (value for segment in program.segments for value in segment.graph.input):
        if value.name.startswith("mixing_"):
            channels = value.type.tensor_type.shape.dim[0].dim_value
            feed[value.name] = np.zeros((channels, channels), np.float32)
    values = {**feed, **run_one_piece(program, feed, (), [o for n in nodes for o in n.output])}
    for segment in program.segments:
        for tensor in segment.graph.initializer:
            values[tensor.name] = numpy_helper.to_array(tensor)
    # (The content's terms hold no products.)
    return sum(_operations_of(node, values) for node in nodes)


def _inlined(nodes: Iterable[onnx.NodeProto], on: Collection[str]) -> Iterator[onnx.NodeProto]:
    """The nodes, and in the place of those that a switch decides those that it leaves."""
    for node in nodes:
        if node.op_type != "If" or not node.input[0].startswith("with_"):
            yield node
            continue
        branches = {attribute.name: attribute.g for attribute in node.attribute}
        branch = branches["then_branch" if node.input[0] in on else "else_branch"]
        yield from _inlined(branch.node, on)
        for inner, outer in zip(branch.output, node.output, strict=True):
            yield helper.make_node("Identity", [inner.name], [outer], f"{outer}.chosen")


def _operations_of(node: onnx.NodeProto, values: dict[str, Any]) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    first, second = (values[name] for name in node.input[:2])
    if node.op_type == "Conv":
        return 2 * int(values[node.output[0]].size) * int(np.prod(second.shape[1:]))
    if node.op_type == "ConvTranspose":
        return 2 * int(first.size) * int(np.prod(second.shape[1:]))
    # M x K times K x N: the length that the inputs share counts beside the output's.
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    inner = first.shape[-2 if given.get("transA") else -1]
    return 2 * int(values[node.output[0]].size) * int(inner)
