"""The contact sheet: every part is on it, and curves are where the losses are."""

from __future__ import annotations

import numpy as np
import ortist
from ortist.cli.report import contact_sheet
from ortist.options.fields import Options
from PIL import Image

from tests.conftest import small_pictures


def test_everything_is_on_the_sheet() -> None:
    content, style = small_pictures()
    # With little style, so that the curves of the style and of the total lie apart.
    options = Options(
        size=48, smallest_size="none", iterations=6, snapshots=(0, 3, 6), strength=0.25
    )
    result = ortist.transfer(content, style, options=options)
    inputs = {"content": Image.fromarray(content), "style": Image.fromarray(style)}
    sheet = contact_sheet(result, inputs)
    pixels = np.asarray(sheet.convert("RGB"), int)
    stills = [result.snapshots[n].pixels for n in (0, 3)]
    shown = [content, style, *stills, result.pixels]
    for index, picture in enumerate(shown):
        expected = Image.fromarray(picture).resize((341, 256), Image.Resampling.LANCZOS)
        left = 16 + index * (341 + 16)
        np.testing.assert_array_equal(pixels[16 : 16 + 256, left : left + 341], expected)
    curves = pixels[-300:]
    for color in ((27, 94, 168), (200, 76, 24), (32, 130, 68), (128, 64, 152)):
        near = np.abs(curves - color).sum(2) < 60
        assert near.any(0).mean() > 0.2, color  # a line across the plot, but where others cover it


def test_a_sheet_of_one_evaluation() -> None:
    content, style = small_pictures()
    result = ortist.transfer(content, style, size=48, iterations=0, quality="paper")
    assert contact_sheet(result, {}).width >= 768
