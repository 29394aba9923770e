"""The hands that draw the built-in styles: each has its own strokes, edges, palette and paper.

Every function returns a picture, an array (height, width, 3) of sRGB values in [0, 1] at the
working size of draw.py; lengths are working pixels, and angles are radians.
"""

from collections.abc import Sequence

import numpy as np
from draw import HEIGHT, SIZE, WIDTH, Array, X, Y, blur, follow, fractal, look, mix, step
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw
from scenes import Scene, city, edges, flowers, landscape, reef, storm, table, window

__all__ = [
    "blueprint", "comic", "glass", "ink", "mosaic", "oil", "points", "watercolour", "woodcut",
]  # fmt: skip


def painted(scene: Scene, dark: str, bright: str) -> Array:
    """Return the scene's colours: for each label between two hexadecimal colours, by its light."""
    low, high = (
        np.array([[int(c[i : i + 2], 16) / 255 for i in (0, 2, 4)] for c in palette.split()])
        for palette in (dark, bright)
    )
    return mix(low[scene.label], high[scene.label], scene.light[..., None])


def paper(rng: Generator, colour: tuple[float, ...], rough: float) -> Array:
    """Return a sheet of that colour with a grain."""
    grain = fractal(rng, HEIGHT, WIDTH, 0.7)[..., None]
    return np.asarray(np.array(colour) * (1 + rough * np.clip(blur(grain, 1.0) * 1.6, -2, 2)))


def levels(colour: Array) -> tuple[int, ...]:
    """Return a colour as Pillow takes it."""
    return tuple(np.clip(colour * 255, 0, 255).astype(int).tolist())


def oil() -> Array:
    """Return a table laid with fruit in loaded strokes of a bristle brush, which throw shadows."""
    rng, scene = default_rng(31), table()
    target = painted(
        scene,
        "243c44 3a1c12 54403c 4c0c10 7c2c08 26300c 1c1028 14242c 08140e 3c2014 18240c 1c1014",
        "ecd090 c88438 fff4dc ec4428 ffc040 d8d45c 8c6cb0 a8c8c4 7ca860 fff0cc b4c454 6c3c2c",
    )
    canvas, relief = Image.fromarray(np.uint8(target * 190)), Image.new("L", SIZE)
    paint, body = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for width, count, n in ((44, 9, 1500), (26, 9, 3000), (14, 8, 5200)):
        for path in follow(
            scene.angle, rng.uniform(-20, np.add(SIZE, 20), (n, 2)), count, width / 4
        ):
            lean = rng.normal(0, 0.25)
            spin = np.array([(np.cos(lean), np.sin(lean)), (-np.sin(lean), np.cos(lean))])
            path = (path - path[0]) @ spin + path[0]
            colour = look(target, path[count // 2]) * rng.normal(rng.normal(1, 0.09), 0.05, 3)
            side = np.gradient(path, axis=0)[:, ::-1] * (-1, 1) * 4
            for across in np.linspace(-0.5, 0.5, width // 3):
                load = levels(colour * rng.uniform(0.86, 1.14))
                bristle = (path + side * across)[: count - int(rng.integers(0, 3))].ravel().tolist()
                paint.line(bristle, load, 5)
                body.line(bristle, int(rng.uniform(90, 220)), 4)
    height = blur(np.asarray(relief) / 255, 1.3)
    shine = 1 + 1.0 * (np.roll(height, (-2, -2), (0, 1)) - np.roll(height, (2, 2), (0, 1)))
    return np.asarray(blur(np.asarray(canvas) / 255, 0.8) * shine[..., None])


def brush(draw: ImageDraw.ImageDraw, path: Array, width: Array, shade: int) -> None:
    """Draw a brush's path (n, 2), its width at each point changing."""
    for (x, y), r in zip(path, width / 2, strict=True):
        draw.ellipse((x - r, y - r, x + r, y + r), shade)


def wet(strokes: Image.Image, rng: Generator, rim: float) -> Array:
    """Return how much ink strokes leave: uneven, dark at their rims."""
    tone = blur(np.asarray(strokes) / 255, 1.2)
    dark = np.clip(tone - blur(tone, 7), 0, 1)
    return np.asarray(tone * (1 + 0.16 * fractal(rng, HEIGHT, WIDTH, 1.4)) + rim * dark * tone)


def dry(strokes: Image.Image, angle: Array, rng: Generator, least: float) -> Array:
    """Return how much ink a dry brush leaves: hairs along the strokes, broken by the paper."""
    hair = sum(
        fractal(rng, HEIGHT, WIDTH, 0.4)[(Y + k * np.sin(angle)).astype(int) % HEIGHT,
                                         (X + k * np.cos(angle)).astype(int) % WIDTH]
        for k in (0, 1)
    )  # fmt: skip
    return np.asarray(np.asarray(strokes) / 255 * step(least - 0.5, least + 0.5, blur(hair, 0.7)))


def ridge(k: int, rng: Generator) -> tuple[Array, Array]:
    """Return a range of mountains, the k-th from the back: its line (width,) and its slopes."""
    bumps = sum(
        high * np.exp(-(np.abs((X[0] - rng.uniform(0, WIDTH)) / wide) ** 1.5))
        for high, wide in ((210, 150), (260, 110), (150, 260), (130, 90))
    )
    line = 420 + 120 * k - (1 - 0.17 * k) * bumps + 16 * fractal(rng, 4, WIDTH, 1.3)[0]
    return np.asarray(line), np.gradient(blur(line[None], 6)[0])


def ink() -> Array:
    """Return black ink on rice paper: mountains in mist, bamboo before them, and a red seal."""
    rng = default_rng(32)
    black = np.zeros_like(X)
    for k in range(3):
        line, slope = ridge(k, rng)
        deep = Y - line
        mist = step(-3, 3, deep) * np.exp(-np.clip(deep, 0, None) / (120 + 40 * k))
        black = mix(black, 0.12, step(0, 8, deep)) + (0.2 + 0.13 * k) * mist
        strokes = Image.new("L", SIZE)
        draw = ImageDraw.Draw(strokes)
        for x in rng.uniform(0, WIDTH, 420):
            down = rng.exponential(60)
            start = (x, line[int(x)] + down)
            fall = np.arctan2(1.0, 0.55 * np.sign(slope[int(x)]) + rng.normal(0, 0.25))
            path = np.array(start) + np.outer(
                np.linspace(0, rng.uniform(40, 130), 36), (np.cos(fall), np.sin(fall))
            )
            path[:, 0] += 5 * np.sin(np.linspace(0, rng.uniform(2, 7), 36))
            swell = np.linspace(1, 0.1, 36) ** 0.7 * rng.uniform(5, 19)
            load = (70 + 55 * k) * rng.uniform(0.5, 1.3) * np.exp(-down / 240)
            brush(draw, path, swell, int(load))
        black += dry(strokes, np.full_like(X, 1.2), rng, -0.3) * 0.9
        for x in range(0, WIDTH, 3):  # the contour, pressed and lifted
            press = 1 + np.sin(x / 47 + 2 * k) + 0.6 * np.sin(x / 13)
            r = max(press, 0.2) * 2.4
            box = (x - r, line[x] - r, x + r, line[x] + r)
            ImageDraw.Draw(strokes).ellipse(box, fill=120 + 50 * k)
        black = np.maximum(black, wet(strokes, rng, 1.0) * step(14, 4, np.abs(deep)))
    black = np.maximum(black, bamboo(rng))
    black *= 1 + 0.1 * fractal(rng, HEIGHT, WIDTH, 1.2)
    sheet = mix(
        paper(rng, (0.95, 0.925, 0.86), 0.03), (0.06, 0.065, 0.08), step(0, 1, black)[..., None]
    )
    seal = (np.abs(X - 1190) < 36) & (np.abs(Y - 110) < 46)
    carved = (np.sin(X / 5.5) * np.sin(Y / 6.5 + np.sin(X / 9)) < 0.25) * seal
    return mix(sheet, np.array((0.72, 0.1, 0.08)), 0.9 * blur(carved * 1.0, 1)[..., None])


def bamboo(rng: Generator) -> Array:
    """Return the ink of two canes, their joints and sprays of leaves."""
    canes, leaves = Image.new("L", SIZE), Image.new("L", SIZE)
    pen, draw = ImageDraw.Draw(canes), ImageDraw.Draw(leaves)
    for x, lean, wide, shade in ((190, 0.1, 34, 165), (300, -0.05, 24, 120), (60, 0.06, 26, 105)):
        for low in range(HEIGHT + 40, -60, -150):
            path = np.linspace((0, low), (0, low - 138), 40)
            path[:, 0] = x + lean * (HEIGHT - path[:, 1])
            brush(pen, path, wide * (1 + 0.14 * np.cos(np.linspace(0, 6.28, 40))), shade)
            brush(draw, path[-1] + np.linspace((-wide / 1.7, 4), (wide / 1.7, 0), 20),
                  np.full(20, 6.0), 235)  # fmt: skip
    for x, y, n in ((330, 170, 11), (240, 420, 12), (430, 330, 9), (120, 640, 11), (400, 620, 10),
                    (90, 200, 8), (980, 800, 12), (1150, 720, 12), (1080, 880, 10)):  # fmt: skip
        for _ in range(n):
            fall, long = rng.normal(1.0, 0.65), rng.uniform(70, 170)
            t = np.linspace(0, 1, 50)[:, None]
            bend = np.concatenate([np.cos(fall + 0.5 * t), np.sin(fall + 0.5 * t)], 1)
            path = np.array((x, y)) + rng.normal(0, 34, 2) + long * t * bend
            swell = np.sin(np.linspace(0.12, 3.1, 50)) ** 1.3 * long / rng.uniform(6, 9)
            brush(draw, path, swell, int(rng.choice((250, 235, 150, 90))))
    along = np.full_like(X, 1.5)
    canes_ink = np.maximum(wet(canes, rng, 1.3) * 0.85, dry(canes, along, rng, 0.2))
    return np.maximum(canes_ink, wet(leaves, rng, 0.6) * 1.15)


def woodcut() -> Array:
    """Return black cuts that swell with the dark along every form, on cream, and a red block."""
    rng, scene = default_rng(33), storm()
    spin = np.arctan2(blur(np.sin(2 * scene.angle), 5), blur(np.cos(2 * scene.angle), 5)) / 2
    dark = blur(1 - scene.light, 2)
    # Waves along quantised directions, each shown where it is nearest: cuts follow the form.
    wave, best = np.zeros_like(X), np.full(X.shape, 9.0)
    jag = 5 * blur(fractal(rng, HEIGHT, WIDTH, 1.5), 2)
    for turn in np.arange(0, np.pi, np.pi / 12):
        off = np.abs((spin - turn + np.pi / 2) % np.pi - np.pi / 2)
        phase = (Y * np.cos(turn) - X * np.sin(turn) + jag) / 15
        wave, best = np.where(off < best, np.abs(2 * (phase % 1) - 1), wave), np.minimum(off, best)
    base = np.array([0.42, 0.4, 0.3, 0.8, 0.45, 0.1, 0.75, 0.85, 0.06])
    black = step(-0.09, 0.09, base[scene.label] * (0.3 + 1.2 * dark) - wave)
    black = np.maximum(black, edges(scene.label, 7))
    black *= 1 - step(1.9, 2.1, fractal(rng, HEIGHT, WIDTH, 0.5))
    tint = np.array([0, 1, 0.3, 0.5, 0, 1, 0, 0.3, 0])[scene.label]
    tint = np.roll(tint, (4, -5), (0, 1))[..., None]  # the second block is never quite in place
    cream = mix(paper(rng, (0.94, 0.88, 0.74), 0.02), np.array((0.78, 0.2, 0.12)), 0.9 * tint)
    return mix(cream, np.array((0.08, 0.06, 0.06)), black[..., None])


def cells(u: Array, v: Array, rng: Generator, jitter: float) -> tuple[Array, Array, Array]:
    """Return the Voronoi cells of a jittered grid, its pitch 1 in the coordinates u and v.

    They are each pixel's way to its site (2, H, W), the cell's number, and how far its border is.
    """
    j, i = np.floor(v).astype(int), np.floor(u).astype(int)
    j, i = j - j.min() + 1, i - i.min() + 1
    shift = rng.uniform(-jitter, jitter, (2, j.max() + 2, i.max() + 2))
    near, second = np.full(u.shape, np.inf), np.full(u.shape, np.inf)
    number, way = np.zeros(u.shape, int), np.zeros((2, *u.shape))
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            at = np.stack([dx + 0.5 - u % 1, dy + 0.5 - v % 1]) + shift[:, j + dy, i + dx]
            far = np.hypot(*at)
            closer = far < near
            second = np.where(closer, near, np.minimum(second, far))
            number = np.where(closer, (j + dy) * shift.shape[2] + i + dx, number)
            way = np.where(closer, at, way)
            near = np.minimum(near, far)
    return way, number, second - near


def mosaic() -> Array:
    """Return stones with a light side and a dark one, set in mortar along outlines."""
    rng, scene = default_rng(34), reef()
    target = painted(
        scene,
        "c8b088 1c1418 7c1c10 b05c10 681430 903c10 1c4414 784c14 143450 d8a038 8c2014 2c7898 "
        "143c70 88602c",
        "fcf0d8 4c3c34 e0643c f4c054 f08ca0 ffd878 98c850 f8e098 3c74a4 fff4c8 f07040 88d0d0 "
        "4890a8 e8c070",
    )
    way, number, border = cells(X / 19, Y / 19, rng, 0.26)
    tone = rng.normal(1, 0.1, number.max() + 1)[number][..., None]
    at = np.stack([X + 19 * way[0], Y + 19 * way[1]], -1)
    stone = look(target, at) * tone + rng.normal(0, 0.02, (number.max() + 1, 3))[number]
    tilt = rng.uniform(-1, 1, (2, number.max() + 1))[:, number]
    bevel = 0.16 * (way * np.array((0.8, 1.1))[:, None, None]).sum(0) + 0.03 * tilt.sum(0)
    stone = stone * (1 + bevel + 0.04 * fractal(rng, HEIGHT, WIDTH, 0.8))[..., None]
    mortar = paper(rng, (0.36, 0.32, 0.28), 0.12)
    return mix(mortar, stone, step(0.1, 0.26, border)[..., None])


def glass() -> Array:
    """Return panes of coloured light, uneven and bright in the middle, between black leads."""
    rng, scene = default_rng(35), window()
    _, number, border = cells(X / 50, Y / 50, rng, 0.4)
    pane = number * 16 + scene.label
    scene.light = np.clip(0.75 * rng.random(pane.max() + 1)[pane] + 0.35 * scene.light, 0, 1)
    colour = painted(
        scene,
        "10148c b01008 d06800 8c0038 d89000 062c6c 0c3c20",
        "3c78f0 ff5030 ffd050 f04878 fff8a8 2c98e8 40b060",
    )
    lead = np.maximum(step(0.2, 0.1, border), edges(scene.label, 9))
    uneven = 1 + 0.08 * fractal(rng, HEIGHT, WIDTH, 1.9) + 0.05 * np.sin(X / 7 + Y / 19)
    light = colour * (uneven * (0.55 + 0.55 * step(0, 1, blur(1 - lead, 9))))[..., None]
    metal = 0.05 + 0.1 * blur(lead, 2)[..., None] * (1 + 0.3 * fractal(rng, *X.shape))[..., None]
    return mix(light + 0.1 * blur(light, 12), metal * np.array((0.6, 0.6, 0.7)), lead[..., None])


def points() -> Array:
    """Return dots of unmixed colours, warm beside cool, that mix in the eye alone."""
    rng, scene = default_rng(36), landscape()
    target = painted(
        scene,
        "4878c8 e8a8a8 f8b040 5858b0 2c7850 b0a030 2058a8 e0b8a0 6060a8 b04060 185850 303078",
        "b8d8f0 fff4d8 fffcb0 c8b8e0 c0d858 fcf080 90d8e0 fff8e0 b8a8d8 f89068 a8d048 885878",
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
            draw.ellipse((x - r, y - r * 0.9, x + r, y + r * 0.9), levels(vivid))
    return np.asarray(canvas) / 255


def comic() -> Array:
    """Return flat printer's colours, shaded by a screen of dots, with black outlines."""
    rng, scene = default_rng(37), city()
    shade, scene.light = blur(scene.light, 3), np.ones_like(scene.light)
    flat = painted(
        scene,
        " ".join(["000000"] * 11),
        "38a8e8 f8a078 f078a8 ffe8c8 ffe428 2c3c8c f03020 ffe428 fff4e8 68c8f4 e81c24",
    )
    u, v = (X + Y) / np.sqrt(2), (X - Y) / np.sqrt(2)
    screen = (np.cos(u * 2 * np.pi / 13) + np.cos(v * 2 * np.pi / 13)) / 4 + 0.5
    dots = step(-0.05, 0.05, np.clip(1.15 - 1.3 * shade, 0, 0.85) - screen)
    deep = flat * np.array((0.35, 0.25, 0.55)) + np.array((0.02, 0.05, 0.15))
    inked = mix(flat, deep, dots[..., None])
    hand = fractal(rng, HEIGHT, WIDTH, 1.6)
    black = np.maximum(
        edges(scene.label, 7), step(0.02, -0.02, shade - 0.2 + 0.03 * hand) * (scene.label > 0)
    )
    return mix(inked, np.array((0.04, 0.04, 0.07)), black[..., None])


def watercolour() -> Array:
    """Return thin washes that run into each other, dark at their rims, with the paper's white."""
    rng, scene = default_rng(38), flowers()
    wander = np.stack([X, Y], -1) + 8 * np.stack(
        [fractal(rng, HEIGHT, WIDTH, 1.7), fractal(rng, HEIGHT, WIDTH, 1.7)], -1
    )
    scene.label, scene.light = look(scene.label, wander), look(scene.light, wander)
    target = painted(
        scene,
        "a0bcd8 54688c 28405c 4c7048 20583c 163c48 a82040 6c3090 b85410 2c4cac b83c70 4c2c18",
        "fefefc d8e4ec c8dce8 b4cc90 b0d890 8cc4b0 fcb0a8 dcb8ec ffd898 b8d0f8 fcc8d8 ecc068",
    )
    pigment = -np.log(np.clip(blur(target, 2.0), 0.02, 1))
    bloom = fractal(rng, HEIGHT, WIDTH, 2.0)
    rim = np.abs(bloom % 0.9 - 0.45) < 0.035
    pooled = 1 + 0.9 * edges(scene.label, 6) + 0.4 * blur(rim * 1.0, 1.5) + 0.25 * bloom
    grain = np.clip(1 + 0.16 * blur(fractal(rng, HEIGHT, WIDTH, 0.5), 1.2), 0.5, 1.6)
    bare = step(-0.6, 0.0, fractal(rng, HEIGHT, WIDTH, 1.1) + 1.9 - 1.4 * (scene.light > 0.85))
    gap = 1 - 0.8 * step(0.75, 1, np.roll(edges(scene.label, 5), (5, 5), (0, 1)))
    strength = (pooled * grain * bare * gap)[..., None]
    return paper(rng, (0.985, 0.975, 0.95), 0.015) * np.exp(-1.15 * pigment * strength)


def gear(x: float, y: float, r: float, teeth: int) -> Array:
    """Return a toothed wheel's label: 0 outside, then rim, gaps between spokes, hub, bore."""
    far, turn = np.hypot(X - x, Y - y), np.arctan2(Y - y, X - x)
    tooth = 0.055 * r * np.clip(4 * np.cos(teeth * turn), -1, 1)
    gap = (np.abs((turn * 5 / np.pi + x) % 2 - 1) < 0.66) & (far > 0.36 * r) & (far < 0.72 * r)
    inside = [far < 0.1 * r, far < 0.24 * r, gap, far < r + tooth]
    return np.asarray(np.select(inside, [4, 3, 2, 1], 0))


def blueprint() -> Array:
    """Return a draughtsman's white lines on blue: wheels in section, hatching, measures, a grid."""
    rng = default_rng(39)
    label, slant = np.zeros(X.shape, int), np.zeros_like(X)
    sheet = ImageDraw.Draw(marks := Image.new("L", SIZE))
    wheels: Sequence[tuple[int, int, int, int]] = (
        (390, 390, 250, 30), (800, 560, 205, 24), (1090, 330, 170, 20), (1030, 830, 115, 14),
        (180, 800, 140, 16), (560, 850, 90, 12), (760, 150, 105, 14), (60, 120, 110, 14),
    )  # fmt: skip
    for k, (x, y, r, teeth) in enumerate(wheels):
        kind = gear(x, y, r, teeth)
        label = np.where(kind > 0, kind + 5 * k, label)
        slant = np.where(kind > 0, 0.8 + 0.8 * k, slant)
        for ring in (0.86, 1.18):
            box = (x - ring * r, y - ring * r, x + ring * r, y + ring * r)
            sheet.ellipse(box, outline=120, width=2)
        sheet.line((x - 1.3 * r, y, x + 1.3 * r, y), 150, 2)
        sheet.line((x, y - 1.3 * r, x, y + 1.3 * r), 150, 2)
        sheet.line((x, y, x + 1.5 * r, y - 1.1 * r, x + 1.9 * r, y - 1.1 * r), 200, 2)
    for x, y, length in ((90, 910, 420), (520, 50, 350), (840, 700, 330)):
        sheet.line((x, y, x + length, y), 230, 3)
        for at in range(x, x + length + 1, 30):
            sheet.line((at - 6, y + 9, at + 6, y - 9), 230, 3)
    kind = np.where(label > 0, (label - 1) % 5 + 1, 0)
    across = (Y * np.cos(slant) - X * np.sin(slant)) / 11 % 1
    crossed = (Y * np.sin(slant) + X * np.cos(slant)) / 11 % 1
    hatch = (np.abs(across - 0.5) < 0.12) * (kind == 1) * 0.65
    hatch = np.maximum(hatch, (np.minimum(across, crossed) < 0.22) * (kind == 3) * 0.85)
    fine = ((X % 40 < 1.6) | (Y % 40 < 1.6)) * 0.16 + ((X % 200 < 2.2) | (Y % 200 < 2.2)) * 0.2
    lines = np.maximum.reduce(
        [fine, hatch, (kind == 4) * 0.9, edges(label, 4.5), np.asarray(marks) / 255]
    )
    chalk = np.clip(lines * (1 - 0.12 * fractal(rng, HEIGHT, WIDTH, 0.6)), 0, 1)
    blue = paper(rng, (0.05, 0.22, 0.5), 0.05) * (1 + 0.1 * fractal(rng, *X.shape, 2.2))[..., None]
    return mix(blue, np.array((0.9, 0.95, 0.98)), chalk[..., None])
