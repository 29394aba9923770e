"""Several styles, regions, losses and tiles, as a user asks for them from Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.errors import OptionError, PictureError
from PIL import Image

from tests.conftest import SAMPLES, kept, small_pictures

CONTENT, STYLE = small_pictures()
with Image.open(SAMPLES / "shards.jpg") as _opened:
    OTHER = np.asarray(_opened.resize((64, 48)))
QUICK: dict[str, Any] = {"size": 48, "iterations": 6, "provider": "cpu"}


def half(left: bool) -> NDArray[np.uint8]:
    """A mask of the content, white on one side."""
    mask = np.zeros(CONTENT.shape[:2], np.uint8)
    mask[:, :32] = 255 if left else 0
    mask[:, 32:] = 0 if left else 255
    return mask


def test_one_to_nothing_is_the_one_style_alone() -> None:
    alone = kept.transfer(CONTENT, STYLE, **QUICK)
    blended = kept.transfer(CONTENT, [STYLE, OTHER], style_weights=(1, 0), **QUICK)
    np.testing.assert_array_equal(blended.pixels, alone.pixels)
    assert blended.history == alone.history
    listed = kept.transfer(CONTENT, (STYLE,), **QUICK)
    np.testing.assert_array_equal(listed.pixels, alone.pixels)


def test_a_blend_lies_between_its_styles() -> None:
    """Each style's loss of the blended picture is less than that of the other's own picture."""

    def distance(result: ortist.Result, style: NDArray[np.uint8]) -> float:
        again = kept.transfer(result.pixels, style, size=48, iterations=0, content_weight=0)
        return again.final.style

    runs: dict[str, Any] = {"size": 48, "iterations": 40, "averaging": 0.8, "strength": 10}
    one, other, both = (
        kept.transfer(CONTENT, styles, **runs) for styles in (STYLE, OTHER, [STYLE, OTHER])
    )
    assert distance(one, STYLE) < distance(both, STYLE) < distance(other, STYLE)
    assert distance(other, OTHER) < distance(both, OTHER) < distance(one, OTHER)
    mostly = kept.transfer(CONTENT, [STYLE, OTHER], style_weights="9,1", **runs)
    assert distance(mostly, STYLE) < distance(both, STYLE)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("loss", ["gram", "meanstd", "w2"])
def test_every_loss_falls_in_tiles_by_regions(loss: str, optimizer: str) -> None:
    options: dict[str, Any] = {**QUICK, "iterations": 20, "smallest_size": 32, "averaging": 0.5}
    options |= {"style_loss": loss, "optimizer": optimizer, "tile": 32, "strength": 5}
    masks = [(half(True), None), (half(False), half(True))]
    result = kept.transfer(CONTENT, [STYLE, OTHER], masks=masks, style_layers="1,4", **options)
    assert set(result.final.style_by_layer) == {1, 4}
    assert result.final.style < 0.8 * result.initial.style
    # Balanced: a picture without features would have a style loss of 1.
    assert 0.02 < result.initial.style < 5


def test_tiles_give_the_same_picture() -> None:
    whole, tiled = (
        kept.transfer(CONTENT, STYLE, style_loss="meanstd", tile=tile, **{**QUICK, "size": 136})
        for tile in ("off", 96)
    )
    # Adam divides by the gradient's own size, so that rounding shows on pixels that hardly move.
    off = np.abs(whole.pixels.astype(int) - tiled.pixels)
    assert off.mean() < 0.05
    assert whole.final.total == pytest.approx(tiled.final.total, rel=1e-3)


def test_regions_take_their_own_style() -> None:
    """A black style on the left, a white one on the right, through jittered windows."""
    dark, light = (np.full((48, 64, 3), value, np.uint8) for value in (10, 245))
    noise = np.random.default_rng(0).integers(0, 20, (48, 64, 3))
    dark, light = (dark + noise).astype(np.uint8), (light - noise).astype(np.uint8)
    result = kept.transfer(
        *(CONTENT, [dark, light]),
        masks=[(half(True), None), (half(False), None)],
        **{**QUICK, "iterations": 60, "averaging": 0.5, "strength": 100, "style_layers": 1},
    )
    moved = result.pixels.astype(float) - CONTENT
    assert moved[:, :24].mean() < -10
    assert moved[:, 40:].mean() > 10


def test_white_masks_change_nothing() -> None:
    white = np.full((96, 128), 255, np.uint8)  # another size, the same aspect
    plain = kept.transfer(CONTENT, STYLE, tile=1000, **QUICK)
    masked = kept.transfer(CONTENT, STYLE, masks=[(white, white)], **QUICK)
    assert masked.final.total == pytest.approx(plain.final.total, rel=1e-4)
    assert masked.weights.tv == pytest.approx(plain.weights.tv)


def test_normalised_gradients_paint_too() -> None:
    result = kept.transfer(
        *(CONTENT, STYLE),
        **{**QUICK, "iterations": 40, "averaging": 0.8, "normalize_gradients": True},
    )
    shares = result.model.recipe.style_shares
    assert result.weights.style[1] == pytest.approx(shares[1] / sum(shares.values()))
    assert result.final.style < result.initial.style / 2
    with pytest.raises(OptionError, match="which lbfgs needs"):
        kept.transfer(CONTENT, STYLE, optimizer="lbfgs", normalize_gradients=True)


def test_style_scale_multiplies_the_style_size() -> None:
    by_size = kept.transfer(CONTENT, STYLE, style_size=24, size=48, iterations=0)
    by_scale = kept.transfer(CONTENT, STYLE, style_scale=0.5, size=48, iterations=0)
    assert by_scale.initial == by_size.initial
    both = kept.transfer(CONTENT, STYLE, style_size=48, style_scale=0.5, size=48, iterations=0)
    assert both.initial == by_size.initial
    enlarged = kept.transfer(CONTENT, STYLE, style_scale=9, size=48, iterations=0)
    assert enlarged.initial == kept.transfer(CONTENT, STYLE, size=48, iterations=0).initial


def test_a_texture_of_two_styles() -> None:
    result = kept.texture([STYLE, OTHER], size=48, iterations=6)
    assert result.pixels.shape == (48, 48, 3)


def test_flat_pictures_with_every_loss() -> None:
    flat = np.full((48, 48, 3), 128, np.uint8)
    for loss in ("gram", "meanstd", "w2"):
        result = kept.transfer(flat, flat, style_loss=loss, size=48, iterations=3)
        assert np.isfinite(result.final.total)


WHITE = np.full((48, 64), 255, np.uint8)


@pytest.mark.parametrize(
    ("styles", "given", "error", "said"),
    [
        ([STYLE], {"style_weights": (2, 1)}, OptionError, "2 style weights do not fit 1 styles"),
        ([STYLE, OTHER], {"style_weights": "1,2,3"}, OptionError, "3 style weights do not fit 2"),
        ([STYLE, OTHER], {"style_weights": "1,x"}, OptionError, "cannot read the style weights"),
        ([STYLE, OTHER], {"style_weights": (0, 0)}, OptionError, "not all of them 0"),
        ([STYLE, OTHER], {"masks": [(WHITE, None)]}, OptionError, "1 masks do not fit 2 styles"),
        ([], {}, OptionError, "the list of styles is empty"),
        ([STYLE], {"masks": [(WHITE[:30], None)]}, PictureError, "its picture 64 x 48"),
        ([STYLE], {"masks": [(WHITE, 0 * WHITE)]}, PictureError, "the style mask is all black"),
        ([STYLE], {"masks": [("no.png", None)]}, PictureError, "content mask 'no.png' does not"),
        ([STYLE], {"tile": 8}, OptionError, "tile 8 is out of range"),
        ([STYLE], {"tile": "small"}, OptionError, "cannot read the tile 'small'"),
        ([STYLE], {"style_loss": "l1"}, OptionError, "no style_loss 'l1'; choose one of gram"),
    ],
)
def test_what_does_not_fit_is_said(
    styles: list[Any], given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        kept.transfer(CONTENT, styles, **{**QUICK, **given})


def test_masks_need_both_pictures() -> None:
    with pytest.raises(OptionError, match="masks need a content image and a style image"):
        kept.iterate(None, STYLE, masks=[(WHITE, None)])


@pytest.mark.parametrize("shape", ["half", "holes", "soft"])
@pytest.mark.parametrize("more", [{}, {"colors": "style-matched"}, {"init": "style"}])
def test_what_is_clear_in_a_style_does_not_count(more: dict[str, Any], shape: str) -> None:
    """A picture on a clear layer gives what the picture itself gives, whatever lies below it."""
    alpha = np.zeros(STYLE.shape[:2], np.uint8)
    if shape == "half":
        alpha[:, :40] = 255
    elif shape == "holes":
        alpha[...] = 255
        alpha[10:20, 10:30] = 0
    else:
        alpha[...] = np.linspace(0, 255, 64).astype(np.uint8)
    options: dict[str, Any] = {**QUICK, "iterations": 20, "averaging": 0.5, "strength": 30, **more}
    results = []
    for below in (0, 255):
        layer = np.dstack([np.where(alpha[..., None] == 0, np.uint8(below), STYLE), alpha])
        results.append(kept.transfer(CONTENT, Image.fromarray(layer), **options))
    np.testing.assert_array_equal(results[0].pixels, results[1].pixels)
    whole = kept.transfer(CONTENT, STYLE, **options)
    colors = [result.pixels.mean((0, 1)) for result in (results[0], whole)]
    assert np.abs(colors[0] - colors[1]).max() < 25


def test_a_clear_style_goes_along_with_masks_and_into_style_files() -> None:
    alpha = np.zeros(STYLE.shape[:2], np.uint8)
    alpha[:, :40] = 255
    layer = Image.fromarray(np.dstack([STYLE, alpha]))
    masks = [(half(True), None), (half(False), half(True))]
    assert kept.transfer(CONTENT, layer, masks=masks, **QUICK).final.style > 0
    nothing = np.where(alpha, 0, 255).astype(np.uint8)
    nothing[:, :48] = 0
    with pytest.raises(PictureError, match="mask or its transparency leaves nothing"):
        kept.transfer(CONTENT, layer, masks=[(half(True), nothing)], **QUICK)
    with pytest.raises(PictureError, match="transparent everywhere"):
        kept.transfer(CONTENT, np.dstack([STYLE, 0 * alpha]), **QUICK)
    style = ortist.extract_style(layer, size=48, smallest_size=None)
    result = kept.transfer(CONTENT, style, **QUICK, smallest_size=None)
    same = kept.transfer(CONTENT, layer, **QUICK, smallest_size=None)
    np.testing.assert_array_equal(result.pixels, same.pixels)
