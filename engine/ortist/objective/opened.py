"""A program in sessions: opened with the switches that a run needs, and wired as its model says."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ortist_models.program import Exchange

from ..errors import ModelError
from ..network.bundle import Model
from ..network.machine import available_memory, give_back_memory, return_large_blocks
from ..network.providers import CPU, PROVIDERS
from ..network.sessions import ON_CUDA, open_session, private_arena

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["DECIDED", "OpenProgram", "Wiring", "arenas_for", "is_heavy"]

_ARENAS = 8
"""At most, of memory and of the sessions that use them: to open those of one takes 30 ms."""
_HEAVY = 64 * 2**20
"""Bytes of a model that are not held once for each thread: VGG-19's took 0.6 GB more by two, and
its steps as long."""

_POOL_PIXELS, _POOL = 2**20, 2**26
"""Pixels of the largest band that a thread's pool has room for, many times what a band has, and
bytes beside those and the weights."""
_COPIES = 4
"""How often weights may be in a pool: as they are, and as ONNX Runtime orders them."""
_SUMS = ("moments", "sums", "content_error")
DECIDED = ("mixing", "shift", "content_weight")
"""What the graph gives of a tap, and what it is given: ``moments_3``."""


def arenas_for(model: Model, threads: int) -> int:
    """How many pools of memory, each with sessions of its own, so many threads share in bands."""
    return 1 if is_heavy(model) else min(threads, _ARENAS)


def is_heavy(model: Model) -> bool:
    """Whether it is memory, and not time, that there is least of."""
    return model.size > _HEAVY


class Wiring:
    """Where the segments' inputs come from; raises ModelError where the manifest does not fit them.

    ``inputs`` and ``outputs`` are the names of each segment's, in their order. ``sessions`` has one
    a segment.
    """

    def __init__(self, model: Model, sessions: Sequence[InferenceSession]) -> None:
        program = model.program
        self.inputs = [[value.name for value in s.get_inputs()] for s in sessions]
        self.outputs = [[value.name for value in s.get_outputs()] for s in sessions]
        self.made = {name: index for index, names in enumerate(self.outputs) for name in names}
        """The segment of every output."""
        self.halos = {exchange.halo: exchange for exchange in program.exchanges}
        self.readers: dict[str, list[int]] = {}
        """The segments of every input."""
        for index, names in enumerate(self.inputs):
            for name in names:
                self.readers.setdefault(name, []).append(index)
        self.unset = {
            value.name: _zeros(value)
            for session in sessions
            for value in session.get_inputs()
            if value.name not in self.made
        }
        """What is given for an input that is not used, or not yet."""
        kept = {name for e in program.exchanges for name in (e.row, e.gradient)}
        self.last_read = [
            [name for name in names if self.readers[name][-1] == index and name not in kept]
            for index, names in enumerate(self.inputs)
        ]
        """By segment: what neither later ones nor neighbours read."""
        self.waits: list[dict[int, int]] = [{} for _ in sessions]
        """By segment: which segment the band above (-1) or below (1) must have done before."""
        self.added: list[list[Exchange]] = [[] for _ in sessions]
        """By segment: where neighbours' gradients are added to its inputs first."""
        for exchange in program.exchanges:
            needed = [
                (index, exchange.neighbour, exchange.row)
                for index in self.readers.get(exchange.halo, ())
            ]
            for index in self.readers.get(exchange.into, ())[-1:]:
                self.added[index].append(exchange)
                needed.append((index, -exchange.neighbour, exchange.gradient))
            for index, offset, source in needed:
                before = self.waits[index].get(offset, 0)
                self.waits[index][offset] = max(before, self.made.get(source, 0))
        self._check(model)
        self.sums: dict[int, tuple[int, int]] = {}
        """By tap: the segment that makes its sums, and the first one that needs what is decided."""
        for tap in program.taps:
            needing = [i for name in DECIDED for i in self.readers.get(f"{name}_{tap}", ())]
            made = max(self.made[f"{name}_{tap}"] for name in _SUMS)
            self.sums[tap] = made, min(needing, default=len(sessions))
        self.forward = 1 + max(made for made, _ in self.sums.values())
        """The number of segments until all sums are made."""
        self._check_order(model)

    def _check(self, model: Model) -> None:
        program, known = model.program, {"image", "rows", "tv_weight", "first_pixels", "end_pixels"}
        wanted = {"gradient", "variation"}
        for tap, parts in program.taps.items():
            known |= {f"{name}_{tap}" for name in DECIDED}
            wanted |= {f"{name}_{tap}" for name in _SUMS} | {part.value for part in parts}
            for index in range(len(parts)):
                known |= {f"{n}_{tap}_{index}" for n in ("content", "guides", "first", "end")}
        for exchange in program.exchanges:
            wanted |= {exchange.row, exchange.gradient, exchange.into}
        odd = (wanted - self.made.keys()) | (known - self.readers.keys())
        for index, names in enumerate(self.inputs):
            made = {name for name in names if self.made.get(name, index) < index}
            odd |= {*names} - made - known - self.halos.keys()
        if odd:
            raise ModelError(
                f"the model {model.name} is not one that Ortist can run (its program's inputs or "
                f"outputs differ in {', '.join(sorted(odd))}); export it again."
            )

    def _check_order(self, model: Model) -> None:
        """Raises ModelError where a sweep would wait for ever, or not come to the gradient."""
        early = [i for i, own in enumerate(self.waits) if any(w >= i for w in own.values())]
        early += [needed for made, needed in self.sums.values() if needed <= made]
        if early or self.made["gradient"] != len(self.inputs) - 1:
            first = min(early, default=len(self.inputs) - 1)
            raise ModelError(
                f"the model {model.name} is not one that Ortist can run (its program's segment "
                f"{first} comes before what it needs); export it again."
            )


def _zeros(value: Any) -> NDArray[Any]:
    """Zeros for an input, none along the axes whose lengths are not fixed."""
    shape = [axis if isinstance(axis, int) else 0 for axis in value.shape]
    return np.zeros(shape, np.int64 if value.type == "tensor(int64)" else np.float32)


class OpenProgram:
    """One model's program on the ``provider`` of that name (network/providers.py).

    Where it can be cut into bands, on the CPU, each of ``threads`` has sessions of its own with one
    thread each, since it is a session that has a pool of memory; beyond eight, and of a model with
    heavy weights, they share them. Else there is one session a segment, with all threads.
    """

    def __init__(
        self, model: Model, provider: str, threads: int, profile: str | None = None
    ) -> None:
        self.model, self.threads, self._profile = model, threads, profile
        self.pool = ThreadPoolExecutor(max(1, threads - 1))
        """The threads besides the one that calls."""
        self._open: dict[tuple[int, frozenset[str]], list[InferenceSession]] = {}
        self._records = itertools.count()
        self.seconds_opening = 0.0
        """What opening sessions took so far, which no later run takes."""
        self.provider = PROVIDERS[provider]
        """The provider in use, in ONNX Runtime's words."""
        self.device = "cuda" if self.provider in ON_CUDA else "cpu"
        """Whose memory inputs and outputs are in; others than CUDA's copy them as they need."""
        self.in_bands = bool(model.program.exchanges) and self.provider == CPU
        """Whether pictures are cut into bands, which threads work on side by side."""

    @functools.cached_property
    def wiring(self) -> Wiring:
        """Raises ModelError for segments that are not such as the manifest says."""
        if not self._open:
            self.sessions(frozenset())
        one = {index: own[0] for (index, _), own in self._open.items()}
        return Wiring(self.model, [one[index] for index in sorted(one)])

    def sessions(self, on: frozenset[str]) -> list[list[InferenceSession]]:
        """By segment, the sessions for threads to share evenly, with the switches ``on``."""
        segments = self.model.program.segments
        keys = [(index, on & {*segment.switches}) for index, segment in enumerate(segments)]
        missing = [key for key in keys if key not in self._open]
        if missing:
            self._open_all(missing)
        return [self._open[key] for key in keys]

    def end_profiling(self) -> list[str]:
        """The paths of the records of the runs so far, where ``profile`` asked for them."""
        return [str(session.end_profiling()) for own in self._open.values() for session in own]

    def _open_all(self, keys: Sequence[tuple[int, frozenset[str]]]) -> None:
        began = time.perf_counter()
        if is_heavy(self.model):
            return_large_blocks()
        give_back_memory()  # what sessions that were closed before have left
        opened: dict[tuple[int, frozenset[str]], list[InferenceSession]] = {k: [] for k in keys}
        threads = 1 if self.in_bands else self.threads
        arenas = arenas_for(self.model, self.threads) if self.in_bands else 1
        for arena in range(arenas):
            profile = self._profile and f"{self._profile}-{arena}"
            # Its sessions are opened by as many threads, all of which end before it is left.
            with private_arena(self._most), ThreadPoolExecutor(arenas) as executor:
                sessions = executor.map(
                    lambda key, to=profile: self._opened(key[0], key[1], threads, to), keys
                )
                for key, session in zip(keys, sessions, strict=True):
                    opened[key].append(session)
        self._open |= opened  # all or none
        give_back_memory()  # weights as they were before ONNX Runtime put them in its own order
        self.seconds_opening += time.perf_counter() - began

    @property
    def _most(self) -> int:
        """Bytes that a pool may have: what the manifest says of a band, or all that there is."""
        if not self.in_bands:
            return available_memory()
        return _POOL + _COPIES * self.model.size + self.model.program.working * _POOL_PIXELS

    def _opened(
        self, index: int, on: frozenset[str], threads: int, profile: str | None
    ) -> InferenceSession:
        segment = self.model.program.segments[index]
        switches = {name: name in on for name in segment.switches}
        data = self.model.read(segment.file)
        # ONNX Runtime 1.24 adds the second, in which others are opened too.
        profile = profile and f"{profile}-{index}-{next(self._records)}"
        return open_session(data, self.provider, threads, profile, switches, in_private_arena=True)
