"""What the built-in styles depict: a scene for each, as labels, lights and directions.

All is computed from fixed seeds. Scenes are (height, width) arrays at the working size of draw.py;
lengths are working pixels, and angles are radians.
"""

import numpy as np
from draw import HEIGHT, WIDTH, Array, X, Y, blur, fractal, stencil, step
from numpy.random import default_rng

__all__ = ["Scene", "city", "edges", "flowers", "landscape", "reef", "storm", "table", "window"]

WILD = fractal(default_rng(21), HEIGHT, WIDTH, 2.2)
FINE = fractal(default_rng(22), HEIGHT, WIDTH)


class Scene:
    """A depicted scene: the ``label`` of each pixel, which a palette gives a colour, its ``light``
    in [0, 1], and the ``angle`` that strokes follow there.
    """

    def __init__(self, light: Array, angle: Array) -> None:
        self.label, self.light, self.angle = np.zeros(X.shape, int), light * 1.0, angle * 1.0

    def put(self, label: int, where: Array, light: Array | float, angle: Array | float) -> None:
        """Set what is where; light and angle are (height, width) or the same all over."""
        self.label[where] = label
        self.light[where] = np.broadcast_to(light, X.shape)[where]
        self.angle[where] = np.broadcast_to(angle, X.shape)[where]

    def polygon(self, label: int, points: Array, light: Array | float, angle: float) -> None:
        """Fill a polygon (n, 2)."""
        self.put(label, stencil(np.asarray(points, float)), light + 0.06 * FINE, angle)

    def ball(self, label: int, x: float, y: float, width: float, height: float = 0.0) -> None:
        """Put a ball, lit from the upper left: its half axes; a height of 0 makes it round."""
        u, v = (X - x) / width, (Y - y) / (height or width)
        far = np.hypot(u, v)
        light = 0.62 - 0.42 * u - 0.5 * v - 0.25 * far**4 + 0.07 * FINE
        light += 0.8 * np.exp(-((np.hypot(u + 0.35, v + 0.4) / 0.16) ** 2))
        self.put(label, far < 1, light, np.arctan2(v, u) + 1.57)

    def ended(self) -> "Scene":
        """Return the scene with lights brought into [0, 1]."""
        self.light = np.clip(self.light, 0, 1)
        return self


def edges(label: Array, width: float) -> Array:
    """Return how near, in [0, 1], the border of two labels is: 1 on it, 0 from ``width`` on."""
    other = (label != np.roll(label, 1, 0)) | (label != np.roll(label, 1, 1))
    other[0], other[:, 0] = False, False
    return step(0.06, 0.24, blur(other * 1.0, width / 2) * width / 2)


def landscape() -> Scene:
    """Return hills by the water under a sun, two houses and a row of trees.

    Labels: sky, cloud, sun, peak, hill, field, water, wall, side, roof, crown, trunk.
    """
    turn = 0.15 * np.sin(X / 150 + Y / 90) + 0.25 * WILD
    scene = Scene(0.35 + 0.5 * Y / 480 + 0.06 * WILD, turn)
    billow = WILD + 0.35 * FINE - np.abs(Y - 170) / 120
    scene.put(1, billow > -0.3, 0.6 + 0.45 * np.tanh(billow - 0.2), turn + 0.5 * FINE)
    r = np.hypot(X - 930, Y - 190)
    scene.put(2, r < 95, 1 - r / 300, np.arctan2(Y - 190, X - 930) + 1.57)
    for label, top, peak, swell, width in (
        (3, 430, 330, 250, 190), (3, 440, 1120, 170, 150), (4, 520, 760, 130, 330),
        (4, 560, 60, 120, 260), (5, 640, 1150, 90, 420),
    ):  # fmt: skip
        ridge = top - swell * np.exp(-(((X - peak) / width) ** 2)) + 14 * WILD * (label == 3)
        slope = np.gradient(ridge, axis=1)
        folds = 1.3 * FINE if label == 3 else np.sin((Y - ridge) / 17 + X / 60 + 2 * WILD)
        shade = 0.5 + 0.6 * np.clip(slope, -0.7, 0.7) + 0.2 * folds
        scene.put(label, ridge < Y, shade, np.arctan(slope) + (peak < X) * (label == 3) * 0.8)
    shore = 700 + 50 * np.sin(X / 230) + 130 * step(500, 1000, X)
    ripple = np.sin((Y - shore) / 9 + 1.5 * np.sin(X / 60) + WILD)
    scene.put(6, shore < Y, 0.5 + 0.4 * ripple, 0.0)
    for x, y, s in ((830, 720, 150), (330, 690, 105)):
        for label, outline, light in (
            (8, [(0, 0), (0, -0.8), (0.5, -1.35), (1, -0.8), (1, 0)], 0.35),
            (7, [(0, 0), (0, -0.8), (-1.4, -0.75), (-1.4, 0)], 0.9),
            (9, [(0.03, -0.75), (0.5, -1.4), (-0.95, -1.3), (-1.5, -0.7)], 0.6),
            (11, [(0.35, 0), (0.35, -0.5), (0.65, -0.5), (0.65, 0)], 0.1),
            (11, [(-0.9, -0.25), (-0.9, -0.55), (-0.6, -0.55), (-0.6, -0.25)], 0.15),
        ):
            scene.polygon(label, np.array(outline) * s + (x, y), light, 1.4)
    for x, y, s in ((1120, 760, 125), (90, 690, 110), (560, 700, 85), (1010, 700, 75)):
        stem = np.array([(-0.1, 0), (-0.06, -1), (0.06, -1), (0.12, 0)]) * s + (x, y)
        scene.polygon(11, stem, 0.25, 1.5)
        for dx, dy, r in ((0.45, -1.1, 0.5), (-0.45, -1.05, 0.48), (0, -1.6, 0.6), (0, -1, 0.5)):
            u, v = (X - x - dx * s) / (r * s), (Y - y - dy * s) / (r * s)
            lit, round_ = 0.55 - 0.35 * u - 0.4 * v + 0.12 * FINE, np.arctan2(v, u) + 1.57
            scene.put(10, np.hypot(u, v) < 1 + 0.12 * FINE, lit, round_)
    return scene.ended()


def table() -> Scene:
    """Return fruit, a bowl, a jug and a bottle on a cloth before a wall.

    Labels: wall, table, cloth, red, orange, green, grape, bowl, bottle, jug, leaf, dark.
    """
    lean = 0.9 + 0.5 * np.sin(X / 260 + Y / 180) + 0.5 * WILD
    scene = Scene(1.0 - 0.9 * step(0, 1300, X + 0.4 * Y) + 0.12 * WILD, lean)
    scene.put(1, 560 - 0.05 * X < Y, 0.65 - 0.5 * X / WIDTH + 0.1 * FINE, 0.1 * WILD)
    fold = np.sin((X * 0.8 + Y * 0.45) / 42 + 2.2 * WILD)
    hem = 610 + 0.35 * np.abs(X - 560) - 0.12 * X + 22 * WILD
    scene.put(2, hem < Y, 0.6 + 0.4 * fold - 0.25 * X / WIDTH, 2.1 + 0.5 * fold)
    for x, y, w in ((760, 660, 330), (300, 775, 150), (520, 850, 130), (930, 850, 170)):
        scene.put(11, np.hypot((X - x - 40) / w, (Y - y - 20) / (0.17 * w)) < 1, 0.3, 0.1)
    glass = [(0, 0), (0, -300), (35, -370), (40, -480), (85, -480), (90, -370), (125, -300)]
    at = np.array([*glass, (125, 0)]) + np.array((985, 690))
    scene.polygon(8, at, 0.3 + 0.7 * np.exp(-(((X - 1015) / 12) ** 2)) + 0.2 * (X > 1080), 1.57)
    jug = [(0, 0), (-45, -110), (-20, -230), (20, -290), (10, -350), (150, -350), (140, -290)]
    body = np.array([*jug, (190, -230), (215, -110), (170, 0), (0, 0)]) + np.array((150, 690))
    scene.polygon(9, body, 0.95 - 0.85 * step(120, 370, X), 1.4)
    ring = np.hypot((X - 375) / 75, (Y - 480) / 95)
    scene.put(9, (ring < 1) & (ring > 0.68) & (X > 340), 0.35, np.arctan2(Y - 480, X - 375) + 1.57)
    for label, x, y, r in (
        (4, 640, 470, 82), (3, 770, 445, 88), (5, 890, 480, 78), (4, 720, 535, 80),
        (3, 845, 545, 70),
    ):  # fmt: skip
        scene.ball(label, x, y, r)
    rim = np.hypot((X - 750) / 245, (Y - 530) / 140)
    scene.put(7, (rim < 1) & (Y > 540), 0.9 - 0.9 * step(520, 1000, X) + 0.1 * FINE, 0.1)
    scene.put(7, np.hypot((X - 750) / 90, (Y - 672) / 20) < 1, 0.35, 0.0)
    scene.ball(5, 300, 770, 88, 76)
    scene.ball(5, 330, 705, 46)
    scene.ball(3, 500, 815, 84)
    scene.ball(4, 950, 830, 92)
    for k in range(24):
        x, y = 1080 + 52 * (k % 5) - 18 * (k // 5), 720 + 44 * (k // 5) + 9 * (k % 2)
        scene.ball(6, x, y, 33)
    for x, y, turn in ((560, 730, 0.4), (650, 385, -0.7), (1120, 690, 0.2), (230, 690, 2.6)):
        u = (X - x) * np.cos(turn) + (Y - y) * np.sin(turn)
        v = (Y - y) * np.cos(turn) - (X - x) * np.sin(turn)
        scene.put(10, np.hypot(u / 66, v / 25) < 1, 0.5 - v / 50, turn + 0.4 * np.sign(v))
    return scene.ended()


def storm() -> Scene:
    """Return waves that curl before a rock with a lighthouse, under rays.

    Labels: sky, sun, cloud, rock, tower, lamp, swell, wave, foam.
    """
    x, y = 330.0, 330.0
    ray = np.arctan2(Y - y, X - x)
    far = np.hypot(X - x, Y - y)
    scene = Scene(0.62 + 0.3 * np.sin(ray * 15) - far / 2600, ray)
    scene.put(1, far < 105, 0.7 + 0.3 * np.sin(far / 7), ray + 1.57)
    billow = WILD + 0.3 * FINE - np.abs(Y - 120 - 0.1 * X) / 90
    scene.put(2, billow > 0.25, 0.55 + 0.4 * np.tanh(2 * billow - 1), 1.2 * WILD)
    cliff = 560 - 330 * np.exp(-(((X - 1130) / 190) ** 2)) - 30 * FINE + 25 * np.sin(X / 23)
    scene.put(3, (cliff < Y) & (X > 760), 0.45 + 0.35 * np.sin(X / 31 + WILD), 1.3 + 0.5 * WILD)
    for label, outline, light in (
        (4, [(1070, 300), (1092, 90), (1148, 90), (1170, 300)], 0.9),
        (5, [(1082, 90), (1082, 30), (1158, 30), (1158, 90)], 1.0),
        (3, [(1072, 30), (1120, -15), (1168, 30)], 0.1),
    ):
        scene.polygon(label, np.array(outline), light - 0.6 * (X > 1125), 0.0)
    scene.put(3, (np.abs(Y - 175) < 24) & (scene.label == 4), 0.1, 0.0)
    for k, (level, high, long) in enumerate(((520, 26, 130), (600, 46, 210), (720, 80, 330))):
        phase = X / long * 2 * np.pi / 1.6 + 1.3 * k
        crest = level - high * (2 * np.abs(np.sin(phase / 2)) - 1) + 8 * FINE
        slope = np.gradient(crest, axis=1)
        bands = np.sin((Y - crest) / (10 + 4 * k) + WILD)
        scene.put(6 + k % 2, crest < Y, 0.5 + 0.3 * bands + 0.3 * slope, np.arctan(slope * 1.6))
        scene.put(8, (crest < Y) & (crest + 16 + 9 * FINE > Y), 1.0, np.arctan(slope))
    for x, y, r in ((250, 960, 330), (880, 1020, 330)):
        u, v = (X - x) / r, (Y - y) / r
        far, turn = np.hypot(u, v), np.arctan2(v, u)
        back = far < 1 + 0.5 * np.clip(u, 0, 1) ** 2
        scene.put(7, back, 0.4 + 0.45 * np.sin(far * 19 - turn), turn + 1.4)
        crest = 0.92 + 0.06 * np.sin(13 * turn) + 0.03 * FINE + 0.5 * np.clip(u + 0.3, 0, 1)
        scene.put(8, back & (far > crest), 1.0, turn + 1.57)
    return scene.ended()


def fish(scene: Scene, x: float, y: float, size: float, turn: float, label: int) -> None:
    """Put a fish, its head to the left before it is turned: its body, stripes, fins and eye."""
    u = ((X - x) * np.cos(turn) + (Y - y) * np.sin(turn)) / size
    v = ((Y - y) * np.cos(turn) - (X - x) * np.sin(turn)) / size
    deep = 0.42 * np.sqrt(np.clip(1 - u**2, 0, 1)) * (1 - 0.35 * u)
    tail = (u > 0.8) & (u < 1.45) & (np.abs(v) < 0.75 * (u - 0.72)) & (np.abs(v) > 0.5 * (u - 1.1))
    fin = (np.abs(u + 0.05) < 0.5) & (v < 0) & (v > -0.68 + 0.35 * (u + 0.3) ** 2)
    scene.put(label + 1, tail | fin, 0.5 + 0.4 * np.sin(18 * (u + v)), turn + 0.7)
    body = np.abs(v) < deep
    scales = np.sin(15 * u) * np.sin(19 * v)
    scene.put(label, body, 0.65 - 0.8 * v + 0.25 * scales, turn + np.arctan(-u * np.sign(v) * 0.6))
    scene.put(label + 1, body & (np.abs(u % 0.5 - 0.25) < 0.07) & (u > -0.4), 0.6, turn + 1.57)
    eye = np.hypot(u + 0.68, v + 0.06)
    scene.put(1, body & (np.abs(u + 0.45) < 0.035), 0.1, turn + 1.57)
    scene.put(0, eye < 0.12, 1.0, 0.0)
    scene.put(1, eye < 0.06, 0.0, 0.0)


def reef() -> Scene:
    """Return fishes and a starfish in bands of air, water and sand, within a border of waves.

    Labels: air, outline, then body and fins of three kinds of fish, band, wave, star, water, deep
    water, sand.
    """
    scene = Scene(0.75 + 0.15 * WILD, 0.15 * np.sin(X / 200) + 0.2 * WILD)
    for label, level, light in ((11, 330, 0.7), (12, 560, 0.5), (13, 770, 0.6)):
        top = level + 34 * np.sin(X / 75 + label) + 22 * WILD
        ripple = np.sin((Y - top) / 26 + np.sin(X / 110))
        scene.put(label, top < Y, light + 0.3 * ripple, 0.4 * np.cos(X / 75 + label))
    for x, y, size, turn, label in (
        (390, 300, 240, 0.12, 2), (820, 590, 250, -0.2, 4), (300, 690, 140, 0.1, 6),
        (980, 250, 170, 3.35, 6), (560, 480, 110, 3.0, 4), (1010, 800, 100, 0.2, 2),
    ):  # fmt: skip
        fish(scene, x, y, size, turn, label)
    ray, far = np.arctan2(Y - 790, X - 540), np.hypot(X - 540, Y - 790)
    scene.put(10, far < 60 + 40 * np.cos(5 * ray), 1 - far / 140, ray)
    edge = np.minimum(np.minimum(X, WIDTH - X), np.minimum(Y, HEIGHT - Y))
    frame, along = edge < 92, np.where(np.minimum(Y, HEIGHT - Y) < 92, 0.0, 1.57)
    wave = np.sin(np.where(along > 0, Y, X) * 2 * np.pi / 106)
    scene.put(8, frame, 0.5 + 0.2 * WILD, along)
    scene.put(9, frame & (np.abs(edge - 46 - 17 * wave) < 13), 0.85, along + 0.5 * wave)
    scene.put(1, frame & (edge > 78), 0.3, along)
    outline = edges(np.where(scene.label > 10, 0, scene.label), 11) > 0.5
    scene.put(1, outline & ~frame, 0.25, 0.0)
    return scene.ended()


def window() -> Scene:
    """Return a rose window: a flower of twelve petals, rings of medallions, corners.

    Labels: 0 to 6, from the middle outwards, light and dark in turn.
    """
    x, y = X - WIDTH / 2, Y - HEIGHT / 2
    far, turn = np.hypot(x, y), np.arctan2(y, x)
    scene = Scene(0.5 + 0.25 * WILD, turn + 1.57)
    star = np.cos(12 * turn)
    corner = np.hypot(np.abs(x) - 520, np.abs(y) - 360)
    scene.put(6, far > 470, 0.45 + 0.3 * np.cos(24 * turn), turn)
    scene.put(2, corner < 105, 0.7, turn)
    scene.put(4, corner < 58, 0.8, turn)
    for k in range(24):
        for radius, size, label in ((400, 46, 1 + 2 * (k % 2)), (520, 40, 5 - k % 2)):
            at = radius * np.cos(k * np.pi / 12), radius * np.sin(k * np.pi / 12)
            scene.put(label, np.hypot(x - at[0], y - at[1]) < size, 0.75, turn)
    scene.put(5, far < 340, 0.4, turn)
    scene.put(3, far < 235 + 90 * star, 0.6 + 0.2 * star, turn)
    scene.put(2, far < 200 + 25 * np.cos(12 * turn + np.pi), 0.55, turn)
    scene.put(1, far < 110 + 35 * np.cos(6 * turn), 0.8, turn)
    scene.put(4, far < 45, 0.9, turn)
    return scene.ended()


def city() -> Scene:
    """Return a street of towers by night, a burst above it, and clouds of smoke.

    Labels: sky, three sorts of walls, lit panes, dark panes, burst, its heart, smoke, street, car.
    """
    scene = Scene(0.35 + 0.6 * Y / HEIGHT, np.zeros_like(X))
    ray, far = np.arctan2(Y - 300, X - 690), np.hypot((X - 690) / 1.25, Y - 300)
    jag = 60 * np.abs((ray * 9 / np.pi) % 2 - 1) + 12 * np.sin(5 * ray)
    scene.put(6, far < 205 + 2.2 * jag, 0.8, ray)
    scene.put(7, far < 100 + 1.6 * jag, 1.0, ray)
    rng = default_rng(25)
    for x, y, wide, label in (
        (0, 420, 190, 1), (170, 250, 150, 2), (300, 520, 200, 3), (1090, 200, 200, 1),
        (930, 430, 190, 2), (820, 600, 150, 3), (480, 610, 170, 1), (640, 680, 190, 2),
    ):  # fmt: skip
        scene.put(label, (x < X) & (x + wide > X) & (y < Y), 0.95 - 0.5 * (X - x) / wide, 1.57)
        scene.put(label, (x + 0.78 * wide < X) & (x + wide > X) & (y + 14 < Y), 0.15, 1.57)
        for row in range(y + 26, HEIGHT, 54):
            for column in range(x + 16, int(x + 0.7 * wide), 38):
                pane = (np.abs(X - column - 11) < 11) & (np.abs(Y - row - 15) < 15)
                scene.put(4 if rng.random() < 0.6 else 5, pane, 0.8, 0.0)
    for x, y, r in ((90, 330, 85), (190, 370, 70), (30, 390, 80), (1190, 120, 90), (1090, 150, 70)):
        u, v = (X - x) / r, (Y - y) / r
        scene.put(8, np.hypot(u, v) < 1, 0.7 - 0.35 * u - 0.35 * v, np.arctan2(v, u))
    scene.put(9, 880 - 20 * np.sin(X / 400) < Y, 0.6 - 0.3 * np.sin(X / 90 + Y / 20), 0.0)
    car = [(0, 0), (10, -50), (80, -60), (120, -110), (250, -110), (300, -58), (370, -45), (380, 0)]
    at = np.array((380, 915))
    scene.polygon(10, np.array(car) + at, 0.9 - 0.7 * step(840, 915, Y), 0.0)
    scene.polygon(4, np.array([(130, -62), (150, -98), (240, -98), (272, -62)]) + at, 1, 0)
    for x in (460, 680):
        scene.put(5, np.hypot(X - x, Y - 915) < 38, 0.2, 0.0)
        scene.put(8, np.hypot(X - x, Y - 915) < 15, 0.9, 0.0)
    return scene.ended()


def bloom(scene: Scene, x: float, y: float, size: float, petals: int, label: int) -> None:
    """Put a flower: its petals, each with a bright tip and a dark throat, and its heart."""
    u, v = (X - x) / size, (Y - y) / (0.86 * size)
    far, turn = np.hypot(u, v), np.arctan2(v, u) + x
    leaf = np.abs(np.cos(petals * turn / 2)) ** 0.45
    light = 0.15 + 0.75 * far + 0.2 * np.sin(9 * turn) * far + 0.12 * FINE
    scene.put(label, far < leaf * (1 + 0.05 * FINE), light - 0.45 * (leaf < 0.62), turn - x)
    scene.put(11, far < 0.2, 0.8 - far * 2 + 0.2 * FINE, turn - x + 1.57)


def flowers() -> Scene:
    """Return a bunch of flowers with stems and leaves in a vase, before a wet wash.

    Labels: background, ground, vase, stem, leaf, dark leaf, then five sorts of petals, heart.
    """
    edge = np.minimum(np.minimum(X, WIDTH - X), np.minimum(Y, 1200 - Y)) / 260 + 0.5 * WILD
    scene = Scene(1 - 0.75 * step(0.1, 1.3, edge) * (0.75 + 0.3 * FINE), 0.3 * WILD)
    scene.put(1, 790 + 12 * WILD < Y, 0.5 + 0.35 * WILD, 0.0)
    scene.put(1, np.hypot((X - 760) / 260, (Y - 850) / 40) < 1, 0.05, 0.0)
    pot = [(520, 860), (490, 700), (530, 600), (510, 560), (770, 560), (750, 600), (790, 700)]
    scene.polygon(2, np.array([*pot, (760, 860)]), 1.05 - 0.8 * step(480, 800, X), 1.5)
    blooms = (
        (640, 330, 150, 5, 6), (390, 300, 120, 8, 7), (890, 280, 125, 6, 8), (520, 150, 95, 5, 9),
        (770, 130, 100, 5, 6), (300, 490, 95, 5, 10), (1010, 470, 110, 8, 7), (800, 470, 95, 5, 10),
        (490, 475, 92, 6, 8), (1110, 250, 80, 5, 9), (200, 250, 75, 5, 10), (650, 530, 75, 8, 9),
    )  # fmt: skip
    for x, y, size, _, _ in blooms:
        t = np.clip((Y - y) / (590 - y), 0, 1) if y < 580 else 0 * Y
        stalk = np.abs(X - x - (640 + 0.15 * (x - 640) - x) * t**1.5) < 6
        scene.put(3, stalk & (y < Y) & (Y < 580), 0.5, 1.4)
        for side in (-1, 1):
            turn = 0.5 * side + 0.003 * (x - 640) + 1.2
            u = (X - x - 0.7 * side * size) * np.cos(turn) + (Y - y - size) * np.sin(turn)
            w = (Y - y - size) * np.cos(turn) - (X - x - 0.7 * side * size) * np.sin(turn)
            leaf = np.abs(w) < 0.26 * size * np.clip(1 - (u / (0.85 * size)) ** 2, 0, 1)
            scene.put(4 + (side > 0), leaf & (Y < 640), 0.5 + 2.0 * w / size, turn)
    for flower in blooms:
        bloom(scene, *flower)
    for x, y, size, label in ((930, 880, 60, 8), (330, 850, 55, 6), (420, 900, 40, 9)):
        bloom(scene, x, y, size, 5, label)
    return scene.ended()
