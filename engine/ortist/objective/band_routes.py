"""Where the inputs of a band's segments come from: read off the names of inputs and outputs.

ortist_export/bands.py tells what the names mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..network.bundle import Model

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

__all__ = ["Routes", "Segment", "source_of"]


class Segment:
    """Sessions for threads to share evenly, with the names of their inputs and outputs.

    And the heights of inputs that are maps, by name: one that is free is no number.
    """

    def __init__(self, sessions: Sequence[InferenceSession]) -> None:
        self.sessions = sessions
        self.inputs = [value.name for value in sessions[0].get_inputs()]
        self.outputs = [value.name for value in sessions[0].get_outputs()]
        self.heights = {v.name: v.shape[2] for v in sessions[0].get_inputs() if len(v.shape) == 4}


class Routes:
    """Where the inputs of segments come from, read off their names."""

    def __init__(self, model: Model, segments: Sequence[Segment]) -> None:
        made = {name: index for index, part in enumerate(segments) for name in part.outputs}
        self.made: dict[str, int] = made
        """The segment of every output."""
        last = {name: index for index, part in enumerate(segments) for name in part.inputs}
        self.last_read = [
            [name for name in part.inputs if last[name] == index]
            for index, part in enumerate(segments)
        ]
        """By segment: what is not read later. (What only neighbours read is never among it.)"""
        self.waits: list[dict[int, int]] = []
        """By segment: which segment the band above (-1) or below (1) must have done before."""
        self.added: list[list[tuple[str, int, str]]] = []
        """By segment: a gradient's name, its row, and what that neighbour adds to it."""
        taps = [tap.index for tap in model.taps]
        given = {"image", "rows", "tv_weight"}
        for name in ("mixing", "features", "content_weight"):
            given |= {f"{name}_{tap}" for tap in taps}
        wanted = {"gradient", "tv_loss"}
        for name in ("content_loss", "moments", "size"):
            wanted |= {f"{name}_{tap}" for tap in taps}
        odd = wanted - set(made)
        for index, segment in enumerate(segments):
            waits: dict[int, int] = {}
            added = []
            for name in segment.inputs:
                sources = []
                if name.startswith("halo"):
                    sources.append(source_of(name))
                elif name.startswith("d_edge"):
                    for side, row, offset in (("below", 0, -1), ("above", -1, 1)):
                        source = f"d_halo{name.removeprefix('d_edge')}.{side}"
                        if source in made:
                            sources.append((offset, source))
                            added.append((name, row, source))
                for offset, source in sources:
                    odd |= {source} - set(made)
                    waits[offset] = max(waits.get(offset, 0), made.get(source, 0))
                known = name in given or name.startswith("halo") or made.get(name, index) < index
                odd |= set() if known else {name}
            self.waits.append(waits)
            self.added.append(added)
        if odd:
            raise ModelError(
                f"the model {model.name} is not one that Ortist can run (its bands' inputs or "
                f"outputs differ in {', '.join(sorted(odd))}); export it again."
            )
        self.sums: dict[int, tuple[int, int]] = {}
        """By tap, the segment whose moments are summed, and the first that needs the sums."""
        for tap in taps:
            needing = [i for i, part in enumerate(segments) if f"mixing_{tap}" in part.inputs]
            self.sums[tap] = made[f"moments_{tap}"], min(needing, default=len(segments))


def source_of(halo: str) -> tuple[int, str]:
    """The neighbour, -1 or 1, and the output of its that is the input ``halo``."""
    name, _, side = halo.partition(".")
    edge = name.replace("halo", "edge")
    return (-1, f"{edge}.last") if side == "above" else (1, f"{edge}.first")
