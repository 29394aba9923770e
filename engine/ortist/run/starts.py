"""The picture before the first step."""

from __future__ import annotations

import numpy as np

from ..arrays import Field
from ..errors import OptionError
from ..pictures.colors import colored_noise
from ..pictures.values import normalize
from .scene import Scene
from .view import View

__all__ = ["start_values"]


def start_values(scene: Scene, view: View) -> Field:
    """The picture before the first step, [1, 3, H, W] in normalised units.

    Gray is the mean of the training images, zero after normalisation; noise is uniform in [0, 1) in
    normalised units, as in the CS231n assignment. ``init_noise`` is what cysmith/neural-style-tf
    calls noise ratio: start = (1 - ratio) start + ratio noise.
    """
    width, height = view.canvas
    options, arrays, shape = scene.options, scene.arrays, (1, 3, height, width)
    ratio = np.float32(options.init_noise)
    start = None if ratio == 1 or options.init == "noise" else _plain_start(scene, view)
    if ratio == 0 and start is not None:
        return start
    generator = np.random.default_rng(options.seed)
    noise: Field = arrays.filled(shape, lambda part: generator.random(part, dtype=np.float32))
    if start is None:
        return noise
    mixed: Field
    (mixed,) = arrays.each(lambda a, b: ((1 - ratio) * a + ratio * b,), start, noise)
    return mixed


def _plain_start(scene: Scene, view: View) -> Field:
    """The start without noise mixed in."""
    width, height = view.canvas
    options, side = scene.options, min(view.canvas)
    if options.init == "gray":
        gray: Field = scene.arrays.zeros((1, 3, height, width))
        return gray
    if options.init == "style":
        second, mean = scene.style_colors(side)
        generator = np.random.default_rng([options.seed, 2])
        white = generator.standard_normal((height, width, 3), np.float32)
        return normalize(colored_noise(white, mean, second - np.outer(mean, mean)), scene.model)
    if options.init == "image":
        return normalize(scene.init_at(side), scene.model)
    if view.content is None:
        raise OptionError(
            "there is no content image to start from; use --init noise, gray, style or a picture."
        )
    return view.content
