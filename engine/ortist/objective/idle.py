"""Segments that have nothing to do: those beyond the deepest tap that a run asks for.

On the way back nothing comes from there: what later segments read of them is a gradient of zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .bands import Band
from .opened import DECIDED, Wiring

__all__ = ["Idle", "find_idle", "keep_zeros"]


@dataclass(frozen=True)
class Idle:
    """``segments`` that need not be run, and the values of theirs that others read, all zeros.

    ``zeros`` has the segment of each.
    """

    segments: frozenset[int] = frozenset()
    zeros: dict[str, int] = field(default_factory=dict)


def find_idle(wiring: Wiring, on: Collection[str]) -> Idle:
    """What is idle with the switches ``on``; nothing where more than gradients comes from there."""
    taps = {int(name.rsplit("_", 1)[1]) for name in on if name[-1].isdigit()}
    still = _without_gradient(wiring, taps)
    zeros: dict[str, int] = {}
    wanted = {wiring.made["gradient"], wiring.made["variation"]}
    wanted |= {made for tap, (made, _) in wiring.sums.items() if tap in taps}
    waiting = [*wanted]
    while waiting:
        for name in _reads(wiring, waiting.pop()):
            maker = wiring.made.get(name)
            if maker in still:
                zeros[name] = maker
            elif maker is not None and maker not in wanted:
                wanted.add(maker)
                waiting.append(maker)
    gradients = {name for added in wiring.added for e in added for name in (e.into, e.gradient)}
    idle = frozenset(range(len(wiring.inputs))) - wanted
    return Idle(idle, zeros) if zeros.keys() <= gradients else Idle()


def keep_zeros(idle: Idle, bands: Sequence[Band], layouts: Mapping[Any, Any]) -> bool:
    """Whether all bands have the zeros, of shapes that earlier runs have found (``layouts``).

    The first time that a shape goes the way back all segments are run, which makes them.
    """
    for band in bands:
        for name, index in idle.zeros.items():
            if name not in band.values:
                layout = layouts.get((band.index, index))
                if layout is None:
                    return False
                band.keep(name, np.zeros(*layout[name]))
    return True


def _reads(wiring: Wiring, segment: int) -> list[str]:
    """What a segment reads of its own band and of its neighbours."""
    names = list(wiring.inputs[segment])
    rows = [wiring.halos[name].row for name in names if name in wiring.halos]
    return names + rows + [exchange.gradient for exchange in wiring.added[segment]]


def _without_gradient(wiring: Wiring, taps: Collection[int]) -> set[int]:
    """The segments of the way back to which nothing comes of these taps."""
    pulls = {f"{name}_{tap}" for name in DECIDED for tap in taps}
    still: set[int] = set()
    for segment in range(wiring.forward, len(wiring.inputs)):
        names = _reads(wiring, segment)
        behind = {wiring.made.get(name, 0) for name in names}
        moved = any(wiring.forward <= maker and maker not in still for maker in behind - {segment})
        if not moved and pulls.isdisjoint(names):
            still.add(segment)
    return still
