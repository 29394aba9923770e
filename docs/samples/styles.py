"""Draw the built-in styles with numpy and Pillow: styles.py [output directory] [name ...].

Nine hands depict one landscape, each by its own means: its strokes, its edges, its palette, its
paper. All is computed here from fixed seeds, copies nothing, and belongs to the project: it is
under its MIT licence. (The styles swirls, shards and pencil are draw.py's, reduced.)

Pictures are arrays (height, width, 3) of sRGB values in [0, 1], drawn at twice their final size.
Lengths are working pixels, and angles are radians.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from draw import HEIGHT, SIZE, WIDTH, Array, X, Y, blur, follow, fractal, look, mix, step
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw

SKY, CLOUD, SUN, PEAK, HILL, FIELD, WATER, WALL, SIDE, ROOF, CROWN, TRUNK = range(12)
"""What is depicted: the places of a palette's colours."""


class Scene(NamedTuple):
    """What all styles depict: the ``label`` of each pixel, its ``light`` in [0, 1], and the
    ``angle`` that strokes follow there.
    """

    label: Array
    light: Array
    angle: Array


def ink(shape: Array) -> Array:
    """Return the filled polygon through points (n, 2) as a mask."""
    ImageDraw.Draw(image := Image.new("1", SIZE)).polygon(shape.ravel().tolist(), fill=1)
    return np.asarray(image)


def landscape() -> Scene:
    """Return hills by the water under a sun, two houses and a row of trees."""
    wild, fine = fractal(default_rng(21), HEIGHT, WIDTH, 2.2), fractal(default_rng(22), *X.shape)
    label, light = np.full(X.shape, SKY), 0.35 + 0.5 * Y / 480 + 0.06 * wild
    turn = 0.15 * np.sin(X / 150 + Y / 90) + 0.25 * wild

    def put(what: int, where: Array, shade: Array, lean: Array) -> None:
        label[where], light[where], turn[where] = what, shade[where], lean[where]

    billow = wild + 0.35 * fine - np.abs(Y - 170) / 120
    put(CLOUD, billow > 0.15, 0.75 + 0.3 * np.tanh(billow - 0.4) + 0.1 * fine, turn + 0.5 * fine)
    r = np.hypot(X - 930, Y - 190)
    put(SUN, r < 95, 1 - r / 300, np.arctan2(Y - 190, X - 930) + 1.57)
    for what, top, peak, swell, width in (
        (PEAK, 430, 330, 250, 190), (PEAK, 440, 1120, 170, 150), (HILL, 520, 760, 130, 330),
        (HILL, 560, 60, 120, 260), (FIELD, 640, 1150, 90, 420),
    ):  # fmt: skip
        ridge = top - swell * np.exp(-(((X - peak) / width) ** 2)) + 14 * wild * (what == PEAK)
        slope = np.gradient(ridge, axis=1)
        folds = np.sin((Y - ridge) / 17 + X / 60 + 2 * wild) if what != PEAK else 1.3 * fine
        shade = 0.5 + 0.5 * np.clip(slope, -0.7, 0.7) * (1 if what == PEAK else 1.4) + 0.2 * folds
        put(what, ridge < Y, shade, np.arctan(slope) + (peak < X) * (what == PEAK) * 0.8)
    shore = 700 + 50 * np.sin(X / 230) + 130 * step(500, 1000, X)
    put(WATER, shore < Y, 0.5 + 0.4 * np.sin((Y - shore) / 9 + 1.5 * np.sin(X / 60) + wild), 0 * X)
    for x, y, s in ((830, 720, 150), (330, 690, 105)):
        corner = np.array((x, y))
        for what, outline, shade in (
            (SIDE, [(0, 0), (0, -0.8), (0.5, -1.35), (1, -0.8), (1, 0)], 0.35),
            (WALL, [(0, 0), (0, -0.8), (-1.4, -0.75), (-1.4, 0)], 0.9),
            (ROOF, [(0.03, -0.75), (0.5, -1.4), (-0.95, -1.3), (-1.5, -0.7)], 0.6),
            (TRUNK, [(0.35, 0), (0.35, -0.5), (0.65, -0.5), (0.65, 0)], 0.1),
            (TRUNK, [(-0.9, -0.25), (-0.9, -0.55), (-0.6, -0.55), (-0.6, -0.25)], 0.15),
        ):
            put(what, ink(np.array(outline) * s + corner), shade + 0.06 * fine, 0 * X + 1.4)
    for x, y, s in ((1120, 760, 125), (90, 690, 110), (560, 700, 85), (1010, 700, 75)):
        stem = np.array([(-0.1, 0), (-0.06, -1), (0.06, -1), (0.12, 0)]) * s + (x, y)
        put(TRUNK, ink(stem), 0.25 + 0.1 * fine, 0 * X + 1.5)
        for dx, dy, r in ((0.45, -1.1, 0.5), (-0.45, -1.05, 0.48), (0, -1.6, 0.6), (0, -1.0, 0.5)):
            u, v = (X - x - dx * s) / (r * s), (Y - y - dy * s) / (r * s)
            lit = 0.55 - 0.35 * u - 0.4 * v + 0.12 * fine
            put(CROWN, np.hypot(u, v) < 1 + 0.12 * fine, lit, np.arctan2(v, u) + 1.57)
    return Scene(label, np.clip(light, 0, 1), turn)


def edges(label: Array, width: float) -> Array:
    """Return how near, in [0, 1], the border of two labels is: 1 on it, 0 from ``width`` on."""
    other = (label != np.roll(label, 1, 0)) | (label != np.roll(label, 1, 1))
    other[0], other[:, 0] = False, False
    return step(0.06, 0.24, blur(other * 1.0, width / 2) * width / 2)


def painted(scene: Scene, dark: str, bright: str) -> Array:
    """Return the landscape's colours between two palettes of twelve hexadecimal colours each."""
    low, high = (
        np.array([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in palette.split()])
        for palette in (dark, bright)
    )
    return mix(low[scene.label], high[scene.label], scene.light[..., None])


def paper(rng: Generator, colour: tuple[float, ...], rough: float) -> Array:
    """Return a sheet of that colour with a grain."""
    grain = fractal(rng, HEIGHT, WIDTH, 0.7)[..., None]
    return np.asarray(np.array(colour) * (1 + rough * np.clip(blur(grain, 1.0) * 1.6, -2, 2)))


def save(pixels: Array, path: Path, quality: int = 76) -> None:
    """Save at half of the working size."""
    levels = np.uint8(np.clip(pixels, 0, 1) * 255 + 0.5)
    half = Image.fromarray(levels).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.LANCZOS)
    half.save(path, quality=quality, optimize=True)


def oil(scene: Scene) -> Array:
    """Return broad, loaded strokes of a bristle brush, thick enough to throw shadows."""
    rng = default_rng(31)
    target = painted(
        scene,
        "1c4a74 a8785c e8902c 3a2c5e 20401c 8a5a10 0c2438 c89060 54324a 6a1410 0c2410 180c10",
        "8cc4d8 fff0dc fff4a4 c890b0 a4b844 f4d464 64a4ac fff4dc a87c84 e8603c 8cac3c 5c3420",
    )
    canvas, relief = Image.fromarray(np.uint8(target * 150)), Image.new("L", SIZE)
    paint, body = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for width, count, n in ((46, 9, 1500), (28, 9, 2600), (18, 8, 3800)):
        for path in follow(
            scene.angle, rng.uniform(-20, np.add(SIZE, 20), (n, 2)), count, width / 4
        ):
            lean = rng.normal(0, 0.25)
            spin = np.array([(np.cos(lean), np.sin(lean)), (-np.sin(lean), np.cos(lean))])
            path = (path - path[0]) @ spin + path[0]
            colour = look(target, path[count // 2]) * rng.normal(rng.normal(1, 0.1), 0.07, 3)
            side = np.gradient(path, axis=0)[:, ::-1] * (-1, 1) * 4
            for across in np.linspace(-0.5, 0.5, width // 3):
                load = colour * rng.uniform(0.86, 1.14) * 255
                bristle = (path + side * across)[: count - int(rng.integers(0, 3))].ravel().tolist()
                paint.line(bristle, tuple(np.clip(load, 0, 255).astype(int).tolist()), 5)
                body.line(bristle, int(rng.uniform(90, 220)), 4)
    height = blur(np.asarray(relief) / 255, 1.3)
    shine = 1 + 1.1 * (np.roll(height, (-2, -2), (0, 1)) - np.roll(height, (2, 2), (0, 1)))
    return np.asarray(blur(np.asarray(canvas) / 255, 0.8) * shine[..., None])


def wash(tone: Array, rng: Generator, levels: tuple[float, ...], soft: float) -> Array:
    """Return layers of wet paint, [H, W] from 0 on, each darker at its rim, that show a tone."""
    wander, total = fractal(rng, HEIGHT, WIDTH, 1.7), np.zeros_like(tone)
    for level in levels:
        wet = blur(tone, 3) + 0.045 * wander - level
        total += step(0, soft, wet) * (1 + 0.7 * np.exp(-((wet / soft - 0.9) ** 2) * 3))
    return np.asarray(total * (1 + 0.09 * fractal(rng, HEIGHT, WIDTH, 1.2)))


def brush(draw: ImageDraw.ImageDraw, path: Array, width: Array, shade: int) -> None:
    """Draw a brush's path (n, 2), its width at each point changing."""
    for (x, y), r in zip(path, width / 2, strict=True):
        draw.ellipse((x - r, y - r, x + r, y + r), shade)


def ink_wash(scene: Scene) -> Array:
    """Return black ink on rice paper: four washes, wet edges, dry brushes and a red seal."""
    rng = default_rng(32)
    weight = np.array([0.05, 0.0, 0.3, 0.75, 0.6, 0.35, 0.35, 0.1, 0.65, 0.9, 0.9, 1.0])
    tone = weight[scene.label] * (1.25 - scene.light)
    tone = mix(tone, tone * step(300, 40, Y - 330 - 80 * np.sin(X / 200)), 0.35)
    layers = wash(tone, rng, (0.12, 0.28, 0.45, 0.62), 0.05)
    strokes = Image.new("L", SIZE)
    draw, border = ImageDraw.Draw(strokes), np.argwhere(edges(scene.label, 3) > 0.9)[:, ::-1]
    for path in follow(scene.angle, border[rng.integers(len(border), size=420)] * 1.0, 60, 2.0):
        swell = np.sin(np.linspace(0, 3.1, 60)) ** 0.6 * rng.uniform(3, 13)
        brush(draw, path, swell, int(rng.uniform(110, 255)))
    dry = np.asarray(strokes) / 255 * step(-1.3, 0.2, fractal(rng, HEIGHT, WIDTH, 0.6))
    black = 1 - np.exp(-0.42 * layers) * (1 - 0.9 * dry)
    sheet = mix(paper(rng, (0.94, 0.92, 0.86), 0.02), np.array((0.07, 0.08, 0.1)), black[..., None])
    seal = (np.abs(X - 1180) < 38) & (np.abs(Y - 90) < 44)
    carved = (np.sin(X / 5.5) * np.sin(Y / 6.5 + np.sin(X / 9)) < 0.25) * seal
    return mix(sheet, np.array((0.72, 0.1, 0.08)), 0.9 * blur(carved * 1.0, 1)[..., None])


def woodcut(scene: Scene) -> Array:
    """Return black cuts that swell with the dark along every form, on cream, and an ochre block."""
    rng = default_rng(33)
    spin, dark = blur(np.exp(2j * scene.angle).real, 5), blur(1 - scene.light, 2)
    spin = np.arctan2(blur(np.sin(2 * scene.angle), 5), spin) / 2
    # Waves along quantised directions, each shown where it is nearest: cuts follow the form.
    wave, best = np.zeros_like(X), np.full(X.shape, 9.0)
    jag = 5 * blur(fractal(rng, HEIGHT, WIDTH, 1.5), 2)
    for turn in np.arange(0, np.pi, np.pi / 10):
        off = np.abs((spin - turn + np.pi / 2) % np.pi - np.pi / 2)
        phase = (Y * np.cos(turn) - X * np.sin(turn) + jag) / 16
        wave, best = np.where(off < best, np.abs(2 * (phase % 1) - 1), wave), np.minimum(off, best)
    base = np.array([0.3, 0.02, 0.0, 0.55, 0.62, 0.42, 0.6, 0.08, 0.75, 0.7, 0.85, 1.0])
    black = step(-0.09, 0.09, base[scene.label] * (0.45 + 1.1 * dark) - wave)
    black = np.maximum(black, edges(scene.label, 7))
    black *= 1 - step(1.9, 2.1, fractal(rng, HEIGHT, WIDTH, 0.5))
    tint = np.array([0, 0, 1, 0.35, 0, 1, 0, 0, 0, 1, 0, 0])[scene.label]
    tint = np.roll(tint, (4, -5), (0, 1))[..., None]  # the second block is never quite in place
    cream = mix(paper(rng, (0.93, 0.87, 0.72), 0.02), np.array((0.78, 0.36, 0.12)), 0.85 * tint)
    return mix(cream, np.array((0.08, 0.06, 0.06)), black[..., None])


def cells(rng: Generator, pitch: int, jitter: float) -> tuple[Array, Array, Array]:
    """Return a jittered grid's Voronoi cells: each pixel's site (H, W, 2), the cell's number, and
    how far its border is.
    """
    rows, columns = HEIGHT // pitch + 3, WIDTH // pitch + 3
    sites = np.mgrid[:columns, :rows].transpose(2, 1, 0) - 0.5
    sites = (sites + rng.uniform(-jitter, jitter, sites.shape)) * pitch
    j, i = (Y // pitch).astype(int) + 1, (X // pitch).astype(int) + 1
    near, number = np.full((2, *X.shape), np.inf), np.zeros(X.shape, int)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            far = np.hypot(*(sites[j + dy, i + dx] - np.stack([X, Y], -1)).transpose(2, 0, 1))
            number = np.where(far < near[0], (j + dy) * columns + i + dx, number)
            near = np.sort(np.stack([*near, far]), 0)[:2]
    return sites.reshape(-1, 2)[number], number, near[1] - near[0]


def mosaic(scene: Scene) -> Array:
    """Return small stones with a light side and a dark one, set in mortar."""
    rng = default_rng(34)
    target = painted(
        scene,
        "1c3c78 b8a890 d88c10 403058 184838 a86c18 0c5868 c0a070 684030 7c1c14 103818 281810",
        "58a0c8 f8f4e4 fcdc50 9c80a8 78a860 ecc868 50c0b8 f8ecd0 b08060 d85c38 70a040 6c4830",
    )
    site, number, border = cells(rng, 21, 0.3)
    stone = look(target, site) * rng.normal(1, 0.13, number.max() + 1)[number][..., None]
    stone += rng.normal(0, 0.02, (number.max() + 1, 3))[number]
    tilt = rng.uniform(-1, 1, (number.max() + 1, 2))[number]
    bevel = ((site - np.stack([X, Y], -1)) * (0.5, 0.7) + tilt).sum(-1) / 90
    stone = stone * (1 + bevel + 0.04 * fractal(rng, HEIGHT, WIDTH, 0.8))[..., None]
    mortar = paper(rng, (0.33, 0.3, 0.27), 0.12)
    return mix(mortar, stone, step(2.0, 5.0, border)[..., None])


def glass(scene: Scene) -> Array:
    """Return panes of coloured light, uneven and bright in the middle, between black leads."""
    rng = default_rng(35)
    _, number, border = cells(rng, 92, 0.42)
    pane = number * 16 + scene.label
    light = 0.6 * rng.random(pane.max() + 1)[pane] + 0.4 * blur(scene.light, 20)
    colour = painted(
        scene._replace(light=light),
        "0828a0 6890d8 f07800 500878 006040 b07800 0048a0 e0a830 800848 a00010 006820 400810",
        "3c88ff d8f0ff fff060 b850d8 38d870 ffe038 30d0f0 fff4a0 e84890 ff4028 80e830 b04820",
    )
    lead = np.maximum(step(15, 9, border * 1.3), edges(scene.label, 13))
    uneven = 1 + 0.1 * fractal(rng, HEIGHT, WIDTH, 1.9) + 0.05 * np.sin(X / 7 + Y / 19)
    light = colour * (uneven * (0.5 + 0.6 * step(0, 1, blur(1 - lead, 16))))[..., None]
    metal = 0.05 + 0.1 * blur(lead, 2)[..., None] * (1 + 0.3 * fractal(rng, *X.shape))[..., None]
    return mix(light + 0.1 * blur(light, 12), metal * np.array((0.6, 0.6, 0.7)), lead[..., None])


def points(scene: Scene) -> Array:
    """Return dots of unmixed colours, warm beside cool, that mix in the eye alone."""
    rng = default_rng(36)
    target = painted(
        scene,
        "4878c8 c0b0d8 f8b040 5858b0 2c7850 b0a030 2058a8 e0b8a0 6060a8 b04060 185850 303078",
        "b8d8f0 fffce8 fffcb0 c8b8e0 c0d858 fcf080 90d8e0 fff8e0 b8a8d8 f89068 a8d048 885878",
    )
    canvas = Image.fromarray(np.uint8(paper(rng, (0.9, 0.86, 0.76), 0.02) * 255))
    draw = ImageDraw.Draw(canvas)
    for radius, n in ((8.5, 16000), (6.5, 22000), (5.0, 24000)):
        for x, y in rng.uniform(0, SIZE, (n, 2)):
            pure = target[int(y), int(x)]
            grey = pure.mean()
            vivid = grey + (pure - grey) * 1.7 + rng.normal(0, 0.09, 3)
            if rng.random() < 0.2:  # the complement, in the same light
                vivid = grey - (pure - grey) * 1.3 + rng.normal(0, 0.05, 3)
            r = radius * rng.uniform(0.75, 1.1)
            fill = tuple(np.clip(vivid * 255, 0, 255).astype(int).tolist())
            draw.ellipse((x - r, y - r * 0.9, x + r, y + r * 0.9), fill)
    return np.asarray(canvas) / 255


def comic(scene: Scene) -> Array:
    """Return flat printer's colours, shaded by a screen of dots, with black outlines."""
    rng = default_rng(37)
    flat = painted(
        scene._replace(light=np.ones_like(scene.light)),
        " ".join(["000000"] * 12),
        "48b4f0 ffffff ffe010 f078a8 38b048 ffe010 1c70d0 fff8e0 f8a078 e81c24 109048 401c10",
    )
    u, v = (X + Y) / np.sqrt(2), (X - Y) / np.sqrt(2)
    screen = (np.cos(u * 2 * np.pi / 15) + np.cos(v * 2 * np.pi / 15)) / 4 + 0.5
    shade = blur(scene.light, 3)
    dots = step(-0.05, 0.05, np.clip(1.15 - 1.3 * shade, 0, 0.85) - screen)
    deep = flat * np.array((0.35, 0.25, 0.55)) + np.array((0.02, 0.05, 0.15))
    inked = mix(flat, deep, dots[..., None])
    hand = fractal(rng, HEIGHT, WIDTH, 1.6)
    black = np.maximum(
        edges(scene.label, 9), step(0.02, -0.02, shade - 0.2 + 0.03 * hand) * (scene.label > PEAK)
    )
    return mix(inked, np.array((0.04, 0.04, 0.07)), black[..., None])


def watercolour(scene: Scene) -> Array:
    """Return thin washes that run into each other, dark at their rims, with the paper's white."""
    rng = default_rng(38)
    wander = np.stack([X, Y], -1) + 9 * np.stack(
        [fractal(rng, HEIGHT, WIDTH, 1.7), fractal(rng, HEIGHT, WIDTH, 1.7)], -1
    )
    moved = Scene(look(scene.label, wander), look(scene.light, wander), scene.angle)
    target = painted(
        moved,
        "5aa0d0 a8b8d0 f8b050 6868a8 3c8060 c89838 2878a0 d8b090 806890 b84838 1c6850 503850",
        "d8ecf8 fefefe fff0b0 d8cce8 c8dc98 fcecb0 b0e0e4 fffcf4 d8c0d0 f4a890 b0d080 a88070",
    )
    pigment = -np.log(np.clip(blur(target, 2.0), 0.02, 1))
    bloom = fractal(rng, HEIGHT, WIDTH, 2.0)
    rim = np.abs(bloom % 0.9 - 0.45) < 0.035
    pooled = 1 + 0.9 * edges(moved.label, 6) + 0.5 * blur(rim * 1.0, 1.5) + 0.25 * bloom
    grain = np.clip(1 + 0.16 * blur(fractal(rng, HEIGHT, WIDTH, 0.5), 1.2), 0.5, 1.6)
    dry = step(-0.6, 0.0, fractal(rng, HEIGHT, WIDTH, 1.1) + 1.9 - 1.4 * (moved.light > 0.8))
    gap = 1 - 0.8 * step(0.75, 1, np.roll(edges(moved.label, 5), (5, 5), (0, 1)))
    strength = (pooled * grain * dry * gap)[..., None]
    return paper(rng, (0.985, 0.975, 0.95), 0.015) * np.exp(-1.15 * pigment * strength)


def blueprint(scene: Scene) -> Array:
    """Return a draughtsman's white lines on blue: outlines, hatching, a grid and measures."""
    rng = default_rng(39)
    fine = ((X % 40 < 1.6) | (Y % 40 < 1.6)) * 0.16 + ((X % 200 < 2.2) | (Y % 200 < 2.2)) * 0.2
    contour = edges(np.digitize(blur(scene.light, 6), (0.3, 0.5, 0.7)), 2.4) * 0.45
    dark, turn = (
        blur(1 - scene.light, 3),
        np.array([0.8, 2.3, 0, 0.8, 2.3, 0.3, 0, 1.57, 0.8, 2.3, 0.8, 0]),
    )
    slant = turn[scene.label]
    ruled = np.abs((Y * np.cos(slant) - X * np.sin(slant)) / 12 % 1 - 0.5) < 0.11
    hatch = ruled * step(0.42, 0.5, dark) * np.isin(scene.label, (PEAK, HILL, SIDE, ROOF, CROWN))
    solid = (scene.label == TRUNK) * 0.8 + (scene.label == SUN) * 0.15
    sheet = ImageDraw.Draw(marks := Image.new("L", SIZE))
    for x, y, r in ((930, 190, 130), (1120, 600, 165), (330, 260, 120), (700, 860, 60)):
        sheet.ellipse((x - r, y - r, x + r, y + r), outline=190, width=3)
        sheet.line((x - 1.3 * r, y, x + 1.3 * r, y), 150, 2)
        sheet.line((x, y - 1.3 * r, x, y + 1.3 * r), 150, 2)
    for x, y, length in ((90, 900, 420), (620, 60, 250), (840, 920, 330)):
        sheet.line((x, y, x + length, y), 220, 3)
        for at in range(x, x + length + 1, 30):
            sheet.line((at - 6, y + 9, at + 6, y - 9), 220, 3)
    lines = np.maximum.reduce(
        [fine, contour, hatch * 0.6, solid, edges(scene.label, 4.5), np.asarray(marks) / 255]
    )
    chalk = np.clip(lines * (1 - 0.12 * fractal(rng, HEIGHT, WIDTH, 0.6)), 0, 1)
    blue = paper(rng, (0.05, 0.22, 0.5), 0.05) * (1 + 0.1 * fractal(rng, *X.shape, 2.2))[..., None]
    return mix(blue, np.array((0.9, 0.95, 0.98)), chalk[..., None])


def main(folder: Path, names: list[str]) -> None:
    """Draw the styles of those names, or all, into the folder."""
    hands = {
        "oil": oil, "ink": ink_wash, "woodcut": woodcut, "mosaic": mosaic, "glass": glass,
        "points": points, "comic": comic, "watercolour": watercolour, "blueprint": blueprint,
    }  # fmt: skip
    scene = landscape()
    for name in names or hands:
        save(hands[name](scene), folder / f"{name}.jpg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "."), sys.argv[2:])
