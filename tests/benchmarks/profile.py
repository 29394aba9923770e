"""Where a step's time goes: python -m tests.benchmarks.profile --size 512

Milliseconds a step by kind of op, and of the slowest single nodes, as ONNX Runtime's own profiler
has them. Recording costs a little itself. Names ending in _nchwc, Reorder and _token_ are what ONNX
Runtime's graph transformations made of the graph.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer
from ortist.options.fields import Provider

from .command import run
from .contestants import OrtistStep


def node_times(events: list[dict[str, Any]], steps: int) -> dict[tuple[str, str], float]:
    """(op, node) -> milliseconds a step, the median over steps."""
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    for event in events:
        name = event["name"].removesuffix("_kernel_time")
        # The nodes inside an If have entries of their own.
        if event.get("cat") == "Node" and name != event["name"]:
            op = event["args"]["op_name"]
            if op != "If":
                times[op, name].append(event["dur"] / 1e3)
    # A node of a branch may run in some steps only.
    return {key: statistics.median(found) * len(found) / steps for key, found in times.items()}


def node_providers(events: list[dict[str, Any]]) -> dict[str, int]:
    """How many nodes each execution provider has run."""
    placed = {
        event["name"]: event["args"]["provider"]
        for event in events
        if event.get("cat") == "Node" and "provider" in event["args"]
    }
    return dict(Counter(placed.values()))


def main(
    size: Annotated[int, typer.Option(help="Shorter side in pixels.")] = 512,
    steps: Annotated[int, typer.Option(help="Steps to time.", min=1)] = 20,
    threads: Annotated[int | None, typer.Option(help="CPU threads; else all.")] = None,
    nodes: Annotated[int, typer.Option(help="How many single nodes to list.")] = 15,
    model: Annotated[str | None, typer.Option(help="The model.")] = None,
    provider: Annotated[Provider, typer.Option(help="Where.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Print the time per op of a step of the CS231n recipe, and which provider ran its nodes."""
    with tempfile.TemporaryDirectory() as folder:
        contestant = OrtistStep(model, size, None, threads, f"{folder}/step", provider)
        for _ in range(steps):
            contestant.gradient()
        events = [
            event
            for path in contestant.end_profiling()
            for event in json.loads(Path(path).read_text(encoding="utf-8"))
        ]
    found = node_times(events, steps)
    placed = node_providers(events)
    by_op: dict[str, float] = defaultdict(float)
    for (op, _), milliseconds in found.items():
        by_op[op] += milliseconds
    ops = sorted(by_op.items(), key=lambda item: -item[1])
    slowest = sorted(found.items(), key=lambda item: -item[1])[:nodes]
    if as_json:
        listed = [{"op": op, "node": node, "milliseconds": ms} for (op, node), ms in slowest]
        print(
            json.dumps(
                {
                    "size": size,
                    "milliseconds_by_op": dict(ops),
                    "nodes": listed,
                    "providers": placed,
                }
            )
        )
        return
    total = sum(by_op.values())
    print(f"{total:8.2f} ms a step at {size} px")
    for op, milliseconds in ops:
        print(f"{milliseconds:8.2f} {milliseconds / total:4.0%} {op}")
    print(", ".join(f"{count} nodes by {name}" for name, count in placed.items()))
    print("the slowest nodes:")
    for (op, node), milliseconds in slowest:
        print(f"{milliseconds:8.2f}      {op} {node}")


if __name__ == "__main__":
    run(main)
