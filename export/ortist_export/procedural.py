"""Textures drawn by programs: what the shipped model is trained on instead of photographs.

Formula-driven and procedural images train useful features (Kataoka et al., "Pre-training without
natural images", ACCV 2020; Baradad et al., "Learning to see by looking at noise", NeurIPS 2021).
Each family below draws one kind of texture, about the same all over the picture, from a random
generator alone: the same seed gives the same picture. A family returns a scalar field that a
palette colours, or a picture; fields and pictures are float32 [n, n] and [n, n, 3] in [0, 1], and
lengths are pixels. Fine detail is left as sharp as the grid of pixels holds it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["FAMILIES", "draw_texture"]

Array = NDArray[np.float32]
Family = Callable[[Generator, int], Array]
"""(rng, n) -> a field [n, n] or a picture [n, n, 3], in [0, 1]."""


def draw_texture(seed: int | tuple[int, ...], side: int) -> NDArray[np.uint8]:
    """One texture, sRGB, uint8 [side, side, 3]; ``seed`` decides everything, its family too."""
    rng = np.random.default_rng(seed)
    families = list(FAMILIES.values())
    picture = _colored(rng, families[rng.integers(len(families))](rng, side))
    if rng.random() < 0.3:  # one texture shows through the other where a mask lets it
        other = _colored(rng, families[rng.integers(len(families))](rng, side))
        mask = _stretched(_noise(rng, side, rng.uniform(1, 3)))
        if rng.random() < 0.7:
            mask = (mask > rng.uniform(0.3, 0.7)).astype(np.float32)
        picture = picture + (other - picture) * mask[..., None]
    if rng.random() < 0.3:  # a grain, as of paper or film
        grain = rng.standard_normal((side, side, rng.choice([1, 3]))) * rng.uniform(0.01, 0.1)
        picture = picture + grain.astype(np.float32)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _colored(rng: Generator, field: Array) -> Array:
    """A picture [n, n, 3]: a field coloured by a palette drawn at random, a picture as it is."""
    if field.ndim == 2:
        return _palette_lookup(_palette(rng, int(rng.integers(2, 7))), field)
    return field


def _palette(rng: Generator, count: int) -> Array:
    """Colours [count, 3] in [0, 1]: grey to garish, around one tone or many, pale or not."""
    chroma = rng.choice([0.02, 0.1, 0.25, 0.5])
    base = rng.uniform(0.2, 0.8) + rng.normal(0, chroma, 3)
    colors = base + rng.normal(0, chroma, (count, 3)) * rng.uniform(0.3, 1)
    # Lightness varies more than hue, as in most pictures.
    light = np.linspace(-1, 1, count) * rng.uniform(0.1, 0.6)
    colors = colors + rng.permutation(light)[:, None]
    return np.asarray(np.clip(colors, 0, 1), np.float32)


def _palette_lookup(palette: Array, field: Array) -> Array:
    """Field values [n, n], clipped to [0, 1], -> colours [n, n, 3] between the palette's."""
    at = np.clip(field, 0, 1) * (len(palette) - 1)
    low = np.minimum(at.astype(np.int32), len(palette) - 2)
    t = (at - low)[..., None].astype(np.float32)
    colors: Array = palette[low] * (1 - t) + palette[low + 1] * t
    return colors


def _stretched(field: NDArray[np.floating]) -> Array:
    """A field brought to [0, 1] so that its 1st and 99th percentile become 0 and 1."""
    low, high = np.percentile(field, [1, 99])
    return np.asarray(np.clip((field - low) / max(high - low, 1e-6), 0, 1), np.float32)


def _grid(side: int) -> tuple[Array, Array]:
    """y and x of every pixel, [side, side] each."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return y, x


def _noise(
    rng: Generator, side: int, slope: float, turn: float = 0.0, stretch: float = 1.0
) -> Array:
    """Noise [side, side] whose amplitude spectrum falls as f^-slope, of mean 0 and deviation 1.

    ``stretch`` elongates it along the direction ``turn``, in radians.
    """
    v, u = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    along = u * np.cos(turn) + v * np.sin(turn)
    across = -u * np.sin(turn) + v * np.cos(turn)
    radius = np.hypot(along * stretch, across)
    radius[0, 0] = np.inf
    # Below 1/48 cycles a pixel the spectrum is flat: a window shows what the whole does.
    radius = np.maximum(radius, 1 / 48)
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / radius**slope
    field = np.fft.irfft2(spectrum, (side, side))
    field -= field.mean()
    return np.asarray(field / field.std(), np.float32)


def _sampled(field: Array, y: Array, x: Array) -> Array:
    """A field's values at the fractional places y, x, in pixels, bilinear, wrapping around."""
    n = field.shape[0]
    fy, fx = np.floor(y), np.floor(x)
    ty, tx = y - fy, x - fx
    r, c = fy.astype(np.int32) % n, fx.astype(np.int32) % n
    r1, c1 = (r + 1) % n, (c + 1) % n
    top = field[r, c] * (1 - tx) + field[r, c1] * tx
    values: Array = top * (1 - ty) + (field[r1, c] * (1 - tx) + field[r1, c1] * tx) * ty
    return values


def _directions(rng: Generator, side: int) -> Array:
    """A field of angles in radians, [side, side]: one direction, slowly bending, or whirling."""
    bend = rng.choice([0.0, 0.4, 1.5, 3.0])
    smooth = _noise(rng, side, 3.5)
    return np.asarray(rng.uniform(0, 2 * np.pi) + bend * smooth, np.float32)


def noises(rng: Generator, side: int) -> Array:
    """Noise of every slope, stretched or not, in one, two or three independent planes."""
    slope, stretch = rng.uniform(0, 2.5), np.exp(rng.uniform(0, 2)) if rng.random() < 0.4 else 1
    turn = rng.uniform(0, np.pi)
    if rng.random() < 0.5:
        return _stretched(_noise(rng, side, slope, turn, stretch))
    planes = [_noise(rng, side, slope, turn, stretch) for _ in range(3)]
    mixed = np.stack(planes, -1) @ rng.normal(0, 0.15, (3, 3)) + rng.uniform(0.2, 0.8, 3)
    return np.clip(mixed, 0, 1).astype(np.float32)


def blobs(rng: Generator, side: int) -> Array:
    """Noise cut at levels: islands, or ridges where it is near zero."""
    field = _noise(rng, side, rng.uniform(0.7, 2.5), rng.uniform(0, np.pi), rng.uniform(1, 3))
    kind = rng.integers(3)
    if kind == 0:
        return (field > rng.normal(0, 0.7)).astype(np.float32)
    if kind == 1:
        return np.asarray(np.exp(-np.square(field / rng.uniform(0.05, 0.4))), np.float32)
    levels = rng.integers(3, 8)
    return np.asarray(np.floor(_stretched(field) * levels) / levels, np.float32)


def gratings(rng: Generator, side: int) -> Array:
    """One to three waves down to two pixels' length, straight or warped, sine to square."""
    y, x = _grid(side)
    field = np.zeros_like(y)
    for _ in range(rng.integers(1, 4)):
        length, turn = np.exp(rng.uniform(np.log(2), np.log(32))), rng.uniform(0, np.pi)
        warp = _noise(rng, side, 3) * rng.choice([0, 0.5, 2]) * length
        phase = (x * np.cos(turn) + y * np.sin(turn) + warp) / length * 2 * np.pi
        wave = np.sin(phase + rng.uniform(0, 6))
        field += np.tanh(wave * rng.choice([0.5, 2, 20])) * rng.uniform(0.3, 1)
    return _stretched(field)


def tiles(rng: Generator, side: int) -> Array:
    """Checks, bricks and their like: a turned lattice, a value a tile, joints or none."""
    y, x = _grid(side)
    turn = rng.choice([0, np.pi / 4, rng.uniform(0, np.pi)])
    width, height = np.exp(rng.uniform(np.log(2), np.log(28), 2))
    u = (x * np.cos(turn) + y * np.sin(turn)) / width
    v = (-x * np.sin(turn) + y * np.cos(turn)) / height
    row = np.floor(v).astype(np.int64)
    u = u + rng.choice([0, 0.5]) * (row % 2)
    column = np.floor(u).astype(np.int64)
    if rng.random() < 0.5:
        values = ((row + column) % 2).astype(np.float32)
    else:
        values = rng.random((97, 89), dtype=np.float32)[row % 97, column % 89]
    if rng.random() < 0.5:
        joint = rng.uniform(0.05, 0.3)
        values = np.where((u % 1 < joint) | (v % 1 < joint), np.float32(rng.random()), values)
    return np.asarray(values, np.float32)


def dots(rng: Generator, side: int) -> Array:
    """Halftone: dots on a turned lattice, their size following a soft field."""
    y, x = _grid(side)
    turn, pitch = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(20)))
    u = (x * np.cos(turn) + y * np.sin(turn)) / pitch
    v = (-x * np.sin(turn) + y * np.cos(turn)) / pitch
    tone = _stretched(_noise(rng, side, 2.5)) * 0.5 + 0.1
    distance = np.hypot(u % 1 - 0.5, v % 1 - 0.5)
    return np.asarray(
        np.clip((tone - distance) * pitch * rng.uniform(0.3, 2) + 0.5, 0, 1), np.float32
    )


def cells(rng: Generator, side: int) -> Array:
    """Voronoi cells, flat or by distance, with or without dark borders (Worley 1996)."""
    y, x = _grid(side)
    count = int((side / np.exp(rng.uniform(np.log(6), np.log(36)))) ** 2) + 3
    centres = rng.uniform(-8, side + 8, (count, 2)).astype(np.float32)
    stretch, turn = np.exp(rng.uniform(0, 1)), rng.uniform(0, np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    a = (cos * x + sin * y) / stretch, -sin * x + cos * y
    b = (
        (cos * centres[:, 0] + sin * centres[:, 1]) / stretch,
        (-sin * centres[:, 0] + cos * centres[:, 1]),
    )
    first = np.full_like(x, np.inf)
    second, owner = first.copy(), np.zeros(x.shape, np.int64)
    for index in range(count):
        distance = np.square(a[0] - b[0][index]) + np.square(a[1] - b[1][index])
        nearer = distance < first
        second = np.where(nearer, first, np.minimum(second, distance))
        first = np.where(nearer, distance, first)
        owner[nearer] = index
    first, second = np.sqrt(first), np.sqrt(second)
    if rng.random() < 0.35:
        return _stretched(first)
    values = rng.random(count, dtype=np.float32)[owner]
    if rng.random() < 0.5:
        values = np.where(second - first < rng.uniform(0.5, 4), np.float32(0), values)
    return values.astype(np.float32)


def leaves(rng: Generator, side: int) -> Array:
    """Dead leaves: discs, boxes or splinters hiding one another (Lee, Mumford and Huang 2001).

    Their sizes follow a power law.
    """
    palette = _palette(rng, 8)
    kind, least, most = rng.integers(4), rng.uniform(1.5, 5), rng.uniform(10, 40)
    outline = rng.random() < 0.3
    image = Image.new("RGB", (side, side), _ink(palette[0]))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.uniform(1, 4) * (side / (least + 4)) ** 2 / 2)):
        radius = 1 / np.sqrt(rng.uniform(most**-2, least**-2))
        x, y = rng.uniform(-radius, side + radius, 2)
        color = _ink(palette[rng.integers(8)] + rng.normal(0, 0.04))
        edge = (0, 0, 0) if outline else None
        if kind == 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), color, edge)
            continue
        corners = (4, 3, rng.integers(3, 7))[kind - 1]
        angles = (
            np.sort(rng.uniform(0, 2 * np.pi, corners))
            if kind == 3
            else (rng.uniform(0, 2 * np.pi) + np.arange(corners) * 2 * np.pi / corners)
        )
        points = [(x + radius * np.cos(t), y + radius * np.sin(t)) for t in angles]
        draw.polygon(points, color, edge)
    return _values(image)


def strokes(rng: Generator, side: int) -> Array:
    """Brush strokes along a flow, coloured by a soft ground under them, with bristles or plain."""
    angle = _directions(rng, side)
    ground = _palette_lookup(_palette(rng, 5), _stretched(_noise(rng, side, 2)))
    width, length = np.exp(rng.uniform(np.log(1), np.log(8))), np.exp(rng.uniform(2, 4.2))
    unlike = rng.choice([0.03, 0.1, 0.25])
    image = Image.fromarray((ground * 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    steps, at_random = max(2, int(length / 5)), rng.random() < 0.2
    for _ in range(int(rng.uniform(0.7, 2.5) * side * side / (width * length))):
        x, y = rng.uniform(0, side, 2)
        color = ground[int(y), int(x)] + rng.normal(0, unlike) + rng.normal(0, unlike / 2, 3)
        extra = rng.uniform(0, np.pi) if at_random else rng.normal(0, 0.1)
        points = [(x, y)]
        for _ in range(steps):
            turn = angle[int(y) % side, int(x) % side] + extra
            x, y = x + 5 * np.cos(turn), y + 5 * np.sin(turn)
            points.append((x, y))
        for line in range(3 if width > 3 else 1):  # a lighter bristle and a darker edge
            shade = (0, 0.07, -0.07)[line]
            shifted = [(px, py + line - 1) for px, py in points] if line else points
            draw.line(shifted, _ink(color + shade), max(1, round(width) if line == 0 else 1))
    return _values(image)


def streaks(rng: Generator, side: int) -> Array:
    """Noise smeared along a flow: line integral convolution (Cabral and Leedom 1993)."""
    angle = _directions(rng, side)
    source = _noise(rng, side, rng.uniform(0, 1))
    cos, sin = np.cos(angle), np.sin(angle)
    total = source.copy()
    for sign in (1, -1):
        y, x = _grid(side)
        for _ in range(int(rng.uniform(4, 18))):
            r, c = np.round(y).astype(np.int32) % side, np.round(x).astype(np.int32) % side
            y, x = y + sign * sin[r, c], x + sign * cos[r, c]
            total = total + _sampled(source, y, x)
    return _stretched(total) if rng.random() < 0.7 else (total > 0).astype(np.float32)


def hatching(rng: Generator, side: int) -> Array:
    """Pen or pencil lines in a few directions, denser where a soft field is dark."""
    image = Image.new("L", (side, side), 255)
    draw = ImageDraw.Draw(image)
    tone = _stretched(_noise(rng, side, 2.2))
    spread, length = rng.choice([0.02, 0.15]), rng.uniform(6, 40)
    for turn in rng.uniform(0, np.pi, rng.integers(1, 4)):
        for _ in range(int(rng.uniform(0.5, 2) * side * side / (4 * length))):
            x, y = rng.uniform(0, side, 2)
            if rng.random() < tone[int(y), int(x)]:
                continue
            angle, half = turn + rng.normal(0, spread), length * rng.uniform(0.2, 0.5)
            dx, dy = half * np.cos(angle), half * np.sin(angle)
            ink = int(rng.uniform(0, 150))
            draw.line([(x - dx, y - dy), (x + dx, y + dy)], ink, int(rng.choice([1, 1, 2])))
    return _values(image)


def fractals(rng: Generator, side: int) -> Array:
    """Attractors of random affine maps (FractalDB, Kataoka et al. 2020), copied over the plane."""
    maps = rng.uniform(-1, 1, (rng.integers(2, 6), 2, 3))
    for one in maps:  # contractions
        one[:, :2] *= rng.uniform(0.4, 0.9) / np.linalg.svd(one[:, :2])[1][0]
    points = rng.uniform(-1, 1, (4000, 2))
    seen = []
    for step in range(20):
        chosen = maps[rng.integers(len(maps), size=len(points))]
        points = np.einsum("nij,nj->ni", chosen[:, :, :2], points) + chosen[:, :, 2]
        if step >= 8:
            seen.append(points)
    cloud = np.concatenate(seen)
    cloud = (cloud - cloud.mean(0)) / (cloud.std(0).mean() + 1e-6) * rng.uniform(5, 20)
    copies = max(2, int(side * side / 900))
    field = np.zeros((side, side), np.float32)
    for _ in range(copies):
        turn = rng.uniform(0, 2 * np.pi)
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        part = cloud[rng.integers(len(cloud), size=1500)] @ spin.T + rng.uniform(0, side, 2)
        r, c = (part % side).astype(np.int32).T
        field[r % side, c % side] += 1
    return np.sqrt(np.minimum(field, 4) / 4)


def ramps(rng: Generator, side: int) -> Array:
    """Soft gradients broken by hard edges: facets, each shaded from side to side."""
    y, x = _grid(side)
    field = np.zeros_like(x)
    for _ in range(rng.integers(3, 9)):
        turn, offset = rng.uniform(0, 2 * np.pi), rng.uniform(0, side)
        along = (x - offset) * np.cos(turn) + (y - side + offset) * np.sin(turn)
        saw = along / rng.uniform(12, 80)
        field += (saw - np.floor(saw)) * rng.choice([-1, 1])
    return _stretched(field)


FAMILIES: dict[str, Family] = {
    family.__name__: family
    for family in (
        *(noises, blobs, gratings, tiles, dots, cells),
        *(leaves, strokes, streaks, hatching, fractals, ramps),
    )
}
"""Every kind of texture by the name of the function that draws it."""


def _ink(color: NDArray[np.floating]) -> tuple[int, ...]:
    """A colour [3], clipped to [0, 1], in Pillow's form, numbers from 0 to 255."""
    return tuple(int(value) for value in np.clip(color, 0, 1) * 255)


def _values(image: Image.Image) -> Array:
    """An 8-bit image as float32 in [0, 1], [n, n] or [n, n, 3]."""
    return np.asarray(np.asarray(image) / 255, np.float32)
