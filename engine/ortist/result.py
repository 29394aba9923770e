"""What a run hands out: one Progress a step, a Result at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .balance import Weights
from .images import save_picture
from .models import Model
from .objective import Losses
from .options import Options

__all__ = ["Progress", "Result"]


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


@dataclass(frozen=True)
class Result:
    """A finished (or stopped) run.

    ``pixels`` is uint8 [H, W, 3]; ``stopped`` says why it ended: "iterations" (all done),
    "converged" (L-BFGS found no further decrease) or "cancelled". ``initial`` and ``final`` hold
    the losses of the start and of the picture at the scale reached, with its ``weights``;
    ``steps`` has one entry an iteration, ``snapshots`` the pixels of the iterations asked for.
    """

    pixels: NDArray[np.uint8]
    stopped: str
    provider: str
    model: Model
    options: Options
    weights: Weights
    initial: Losses
    final: Losses
    steps: tuple[Progress, ...] = field(repr=False)
    snapshots: Mapping[int, NDArray[np.uint8]] = field(repr=False)

    @property
    def iterations(self) -> int:
        """Steps done."""
        return self.steps[-1].iteration

    @property
    def seconds(self) -> float:
        """From the set-up of the run to its last step."""
        return self.steps[-1].seconds

    @property
    def history(self) -> tuple[Losses, ...]:
        """The losses, one entry an iteration."""
        return tuple(step.losses for step in self.steps)

    @property
    def image(self) -> Image.Image:
        return Image.fromarray(self.pixels)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the picture whole or not at all; the suffix names the format."""
        save_picture(self.image, Path(path))
