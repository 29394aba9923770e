"""Scenes drawn by a program: photos for measuring models, where nobody gave any."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["draw_scene"]

_OVER = 2
"""How many times larger scenes are drawn than they are returned."""


def draw_scene(seed: int, side: int) -> NDArray[np.uint8]:
    """A landscape with hills, houses and trees, uint8 [side, 4/3 side, 3]; ``seed`` decides all."""
    rng = np.random.default_rng(seed)
    width, height = _OVER * side * 4 // 3, _OVER * side
    image = _sky(rng, width, height)
    pen = ImageDraw.Draw(image)
    for distance in (1.0, 0.6, 0.3):
        ridge = _ridge(rng, width, height * (0.8 - 0.4 * distance), height * 0.12)
        green = _shade(rng, (70, 110, 60), (150, 165, 190), distance)
        pen.polygon([(0, height), *ridge, (width, height)], fill=green)
        for _ in range(rng.integers(3, 7)):
            x, y = ridge[rng.integers(len(ridge))]
            size = height * rng.uniform(0.1, 0.2) * (1.3 - distance)
            (_house if rng.random() < 0.6 else _tree)(rng, pen, x, y + size / 2, size)
    grain = rng.normal(0, 6, (height, width, 1))
    noisy = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))
    return np.asarray(noisy.resize((side * 4 // 3, side), Image.Resampling.LANCZOS))


def _shade(
    rng: Generator, near: tuple[int, ...], far: tuple[int, ...], distance: float
) -> tuple[int, ...]:
    """A colour between both, by the distance, and a little off."""
    colors = np.array(near) * (1 - distance) + np.array(far) * distance + rng.normal(0, 18, 3)
    return tuple(int(level) for level in np.clip(colors, 0, 255))


def _sky(rng: Generator, width: int, height: int) -> Image.Image:
    """From blue to the horizon's colour, with clouds."""
    down = np.linspace(0, 1, height)[:, None, None]
    sky = (1 - down) * np.array([80, 130, 200]) + down * np.array([240, 215, 180])
    clouds = np.zeros((height, width))
    for cells in (4, 8, 16, 32):
        coarse = Image.fromarray(rng.normal(0, 1, (cells // 2 + 1, cells)).astype(np.float32))
        clouds += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)) / cells
    cover = np.clip(4 * clouds, 0, 1)[..., None] * 0.8
    return Image.fromarray((sky * (1 - cover) + 245 * cover).astype(np.uint8))


def _ridge(rng: Generator, width: int, level: float, swing: float) -> list[tuple[float, float]]:
    """The points of a hill's outline, from left to right."""
    x = np.linspace(0, width, 60)
    waves = [rng.normal(0, swing / k) * np.sin(k * x / width * 7 + rng.uniform(0, 6)) for k in
             (1, 2, 5)]  # fmt: skip
    return list(zip(x.tolist(), (level + np.sum(waves, axis=0)).tolist(), strict=True))


def _house(rng: Generator, pen: ImageDraw.ImageDraw, x: float, y: float, size: float) -> None:
    wall = _shade(rng, (215, 190, 160), (160, 90, 70), rng.random())
    left, right, top = x - size * 0.6, x + size * 0.6, y - size
    pen.rectangle([left, top, right, y], fill=wall)
    roof = _shade(rng, (140, 60, 45), (80, 80, 90), rng.random())
    pen.polygon([(left, top), (x, top - size * 0.5), (right, top)], fill=roof)
    for across in (0.25, 0.65):
        for down in (0.2, 0.6):
            corner = left + across * (right - left), top + down * size
            pen.rectangle([*corner, corner[0] + size * 0.16, corner[1] + size * 0.22], (40, 45, 60))


def _tree(rng: Generator, pen: ImageDraw.ImageDraw, x: float, y: float, size: float) -> None:
    pen.rectangle([x - size * 0.05, y - size * 0.6, x + size * 0.05, y], fill=(80, 60, 40))
    for _ in range(40):
        dx, dy, radius = *rng.normal(0, size * 0.22, 2), size * rng.uniform(0.05, 0.13)
        at = x + dx, y - size + dy
        leaf = _shade(rng, (50, 95, 40), (120, 150, 70), rng.random())
        pen.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=leaf)
