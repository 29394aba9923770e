"""Time per step, Ortist against PyTorch: python -m tests.benchmarks.step --sizes 192,512,1024

Each contestant lives in a process of its own; the processes take turns (A B C A B C …), one burst
of steps each, so that a machine whose speed drifts treats them alike. The ratio of a round is the
time of PyTorch's burst over Ortist's; the median over the rounds is reported. Gradients are
compared before anything is timed.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import typer

from .command import run
from .contestants import CONTESTANTS
from .failures import FAILURES

TOLERANCE = 1e-5
_PRODUCTS = 5
"""Large products in a burst, by whose rate the floor is told."""
_REST = 0.3
"""Seconds between bursts: OpenMP's and ONNX Runtime's idle threads spin on for up to 0.2."""


def _work(connection: Connection, name: str, arguments: tuple[Any, ...]) -> None:
    """A contestant's process: answers "gradient" and numbers of steps until told to stop."""
    try:
        contestant = CONTESTANTS[name](*arguments)
    except FAILURES as error:
        connection.send(error)
        return
    connection.send("ready")
    while (order := connection.recv()) is not None:
        if order == "gradient":
            connection.send(contestant.gradient())
            continue
        began = time.perf_counter()
        for _ in range(order):
            contestant.step()
        contestant.wait()
        connection.send((time.perf_counter() - began) / order)


class Worker:
    """One contestant in a process of its own. Raises what it cannot be built for."""

    def __init__(self, name: str, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, name, arguments), daemon=True)
        self._process.start()
        theirs.close()
        if isinstance(answer := self._connection.recv(), FAILURES):
            raise answer

    def ask(self, order: int | str) -> Any:
        self._connection.send(order)
        return self._connection.recv()

    def stop(self) -> None:
        self._connection.send(None)
        self._process.join()


def gradient_error(found: Any, *references: Any) -> tuple[float, float]:
    """The largest difference to the nearest reference, and the share of components beyond 1e-5.

    Relative to the largest component. Two references, float32 and float64, because rounding decides
    which of two all but equal values is the maximum of a window (see ortist_export/check.py): among
    the millions of windows of a large picture a few are decided otherwise by every program.
    """
    import numpy as np

    scale = np.abs(references[0]).max()
    errors = np.min([np.abs(found - reference) for reference in references], axis=0) / scale
    return float(errors.max()), float((errors > TOLERANCE).mean())


def race(side: int, names: list[str], rounds: int, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Milliseconds a step of every contestant at that size, and PyTorch's best over Ortist's.

    The first of ``names`` is Ortist's.
    """
    exact = Worker("torch-float64", *arguments)
    reference = exact.ask("gradient")
    exact.stop()
    workers = {name: Worker(name, *arguments) for name in names}
    gradients = {name: worker.ask("gradient") for name, worker in workers.items()}
    ours, theirs = names[:2]
    error, share = gradient_error(gradients[ours], gradients[theirs], reference)
    # Of a deep network with random weights PyTorch's own float32 is off in several per cent.
    _, usual = gradient_error(gradients[theirs], reference)
    assert share <= max(1e-3, usual), (
        f"at {side} px {share:.1%} of the gradient is off, by up to {error:.1e}"
    )
    burst = max(1, round(20 * (192 / side) ** 2))
    if names[0] == "ortist":
        workers["product"] = Worker("product")
    bursts = {name: _PRODUCTS if name == "product" else burst for name in workers}
    for name, worker in workers.items():
        worker.ask(max(3, bursts[name] // 2))  # warm-up
    times: dict[str, list[float]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            time.sleep(_REST)
            times[name].append(worker.ask(bursts[name]))
    for worker in workers.values():
        worker.stop()
    ratios = {
        name: statistics.median(
            other / own for other, own in zip(times[name], times[ours], strict=True)
        )
        for name in names
        if name != ours
    }
    best = min(ratios, key=lambda name: ratios[name])
    pixels = gradients[ours].size / 3
    floor = {}
    if "product" in times:
        floor = _floor(arguments[0], gradients[ours].shape, times[ours], times.pop("product"))
    return {
        **floor,
        "size": side,
        "nanoseconds_a_pixel": statistics.median(times[ours]) * 1e9 / pixels,
        "milliseconds": {name: statistics.median(t) * 1e3 for name, t in times.items()},
        "ratios": ratios,
        "best": best,
        "ratio": ratios[best],
        "gradient_error": error,
        "gradient_beyond_1e-5": share,
    }


def _floor(
    model: str | None, shape: tuple[int, ...], ours: list[float], product: list[float]
) -> dict[str, float]:
    """The least time of a step by the product's rate (floor.py), and how much more ours takes."""
    from ortist.network.bundle import find_model

    from .contestants import recipe_of
    from .floor import Product, operations

    found = find_model(model)
    style = recipe_of(found).style
    products = operations(found, shape[2], shape[3], style) / Product.operations
    over = (own / (products * other) for own, other in zip(ours, product, strict=True))
    return {
        "gigaflops": Product.operations / statistics.median(product) / 1e9,
        "floor": products * statistics.median(product) * 1e3,
        "over_floor": statistics.median(over),
    }


def main(
    sizes: Annotated[str, typer.Option(help="Shorter sides in pixels.")] = "192,512,1024",
    rounds: Annotated[int, typer.Option(help="Rounds of bursts.", min=3)] = 11,
    model: Annotated[str | None, typer.Option(help="The model; its weights go to both.")] = None,
    content: Annotated[Path | None, typer.Option(help="A picture; else the sample.")] = None,
    style: Annotated[Path | None, typer.Option(help="A painting; else the sample.")] = None,
    provider: Annotated[str, typer.Option(help="Where: cpu, or cuda for both.")] = "cpu",
    compiled: Annotated[bool, typer.Option("--compile", help="Race torch.compile too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Race one optimiser step of the CS231n recipe against PyTorch."""
    from .floor import processor
    from .requirements import require_cuda, require_torch

    require_torch()
    if provider == "cpu":
        names = ["ortist", "torch", "torch-channels-last", "torch-compile"]
    else:
        require_cuda(model, provider)
        names = ["ortist-cuda", "torch-cuda", "torch-cuda-channels-last", "torch-cuda-compile"]
    names = names if compiled else names[:-1]
    pictures = (content, style) if content and style else None
    found = []
    if not as_json:
        print(processor())
    for side in map(int, sizes.split(",")):
        result = race(side, names, rounds, (model, side, pictures))
        found.append(result)
        if not as_json:
            times = ", ".join(f"{n} {ms:.1f} ms" for n, ms in result["milliseconds"].items())
            print(
                f"{side:>5} px: {times}; {result['best']} / {names[0]} = {result['ratio']:.2f}, "
                f"{_over_floor(result)}{result['nanoseconds_a_pixel']:.0f} ns a pixel, "
                f"gradients equal but for {result['gradient_beyond_1e-5']:.0e}"
            )
    if as_json:
        print(json.dumps({"machine": processor(), "sizes": found}))


def _over_floor(result: dict[str, Any]) -> str:
    if "floor" not in result:
        return ""
    return (
        f"{result['over_floor']:.2f} times the floor of {result['floor']:.1f} ms "
        f"({result['gigaflops']:.0f} GFLOP/s), "
    )


if __name__ == "__main__":
    run(main)
