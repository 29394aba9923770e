"""What a run ends with: the optimiser's values made a picture, and all that is known of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Array, Derived, Field, Rows, row_slices
from ..errors import OptionError
from ..files import as_path
from ..network.bundle import Model
from ..objective.targets import Losses
from ..objective.weights import Weights
from ..options.fields import Options
from ..pictures.colors import luminance_of, match_histogram
from ..pictures.outputs import save_picture
from ..pictures.raster import Painting, Source
from ..pictures.values import denormalize, extremes
from .settings import describe
from .stepping import Progress
from .view import Scene

__all__ = ["Finisher", "Result"]


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
            as_path(path, "path"),
            options.depth,
            self.exif if options.keep_metadata else b"",
            self.settings_json(snapshot) if options.settings else None,
        )

    def settings_json(self, snapshot: int | None = None) -> str:
        """What the picture, or a snapshot of it, keeps of how it was made (settings.py): JSON."""
        return describe(self.options, self.model, self.inputs, self.steps, snapshot)


class Finisher:
    """Finishes the pictures of one run, whatever scale they come from.

    Where the run's arrays are in files, so is the painting: it is made row by row as it is read.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene, self._options = scene, scene.options
        self._model, self._arrays = scene.model, scene.arrays

    @functools.cached_property
    def alpha(self) -> Any:
        """The content's alpha [H, W] at full size, in [0, 1], if it has one."""
        return self._scene.alpha_at(self._options.size)

    @functools.cached_property
    def _content(self) -> Any:
        """The content [H, W, 3] at full size, in [0, 1], if its colours are wanted."""
        if self._options.colors not in ("content-luminance", "content-histogram"):
            return None
        return self._scene.content_at(self._options.size)

    def painting(self, values: Field) -> Painting:
        """``values`` [1, 3, H, W], normalised, as the picture that the options ask for."""
        picture, canvas = values, self._scene.canvas(self._options.size)
        if picture.shape[:1:-1] != canvas:
            how = Image.Resampling.BICUBIC
            picture = self._arrays.resized(picture, canvas, how, self._options.seamless)
        stretched = None
        if self._options.rescale:
            slices = (picture[(..., rows, slice(None))] for rows in row_slices(picture))
            lows, highs = zip(*(extremes(part, self._model) for part in slices), strict=True)
            stretched = min(lows), max(highs)
        content, alpha = self._content, self.alpha
        if not self._arrays.on_disk:
            assert isinstance(picture, np.ndarray)
            return Painting(self._displayed(picture, content, alpha, stretched), alpha)

        def planes(values: Array, *others: Array) -> Array:
            """A part [1, C, h, w] of the painting, from the same parts of what it is made of."""
            pixels = [part[0].transpose(1, 2, 0) for part in others]
            own = None if content is None else pixels[0]
            own_alpha = None if alpha is None else pixels[-1]
            displayed = self._displayed(values, own, own_alpha, stretched)
            return displayed.transpose(2, 0, 1)[None]

        others = [part.planes for part in (content, alpha) if part is not None]
        return Painting(Rows(Derived(planes, picture, *others)), alpha)

    def _displayed(
        self,
        values: Array,
        content: Array | None,
        alpha: Array | None,
        stretched: tuple[np.float32, np.float32] | None,
    ) -> Array:
        """The picture, or some rows of it, [h, w, 3] in [0, 1], with the content's colours."""
        pixels = denormalize(values, self._model, stretched)
        if self._scene.gray:  # as it is but for rounding
            pixels[...] = pixels.mean(2, keepdims=True)
        if content is not None:
            by_luminance = self._options.colors == "content-luminance"
            pixels = (luminance_of if by_luminance else match_histogram)(pixels, content)
        if alpha is not None:  # over white, nothing is darker than the white behind lets it be
            pixels = np.maximum(pixels, 1 - alpha.reshape(*pixels.shape[:2], 1))
        return pixels
