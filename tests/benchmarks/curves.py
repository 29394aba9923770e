"""Drawings of measures over seconds: a panel for each measure, a line for each way to paint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

__all__ = ["Point", "drawn"]

_WIDTH, _HEIGHT, _MARGIN, _KEY, _ACROSS = 460, 320, 56, 20, 3
_SCALE = 2
"""Lines are drawn at twice the size and reduced, which smooths them."""
_INK, _GRID = (34, 34, 34), (222, 222, 218)
_COLORS = ("#1b5ea8", "#c84c18", "#208244", "#804098", "#5a5a5a", "#b08000", "#008c96", "#c03070")


class Point(NamedTuple):
    """Where a way has got after ``seconds``: its measures by name; ``label`` says how."""

    label: str
    seconds: float
    figures: Mapping[str, float]


def drawn(lines: Mapping[str, Sequence[Point]], measures: Sequence[str]) -> Image.Image:
    """The panels of ``measures``, an RGB image; seconds are on a logarithmic axis.

    ``lines`` are points by the line's name, joined in their order.
    """
    rows, key_rows = (math.ceil(len(cells) / _ACROSS) for cells in (measures, lines))
    height = rows * _HEIGHT + key_rows * _KEY + _KEY
    page = Image.new("RGB", (_ACROSS * _WIDTH * _SCALE, height * _SCALE), "white")
    colours = dict(zip(lines, _COLORS * len(lines), strict=False))
    for index, measure in enumerate(measures):
        down, right = divmod(index, _ACROSS)
        panel = _panel(lines, measure, colours)
        page.paste(panel, (right * _WIDTH * _SCALE, down * _HEIGHT * _SCALE))
    key, font = ImageDraw.Draw(page), ImageFont.load_default(13 * _SCALE)
    for index, (name, colour) in enumerate(colours.items()):
        down, right = divmod(index, _ACROSS)
        left, top = right * _WIDTH + _MARGIN, rows * _HEIGHT + down * _KEY
        key.text((left * _SCALE, top * _SCALE), name, colour, font)
    return page.reduce(_SCALE)


def _panel(
    lines: Mapping[str, Sequence[Point]], measure: str, colours: Mapping[str, str]
) -> Image.Image:
    """One measure over the seconds, at the working scale."""
    width, height, margin = _WIDTH * _SCALE, _HEIGHT * _SCALE, _MARGIN * _SCALE
    points = [point for line in lines.values() for point in line]
    low, high = _widened([point.figures[measure] for point in points])
    first, last = _widened([math.log10(point.seconds) for point in points])

    def place(seconds: float, value: float) -> tuple[float, float]:
        across = (math.log10(seconds) - first) / (last - first)
        up = (value - low) / (high - low)
        return margin + across * (width - 1.5 * margin), height - margin - up * (
            height - 2 * margin
        )

    image = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11 * _SCALE)
    left, lower = place(10**first, low)
    right, upper = place(10**last, high)
    for part in range(5):
        value = low + (high - low) * part / 4
        y = place(10**first, value)[1]
        draw.line([(left, y), (right, y)], _GRID, _SCALE)
        draw.text((left - 6 * _SCALE, y), f"{value:.3g}", _INK, font, anchor="rm")
    for seconds in (m * 10**d for d in range(-2, 5) for m in (1, 2, 5)):
        if 10**first <= seconds <= 10**last:
            x = place(seconds, low)[0]
            draw.line([(x, upper), (x, lower)], _GRID, _SCALE)
            draw.text((x, lower + 6 * _SCALE), f"{seconds:g} s", _INK, font, anchor="ma")
    draw.text((left, upper - 20 * _SCALE), measure, _INK, ImageFont.load_default(14 * _SCALE))
    for name, line in lines.items():
        where = [place(point.seconds, point.figures[measure]) for point in line]
        draw.line(where, colours[name], 2 * _SCALE, joint="curve")
        for (x, y), point in zip(where, line, strict=True):
            r = 3 * _SCALE
            draw.ellipse((x - r, y - r, x + r, y + r), colours[name])
            draw.text((x + r, y - r), point.label, colours[name], font, anchor="lb")
    return image


def _widened(values: Sequence[float]) -> tuple[float, float]:
    """The range of the values and a little more, never empty."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room
