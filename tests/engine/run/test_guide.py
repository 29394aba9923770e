"""The guide, and the pictures that begin with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.arrays import Array
from ortist.errors import OptionError
from ortist.network.features import FeatureMaps
from ortist.options.fields import Options
from ortist.options.presets import PAPERS, QUALITIES
from ortist.style.descriptors import Basis
from ortist.style.remembered import RememberedPlaces, StylePlaces
from PIL import Image

from tests.conftest import Ortist, kept, small_pictures

CONTENT, STYLE = small_pictures(96)
DRAFT: dict[str, Any] = {"quality": "draft", "size": 96, "provider": "cpu"}
TUNED: dict[str, Any] = {
    **{"smallest_size": 64, "style_loss": "gram", "style_layers": "1", "content_layers": "3"},
    **{"normalize_gradients": True, "content_weight": 1.0, "tv_weight": 1.0, "jitter": 2},
    **{"tv_loss": "nine-point", "optimizer": "lbfgs", "learning_rate": 0.1, "beta2": 0.9},
    **{"averaging": 0.5, "final_iterations": 1, "final_learning_rate": 0.1, "bounds": "cs231n"},
    **{"free_iterations": 1, "init": "noise", "init_noise": 0.1, "seamless": True},
}
"""One value of each option that stands for the paper's recipe."""
LEFT = np.zeros(CONTENT.shape[:2], np.uint8)
LEFT[:, :64] = 255
RED, BLUE = (np.zeros((80, 80, 3), np.uint8) for _ in range(2))
RED[..., 0] = BLUE[..., 2] = np.random.default_rng(0).integers(150, 255, (80, 80))


def draft(content: Any = CONTENT, style: Any = STYLE, **options: Any) -> NDArray[np.uint8]:
    return kept.transfer(content, style, **{**DRAFT, **options}).pixels


def test_a_photo_in_its_own_style_is_the_photo() -> None:
    laid = draft(CONTENT, CONTENT, detail=0).astype(int)
    assert np.abs(laid - CONTENT).mean() < 12
    other = draft(CONTENT, STYLE, detail=0).astype(int)
    assert np.abs(other - CONTENT).mean() > 30


def test_the_guide_has_the_styles_colours_and_the_photos_drawing() -> None:
    def colours(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        ranked = np.sort(pixels.reshape(-1, 3), axis=0)[:: len(pixels) // 4]
        return np.asarray(ranked, np.float64)

    size = (CONTENT.shape[1], CONTENT.shape[0])
    style = np.asarray(Image.fromarray(STYLE).resize(size))
    plain, drawn = draft(detail=0), draft(detail=2)
    photo = np.abs(colours(CONTENT) - colours(style)).mean()
    assert np.abs(colours(plain) - colours(style)).mean() < 0.4 * photo

    def drawing(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.asarray(np.diff(pixels.mean(2), axis=1).ravel())

    likeness = [np.corrcoef(drawing(p), drawing(CONTENT))[0, 1] for p in (plain, drawn)]
    assert likeness[1] > max(0.5, likeness[0] + 0.2)


def test_the_same_picture_again_and_by_any_threads() -> None:
    np.testing.assert_array_equal(draft(), draft())
    far = np.abs(draft(threads=1).astype(int) - draft(threads=2))
    assert (far > 1).mean() < 0.02  # a product in float32 may decide a tie otherwise


def test_no_matching_is_the_papers_way_to_the_byte() -> None:
    quick: dict[str, Any] = {"size": 48, "smallest_size": None, "iterations": 3}
    plain = kept.transfer(CONTENT, STYLE, **quick).painting.values
    given = kept.transfer(CONTENT, STYLE, **quick, matching=0.0, detail=2.0).painting.values
    np.testing.assert_array_equal(plain, given)


def test_matching_goes_from_the_photo_to_the_guide() -> None:
    half = draft(matching=0.5).astype(float)
    whole = draft().astype(float)
    np.testing.assert_allclose(half, (CONTENT + whole) / 2, atol=1.5)


def test_steps_go_on_from_the_guide() -> None:
    guide = draft().astype(float)
    moved = draft(quality="standard", iterations=2).astype(float)
    assert 0 < np.abs(moved - guide).mean() < 10


def test_masks_take_patches_from_their_own_style() -> None:
    masks = [(LEFT, None), (255 - LEFT, None)]
    result = kept.transfer(CONTENT, [RED, BLUE], masks=masks, **DRAFT, detail=0).pixels
    assert result[:, :48, 0].min() > result[:, :48, 2].max()
    assert result[:, -48:, 2].min() > result[:, -48:, 0].max()


def test_where_no_mask_is_white_the_photo_stays() -> None:
    size = (128, 96)
    photo = np.asarray(Image.fromarray(CONTENT).resize(size))
    for options in ({}, {"quality": "standard"}, {"tile": 64}):
        own: dict[str, Any] = {**DRAFT, **options}
        result = kept.transfer(photo, RED, masks=[(LEFT, None)], **own).pixels
        apart = np.abs(result.astype(int) - photo).mean(axis=(0, 2))
        assert apart[70:].max() < 6
        assert apart[:56].min() > 20
    gap = np.zeros_like(LEFT)
    gap[:, 96:] = 255
    result = kept.transfer(photo, [RED, BLUE], masks=[(LEFT, None), (gap, None)], **DRAFT).pixels
    np.testing.assert_allclose(result[:, 66:94], photo[:, 66:94], atol=1)


def test_a_style_mask_leaves_out_the_rest() -> None:
    both = np.concatenate([RED, BLUE], axis=1)
    part = np.zeros(both.shape[:2], np.uint8)
    part[:, :80] = 255
    everywhere = np.full(CONTENT.shape[:2], 255, np.uint8)
    options = {**DRAFT, "detail": 0}
    result = kept.transfer(CONTENT, both, masks=[(everywhere, part)], **options).pixels
    assert (result[..., 0] > result[..., 2]).mean() > 0.999
    # Also where nothing makes all of the mask be used, and matches crowd at its border.
    crowded = kept.transfer(CONTENT, both, masks=[(everywhere, part)], coverage=0, **options).pixels
    assert (crowded[..., 0] > crowded[..., 2]).mean() > 0.999
    unmasked = kept.transfer(CONTENT, both, **options).pixels
    assert (unmasked[..., 0] > unmasked[..., 2]).mean() < 0.7


def test_what_is_clear_of_a_style_is_not_laid() -> None:
    both = np.concatenate([RED, BLUE], axis=1)
    alpha = np.zeros((*both.shape[:2], 1), np.uint8)
    alpha[:, :80] = 255
    cut = Image.fromarray(np.concatenate([both, alpha], axis=2))
    pixels = draft(CONTENT, cut, detail=0)
    assert (pixels[..., 0] > pixels[..., 2]).mean() > 0.95


def test_styles_share_the_picture_by_their_weights() -> None:
    def red(weights: tuple[float, float]) -> float:
        pixels = draft(CONTENT, [RED, BLUE], style_weights=weights, detail=0)
        return float((pixels[..., 0] > pixels[..., 2]).mean())

    assert red((1, 0)) == 1
    assert red((0, 1)) == 0
    assert red((3, 1)) > red((1, 3))


@pytest.mark.parametrize(
    ("content", "style"),
    [
        pytest.param(CONTENT, STYLE[:10, :12], id="a style smaller than a patch"),
        pytest.param(CONTENT, np.full((40, 40, 3), 90, np.uint8), id="a style of one colour"),
        pytest.param(np.zeros((96, 96, 3), np.uint8), STYLE, id="a black photo"),
        pytest.param(np.full((96, 96, 3), 200, np.uint8), STYLE, id="a photo of one colour"),
        pytest.param(np.tile(CONTENT, (1, 15, 1)), STYLE, id="a panorama of 20:1"),
    ],
)
def test_odd_pictures_make_a_picture(content: Any, style: Any) -> None:
    pixels = draft(content, style)
    assert pixels.shape == content.shape
    if style.std() == 0:
        assert np.abs(draft(content, style, detail=0).astype(int) - 90).max() <= 1


def test_what_has_no_patches_is_refused(tmp_path: Path) -> None:
    style = dataclasses.replace(ortist.extract_style(STYLE, size=96), patches=())
    style.save(tmp_path / "s.ostyle")
    with pytest.raises(OptionError, match="holds no patches"):
        kept.transfer(CONTENT, tmp_path / "s.ostyle", **DRAFT)
    with pytest.raises(OptionError, match="there are no patches to match without"):
        kept.texture(STYLE, **DRAFT)
    with pytest.raises(OptionError, match="there are no patches to match without"):
        kept.invert(CONTENT, **DRAFT)


@pytest.mark.parametrize("quality", ["draft", "standard"])
@pytest.mark.parametrize("tile", [64, 200])
def test_a_picture_in_tiles_is_the_whole_one(quality: str, tile: int, tmp_path: Path) -> None:
    photo, painting = tmp_path / "photo.png", tmp_path / "style.png"
    Image.fromarray(CONTENT).resize((400, 300)).save(photo)
    Image.fromarray(STYLE).resize((480, 360)).save(painting)
    options: dict[str, Any] = {**DRAFT, "size": 240, "quality": quality}
    whole = kept.transfer(photo, painting, **options).pixels
    tiled = kept.transfer(photo, painting, **options, tile=tile).pixels
    far = np.abs(tiled.astype(int) - whole) > 1
    assert far.mean() < 0.01  # where rounding decides a tie, a patch is another


def test_a_quality_is_its_options_and_those_given_go_first() -> None:
    for name, meant in QUALITIES.items():
        for matched in (True, False):
            options = Options.of(quality=name).settled(matched)
            assert {key: getattr(options, key) for key in meant} == dict(meant)
            assert options.settled(not matched) == options
    best = Options.of(quality="best", iterations=7, matching=0.5).settled(True)
    assert (best.iterations, best.matching, best.averaging) == (7, 0.5, 0.9)
    preset = Options.of(quality="draft", preset="cs231n-starry-night")
    assert preset.iterations == 200
    with pytest.raises(OptionError, match="there is no quality 'good'"):
        Options.of(quality="good")


@pytest.mark.parametrize(
    ("given_options", "matched", "quality"),
    [
        ({}, True, "standard"),
        ({}, False, "paper"),
        ({"iterations": 5, "size": 64, "seed": 3, "colors": "style-matched"}, True, "standard"),
        ({"matching": 0}, True, "paper"),
        ({"matching": 0.5}, True, "standard"),
        ({"preset": "cs231n-the-scream"}, True, "paper"),
        ({"preset": "cs231n-the-scream", "quality": "draft"}, True, "draft"),
        *(({name: value}, True, "paper") for name, value in TUNED.items()),
        *(({name: v, "quality": "standard"}, True, "standard") for name, v in TUNED.items()),
    ],
)
def test_which_quality_it_is(given_options: dict[str, Any], matched: bool, quality: str) -> None:
    assert Options.of(**given_options).settled(matched).quality == quality


def test_all_options_of_the_papers_recipe_were_tried() -> None:
    assert TUNED.keys() == {*PAPERS}


def test_matching_0_is_the_papers_way_to_the_byte() -> None:
    small: dict[str, Any] = {"size": 48, "iterations": 3}
    paper = kept.transfer(CONTENT, STYLE, **small, quality="paper")
    none = kept.transfer(CONTENT, STYLE, **small, matching=0)
    by_hand = kept.transfer(
        CONTENT, STYLE, **small, smallest_size=128, style_loss="gram", matching=0.0
    )
    np.testing.assert_array_equal(none.pixels, paper.pixels)
    np.testing.assert_array_equal(by_hand.pixels, paper.pixels)
    assert paper.options == none.options == by_hand.options


def test_a_draft_weighs_nothing() -> None:
    result = kept.transfer(CONTENT, STYLE, **DRAFT)
    assert (result.final.total, result.iterations, len(result.history)) == (0.0, 0, 1)
    assert result.final.style_by_layer == result.weights.style == {}


def test_the_command_paints_a_draft(ortist: Ortist, tmp_path: Path) -> None:
    photo, painting, out = (tmp_path / name for name in ("p.png", "s.png", "out.png"))
    Image.fromarray(CONTENT).save(photo)
    Image.fromarray(STYLE).save(painting)
    words = ("transfer", photo, painting, "-o", out, "--size", 96, "--provider", "cpu")
    done = ortist(*words, "--quality", "draft", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iterations"] == 0
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.asarray(image), draft())
    again = ortist("transfer", "--from", out, "-o", tmp_path / "again.png")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again.png").read_bytes() == out.read_bytes()


def test_a_run_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    options: dict[str, Any] = {**DRAFT, "quality": "standard", "iterations": 4}
    run = kept.iterate(CONTENT, STYLE, **options)
    for _ in range(3):
        next(run)
    run.save_checkpoint(tmp_path / "c")
    rest = kept.iterate(CONTENT, STYLE, **options)
    rest.resume(tmp_path / "c")
    for one in (run, rest):
        for _ in one:
            pass
    np.testing.assert_array_equal(run.pixels(), rest.pixels())


def test_an_engine_looks_at_a_style_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[tuple[int, ...]] = []
    of = FeatureMaps.of

    def seen(self: FeatureMaps, pixels: Array, taps: Sequence[int]) -> dict[int, Array]:
        looked.append(pixels.shape)
        return of(self, pixels, taps)

    monkeypatch.setattr(FeatureMaps, "of", seen)
    with ortist.Engine(provider="cpu") as engine:
        options = Options(**{**DRAFT, "size": 192})
        first, own = engine.transfer(CONTENT, STYLE, options).pixels, len(looked)
        second = engine.transfer(CONTENT, STYLE, options).pixels
        # The photo at two scales, and the style once, which is no larger at the second.
        assert (own, len(looked) - own) == (3, 2)
        np.testing.assert_array_equal(first, second)
        # Another style beside it is described in a basis of both.
        both = engine.transfer(CONTENT, [STYLE, RED], options).pixels
    np.testing.assert_array_equal(both, draft(CONTENT, [STYLE, RED], size=192))


def test_large_styles_are_not_kept_and_old_ones_go() -> None:
    places, basis = RememberedPlaces(), Basis({}, {})

    def some(rows: int) -> StylePlaces:
        return StylePlaces(basis, [np.zeros((rows, 1024, 16), np.float32)])

    places.keep("large", some(200))
    assert places.find("large") is None
    for number in range(6):
        places.keep(number, some(100))
        assert places.find(0) is not None  # what is asked for stays
    assert places.find(5) is not None
    assert places.find(1) is None


def test_what_a_draft_has_no_use_for_is_said(ortist: Ortist, tmp_path: Path) -> None:
    for init in ("noise", "gray", STYLE):
        with pytest.raises(OptionError, match="a picture that takes no steps is its guide"):
            kept.transfer(CONTENT, STYLE, **DRAFT, init=init)
    photo, painting = tmp_path / "photo.png", tmp_path / "style.png"
    Image.fromarray(CONTENT).save(photo)
    Image.fromarray(STYLE).save(painting)
    sheet, report, words = tmp_path / "s.png", tmp_path / "r.html", ("--size", "64")
    draft = ("--quality", "draft", "--sheet", sheet, "--report", report)
    done = ortist("transfer", photo, painting, "-o", tmp_path / "o.png", *words, *draft)
    assert done.returncode == 0, done.stderr
    assert "Losses" not in report.read_text()
    with Image.open(sheet) as image:
        drawn = image.height
    done = ortist(
        "transfer",
        photo,
        painting,
        "-o",
        tmp_path / "p.png",
        *words,
        "--sheet",
        sheet,
        "--overwrite",
    )
    assert done.returncode == 0, done.stderr
    with Image.open(sheet) as image:
        assert image.height > drawn
