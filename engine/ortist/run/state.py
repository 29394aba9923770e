"""What goes from step to step: the State of a run, and the Progress that each step reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..arrays import Arrays, Field
from ..objective.targets import Losses
from .lbfgs import LbfgsState
from .optimizers import AdamState, Point, RunningAverage

__all__ = ["Progress", "State"]


@dataclass(frozen=True)
class State:
    """All that the next step depends on, besides the pictures and the options.

    After ``iteration`` steps the run is in its ``scale``-th scale, which began at iteration
    ``began``: at ``point``, with the optimiser's own state, the running average, and the state of
    the random generator that shifts the window. ``converged``: no step at this scale gains more;
    ``hurried``: a time limit has cut a scale short.
    """

    iteration: int
    scale: int
    began: int
    point: Point
    optimizer: AdamState | LbfgsState
    average: RunningAverage
    jitter: Mapping[str, Any]
    converged: bool = False
    hurried: bool = False

    def picture(self, arrays: Arrays) -> Field:
        """The running average where there is one, else the iterate, [1, 3, H, W] normalised."""
        picture: Field = self.average.value(self.point.values, arrays)
        return picture


@dataclass(frozen=True)
class Progress:
    """One evaluation: ``losses`` of the picture after ``iteration`` steps, ``seconds`` in all.

    ``scale`` is the shorter side, in pixels, of the picture that was evaluated.
    """

    iteration: int
    iterations: int
    scale: int
    losses: Losses
    seconds: float
