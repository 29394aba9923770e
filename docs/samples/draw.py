"""Draw the demos' sample pictures with numpy and Pillow: draw.py [output directory].

`harbour.jpg` stands in for a photograph: a small ray tracer renders a harbour town.
`swirls.jpg`, `shards.jpg` and `pencil.jpg` stand in for works of art: a painted night sky, an
abstract composition and a pencil drawing.  All four are computed here from fixed seeds, copy
nothing, and belong to the project: they are under its MIT licence.

Pictures are arrays (height, width, 3) of sRGB values in [0, 1], drawn at twice their final size.
The harbour's lengths are metres; all other lengths are working pixels, and angles are radians.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Array = NDArray[Any]
Floats = tuple[float, ...]
Solid = tuple[Array, Array, Array]  # normals and offsets (normals @ p <= offsets), then traits:
# wall colour, roof colour, position, local x, half-width half-depth height, 1 if house 2 if boat
Form = tuple[Array, Any, Any, int]  # an outline, its darkness in [0, 1], hatch angle, line width
SIZE = WIDTH, HEIGHT = 1280, 960  # the working size, twice the size of the saved pictures
Y, X = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)


def fractal(rng: Generator, height: int, width: int, slope: float = 1.6) -> Array:
    """Return tileable noise of mean 0 and deviation 1 whose spectrum falls as f ** -slope."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    radius[0, 0] = np.inf
    values = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) / radius**slope)
    return np.asarray(values / values.std(), np.float32)


def noise(u: Any, v: Any) -> Array:
    """Look up fractal noise at columns u and rows v of a 512 x 512 tile, bilinearly."""
    c, r = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    fu, fv, c, r, c1, r1 = u - c, v - r, c % 512, r % 512, (c + 1) % 512, (r + 1) % 512
    top = NOISE[r, c] * (1 - fu) + NOISE[r, c1] * fu
    return np.asarray(top * (1 - fv) + (NOISE[r1, c] * (1 - fu) + NOISE[r1, c1] * fu) * fv)


def step(low: float, high: float, x: Any) -> Array:
    """Rise smoothly from 0 where x <= low to 1 where x >= high (or fall, if low > high)."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def mix(a: Any, b: Any, weight: Any) -> Array:
    """Blend from a (weight 0) to b (weight 1)."""
    return np.asarray(a + (b - a) * weight)


def rgb(*colour: float) -> Array:
    """Return a colour or a vector as a column, which broadcasts against (3, n) arrays."""
    return np.array(colour, np.float32)[:, None]


def blur(image: Array, sigma: float) -> Array:
    """Blur the first two axes with a Gaussian of sigma pixels; the edges wrap around."""
    f = np.hypot(np.fft.fftfreq(image.shape[0])[:, None], np.fft.rfftfreq(image.shape[1]))
    gain = np.exp(-2 * (np.pi * sigma * f) ** 2).reshape(f.shape + (1,) * (image.ndim - 2))
    return np.fft.irfft2(np.fft.rfft2(image, axes=(0, 1)) * gain, image.shape[:2], (0, 1))


def stencil(outline: Array) -> Array:
    """Return the filled polygon through points (n, 2) as a mask."""
    ImageDraw.Draw(image := Image.new("1", SIZE)).polygon(outline.ravel().tolist(), fill=1)
    return np.asarray(image)


NOISE, SUN = fractal(default_rng(1), 512, 512), rgb(-0.74, -0.46, 0.49)
STUCCO = [(0.72, 0.42, 0.18), (0.66, 0.57, 0.42), (0.55, 0.18, 0.11), (0.36, 0.46, 0.50)]
STUCCO += [(0.74, 0.50, 0.34), (0.76, 0.70, 0.58), (0.34, 0.42, 0.28), (0.64, 0.31, 0.22)]
TILES, STONE, SLATE = (0.33, 0.13, 0.07), (0.40, 0.35, 0.29), (0.08, 0.10, 0.12)
WHITE, WOOD, NAVY, RED = (0.8, 0.77, 0.7), (0.3, 0.18, 0.1), (0.05, 0.13, 0.25), (0.45, 0.07, 0.04)


def block(at: Floats, size: Floats, yaw: float, paint: Any, kind: int = 0, cuts: Any = ()) -> Solid:
    """Return a box on a point, less what lies beyond the planes (nx, ny, nz, offset) in cuts."""
    (w, d, h), c, s = size, np.cos(yaw), np.sin(yaw)
    planes = [(1, 0, 0, w), (-1, 0, 0, w), (0, 1, 0, d), (0, -1, 0, d), (0, 0, -1, 0), (0, 0, 1, h)]
    local = np.array([*planes, *cuts], np.float32)
    local /= np.linalg.norm(local[:, :3], axis=1, keepdims=True)
    normals = (local[:, :3] @ [[c, s, 0], [-s, c, 0], [0, 0, 1]]).astype(np.float32)
    traits = np.array([*paint[0], *paint[1], *at, c, s, 0, *size, kind], np.float32)
    return normals, local[:, 3:] + normals @ rgb(*at), traits


def house(rng: Generator, x: float, y: float, z: float, storeys: int) -> list[Solid]:
    """Return a house of so many storeys (2.9 m each): walls, a roof with eaves, a chimney."""
    wall, tile = STUCCO[rng.integers(8)], tuple(np.array(TILES) * rng.uniform(0.7, 1.1))
    half, yaw, rise = rng.uniform(3.2, 4.8), rng.uniform(-0.12, 0.12), rng.uniform(1.6, 2.6)
    h, at = 2.9 * storeys + 0.4, (x + half / 2, y + 1, z + 2.9 * storeys)
    gable, eaves = ([(0, side * rise, 5, 5 * (rise + low)) for side in (-1, 1)] for low in (h, 0.2))
    parts = [block((x, y, z), (half, 4.6, h + rise), yaw, (wall, tile), 1, gable)]
    parts += [block((x, y, z + h), (half + 0.2, 5, rise + 0.2), yaw, (tile, tile), 0, eaves)]
    return [*parts, block(at, (0.4, 0.4, rise + 1.3), yaw, (STONE, STONE))]


def boat(x: float, y: float, size: float, yaw: float, hull: Floats, sails: int) -> list[Solid]:
    """Return a boat of half-length size: hull, cabin, mast and up to two sails."""
    deck, tall, cabin = 0.2 * size, size * (1.1 + 0.7 * sails), size * (0.3 - 0.09 * sails)
    bow = [(0.52, side, -0.35, 0.62 * size - 0.14) for side in (-1, 1)] + [(-1, 0, 0, 0.9 * size)]
    aft = (x - 0.3 * size * np.cos(yaw), y - 0.3 * size * np.sin(yaw), deck)
    parts = [block((x, y, -0.4), (size * 1.2, size * 0.3, deck + 0.4), yaw, (hull, WOOD), 2, bow)]
    parts += [block(aft, (size * 0.26, size * 0.16, cabin), yaw, (WHITE, WHITE))]
    parts += [block((x, y, deck), (0.06, 0.06, tall), yaw, (WOOD, WOOD))]
    for fore, run, rise in ((-1, size * 0.9, tall * 0.92), (1, size * 0.8, tall * 0.75))[:sails]:
        luff = [(-fore, 0, 0, -0.1), (fore * rise, 0, run, run * rise)]
        parts += [block((x, y, deck + 0.5), (run, 0.03, rise), yaw, (WHITE, WHITE), 0, luff)]
    return parts


def town() -> list[Solid]:
    """Return the quay, three rows of houses up the slope, the church and the boats."""
    rng, parts = default_rng(3), [block((0, 60, -1), (90, 10.5, 2.4), 0, (STONE, STONE))]
    for y, z, storeys, gap in ((60, 1.4, 3, 8), (77, 5.5, 3, 10), (95, 11, 2, 11)):
        for x in np.arange(-0.62 * y, 0.62 * y, gap):
            at, floors = (x, y + rng.uniform(-1.3, 1.3), z), storeys + int(rng.integers(-1, 2))
            parts += house(rng, *at, max(floors, 2)) if y == 60 or abs(x - 13) > 14 else []
    nave, spire = ([(0, s * a, b, c) for s in (-1, 1)] for a, b, c in ((5, 5, 75), (8, 2.6, 21.6)))
    spire += [(ny, 0, nz, offset) for _, ny, nz, offset in spire]
    parts += [block((19, 84, 6.5), (9, 5, 15), 0.12, (STUCCO[5], TILES), 0, nave)]
    parts += [block((10, 80, 6.5), (2.7, 2.7, 17), 0.12, (STUCCO[5], TILES))]
    parts += [block((10.3, 77.3, 18), (0.9, 0.1, 3.5), 0.12, (SLATE, SLATE))]
    parts += [block((10, 80, 23.5), (3, 3, 8.3), 0.12, (SLATE, SLATE), 0, spire)]
    parts += boat(-9.0, 32, 4.2, -0.3, WHITE, 2) + boat(7.5, 28, 3.0, 2.7, NAVY, 0)
    return parts + boat(17.5, 43, 3.0, 0.15, RED, 0)


def strike(scene: list[Solid], start: Array, ray: Array) -> tuple[Array, Array, Array]:
    """Return per ray the distance to the first solid (inf: none), its index and its normal."""
    best, who, normal = np.full_like(ray[0], np.inf), np.full(ray.shape[1], -1), np.zeros_like(ray)
    for index, (normals, offsets, traits) in enumerate(scene):
        to = traits[6:9, None] + rgb(0, 0, traits[14] / 2) - start
        along, reach = (to * ray).sum(0), np.linalg.norm(traits[12:15] * (1, 1, 0.5))
        near = np.flatnonzero(((to * to).sum(0) - along**2 < reach**2) & (along > -reach))
        with np.errstate(divide="ignore", invalid="ignore"):
            facing = normals @ ray[:, near]
            t = (offsets - normals @ start[:, near]) / facing
        enter, leave = np.where(facing < 0, t, -np.inf), np.where(facing > 0, t, np.inf).min(0)
        face, first = enter.argmax(0), enter.max(0)
        hit = (first < leave) & (first > 0.01) & (first < best[near])
        best[near[hit]], who[near[hit]] = first[hit], index
        normal[:, near[hit]] = normals[face[hit]].T
    return best, who, normal


def hills(ray: Array) -> Array:
    """Return how far below the wooded hill's ridge the rays point, by their upward part."""
    turn = np.arctan2(ray[0], ray[1])
    ridge = 0.13 + 0.13 * np.exp(-(((turn + 0.2) / 0.2) ** 2)) + 0.012 * noise(turn * 150, 9)
    return np.asarray(ridge - np.maximum(ray[2], 0))


def sky(ray: Array) -> Array:
    """Return the light from far away: the evening sky, its clouds and a wooded hill."""
    up, turn = np.maximum(ray[2], 0), np.arctan2(ray[0], ray[1])
    low = mix(rgb(0.66, 0.60, 0.60), rgb(1.1, 0.76, 0.46), 0.5 - 0.6 * ray[0])
    colour = mix(low, rgb(0.10, 0.25, 0.58), 1 - np.exp(-up * 4.5))
    u, v = ray[0] / (up + 0.14) * 48 + 285, ray[1] / (up + 0.14) * 48
    lit = np.clip(0.62 + 0.7 * (noise(u, v) - noise(u - 7, v + 5)), 0, 1)
    cloud = mix(rgb(0.40, 0.40, 0.50), rgb(1.35, 1.12, 0.90), lit)
    colour = mix(colour, cloud, step(0.0, 1.1, noise(u, v)) * step(0.02, 0.16, up) * 0.95)
    u, v = turn * 500, up * 700
    crowns = np.abs(noise(u + 2, v - 2)) - np.abs(noise(u, v)) + 0.4 * noise(u / 5, v / 5)
    hill = mix(rgb(0.02, 0.04, 0.02), rgb(0.50, 0.38, 0.10), np.clip(0.28 + 1.2 * crowns, 0, 1))
    return mix(colour, mix(hill, low * rgb(0.6, 0.72, 0.95), 0.2), step(0, 0.003, hills(ray)))


def facade(scene: list[Solid], who: Array, p: Array, normal: Array) -> Array:
    """Return the reflectance of the solids at points p: stucco, windows, tiles, stone, planks."""
    traits = np.array([item[2] for item in scene])[who].T
    (wall, roof, origin, axis, size), kind = traits[:15].reshape(5, 3, -1), traits[15]
    local, is_end = p - origin, np.abs((normal * axis).sum(0)) > 0.7
    u = np.where(is_end, local[1] * axis[0] - local[0] * axis[1], (local * axis).sum(0))
    wide, v, rise = np.where(is_end, size[1], size[0]), local[2], local[2] % 2.9
    stain, speck = noise(u * 9 + who * 37, v * 5 + who * 11), noise(u * 60, v * 60)
    colour = wall * (1 + 0.12 * stain + 0.06 * speck) * (0.72 + 0.28 * step(0, 1.6, v))
    bays = np.maximum(np.round(wide / 1.15), 1)
    cell = (u / wide + 1) / 2 * bays
    across = np.abs(cell % 1 - 0.5) * 2 * wide / bays
    luck = np.sin(np.floor(cell) * 12.9 + np.floor(v / 2.9) * 78.2 + who * 3.7) * 43758 % 1
    glass = mix(rgb(0.02, 0.025, 0.035), rgb(0.2, 0.23, 0.27), step(0.4, 1.0, luck) * 0.7)
    bars = (across < 0.05) | (across > 0.4) | (np.abs(rise - 1.75) < 0.04)
    glass = np.where(bars, rgb(0.6, 0.56, 0.5), glass * (0.5 + 0.6 * step(2.4, 1.2, rise)))
    shutter = mix(rgb(0.06, 0.15, 0.12), rgb(0.13, 0.15, 0.22), who % 2)
    tall = (kind == 1) & (np.abs(rise - 1.67) < 0.75) & (v < 2.9 * np.floor(size[2] / 2.9 - 0.4))
    colour = np.where(tall & (across < 0.92) & (who % 3 > 0), shutter, colour)
    colour = np.where(tall & (across < 0.49), glass, colour)
    colour = np.where((kind == 2) & (v < 0.56), rgb(0.16, 0.03, 0.02), colour)
    rows = 0.85 + 0.2 * np.sin(v * 28) + 0.2 * stain + 0.14 * noise(u * 25, v * 60)
    return np.where(normal[2] > 0.25, roof * rows, colour)


def view(scene: list[Solid], start: Array, ray: Array) -> tuple[Array, Array]:
    """Return the linear light that arrives along rays, and the distances to what they meet."""
    colour, (depth, who, normal) = sky(ray), strike(scene, start, ray)
    hit = np.flatnonzero(who >= 0)
    p, normal, who = start[:, hit] + ray[:, hit] * depth[hit], normal[:, hit], who[hit]
    sun = SUN + 0.02 * default_rng(2).standard_normal(p.shape, np.float32)
    shadow = strike(scene, p + 0.03 * normal, sun / np.linalg.norm(sun, axis=0))[1] >= 0
    direct = rgb(3.0, 2.15, 1.25) * (np.maximum((normal * SUN).sum(0), 0) * ~shadow)
    ambient = rgb(0.20, 0.26, 0.38) * (0.6 + 0.4 * normal[2]) + rgb(0.10, 0.07, 0.045)
    closed = 0.5 + 0.5 * step(1.3, 5.0, p[2] + 4 * (p[2] < 1.3))
    light = facade(scene, who, p, normal) * (direct + ambient * closed)
    veil = 1 - np.exp(-np.maximum(depth[hit] - 50, 0) / 520)
    colour[:, hit] = mix(light, rgb(0.55, 0.55, 0.62), veil)
    return colour, np.minimum(depth, 200)


def water(scene: list[Solid], p: Array, ray: Array) -> Array:
    """Return the light from rippled water at points p, seen along rays."""
    gusts = 0.3 + 0.7 * step(-0.8, 1.2, noise(p[0] * 0.8, p[1] * 2.5 + 200))
    normal = np.zeros_like(p) + rgb(0, 0, 1)
    for scale, slope in ((1.1, 0.03), (4.0, 0.05), (13.0, 0.06)):
        u, v, size = p[0] * scale, p[1] * scale * 1.6, slope * gusts * np.minimum(1, 40 / p[1])
        normal[0] -= size * (noise(u + 1.5, v) - noise(u, v)) * 2
        normal[1] -= size * (noise(u, v + 1.5) - noise(u, v)) * 3
    normal /= np.linalg.norm(normal, axis=0)
    cosine = np.maximum(-(ray * normal).sum(0), 0.01)
    bounce = ray + 2 * cosine * normal
    bounce[2] = np.maximum(np.abs(bounce[2]), 0.01)
    light = view(scene, p, bounce / np.linalg.norm(bounce, axis=0))[0]
    return mix(rgb(0.02, 0.06, 0.065) * gusts, light, 0.05 + 0.95 * (1 - cosine) ** 4)


def develop(light: Array, depth: Array) -> Array:
    """Turn linear light into a print: soft far distance, glow, vignette, film curve and grain."""
    light = mix(light, blur(light, 1.8), step(60, 200, blur(depth, 4.0)))
    light = 0.92 * light + 0.08 * blur(light, 28)
    light *= 0.95 - 0.2 * ((X / WIDTH * 2 - 1) ** 2 + (Y / HEIGHT * 2 - 1) ** 2)[..., None]
    tone = np.clip(light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14), 0, 1)
    grain = blur(default_rng(4).standard_normal((HEIGHT, WIDTH, 1)), 1.2) * 0.065
    return np.asarray(tone ** (1 / 2.0) + grain * (1 - 0.6 * tone))


def camera() -> tuple[Array, Array]:
    """Return where the pixels' rays start, 6 m above the water, and where they point."""
    ray = np.stack([X - WIDTH / 2 + 0.5, np.full_like(X, 1.04 * WIDTH), HEIGHT / 2 - 0.5 - Y])
    ray = ray.reshape(3, -1) / np.linalg.norm(ray.reshape(3, -1), axis=0)
    return np.broadcast_to(rgb(0, 0, 6.0), ray.shape), ray


def harbour_sky() -> Array:
    """Return a mask of the harbour: white where rays meet nothing but the sky."""
    start, ray = camera()
    free = (strike(town(), start, ray)[1] < 0) & (hills(ray) < 0)
    return np.repeat(free.reshape(HEIGHT, WIDTH, 1), 3, 2) * 1.0


def harbour() -> Array:
    """Render the harbour town, seen from 6 m above the water."""
    start, ray = camera()
    scene = town()
    colour, depth = view(scene, start, ray)
    wet = np.flatnonzero((fall := -6.0 / np.minimum(ray[2], -1e-6)) < depth)
    p, depth[wet] = start[:, wet] + ray[:, wet] * fall[wet], fall[wet]
    colour[:, wet] = water(scene, p, ray[:, wet])
    return develop(colour.T.reshape(HEIGHT, WIDTH, 3), depth.reshape(HEIGHT, WIDTH, 1))


NIGHT = [(0.02, 0.03, 0.11), (0.06, 0.10, 0.34), (0.10, 0.18, 0.50), (0.14, 0.28, 0.64)]
NIGHT += [(0.25, 0.50, 0.72), (0.50, 0.72, 0.68), (0.86, 0.80, 0.46), (0.96, 0.72, 0.16)]
EARTH = np.array([(2, 4, 9), (5, 12, 17), (8, 20, 21), (16, 28, 21), (34, 42, 20)]) / 100
EDDIES = [(270, 230, 190, 1), (700, 330, 230, -1), (1080, 170, 170, 1), (1130, 500, 130, -1)]
EDDIES += [(60, 520, 140, -1), (470, 70, 100, 1), (420, 560, 110, 1), (880, 60, 80, -1)]
LAYERS = ((36, 7, 1500), (40, 20, 330), (30, 22, 330), (18, 20, 480), (8, 20, 350))  # see swirls


def look(field: Array, points: Array) -> Array:
    """Return a field's values at points (..., 2), or at the nearest pixels inside the frame."""
    x, y = np.moveaxis(np.clip(points, 0, (WIDTH - 1, HEIGHT - 1)).astype(int), -1, 0)
    return np.asarray(field[y, x])


def follow(angle: Array, seeds: Array, count: int, pace: float) -> Array:
    """Trace paths of count points, pace pixels apart, through a field of angles: (n, count, 2)."""
    heading, path = np.stack([np.cos(angle), np.sin(angle)], -1) * pace, [seeds]
    for _ in range(count - 1):
        path.append(path[-1] + look(heading, path[-1] + look(heading, path[-1]) / 2))
    return np.stack(path, 1)


def night() -> tuple[Array, Array]:
    """Return what swirls.jpg depicts: its colours and the angles that its strokes follow."""
    warp = fractal(default_rng(3), HEIGHT, WIDTH, 2.4)
    flow, glow = 0.8 * Y + 60 * np.sin(X / 170 + Y / 300) + 22 * warp, np.zeros_like(X)
    for x, y, radius, spin in EDDIES:
        r = np.hypot(X - x, Y - y) / radius
        flow += spin * 2.2 * radius * np.exp(-(r**2))
        glow += np.exp(-((r / 0.28) ** 2)) + 0.38 * np.exp(-(((r - 0.62) / 0.2) ** 2))
    bands = 0.5 + 0.5 * np.sin(flow / 17 + warp)
    colour = np.array(NIGHT)[np.clip(1 + (3.6 + 0.9 * warp) * bands + 5 * glow, 0, 7.4).astype(int)]
    for height, swell, shade in ((610, 60, 4.0), (700, 45, 2.6)):
        below = Y - height - swell * np.sin(X / (2.6 * swell) + height) - 10 * warp
        folds = shade + 1.5 * np.sin(below / 12 + 2 * warp) - 2 * (below < 14)
        flow = np.where(below > 0, below * 0.9 + 14 * warp, flow)
        colour = np.where(below[..., None] > 0, EARTH[np.clip(folds, 0, 4).astype(int)], colour)
    deep = Y - 765 - 8 * np.sin(X / 90)
    pool = look(colour, np.stack([X, 765 - 1.6 * deep], -1)) * (1 + 0.3 * np.sin(Y / 7))[..., None]
    down, right = np.gradient(np.where(deep > 0, Y + 5 * np.sin(X / 45 + Y / 20), flow))
    return np.where(deep[..., None] > 0, pool, colour), np.arctan2(-right, down)


def swirls() -> Array:
    """Paint the night sky in layers of bristled strokes, from 40 down to 8 pixels wide."""
    rng, (target, angle) = default_rng(5), night()
    canvas, relief = Image.fromarray((target * 160).astype(np.uint8)), Image.new("L", SIZE)
    paint, body = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for width, count, n in LAYERS:
        seeds = rng.uniform(-30, (WIDTH + 30, HEIGHT + 30), (n, 2))
        for path in follow(angle, seeds, count, width * 0.35):
            colour = look(target, path[count // 2]) * rng.normal(rng.uniform(0.8, 1.2), 0.06, 3)
            side = np.gradient(path, axis=0)[:, ::-1] * (-1, 1) / 0.35
            for across in rng.permutation(np.linspace(-0.5, 0.5, width // 2)):
                trim = 1 + int(count * (1.1 * across**2 + 0.12 * rng.random()))
                bristle = (path + side * across)[trim:-trim].ravel().tolist()
                ink = colour * (1.08 - 0.9 * across**2) * rng.uniform(0.84, 1.16) * 255
                paint.line(bristle, tuple(np.clip(ink, 0, 255).astype(int).tolist()), 5)
                body.line(bristle, int(rng.uniform(130, 200) - 260 * across**2), 5)
    height = blur(np.asarray(relief) / 255, 1.5)
    light = 1 + 1.9 * (np.roll(height, (-2, -2), (0, 1)) - np.roll(height, (2, 2), (0, 1)))
    return np.asarray(blur(np.asarray(canvas) / 255, 0.9) * light[..., None])


WARM = np.array([(80, 16, 10), (91, 42, 10), (95, 70, 16), (60, 8, 16), (93, 84, 66)]) / 100
COOL = np.array([(8, 18, 50), (10, 40, 62), (6, 42, 42), (33, 26, 50), (86, 87, 80)]) / 100


def sector(at: Any, inner: float, outer: float, span: Floats, count: int = 90) -> Array:
    """Outline a ring's sector between two radii, over a span of angles: count points an arc."""
    turn = np.linspace(span[0], span[1], count)
    arc = np.stack([np.cos(turn), np.sin(turn)], -1)
    return np.asarray(np.concatenate([arc * outer, arc[::-1] * inner]) + at)


def planes(rng: Generator) -> Iterator[tuple[Array, float, bool]]:
    """Yield the composition's outlines, back to front, with their opacity; and whether black."""
    foci = np.array([(430, 400), (930, 620), (760, 180)])
    for k in range(100):
        at, turn, r = foci[k % 3] + rng.normal(0, 1.2 * k, 2), 2.4 * k, rng.uniform(70, 220)
        if k < 70:  # wedges and bands around the foci: at first huge, then smaller, then sheer
            inner, span, count, r = rng.choice((0, 0, 0.4)), rng.uniform(0.2, 0.7), 2, 1600 - 20 * k
        elif k < 86:  # discs, half-discs and rings
            inner, span, count = rng.choice((0, 0.55, 0.85)), rng.choice((1.57, 3.14, 6.283)), 90
        else:  # black bars
            inner, span, count, r = 0.2, 0.02, 2, 4 * r
        opacity = rng.uniform(0.55, 0.9) if k >= 50 else 1.0
        yield sector(at, inner * r, r, (turn, turn + span), count), opacity, k > 85


def shards() -> Array:
    """Paint an abstract composition of translucent shards, discs, arcs and bars."""
    rng, ink = default_rng(8), np.array((0.07, 0.06, 0.09))
    canvas = np.full((HEIGHT, WIDTH, 3), (0.75, 0.68, 0.55))
    for shape, alpha, is_black in planes(rng):
        (u, v), turn, (y, x) = shape.mean(0), rng.uniform(0, 6.28), np.nonzero(stencil(shape))
        is_cool = rng.random() < 0.15 + 0.7 * step(300, 900, u + 0.5 * (HEIGHT / 2 - v))
        colour = (COOL if is_cool else WARM)[rng.integers(5)] * rng.uniform(0.85, 1.1)
        along = (x - u) * np.cos(turn) + (y - v) * np.sin(turn)
        across = (y - v) * np.cos(turn) - (x - u) * np.sin(turn)
        fade = np.clip(along / min(np.ptp(shape, 0).max(), 900) + 0.5, 0, 1)[:, None]
        colour = colour * (0.68 + 0.52 * fade + 0.07 * noise(along / 5, across * 1.5)[:, None])
        canvas[y, x] = mix(
            canvas[y, x], ink if is_black else colour, alpha * (1 - 0.45 * (alpha < 1) * fade)
        )
        pen, edge = ImageDraw.Draw(rim := Image.new("1", SIZE)), np.vstack([shape, shape[:1]])
        pen.line(edge.ravel().tolist(), 1, int(rng.integers(3, 9)), "curve")
        y, x = np.nonzero(np.asarray(rim))
        canvas[y, x] = mix(canvas[y, x], ink, 0.7 + 0.15 * np.tanh(noise(x, y))[:, None])
    weave = 0.03 * np.sin(X * 1.1) * np.sin(Y * 1.1) + 0.03 * noise(X * 1.3, Y * 1.3)
    return np.asarray(canvas * (1 + weave + 0.02 * rng.standard_normal(X.shape))[..., None])


ROUND, SOFT = (0, 6.28), fractal(default_rng(6), HEIGHT, WIDTH, 2.0)
COTTAGE = [  # darkness, angle, corners in units of the height of the eaves
    (0.70, 1.5, (0, 0, 0, -1, 1.5, -1.1, 1.5, -0.1)),
    (0.13, 0.9, (0, 0, 0, -1, -0.5, -1.6, -1, -1, -1, 0)),
    (0.45, 1.0, (0.1, -0.9, -0.5, -1.7, 1, -1.75, 1.6, -1.02)),
    (0.95, 1.5, (-0.62, 0, -0.38, 0, -0.38, -0.5, -0.62, -0.5)),
    (1.0, 1.5, (0.3, -0.45, 0.55, -0.47, 0.55, -0.77, 0.3, -0.75)),
    (1.0, 1.5, (0.95, -0.5, 1.2, -0.52, 1.2, -0.82, 0.95, -0.8)),
]


def ball(u: float, v: float, radius: float, base: float, ragged: float) -> Form:
    """Return a sphere lit from the upper left, hatched around the light."""
    dx, dy = (X - u) / radius, (Y - v) / radius
    up = np.sqrt(np.maximum(1 - dx**2 - dy**2, 0))
    tone = base + 0.8 * np.clip(0.55 + 0.5 * dx + 0.6 * dy - 0.45 * up, 0, 1)
    tone -= 0.2 * (1 - up) ** 4 * (dx + dy > 0)
    jag = radius * (1 + ragged * default_rng(int(u + v)).standard_normal((60, 1)))
    turn = np.arctan2(dy + 0.4, dx + 0.35) + 1.57 + 9 * ragged * SOFT
    return jag * sector((0, 0), 0, 1, ROUND, 60)[:60] + (u, v), tone, turn, 3


def tree(u: float, v: float, s: float) -> Iterator[Form]:
    """Yield a tree of height s: its shadow, a trunk and a crown of leafy balls."""
    yield sector((0.6, 0), 0, 1, ROUND) * (0.4 * s, 0.06 * s) + (u, v), 0.65, 0.08, 0
    yield np.array([(-0.05, 0), (-0.03, -0.5), (0.03, -0.5), (0.05, 0)]) * s + (u, v), 0.75, 1.4, 3
    for a, b, r in ((20, 42, 19), (-20, 45, 18), (12, 75, 20), (-12, 72, 21), (0, 55, 22)):
        yield ball(u + a * s / 100, v - b * s / 100, r * s / 100, 0.2, 0.05)


def landscape() -> Iterator[Form]:
    """Yield the forms of pencil.jpg, back to front: hills, cottages, trees and boulders."""
    for level, peak, swell in ((330, 420, 190), (420, 1020, 120), (520, 300, 60), (610, 900, 40)):
        ridge = level - swell * np.exp(-(((X[0] - peak) / 270) ** 2)) + 9 * SOFT[level]
        below, lean = Y - ridge, 3 * np.gradient(blur(ridge[None], 25)[0])
        slant = np.interp(X - 0.5 * below, X[0], lean)
        tone = 0.27 + np.clip(0.4 * slant, -0.12, 0.5) + 0.09 * SOFT + 0.2 * step(90, 0, below)
        outline = np.vstack([np.stack([X[0] * 1.02 - 9, ridge], -1)[::8], [(1296, 990), (-9, 990)]])
        yield outline, tone, 0.6 + 0.4 * slant + below / 500, 4
    for u, v, s in ((840, 590, 80), (520, 630, 140)):
        for tone, angle, points in COTTAGE:
            yield np.reshape(points, (-1, 2)) * s + (u, v), tone, angle, 3
    for u, v, s in ((170, 560, 150), (60, 600, 190), (300, 720, 400), (1130, 800, 330)):
        yield from tree(u, v, s)
    for u, v, r in ((620, 830, 95), (760, 870, 60), (470, 880, 48), (890, 800, 40)):
        yield sector((0.6, 2.8), 0, 1, ROUND) * (1.2 * r, 0.3 * r) + (u, v), 0.65, 0.08, 0
        yield ball(u, v, r, 0.04, 0.01)


def pencil() -> Array:
    """Draw the landscape: layers of hatching where it is dark, contours, paper and its tooth."""
    rng, form, contours = default_rng(21), np.zeros_like(X), Image.new("L", SIZE)
    tone, turn, pen = 0.14 + 0.06 * SOFT, 0.3 + 0.3 * SOFT, ImageDraw.Draw(contours)
    for k, (outline, dark, angle, width) in enumerate(landscape(), 1):
        spot = stencil(outline)
        for field, value in ((form, k), (tone, dark), (turn, angle)):
            np.copyto(field, value, "same_kind", spot)
        pen.polygon(outline.ravel().tolist(), 0)
        for shift in rng.normal(0, 1.2, (2, 2)):
            pen.line((np.vstack([outline, outline[:1]]) + shift).ravel().tolist(), 170, width)
    bare = 1 - blur(np.asarray(contours) / 255, 0.7)
    for offset, least in ((0, 0.05), (0.9, 0.3), (-0.7, 0.48), (0.45, 0.62), (1.5, 0.78)):
        draw = ImageDraw.Draw(layer := Image.new("L", SIZE))
        for path in follow(turn + offset, rng.uniform(0, SIZE, (8000, 2)), 12, 5):
            where, dark = look(form, path), look(tone, path)
            stop = int(np.argmin([*((where == where[0]) & (dark > least)), False]))
            press = int(np.clip(45 + 190 * (dark[0] - least) + rng.normal(0, 18), 30, 230))
            if stop > 2:
                draw.line(path[:stop].ravel().tolist(), press, int(rng.integers(2, 4)))
        bare *= 1 - 0.8 * blur(np.asarray(layer) / 255, 1.0)
    tooth = blur(rng.standard_normal((HEIGHT, WIDTH)), 1.4) * 3.8
    lead = np.clip((1 - bare) * (1 + 0.34 * tooth), 0, 1)[..., None] * 0.93
    paper = np.array([0.955, 0.925, 0.86]) * (1 + 0.012 * tooth + 0.012 * SOFT)[..., None]
    return mix(paper, np.array([0.17, 0.17, 0.18]), lead)


def main() -> None:
    """Draw every picture and save it in the directory named on the command line, or here."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    folder.mkdir(parents=True, exist_ok=True)
    for draw in (harbour, swirls, shards, pencil):
        save(draw(), folder / f"{draw.__name__}.jpg", quality=88)
    mask = harbour_sky()
    save(mask, folder / "harbour-sky.png")
    save(1 - mask, folder / "harbour-land.png")


def save(picture: Array, path: Path, **options: int) -> None:
    """Save a picture at half its size."""
    pixels = np.clip(picture, 0, 1).reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3))
    Image.fromarray((pixels * 255 + 0.5).astype(np.uint8)).save(path, **options)


if __name__ == "__main__":
    main()
