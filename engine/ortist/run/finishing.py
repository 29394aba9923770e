"""From the optimiser's values to a picture: its full size, its colours, the content's alpha."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from PIL import Image

from ..arrays import Array, Derived, Field, Rows, row_slices
from ..pictures.colors import luminance_of, match_histogram
from ..pictures.raster import Painting
from ..pictures.values import denormalize, extremes
from .scene import Scene

__all__ = ["Finisher"]


class Finisher:
    """Finishes the pictures of one run, whatever scale they come from.

    Where the run's arrays are in files, so is the painting: it is made row by row as it is read.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene, self._options = scene, scene.options
        self._model, self._arrays = scene.model, scene.arrays

    @functools.cached_property
    def _content(self) -> tuple[Any, Any]:
        """The content at the picture's full size, and its alpha."""
        return self._scene.content_at(self._options.size)

    @property
    def alpha(self) -> Any:
        """The content's alpha [H, W] at the picture's full size, in [0, 1]; None without any."""
        return self._content[1]

    def painting(self, values: Field) -> Painting:
        """``values`` [1, 3, H, W], normalised, as the picture that the options ask for."""
        picture, canvas = values, self._scene.canvas(self._options.size)
        if picture.shape[:1:-1] != canvas:
            how = Image.Resampling.BICUBIC
            picture = self._arrays.resized(picture, canvas, how, self._options.seamless)
        stretched = self._extremes(picture) if self._options.rescale else None
        content, alpha = self._content
        kept = self._options.colors in ("content-luminance", "content-histogram")
        content = content if kept else None
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
        if content is not None:
            by_luminance = self._options.colors == "content-luminance"
            pixels = (luminance_of if by_luminance else match_histogram)(pixels, content)
        if alpha is not None:  # over white, nothing is darker than the white behind lets it be
            pixels = np.maximum(pixels, 1 - alpha.reshape(*pixels.shape[:2], 1))
        return pixels

    def _extremes(self, picture: Field) -> tuple[np.float32, np.float32]:
        """The darkest and the brightest value of the picture."""
        parts = [
            extremes(picture[(..., rows, slice(None))], self._model) for rows in row_slices(picture)
        ]
        return min(low for low, _ in parts), max(high for _, high in parts)
