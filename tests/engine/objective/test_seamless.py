"""Seamless textures: a picture without edges, for the network and for the eye."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ortist.arrays import Array, Arrays
from ortist.errors import OptionError
from ortist.network.bundle import Model, Tap
from ortist.network.sessions import available_cpus
from ortist.objective.decide import Decider
from ortist.objective.objective import Manner, Objective
from ortist.objective.pieces import Piece, Terms
from ortist.objective.targets import Targets
from ortist.objective.weights import Weights
from ortist.options.fields import Options
from ortist.run.settings import read_settings
from ortist.run.tuning import plan_scales
from ortist.style.losses import STYLE_LOSSES
from ortist.style.moments import sum_moments
from PIL import Image

from tests.conftest import Ortist, kept, small_pictures

from .aims import Aimed, noise, normalised, same, shipped, style_weight, sweeper

CONTENT, STYLE = small_pictures(96)
TAPS = (1, 4, 7)


@functools.cache
def picture(height: int, width: int) -> Array:
    return noise(height, width)


@functools.cache
def seamless(
    tile: int | None = None, tv_loss: Any = "squares", loss: str = "gram", threads: int = 1
) -> Aimed:
    return at(Objective(sweeper(threads), Manner(tile, wraps=True, tv_loss=tv_loss)), loss)


def at(objective: Objective, loss: str = "gram") -> Aimed:
    """``objective`` aimed at the moments of a style."""
    style = normalised(STYLE)
    parts = {
        tap: regions[0].statistics() for tap, regions in objective.moments(style, TAPS).items()
    }
    losses = {tap: [STYLE_LOSSES[loss](part)] for tap, part in parts.items()}
    weights = {tap: style_weight(loss, part) for tap, part in parts.items()}
    return Aimed(objective, Targets(losses), Weights({}, weights, 1e-5))


@pytest.mark.parametrize("tile", [None, 48])
@pytest.mark.parametrize(("height", "width"), [(95, 87), (15, 15), (9, 40)])
def test_all_of_a_style_counts_whatever_its_size(height: int, width: int, tile: int | None) -> None:
    """Only what is painted has sides that are multiples of the strides."""
    style = normalised(STYLE[:height, :width])
    found = Objective(sweeper(), Manner(tile, wraps=True)).moments(style, TAPS)
    for tap, stride in ((1, 2), (4, 4), (7, 8)):
        assert [own.mass for own in found[tap]] == [(height // stride) * (width // stride)]


@pytest.mark.parametrize("normalize", [False, True])
def test_rolled_by_a_stride_it_is_the_same_picture(normalize: bool) -> None:
    """On a picture that has an edge somewhere, that would show."""
    image = picture(48, 72)
    own = at(Objective(sweeper(), Manner(wraps=True, normalize=normalize)))
    losses, gradient = own(image)
    for down, right in ((8, 0), (0, 40), (24, 16)):
        found, rolled = own(np.roll(image, (down, right), (2, 3)))
        assert found.total == pytest.approx(losses.total, rel=1e-5)
        apart = np.abs(rolled - np.roll(gradient, (down, right), (2, 3))).max()
        assert apart <= 1e-5 * np.abs(gradient).max()


@pytest.mark.parametrize("loss", ["gram", "meanstd"])
@pytest.mark.parametrize(("height", "width"), [(48, 72), (16, 32), (136, 128)])
def test_tiles_give_the_gradient_of_the_whole(height: int, width: int, loss: str) -> None:
    image = picture(height, width)
    whole = seamless(loss=loss)(image)
    same(seamless(32, loss=loss)(image), whole)


@pytest.mark.parametrize("loss", ["gram", "meanstd"])
@pytest.mark.parametrize(("height", "width"), [(48, 72), (16, 32), (136, 64)])
def test_bands_of_rows_meet_their_neighbours_around(height: int, width: int, loss: str) -> None:
    """By exchange, the last with the first; in bands of any number, of which one is its own."""
    image = picture(height, width)
    whole = Objective(sweeper(1, 10**9), Manner(wraps=True))
    expected = at(whole, loss)(image)
    for threads in range(1, min(2, available_cpus()) + 1):
        for rows in (8, 16, 40):
            own = Objective(sweeper(threads, rows * width), Manner(wraps=True))
            same(at(own, loss)(image), expected)


@pytest.mark.parametrize("tile", [None, 48])
@pytest.mark.parametrize("loss", sorted(STYLE_LOSSES))
def test_it_is_the_middle_of_a_picture_that_is_laid_side_by_side(
    loss: str, tile: int | None
) -> None:
    """Of a picture with edges that repeats it as far as any feature sees, the middle counts.

    Moments summed over the middle alone, and the gradient of that sum, gathered from all copies.
    """
    height, width = 80, 96
    image = picture(height, width)
    own = seamless(tile, loss=loss)
    losses, gradient = own(image)
    large = np.tile(image, (1, 1, 3, 3))
    middle = {0: (slice(height, 2 * height), slice(width, 2 * width))}
    for known in map(shipped().tap, TAPS):
        rows, columns = height // known.stride, width // known.stride
        middle[known.index] = slice(rows, 2 * rows), slice(columns, 2 * columns)
    shifts = loss != "gram"
    one = sweeper()
    terms = Terms(moments=frozenset(TAPS), shifts=shifts)
    sums = one.observe(Piece(large, middle), terms)
    decide = Decider(own.targets.style, (), own.weights)
    pulls = {tap: decide(tap, sums) for tap in TAPS}
    expected, variation = one.pull(Piece(large, middle), pulls, own.weights.tv)
    for tap, value in decide.style.items():
        assert losses.style_by_layer[tap] == pytest.approx(value, rel=1e-5)
    assert losses.tv == pytest.approx(own.weights.tv * variation.variation, rel=1e-5)
    tolerance = 5e-5 if loss == "w2" else 1e-5
    assert np.abs(gradient - expected).max() <= tolerance * np.abs(expected).max()


def test_a_styles_edges_are_mirrors() -> None:
    """Its moments are those of all of it, mirrored beyond its borders."""
    style = normalised(STYLE)
    height, width = style.shape[2:]
    rows = [*range(height - 1, -1, -1), *range(height), *range(height - 1, -1, -1)]
    columns = [*range(width - 1, -1, -1), *range(width), *range(width - 1, -1, -1)]
    large = np.ascontiguousarray(style[:, :, rows][..., columns])
    for tile in (None, 48):
        found = Objective(sweeper(), Manner(tile, wraps=True)).moments(style, TAPS)
        for tap in map(shipped().tap, TAPS):
            down, across = height // tap.stride, width // tap.stride
            features = sweeper().maps(large, [tap.index])[tap.index]
            features = features[..., down : 2 * down, across : 2 * across]
            expected = sum_moments(np.ascontiguousarray(features))
            moments = found[tap.index][0]
            assert moments.mass == expected.mass
            scale = np.abs(expected.second).max()
            np.testing.assert_allclose(moments.second, expected.second, atol=1e-5 * scale)
            np.testing.assert_allclose(moments.first, expected.first, rtol=1e-4)


@pytest.mark.parametrize("tv_loss", ["squares", "nine-point"])
def test_the_gradient_at_the_seam_is_that_of_the_losses(tv_loss: str) -> None:
    image = picture(48, 72)
    own = seamless(None, tv_loss)
    _, gradient = own(image)
    near = np.zeros_like(image)
    near[..., :2, :], near[..., -2:] = 1, 1
    direction = near * gradient
    direction /= np.linalg.norm(direction)
    step = np.float32(0.02)
    ahead, behind = (own(image + s * step * direction)[0].total for s in (1, -1))
    slope = float(np.vdot(direction, gradient))
    assert (ahead - behind) / (2 * step) == pytest.approx(slope, rel=0.01)


def steps(pixels: NDArray[np.uint8], axis: int) -> tuple[float, NDArray[Any]]:
    """Mean difference across the seam, and between every two neighbouring lines inside."""
    lines = np.moveaxis(pixels.astype(float), axis, 0)
    return float(np.abs(lines[0] - lines[-1]).mean()), np.abs(np.diff(lines, axis=0)).mean((1, 2))


def excess(**given: Any) -> float:
    """How many deviations the seams stand out, on the average over both axes and some seeds."""
    options: dict[str, Any] = {"size": 96, "smallest_size": 64, "style_layers": "1,4,5"}
    found = []
    for seed in range(3):
        result = kept.texture(STYLE, seed=seed, iterations=60, **options, **given)
        for axis in (0, 1):
            seam, inside = steps(result.pixels, axis)
            found.append((seam - inside.mean()) / inside.std())
    return float(np.mean(found))


@pytest.mark.long
def test_opposite_edges_match_within_noise() -> None:
    """Across scales too; without the option the seam stands out."""
    seamless = excess(seamless=True)
    assert seamless < 1.5
    assert excess() > seamless + 1
    assert excess(seamless=True, optimizer="lbfgs") < 1.5


@pytest.mark.parametrize("how", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
def test_what_is_resized_wraps(how: Image.Resampling) -> None:
    image = picture(20, 24)
    for size, factor in (((48, 40), 2.0), ((12, 10), 0.5)):
        found = Arrays().resized(image, size, how, wraps=True)
        rolled = Arrays().resized(np.roll(image, (6, 8), (2, 3)), size, how, wraps=True)
        shift = (int(6 * factor), int(8 * factor))
        np.testing.assert_allclose(rolled, np.roll(found, shift, (2, 3)), atol=1e-6)
        inside = Arrays().resized(image, size, how)
        np.testing.assert_allclose(found[..., 5:-5, 5:-5], inside[..., 5:-5, 5:-5], atol=1e-6)


def test_scales_fit_the_stride() -> None:
    sides = [stage.side for stage in plan_scales(Options(size=520, seamless=True).settled(False))]
    assert sides == [128, 192, 256, 368, 520]


@pytest.mark.parametrize("size", [32, 64, 96, 128, 520])
def test_rounded_scales_are_each_there_once(size: int) -> None:
    for smallest in (16, 20, 32, 64):
        options = Options(size=size, seamless=True, smallest_size=smallest).settled(False)
        sides = [scale.side for scale in plan_scales(options)]
        assert sides == sorted(set(sides))
        assert sides[-1] == size


def test_settings_of_a_hurried_texture_can_be_read(tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": 64, "smallest_size": 16, "seamless": True}
    run = kept.iterate(None, STYLE, **options, iterations=12)
    run.reschedule([(16, 1), (64, 3)])
    for _ in run:
        pass
    run.result().save(tmp_path / "t.png")
    assert read_settings(tmp_path / "t.png", 10**6).schedule == ((16, 1), (64, 3))


def test_what_cannot_be_seamless_is_refused() -> None:
    with pytest.raises(OptionError, match="seamless is for textures, and a content image's edges"):
        kept.transfer(CONTENT, STYLE, seamless=True)
    with pytest.raises(OptionError, match=r"size 60 of a seamless .* 8 divides, as 64\."):
        kept.texture(STYLE, size=60, seamless=True)
    kept.texture(STYLE, size=60, style_layers="1,4", seamless=True, iterations=0)


def test_every_scale_must_fit_the_strides_of_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = Tap(1, "coarse", 4, 32, 9, 0, ())
    monkeypatch.setattr(Model, "tap", lambda model, index: coarse)
    with pytest.raises(OptionError, match=r"size 128 .* scale of 48 .*; give --smallest-size none"):
        kept.texture(STYLE, size=128, smallest_size=32, style_layers="1", seamless=True)


def test_the_command(ortist: Ortist, style_file: Any, tmp_path: Any) -> None:
    words = ("--size", 48, "--style-layers", "1,2", "--iterations", 20)
    out, again = tmp_path / "o.png", tmp_path / "a.png"
    done = ortist("texture", style_file, "--seamless", *words, "-o", out)
    assert (done.returncode, done.stderr) == (0, "")
    seam, inside = steps(np.asarray(Image.open(out)), 0)
    assert seam < inside.mean() + 4 * inside.std()
    done = ortist("texture", "--from", out, "-o", again)
    assert again.read_bytes() == out.read_bytes()
    done = ortist("transfer", "a.jpg", "b.jpg", "--seamless", "-o", out)
    assert done.returncode == 2
