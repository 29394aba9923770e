"""Seamless textures: a picture without edges, for the network and for the eye."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.arrays import Array, Arrays
from ortist.errors import OptionError
from ortist.network.bundle import find_model
from ortist.objective.general import GeneralObjective
from ortist.objective.targets import Targets
from ortist.objective.weights import Weights
from ortist.options.fields import Options
from ortist.run.stages import plan_stages
from ortist.style.losses import STYLE_LOSSES
from PIL import Image

from tests.conftest import Ortist, small_pictures

CONTENT, STYLE = small_pictures(96)
TAPS = (1, 4, 7)


@functools.cache
def picture(height: int, width: int) -> Array:
    return np.random.default_rng(0).standard_normal((1, 3, height, width), np.float32)


@functools.cache
def objective(tile: int | None = None, tv_loss: Any = "squares") -> GeneralObjective:
    model = find_model("squeezenet1_1-procedural")
    found = GeneralObjective(model, "cpu", None, tile, wraps=True, tv_loss=tv_loss)
    style: Array = STYLE.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(60) - 2
    parts = {
        tap: regions[0].statistics()
        for tap, regions in found.moments(np.ascontiguousarray(style), TAPS).items()
    }
    losses = {tap: [STYLE_LOSSES["gram"](part)] for tap, part in parts.items()}
    sizes = {tap: float(np.square(part.second).sum()) for tap, part in parts.items()}
    weights = {tap: len(parts[tap].mean) ** 2 / size for tap, size in sizes.items()}
    found.aim(Targets(losses=losses), Weights({}, weights, 1e-5))
    return found


def test_rolled_by_a_stride_it_is_the_same_picture() -> None:
    """On a picture that has an edge somewhere, that would show."""
    image = picture(48, 72)
    losses, gradient = objective()(image)
    for down, right in ((8, 0), (0, 40), (24, 16)):
        found, rolled = objective()(np.roll(image, (down, right), (2, 3)))
        assert found.total == pytest.approx(losses.total, rel=1e-5)
        apart = np.abs(rolled - np.roll(gradient, (down, right), (2, 3))).max()
        assert apart <= 1e-5 * np.abs(gradient).max()


@pytest.mark.parametrize(("height", "width"), [(48, 72), (16, 32), (136, 128)])
def test_tiles_give_the_gradient_of_the_whole(height: int, width: int) -> None:
    image = picture(height, width)
    losses, gradient = objective()(image)
    found, tiled = objective(32)(image)
    assert found.total == pytest.approx(losses.total, rel=1e-5)
    assert np.abs(tiled - gradient).max() <= 1e-5 * np.abs(gradient).max()


@pytest.mark.parametrize("tv_loss", ["squares", "nine-point"])
def test_the_gradient_at_the_seam_is_that_of_the_losses(tv_loss: str) -> None:
    image = picture(48, 72)
    at = objective(None, tv_loss)
    _, gradient = at(image)
    near = np.zeros_like(image)
    near[..., :2, :], near[..., -2:] = 1, 1
    direction = near * gradient
    direction /= np.linalg.norm(direction)
    step = np.float32(0.02)
    ahead, behind = (at(image + s * step * direction)[0].total for s in (1, -1))
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
        result = ortist.texture(STYLE, seed=seed, iterations=60, **options, **given)
        for axis in (0, 1):
            seam, inside = steps(result.pixels, axis)
            found.append((seam - inside.mean()) / inside.std())
    return float(np.mean(found))


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
    sides = [stage.side for stage in plan_stages(Options(size=520, seamless=True))]
    assert sides == [128, 192, 256, 368, 520]


def test_what_cannot_be_seamless_is_refused() -> None:
    with pytest.raises(OptionError, match="seamless is for textures, and a content image's edges"):
        ortist.transfer(CONTENT, STYLE, seamless=True)
    with pytest.raises(OptionError, match=r"size 60 of a seamless .* 8 divides, as 64\."):
        ortist.texture(STYLE, size=60, seamless=True)
    ortist.texture(STYLE, size=60, style_layers="1,4", seamless=True, iterations=0)


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
