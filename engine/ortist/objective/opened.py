"""A program in sessions: opened with the switches that a run needs, and wired as its model says."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ModelError
from ..network.bundle import Model
from ..network.sessions import has_gpu, open_session, private_arena
from ..options.fields import Provider

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Added", "OpenProgram", "Wiring"]

_CPU_PROVIDER = "CPUExecutionProvider"
_ARENAS = 8
"""At most, of memory and of the sessions that use them: to open those of one takes 30 ms."""


class Added(NamedTuple):
    """What a neighbour adds to a band's value ``into`` before a segment reads it.

    ``source``, one row, of the band at ``offset`` is added to the row ``row`` (0 or -1).
    """

    into: str
    row: int
    offset: int
    source: str


class Wiring:
    """Where the segments' inputs come from; raises ModelError where the manifest does not fit them.

    ``inputs`` and ``outputs`` are the names of each segment's, in their order.
    """

    def __init__(
        self, model: Model, inputs: Sequence[Sequence[str]], outputs: Sequence[Sequence[str]]
    ) -> None:
        program = model.program
        self.inputs, self.outputs = inputs, outputs
        self.made = {name: index for index, names in enumerate(outputs) for name in names}
        """The segment of every output."""
        self.halos = {exchange.halo: exchange for exchange in program.exchanges}
        last = {name: index for index, names in enumerate(inputs) for name in names}
        kept = {name for e in program.exchanges for name in (e.row, e.gradient)}
        self.last_read = [
            [name for name in names if last[name] == index and name not in kept]
            for index, names in enumerate(inputs)
        ]
        """By segment: what neither later ones nor neighbours read."""
        self.waits: list[dict[int, int]] = []
        """By segment: which segment the band above (-1) or below (1) must have done before."""
        self.added: list[list[Added]] = []
        """By segment: what neighbours add to its inputs first."""
        into = {
            exchange.into: index
            for index, names in enumerate(inputs)
            for exchange in program.exchanges
            if exchange.into in names
        }
        for index, names in enumerate(inputs):
            waits: dict[int, int] = {}
            added: list[Added] = []
            for exchange in program.exchanges:
                needed = []
                if exchange.halo in names:
                    needed.append((exchange.neighbour, exchange.row))
                if into.get(exchange.into) == index:
                    row = -1 if exchange.neighbour < 0 else 0
                    own = Added(exchange.into, row, -exchange.neighbour, exchange.gradient)
                    added.append(own)
                    needed.append((own.offset, own.source))
                for offset, source in needed:
                    waits[offset] = max(waits.get(offset, 0), self.made.get(source, 0))
            self.waits.append(waits)
            self.added.append(added)
        self._check(model)
        self.sums: dict[int, tuple[int, int]] = {}
        """By tap: the segment that makes its sums, and the first one that needs what is decided."""
        for tap in program.taps:
            wanted = {f"mixing_{tap}", f"shift_{tap}", f"content_weight_{tap}"}
            needing = [i for i, names in enumerate(inputs) if wanted & {*names}]
            made = max(self.made[f"{name}_{tap}"] for name in ("moments", "sums", "content_error"))
            self.sums[tap] = made, min(needing, default=len(inputs))
        self.forward = 1 + max(made for made, _ in self.sums.values())
        """The number of segments until all sums are made."""

    def _check(self, model: Model) -> None:
        program, known = model.program, {"image", "rows", "tv_weight", "first_pixels", "end_pixels"}
        wanted = {"gradient", "variation"}
        for tap, parts in program.taps.items():
            known |= {f"{name}_{tap}" for name in ("mixing", "shift", "content_weight")}
            wanted |= {f"{name}_{tap}" for name in ("moments", "sums", "content_error")}
            wanted |= {part.value for part in parts}
            for index in range(len(parts)):
                known |= {f"{n}_{tap}_{index}" for n in ("content", "guides", "first", "end")}
        for exchange in program.exchanges:
            wanted |= {exchange.row, exchange.gradient, exchange.into}
        odd = wanted - self.made.keys()
        for index, names in enumerate(self.inputs):
            made = {name for name in names if self.made.get(name, index) < index}
            odd |= {*names} - made - known - self.halos.keys()
        if odd:
            raise ModelError(
                f"the model {model.name} is not one that Ortist can run (its program's inputs or "
                f"outputs differ in {', '.join(sorted(odd))}); export it again."
            )


class OpenProgram:
    """One model's program on one provider.

    Where it can be cut into bands, on the CPU, each of ``threads`` has sessions of its own with one
    thread each, since it is a session that has a pool of memory; beyond eight they share them. Else
    there is one session a segment, with all threads.
    """

    def __init__(
        self, model: Model, provider: Provider, threads: int, profile: str | None = None
    ) -> None:
        self._model, self._threads, self._profile = model, threads, profile
        self._open: dict[tuple[int, frozenset[str]], list[InferenceSession]] = {}
        self.seconds_opening = 0.0
        """What opening sessions took so far, which no later run takes."""
        self._provider: Provider = provider
        self.provider = _CPU_PROVIDER
        """The provider in use, in ONNX Runtime's words."""
        if provider != "cpu" and (provider != "auto" or has_gpu()):
            self.provider = self._opened(0, frozenset(), threads, None).get_providers()[0]
        self._provider = "cpu" if self.provider == _CPU_PROVIDER else "cuda"
        self.in_bands = bool(model.program.exchanges) and self._provider == "cpu"
        """Whether pictures are cut into bands, which threads work on side by side."""

    @functools.cached_property
    def wiring(self) -> Wiring:
        """Raises ModelError for segments that are not such as the manifest says."""
        if not self._open:
            self.sessions(frozenset())
        one = {index: own[0] for (index, _), own in self._open.items()}
        sessions = [one[index] for index in range(len(self._model.program.segments))]
        return Wiring(
            self._model,
            [[value.name for value in session.get_inputs()] for session in sessions],
            [[value.name for value in session.get_outputs()] for session in sessions],
        )

    def sessions(self, on: frozenset[str]) -> list[list[InferenceSession]]:
        """By segment, the sessions for threads to share evenly, with the switches ``on``."""
        keys = []
        for index, segment in enumerate(self._model.program.segments):
            keys.append((index, on & {*segment.switches}))
        missing = [key for key in keys if key not in self._open]
        if missing:
            self._open_all(missing)
        return [self._open[key] for key in keys]

    def end_profiling(self) -> list[str]:
        """The paths of the records of the runs so far, where ``profile`` asked for them."""
        return [str(session.end_profiling()) for own in self._open.values() for session in own]

    def _open_all(self, keys: Sequence[tuple[int, frozenset[str]]]) -> None:
        began = time.perf_counter()
        opened: dict[tuple[int, frozenset[str]], list[InferenceSession]] = {k: [] for k in keys}
        for thread in range(min(self._threads, _ARENAS) if self.in_bands else 1):
            with private_arena():
                for index, on in keys:
                    profile = self._profile and f"{self._profile}-{index}-{thread}"
                    threads = 1 if self.in_bands else self._threads
                    opened[index, on].append(self._opened(index, on, threads, profile))
        self._open |= opened  # all or none
        self.seconds_opening += time.perf_counter() - began

    def _opened(
        self, index: int, on: frozenset[str], threads: int, profile: str | None
    ) -> InferenceSession:
        segment = self._model.program.segments[index]
        switches = {name: name in on for name in segment.switches}
        data = self._model.read(segment.file)
        return open_session(data, self._provider, threads, profile, switches=switches)
