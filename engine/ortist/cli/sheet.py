"""The contact sheet: inputs, snapshots, result and loss curves in one picture.

It shows side by side what a reader of the CS231n notebook sees cell by cell. Lengths are pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

from ..objective.targets import Losses
from ..run.result import Result

__all__ = ["TERMS", "by_term", "contact_sheet", "plotted"]

_CELL = 256
"""The height of a picture on the sheet."""
_GAP = 16
_CAPTION = 26
_CURVES_HEIGHT = 300
_INK, _PAPER, _GRID = (34, 34, 34), (250, 250, 248), (222, 222, 218)
_COLORS = ((27, 94, 168), (200, 76, 24), (32, 130, 68), (128, 64, 152), (90, 90, 90))
TERMS = ("total", "content", "style", "tv")
"""The names of the losses that are shown."""
_DECADES = 5
"""Curves are logarithmic; what is more than this many decades below the highest loss is cut off."""


def contact_sheet(result: Result, inputs: Mapping[str, Image.Image]) -> Image.Image:
    """The sheet of a run, an RGB image: pictures in rows, and the curves of losses below them.

    First come ``inputs``, by their captions, then the snapshots, then the result. Losses are
    weighted.
    """
    cells = list(inputs.items())
    for iteration, painting in result.snapshots.items():
        if iteration != result.iterations:
            cells.append((f"iteration {iteration}", Image.fromarray(painting.pixels)))
    cells.append((f"iteration {result.iterations}: the picture", Image.fromarray(result.pixels)))
    rows = _rows([(caption, _fitted(image)) for caption, image in cells])
    width = max(sum(image.width + _GAP for _, image in row) + _GAP for row in rows)
    width = max(width, 3 * _CELL)
    height = len(rows) * (_CELL + _CAPTION + _GAP) + _CURVES_HEIGHT + 2 * _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    top = _GAP
    for row in rows:
        left = _GAP
        for caption, image in row:
            sheet.paste(image, (left, top))
            draw.text((left, top + _CELL + 5), caption, _INK, font)
            left += image.width + _GAP
        top += _CELL + _CAPTION + _GAP
    sheet.paste(_curves(result.history, (width - 2 * _GAP, _CURVES_HEIGHT)), (_GAP, top))
    return sheet


def _fitted(image: Image.Image) -> Image.Image:
    """The image in RGB at the height of a cell, its aspect kept up to 8 : 1."""
    width = min(max(1, round(image.width * _CELL / image.height)), 8 * _CELL)
    return image.convert("RGB").resize((width, _CELL), Image.Resampling.LANCZOS)


def _rows(cells: Sequence[tuple[str, Image.Image]]) -> list[list[tuple[str, Image.Image]]]:
    """Cells (caption, image) in rows, each row at most as wide as five pictures of 4:3."""
    rows: list[list[tuple[str, Image.Image]]] = [[]]
    for cell in cells:
        used = sum(image.width + _GAP for _, image in rows[-1])
        if rows[-1] and used + cell[1].width > 5 * (_CELL * 4 // 3 + _GAP):
            rows.append([])
        rows[-1].append(cell)
    return rows


def by_term(history: Sequence[Losses]) -> dict[str, list[float]]:
    """The curves by their names: the weighted losses, step by step; those all 0 are left out."""
    series = {name: [float(getattr(losses, name)) for losses in history] for name in TERMS}
    return {name: values for name, values in series.items() if any(values)}


def plotted(
    series: Mapping[str, Sequence[float]], left: float, upper: float, right: float, lower: float
) -> tuple[dict[str, float], dict[str, float], dict[str, list[tuple[float, float]]]]:
    """Curves over the iterations, on a logarithmic scale, within a rectangle.

    They are the heights of decades by their labels, where ticks of iterations are by theirs, and
    the points (x, y) of each curve by its name; a curve of one value goes all the way.
    """
    values = [value for line in series.values() for value in line if value > 0] or [1.0]
    top = math.ceil(math.log10(max(values)) + 1e-9)
    bottom = max(math.floor(math.log10(min(values))), top - _DECADES)
    last = max([1, *(len(line) - 1 for line in series.values())])

    def x(iteration: int) -> float:
        return left + (right - left) * iteration / last

    def y(value: float) -> float:
        share = (math.log10(value) - bottom) / (top - bottom) if value > 0 else 0.0
        return lower - (lower - upper) * min(1.0, max(0.0, share))

    ends = {name: [*line, line[-1]] if len(line) == 1 else line for name, line in series.items()}
    return (
        {f"1e{decade}": y(10.0**decade) for decade in range(bottom, top + 1)},
        {str(tick): x(tick) for tick in sorted({round(last * part / 4) for part in range(5)})},
        {name: [(x(i), y(value)) for i, value in enumerate(line)] for name, line in ends.items()},
    )


def _curves(history: Sequence[Losses], size: tuple[int, int]) -> Image.Image:
    """The losses over the iterations at ``size`` (width, height), on a logarithmic scale.

    The curves are drawn at twice the size and reduced, which smooths them.
    """
    scale = 2
    width, height = (side * scale for side in size)
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13 * scale)
    left, right, upper, lower = 70 * scale, width - 110 * scale, 12 * scale, height - 34 * scale
    decades, ticks, curves = plotted(by_term(history), left, upper, right, lower)
    for label, y in decades.items():
        draw.line([(left, y), (right, y)], _GRID, scale)
        draw.text((left - 8 * scale, y), label, _INK, font, anchor="rm")
    for label, x in ticks.items():
        draw.line([(x, lower), (x, lower + 5 * scale)], _INK, scale)
        draw.text((x, lower + 8 * scale), label, _INK, font, anchor="ma")
    draw.line([(left, upper), (left, lower), (right, lower)], _INK, scale)
    for index, (name, points) in enumerate(curves.items()):
        draw.line(points, _COLORS[index], 2 * scale, joint="curve")
        place = (right + 12 * scale, upper + index * 20 * scale)
        draw.text(place, name, _COLORS[index], font)
    return image.resize(size, Image.Resampling.LANCZOS)
