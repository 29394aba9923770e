"""A style taken from its paintings gives the picture that they give, wherever a style may stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.errors import OptionError, PictureError, StyleFileError
from ortist.network.bundle import Model
from PIL import Image

from tests.conftest import SAMPLES, kept, small_pictures

CONTENT, STYLE = small_pictures()
with Image.open(SAMPLES / "shards.jpg") as _opened:
    OTHER = np.asarray(_opened.resize((64, 48)))
SIZES: dict[str, Any] = {"size": 48, "smallest_size": 24}
QUICK: dict[str, Any] = {**SIZES, "iterations": 8, "provider": "cpu"}
LEFT = np.zeros(CONTENT.shape[:2], np.uint8)
LEFT[:, :32] = 255


def extracted(*paintings: NDArray[np.uint8], path: Path, **options: Any) -> str:
    """The path of their style file."""
    ortist.extract_style(list(paintings), **{**SIZES, **options}).save(path)
    return str(path)


def same(found: ortist.Result, expected: ortist.Result) -> None:
    np.testing.assert_array_equal(found.painting.values, expected.painting.values)
    assert found.history == expected.history
    assert (found.initial, found.final) == (expected.initial, expected.final)
    assert found.weights == expected.weights


WAYS: list[dict[str, Any]] = [
    {},
    {"optimizer": "lbfgs"},
    {"style_loss": "meanstd", "normalize_gradients": True},
    {"style_loss": "w2", "style_layers": "1,fire3"},
    {"masks": [(LEFT, None)]},
    {"masks": [(LEFT, None), (255 - LEFT, None)], "style_loss": "w2"},
    {"colors": "content-luminance"},
    {"colors": "content-histogram"},
]


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
def test_one_painting_gives_the_same_bytes_from_its_file(
    way: dict[str, Any], tmp_path: Path
) -> None:
    path = extracted(STYLE, path=tmp_path / "a.ostyle")
    run = kept.iterate(CONTENT, path, **QUICK, **way)
    assert run.notes == []
    list(run)
    same(run.result(), kept.transfer(CONTENT, STYLE, **QUICK, **way))


def test_the_sizes_are_those_of_a_run_with_the_same_options(tmp_path: Path) -> None:
    for more in ({"style_size": 40}, {"style_scale": 0.5}, {"smallest_size": None}):
        path = extracted(STYLE, path=tmp_path / "a.ostyle", **more)
        run = kept.iterate(CONTENT, path, **{**QUICK, **more})
        assert run.notes == []
        list(run)
        same(run.result(), kept.transfer(CONTENT, STYLE, **{**QUICK, **more}))


def test_tiles_at_extraction_are_tiles_of_the_run(tmp_path: Path) -> None:
    content, style = small_pictures(150)
    way: dict[str, Any] = {"size": 150, "smallest_size": None, "tile": 96}
    path = extracted(style, path=tmp_path / "a.ostyle", **way)
    tiled = kept.transfer(content, style, iterations=3, **way)
    same(kept.transfer(content, path, iterations=3, **way), tiled)


def test_a_painting_smaller_than_the_run_is_whole(tmp_path: Path) -> None:
    """A style is never enlarged, so that a larger run has the same bytes and no remark, too."""
    style = ortist.extract_style(STYLE, size=200, smallest_size=24)
    assert (style.sides, style.whole) == ((25, 35, 48), True)
    larger = {**QUICK, "size": 96, "smallest_size": 48}
    run = kept.iterate(CONTENT, style, **larger)
    assert run.notes == []
    list(run)
    same(run.result(), kept.transfer(CONTENT, STYLE, **larger))


def test_blends_of_paintings_and_files(tmp_path: Path) -> None:
    """Blended at extraction or at the run, from pictures, files or both: the same bytes."""
    weighted: dict[str, Any] = {"style_weights": (2, 1)}
    both = kept.transfer(CONTENT, [STYLE, OTHER], **QUICK, **weighted)
    blended = extracted(STYLE, OTHER, path=tmp_path / "both.ostyle", **weighted)
    same(kept.transfer(CONTENT, blended, **QUICK), both)
    one, other = (
        extracted(picture, path=tmp_path / f"{index}.ostyle")
        for index, picture in enumerate((STYLE, OTHER))
    )
    same(kept.transfer(CONTENT, [one, OTHER], **QUICK, **weighted), both)
    same(kept.transfer(CONTENT, [STYLE, other], **QUICK, **weighted), both)
    same(
        kept.transfer(CONTENT, [one, other], **QUICK, style_weights=(0, 1)),
        kept.transfer(CONTENT, OTHER, **QUICK),
    )
    merged = ortist.extract_style([one, OTHER], **SIZES, **weighted)
    np.testing.assert_array_equal(merged.values, ortist.read_style(blended).values)
    assert [painted.width for painted in merged.paintings] == [64, 64]
    masks = [(LEFT, None), (255 - LEFT, LEFT)]  # a style file by regions, beside a masked painting
    same(
        kept.transfer(CONTENT, [one, OTHER], masks=masks, **QUICK),
        kept.transfer(CONTENT, [STYLE, OTHER], masks=[(LEFT, None), masks[1]], **QUICK),
    )


def test_textures_take_them_too(tmp_path: Path) -> None:
    path = extracted(STYLE, path=tmp_path / "a.ostyle")
    same(kept.texture(path, **QUICK), kept.texture(STYLE, **QUICK))


def test_between_its_sizes_a_file_is_near_the_painting(tmp_path: Path) -> None:
    """The loss of a picture that was painted with the file, by the painting's own statistics."""
    with Image.open(SAMPLES / "swirls.jpg") as image:
        painting = np.asarray(image)
    style = ortist.extract_style(painting, size=96, smallest_size=48)
    between: dict[str, Any] = {"size": 80, "smallest_size": 56, "iterations": 0}
    run = kept.iterate(CONTENT, style, **between)
    assert run.notes == []
    found = kept.transfer(CONTENT, style, **between).final.style_by_layer
    own = kept.transfer(CONTENT, painting, **between).final.style_by_layer
    assert found == {tap: pytest.approx(value, rel=0.1) for tap, value in own.items()}


def test_a_size_beyond_is_said() -> None:
    with Image.open(SAMPLES / "swirls.jpg") as image:
        style = ortist.extract_style(np.asarray(image), **SIZES)
    run = kept.iterate(CONTENT, style, size=64, smallest_size=16, iterations=20)
    assert run.notes == [
        "the extracted style holds sizes from 24 to 48 pixels, and the nearest stands for 16, 23, "
        "64; extract it with the --size of the run."
    ]


def test_checkpoints_know_the_style(tmp_path: Path) -> None:
    one, other = (
        extracted(picture, path=tmp_path / f"{index}.ostyle")
        for index, picture in enumerate((STYLE, OTHER))
    )
    run = kept.iterate(CONTENT, one, **QUICK)
    for progress in run:
        if progress.iteration == 4:
            break
    run.save_checkpoint(tmp_path / "ckpt")
    again = kept.iterate(CONTENT, ortist.read_style(one), **QUICK)
    again.resume(tmp_path / "ckpt")
    list(again)
    np.testing.assert_array_equal(
        again.result().pixels, kept.transfer(CONTENT, one, **QUICK).pixels
    )
    for another in (other, STYLE):
        with pytest.raises(ortist.CheckpointError, match="the style image is another"):
            kept.iterate(CONTENT, another, **QUICK).resume(tmp_path / "ckpt")


def test_what_needs_the_picture_is_refused(tmp_path: Path) -> None:
    path = extracted(STYLE, path=tmp_path / "a.ostyle")
    with pytest.raises(
        OptionError, match=r"a\.ostyle' holds the statistics of whole paintings, of"
    ):
        kept.transfer(CONTENT, path, masks=[(LEFT, LEFT)], **QUICK)
    with pytest.raises(OptionError, match=r"'style-matched' changes the style's pixels, and"):
        kept.transfer(CONTENT, path, colors="style-matched", **QUICK)
    with pytest.raises(
        PictureError, match=r"content image '.*a\.ostyle' is not a picture that can"
    ):
        kept.transfer(path, STYLE, **QUICK)
    with pytest.raises(OptionError, match=r"64 x 5 pixels; squeezenet1_1-procedural needs 9"):
        ortist.extract_style(STYLE[:5], **SIZES)
    with pytest.raises(OptionError, match="the list of styles is empty"):
        ortist.extract_style([], **SIZES)
    with pytest.raises(OptionError, match="3 style weights do not fit 1 styles"):
        ortist.extract_style(STYLE, style_weights="1,2,3", **SIZES)


def test_another_backbone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = extracted(STYLE, path=tmp_path / "a.ostyle")
    changed = Model.__getattribute__

    def other_mean(model: Model, name: str) -> Any:
        return (0.0, 0.0, 0.0) if name == "mean" else changed(model, name)

    monkeypatch.setattr(Model, "__getattribute__", other_mean)
    said = (
        r"a\.ostyle' was extracted with another backbone \(squeezenet1_1-procedural\) than that of "
        r"the model squeezenet1_1-procedural; extract it again, or choose its model by --model\."
    )
    with pytest.raises(StyleFileError, match=said):
        kept.transfer(CONTENT, [STYLE, path], **QUICK)
    with pytest.raises(StyleFileError, match=said):
        ortist.extract_style(path, **SIZES)
    with pytest.raises(StyleFileError, match=said):
        ortist.batch([SAMPLES / "harbour.jpg"], [path], tmp_path / "out", **QUICK)


def test_the_thumbnail_shows_the_paintings() -> None:
    one = ortist.extract_style(STYLE, **SIZES)
    assert one.image.size == (64, 48)
    np.testing.assert_array_equal(one.thumbnail, STYLE)
    many = ortist.extract_style([STYLE, OTHER, one, OTHER, STYLE], **SIZES)
    assert many.image.size == (192, 128)
    assert len(many.paintings) == 5
