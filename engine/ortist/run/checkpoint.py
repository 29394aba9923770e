"""Checkpoints: the state of a run in one file, from which it goes on to the same bytes.

The file is a line of magic, the SHA-256 of all that follows, the length of the header, the header
(JSON), and the arrays that it lists, little-endian, one after the other. Nothing in it is code, and
nothing of it is used before its hash is right. ``identity`` says whose checkpoint it is: options,
pictures, model and versions, by name.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import Arrays, Rows, chunks, pixel_row_slices
from ..errors import CheckpointError, OrtistError, OutputError
from ..files import atomic_writer, require_file
from ..objective.targets import Losses
from .lbfgs import LbfgsState
from .optimizers import AdamState, Point, RunningAverage
from .stepping import Progress, State

__all__ = ["Saved", "read_checkpoint", "remove_checkpoint", "write_checkpoint"]

_MAGIC = b"ortist checkpoint 2\n"
_HASH = hashlib.sha256().digest_size
_DAMAGES = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
    *(MemoryError,),
)
"""What a file raises that has the right hash and is none of ours."""
_LONGEST = 1e9
"""Seconds of a run at most: thirty years."""
_LIMITS = {"values": (-1e12, 1e12), "average": (-1e12, 1e12), "second": (0.0, math.inf)}
"""Least and greatest of those arrays whose numbers a run could not go on with otherwise."""
_KINDS = {np.dtype("<f4"), np.dtype("<f8")}
_PLAIN = ("iteration", "scale", "began", "jitter", "converged", "hurried")
"""What of a state stands in the header as it is."""


class Saved(NamedTuple):
    """A state, every step up to it, and the snapshots on the way (sRGB in [0, 1], [H, W, 3])."""

    state: State
    steps: Sequence[Progress]
    snapshots: dict[int, Any]


def write_checkpoint(path: Path, saved: Saved, identity: Mapping[str, Any]) -> None:
    """Writes it whole or not at all; raises OutputError.

    What a killed process leaves of a temporary file is used again by the next.
    """
    state, arrays = _take_apart(saved)
    listed = [[name, np.dtype(array.dtype).str, array.shape] for name, array in arrays.items()]
    header = json.dumps({"identity": identity, "state": state, "arrays": listed}).encode()
    digest = hashlib.sha256()
    with atomic_writer(path, _scratch(path)) as stream:
        stream.write(_MAGIC + bytes(_HASH))
        begin: list[bytes | memoryview] = [len(header).to_bytes(8, "little"), header]
        for part in itertools.chain(begin, *map(chunks, arrays.values())):
            digest.update(part)
            stream.write(part)
        stream.seek(len(_MAGIC))
        stream.write(digest.digest())


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


def read_checkpoint(path: Path, identity: Mapping[str, Any], place: Arrays) -> Saved:
    """What ``write_checkpoint`` wrote, with its arrays in ``place``.

    Raises CheckpointError for a file that is no checkpoint, is cut short or damaged, or belongs to
    another run; the file stays as it is.
    """
    with _opened(path) as stream:
        digest, begin = stream.read(_HASH), stream.tell()
        if hashlib.file_digest(stream, "sha256").digest() != digest:
            raise CheckpointError(
                f"the checkpoint {str(path)!r} is cut short or damaged; remove it to start anew."
            )
        stream.seek(begin)
        try:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(_checked(length, _size(stream))))
            _compare(path, header["identity"], json.loads(json.dumps(identity)))
            arrays = _arrays(header["arrays"], stream, place)
            return _put_together(header["state"], arrays)
        except _DAMAGES as error:
            if isinstance(error, OrtistError):
                raise
            raise CheckpointError(
                f"the checkpoint {str(path)!r} is not one that this Ortist wrote "
                f"({type(error).__name__}); remove it to start anew."
            ) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """The file after its magic."""
    require_file(path, f"the checkpoint {str(path)!r}", CheckpointError, "name another")
    try:
        with path.open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise CheckpointError(
                    f"{str(path)!r} is not a checkpoint of this version of Ortist; name another "
                    "file, or remove it to start anew."
                )
            yield stream
    except OSError as error:
        raise CheckpointError(
            f"cannot read the checkpoint {str(path)!r} ({error.strerror}); name another."
        ) from error


def _compare(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises CheckpointError for the first entry in which the two differ."""
    for name in dict.fromkeys([*here, *there]):
        old, new = there.get(name), here.get(name)
        if old != new:
            difference = f"{name} was {json.dumps(old)} and is now {json.dumps(new)}"
            if name == "model" or " image" in name or " mask" in name:  # these are hashes
                difference = f"the {name} is another"
            raise CheckpointError(
                f"the checkpoint {str(path)!r} is of another run: {difference}; start as that run "
                "was started, or remove the file or name another to start anew."
            )


def _arrays(listed: list[Any], stream: BinaryIO, place: Arrays) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for name, dtype, shape in listed:
        kind = np.dtype(str(dtype))
        if kind not in _KINDS or len(shape) > 4 or not isinstance(name, str):
            raise ValueError(dtype)
        _checked(math.prod(_checked(side, 2**31) for side in shape) * 8, 8 * _size(stream))
        large = place.on_disk and len(shape) >= 3
        take = functools.partial(_next, stream, kind, _LIMITS.get(name, (-math.inf, math.inf)))
        if large and name.startswith("snapshot "):  # [H, W, 3]
            planes = place.zeros((1, shape[2], *shape[:2]), kind)
            arrays[name] = Rows(planes)
            for rows in pixel_row_slices(arrays[name]):
                part = take((rows.stop - rows.start, *shape[1:]))
                planes[(..., rows, slice(None))] = part.transpose(2, 0, 1)
        elif large:
            arrays[name] = place.filled(tuple(shape), take)
        else:
            arrays[name] = take(tuple(shape))
    if stream.read(1):
        raise ValueError("more")
    return arrays


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _checked(value: Any, most: float, *kinds: type) -> Any:
    """A number from 0 to ``most``, of ``kinds`` or whole; raises ValueError for anything else."""
    if type(value) not in (kinds or (int,)) or not 0 <= value <= most:
        raise ValueError(value)
    return value


def _next(
    stream: BinaryIO, kind: np.dtype[Any], limits: tuple[float, float], shape: tuple[int, ...]
) -> NDArray[Any]:
    """The next values of the file, of which there must be as many, finite and within ``limits``.

    Raises ValueError otherwise.
    """
    size = math.prod(shape) * kind.itemsize
    data = stream.read(size)
    if len(data) != size:
        raise ValueError(size)
    values = np.frombuffer(bytearray(data), kind).reshape(shape)
    least, most = limits
    if not (np.isfinite(values).all() and (values >= least).all() and (values <= most).all()):
        raise ValueError("numbers that no run comes to")
    return values


def _take_apart(saved: Saved) -> tuple[dict[str, Any], dict[str, Any]]:
    """What goes into the header, and the arrays by name."""
    state, steps, snapshots = saved
    values: dict[str, Any] = {name: getattr(state, name) for name in _PLAIN}
    values["iterations"] = steps[-1].iterations
    values["average"] = [state.average.decay, state.average.weight]
    last = steps[-1].losses
    values["losses"] = [list(last.content_by_layer), list(last.style_by_layer)]
    values["snapshots"] = list(snapshots)
    arrays: dict[str, Any] = {
        "steps": np.array([_row(step) for step in steps], "<f8"),
        "values": state.point.values,
        "gradient": state.point.gradient,
    }
    if state.average.total is not None:
        arrays["average"] = state.average.total
    if isinstance(state.optimizer, AdamState):
        values["adam"] = state.optimizer.steps
        arrays |= {"first": state.optimizer.first, "second": state.optimizer.second}
    else:
        values["lbfgs"] = len(state.optimizer.pairs)
        for index, (s, y) in enumerate(state.optimizer.pairs):
            arrays |= {f"s{index}": s, f"y{index}": y}
    return values, arrays | {f"snapshot {n}": values for n, values in snapshots.items()}


def _check_state(values: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Raises a ValueError or the like for what no run can have come to."""
    iteration = _checked(values["iteration"], 10**6)
    for name, most in (("scale", 100), ("began", iteration), ("iterations", 10**6)):
        _checked(values[name], most)
    for name in ("converged", "hurried"):
        _checked(values[name], True, bool)
    for number in values["average"]:
        _checked(number, 1, int, float)
    _checked(values.get("adam", 0), 10**6)
    _checked(values.get("lbfgs", 0), 100)
    for layer in itertools.chain(*values["losses"]):
        _checked(layer, 10**4)
    np.random.default_rng().bit_generator.state = values["jitter"]
    if "average" in arrays and not values["average"][1]:
        raise ValueError("an average of nothing")
    shape = arrays["values"].shape
    for name, array in arrays.items():
        alike = not name.startswith(("snapshot ", "steps"))
        fits = array.shape == shape and array.dtype == np.float32 if alike else True
        sides = len(array.shape), array.shape[-1]  # of what may be in a file, without an ndim
        if not fits or (name.startswith("snapshot ") and sides != (3, 3)):
            raise ValueError(name)
    sides, seconds = arrays["steps"][:, 0], arrays["steps"][:, 1]
    for side in sides.tolist():
        _checked(side, 2**31, float)
    if seconds[0] < 0 or seconds[-1] > _LONGEST or (np.diff(seconds) < 0).any():
        raise ValueError("seconds")


def _put_together(values: Mapping[str, Any], arrays: Mapping[str, Any]) -> Saved:
    _check_state(values, arrays)
    steps = []
    content, style = values["losses"]
    for iteration, (scale, seconds, tv, *rest) in enumerate(arrays["steps"].tolist()):
        by_layer = list(zip([*content, *style], rest, strict=True))
        losses = Losses(dict(by_layer[: len(content)]), dict(by_layer[len(content) :]), tv)
        steps.append(Progress(iteration, values["iterations"], int(scale), losses, seconds))
    optimizer: AdamState | LbfgsState
    if "adam" in values:
        optimizer = AdamState(values["adam"], arrays["first"], arrays["second"])
    else:
        pairs = ((arrays[f"s{i}"], arrays[f"y{i}"]) for i in range(values["lbfgs"]))
        optimizer = LbfgsState(tuple(pairs))
    decay, weight = values["average"]
    state = State(
        point=Point(arrays["values"], losses.total, arrays["gradient"], losses),
        optimizer=optimizer,
        average=RunningAverage(decay, arrays.get("average"), weight),
        **{name: values[name] for name in _PLAIN},
    )
    if len(steps) != state.iteration + 1:
        raise ValueError(len(steps))
    kept = [_checked(n, state.iteration) for n in values["snapshots"]]
    return Saved(state, steps, {n: arrays[f"snapshot {n}"] for n in kept})


def _row(step: Progress) -> list[float]:
    losses = step.losses
    by_layer = (*losses.content_by_layer.values(), *losses.style_by_layer.values())
    return [step.scale, step.seconds, losses.tv, *by_layer]
