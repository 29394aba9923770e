"""Masks and guides: which part of a picture a style loss looks at.

A mask is a picture, white where it counts and black where it does not. At each tap it becomes a
guide T, a weight in [0, 1] for every position, which the moments are summed with; they are divided
by the guide's mass, the sum of T, so that a small region has the statistics of a large one (Gatys
et al., "Controlling Perceptual Factors in Neural Style Transfer", CVPR 2017, section 4).

Position i of a tap stands in the middle of the pixels that it sees, at i * stride + start +
field / 2. Its weight is the mask's mean over the stride x stride pixels around that point: such
cells tile the picture, so that every pixel of a mask counts once, while the mean over the whole
receptive field, larger than many regions, would blur the mask away.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageChops

from ..arrays import Array, Field, resample
from ..errors import PictureError
from ..network.bundle import Tap
from ..pictures.raster import Picture, in_depth
from ..pictures.reading import load_picture

__all__ = ["Guides", "load_mask", "mask_values"]


def load_mask(mask: Picture, size: tuple[int, int], max_pixels: int, role: str) -> Image.Image:
    """The mask for a picture of ``size`` (width, height), in 8-bit gray, at its own size.

    White counts; what is clear is black. ``role`` names it in messages. Raises PictureError for
    what is no picture, has more than ``max_pixels`` pixels, differs in aspect by more than 1 %, or
    is all black.
    """
    picture = load_picture(mask, max_pixels, role)
    named = f"the {role} {picture.source.path!r}" if picture.source else f"the {role}"
    image = picture.image.convert("L")
    if picture.alpha is not None:  # then it was laid over white, which does not count here
        alpha = Image.fromarray(in_depth(picture.alpha[:], 8))
        image = ImageChops.subtract(image, ImageChops.invert(alpha))
    if abs(image.width * size[1] - image.height * size[0]) > 0.01 * image.height * size[0]:
        raise PictureError(
            f"{named} has {image.width} x {image.height} pixels, its picture "
            f"{size[0]} x {size[1]}; draw the mask over that picture, so that their aspects agree."
        )
    if image.getextrema()[1] == 0:
        raise PictureError(f"{named} is all black; paint white what should count.")
    return image


def mask_values(mask: Image.Image, size: tuple[int, int]) -> Array:
    """The mask at ``size`` (width, height) as weights in [0, 1], [height, width]."""
    resized = resample(mask.convert("F"), size, Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32) / np.float32(255)


class Guides:
    """The guides of R masks, [R, height, width] in [0, 1], made as they are asked for and kept.

    ``within`` does not keep what it cuts from masks in files, which would be as large in all.
    """

    def __init__(self, masks: Field) -> None:
        self.masks = masks
        self._kept: dict[tuple[int, int, int, int, int], Array] = {}
        self._parts: dict[tuple[int, int, int, int], Guides] = {}

    def within(self, rows: slice, columns: slice) -> Guides:
        """The guides of the masks cut to those pixels, as a tile needs them.

        Cells beyond the cut differ from the whole's, but they belong to features that the tile does
        not see right either.
        """
        if not isinstance(self.masks, np.ndarray):
            return Guides(self.masks[(..., rows, columns)])
        key = (rows.start, rows.stop, columns.start, columns.stop)
        if key not in self._parts:
            self._parts[key] = Guides(self.masks[:, rows, columns])
        return self._parts[key]

    def over(self, tap: Tap, rows: slice, columns: slice) -> Array:
        """The guides [R, h, w], in [0, 1], at those positions of the tap."""
        key = (tap.index, rows.start, rows.stop, columns.start, columns.stop)
        if key not in self._kept:
            masks: Array = self.masks[(..., slice(None), slice(None))]
            means = _cell_means(masks.swapaxes(0, 1), tap, rows)  # [h, R, width]
            means = _cell_means(means.transpose(2, 1, 0), tap, columns)  # [w, R, h]
            self._kept[key] = np.ascontiguousarray(means.transpose(1, 2, 0))
        return self._kept[key]


def _cell_means(values: Array, tap: Tap, positions: slice) -> Array:
    """The means of ``values`` over the cells of ``positions`` along the first axis.

    Outwards of the border its last row goes on.
    """
    stride = tap.stride
    start = tap.receptive_start + (tap.receptive_field - stride) / 2 + stride * positions.start
    first = math.floor(start)
    cut = start - first  # how much of its first row, and not of the one after its last, it lacks
    rows = first + stride * np.arange(positions.stop - positions.start)
    total = np.zeros((len(rows), *values.shape[1:]), np.float32)
    for number, weight in enumerate([1 - cut, *[1.0] * (stride - 1), cut]):
        if weight:
            part = values[(rows + number).clip(0, len(values) - 1)]
            total += part if weight == 1 else np.float32(weight) * part
    total /= np.float32(stride)
    return total
