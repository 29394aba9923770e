"""Checkpoints: the state of a run in one file, from which it goes on to the same bytes.

The file is a line of magic, the SHA-256 of all that follows, the length of the header, the header
(JSON), and the arrays that it lists, little-endian, one after the other. Nothing in it is code, and
nothing of it is used before its hash is right. ``identity`` says whose checkpoint it is: options,
pictures, model and versions, by name.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError, OutputError
from .files import atomic_writer
from .images import Array
from .lbfgs import LbfgsState
from .objective import Losses
from .optimizers import AdamState, Point, RunningAverage
from .result import Progress, State

__all__ = ["Saved", "read_checkpoint", "remove_checkpoint", "write_checkpoint"]

_MAGIC = b"ortist checkpoint 1\n"
_HASH = hashlib.sha256().digest_size

Arrays = dict[str, NDArray[Any]]


class Saved(NamedTuple):
    """A state, every step up to it, and the snapshots on the way (sRGB in [0, 1], [H, W, 3])."""

    state: State
    steps: list[Progress]
    snapshots: dict[int, Array]


def write_checkpoint(path: Path, saved: Saved, identity: Mapping[str, Any]) -> None:
    """Writes it whole or not at all; raises OutputError.

    What a killed process leaves of a temporary file is used again by the next.
    """
    state, arrays = _take_apart(saved)
    listed = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    header = json.dumps({"identity": identity, "state": state, "arrays": listed}).encode()
    parts: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header]
    parts += [np.ascontiguousarray(array).data.cast("B") for array in arrays.values()]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    with atomic_writer(path, _scratch(path)) as stream:
        for part in (_MAGIC, digest.digest(), *parts):
            stream.write(part)


def remove_checkpoint(path: Path) -> None:
    """Removes it, with what a killed process may have left; a file that is not there is no error.

    Raises OutputError.
    """
    try:
        path.unlink(missing_ok=True)
        Path(os.path.realpath(path)).with_name(_scratch(path)).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot remove the checkpoint {str(path)!r} ({error.strerror}); remove it yourself."
        ) from error


def _scratch(path: Path) -> str:
    """The name of the temporary file beside it."""
    return f".{path.name}.part"


def read_checkpoint(path: Path, identity: Mapping[str, Any]) -> Saved:
    """What ``write_checkpoint`` wrote.

    Raises CheckpointError for a file that is no checkpoint, is cut short or damaged, or belongs to
    another run; the file stays as it is.
    """
    data = _read(path)
    digest, rest = data[len(_MAGIC) :][:_HASH], memoryview(data)[len(_MAGIC) + _HASH :]
    if hashlib.sha256(rest).digest() != digest:
        raise CheckpointError(
            f"the checkpoint {str(path)!r} is cut short or damaged; remove it to start anew."
        )
    try:
        length = int.from_bytes(rest[:8], "little")
        header = json.loads(bytes(rest[8 : 8 + length]))
        _compare(path, header["identity"], json.loads(json.dumps(identity)))
        return _put_together(header["state"], _arrays(header["arrays"], rest[8 + length :]))
    except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(
            f"the checkpoint {str(path)!r} is not one that this Ortist wrote "
            f"({type(error).__name__}); remove it to start anew."
        ) from error


def _read(path: Path) -> bytes:
    if not os.path.isfile(path):
        why = "is not a regular file" if os.path.exists(path) else "does not exist"
        raise CheckpointError(f"the checkpoint {str(path)!r} {why}; name another.")
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_MAGIC))
            if start == _MAGIC:
                return start + stream.read()
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r} ({error.strerror}); name another."
        ) from error
    raise CheckpointError(
        f"{str(path)!r} is not a checkpoint of this version of Ortist; name another file, or "
        "remove it to start anew."
    )


def _compare(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises CheckpointError for the first entry in which the two differ."""
    for name in dict.fromkeys([*here, *there]):
        old, new = there.get(name), here.get(name)
        if old != new:
            if name == "model" or " image" in name or " mask" in name:
                difference = f"the {name} is another"
            else:
                difference = f"{name} was {json.dumps(old)} and is now {json.dumps(new)}"
            raise CheckpointError(
                f"the checkpoint {str(path)!r} is of another run: {difference}; start as that run "
                "was started, or remove the file or name another to start anew."
            )


def _arrays(listed: list[Any], data: memoryview) -> Arrays:
    found: Arrays = {}
    begin = 0
    for name, dtype, shape in listed:
        kind = np.dtype(dtype)
        if kind.kind not in "fu":
            raise ValueError(dtype)
        end = begin + math.prod(shape) * kind.itemsize
        found[name] = np.frombuffer(data[begin:end], kind).reshape(shape).copy()
        begin = end
    if begin != len(data):
        raise ValueError(begin)
    return found


def _take_apart(saved: Saved) -> tuple[dict[str, Any], Arrays]:
    """What goes into the header, and the arrays by name."""
    state, steps, snapshots = saved
    values: dict[str, Any] = {
        "iteration": state.iteration,
        "iterations": steps[-1].iterations,
        "stage": state.stage,
        "began": state.began,
        "converged": state.converged,
        "hurried": state.hurried,
        "jitter": state.jitter,
        "average": [state.average.decay, state.average.weight],
        "losses": list(_flat(steps[-1].losses)),
    }
    columns = [[step.scale, step.seconds, *_flat(step.losses).values()] for step in steps]
    arrays: Arrays = {
        "steps": np.array(columns, "<f8"),
        "values": state.point.values,
        "gradient": state.point.gradient,
    }
    if state.average.total is not None:
        arrays["average"] = state.average.total
    if isinstance(state.optimizer, AdamState):
        values["adam"] = state.optimizer.steps
        arrays |= {"first": state.optimizer.first, "second": state.optimizer.second}
    else:
        values["lbfgs"] = [state.optimizer.evaluations, len(state.optimizer.pairs)]
        for index, (s, y) in enumerate(state.optimizer.pairs):
            arrays |= {f"s{index}": s, f"y{index}": y}
    values["snapshots"] = list(snapshots)
    arrays |= {f"snapshot {n}": values for n, values in snapshots.items()}
    return values, arrays


def _put_together(values: Mapping[str, Any], arrays: Arrays) -> Saved:
    steps = [
        Progress(
            iteration,
            values["iterations"],
            int(scale),
            _losses(dict(zip(values["losses"], losses, strict=True))),
            seconds,
        )
        for iteration, (scale, seconds, *losses) in enumerate(arrays["steps"].tolist())
    ]
    optimizer: AdamState | LbfgsState
    if "adam" in values:
        optimizer = AdamState(values["adam"], arrays["first"], arrays["second"])
    else:
        evaluations, pairs = values["lbfgs"]
        optimizer = LbfgsState(
            tuple((arrays[f"s{i}"], arrays[f"y{i}"]) for i in range(pairs)), evaluations
        )
    decay, weight = values["average"]
    losses = steps[-1].losses
    state = State(
        iteration=values["iteration"],
        stage=values["stage"],
        began=values["began"],
        point=Point(arrays["values"], losses.total, arrays["gradient"], losses),
        optimizer=optimizer,
        average=RunningAverage(decay, arrays.get("average"), weight),
        jitter=values["jitter"],
        converged=values["converged"],
        hurried=values["hurried"],
    )
    if len(steps) != state.iteration + 1:
        raise ValueError(len(steps))
    return Saved(state, steps, {n: arrays[f"snapshot {n}"] for n in values["snapshots"]})


def _flat(losses: Losses) -> dict[str, float]:
    """One number a term, and one a layer."""
    found: dict[str, float] = {}
    for name, value in vars(losses).items():
        if isinstance(value, Mapping):
            found |= {f"{name}:{tap}": number for tap, number in value.items()}
        else:
            found[name] = value
    return found


def _losses(flat: Mapping[str, float]) -> Losses:
    found: dict[str, Any] = {"content_by_layer": {}, "style_by_layer": {}}
    for name, number in flat.items():
        term, _, tap = name.partition(":")
        if tap:
            found[term][int(tap)] = number
        else:
            found[term] = number
    return Losses(**found)
