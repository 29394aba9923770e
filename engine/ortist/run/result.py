"""What a run ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import OptionError
from ..network.bundle import Model
from ..objective.targets import Losses
from ..objective.weights import Weights
from ..options.fields import Options
from ..pictures.outputs import save_picture
from ..pictures.raster import Painting, Source
from .settings import describe
from .state import Progress

__all__ = ["Result"]


@dataclass(frozen=True)
class Result:
    """A finished (or stopped) run.

    ``painting`` is the picture before rounding, with the content's alpha, if it had one.
    ``stopped``: "iterations" (all done), "converged" (L-BFGS found no further decrease), "time
    limit" (some steps were left out), "diverged" (the next step had no finite loss) or "cancelled".
    Pictures of early scales are enlarged: all have the size asked for. ``initial`` and ``final``
    hold the losses of the start and of the picture at the scale reached, with its ``weights``;
    ``steps`` has one entry an iteration, ``snapshots`` the paintings of those asked for. ``inputs``
    says where content and style came from (None: no file), ``exif`` is the content's.
    """

    painting: Painting
    stopped: str
    provider: str
    model: Model
    options: Options
    weights: Weights
    initial: Losses
    final: Losses
    steps: tuple[Progress, ...] = field(repr=False)
    snapshots: Mapping[int, Painting] = field(repr=False)
    inputs: Mapping[str, Source | None] = field(repr=False)
    exif: bytes = field(repr=False)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The picture, sRGB, uint8 [H, W, 3]; over white where the content was transparent."""
        return self.painting.pixels

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
        """8-bit, RGB or, where the content had transparent parts, RGBA."""
        return self.painting.image

    def save(self, path: str | PathLike[str], snapshot: int | None = None) -> None:
        """Writes the picture, or a snapshot of it, whole or not at all.

        The suffix names the format, the options say with which depth, settings and metadata.
        Raises OptionError for a suffix or a snapshot that there is not, and OutputError.
        """
        options = self.options
        if snapshot is not None and snapshot not in self.snapshots:
            kept = ", ".join(map(str, self.snapshots)) or "none"
            raise OptionError(
                f"there is no snapshot of iteration {snapshot}, there are {kept}; ask for it by "
                "the option snapshots."
            )
        painting = self.painting if snapshot is None else self.snapshots[snapshot]
        save_picture(
            painting,
            Path(path),
            options.depth,
            self.exif if options.keep_metadata else b"",
            self.settings_json(snapshot) if options.settings else None,
        )

    def settings_json(self, snapshot: int | None = None) -> str:
        """What the picture, or a snapshot of it, keeps of how it was made (settings.py): JSON."""
        return describe(self.options, self.model, self.inputs, self.steps, snapshot)
