"""What a run can be seen by: a contact sheet, one picture, and a report, one HTML file.

The sheet shows side by side what a reader of the CS231n notebook sees cell by cell. The report
needs no other file: pictures are data URIs, curves are inline SVG, and there are no scripts. Every
text in it is escaped, and a content security policy forbids whatever else a browser might load.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import groupby

from PIL import Image, ImageDraw, ImageFont

from .._version import __version__
from ..objective.targets import Losses
from ..options.declaring import declaration
from ..options.fields import Options
from ..run.result import Result
from ..run.stepping import Progress

__all__ = ["contact_sheet", "html_report", "picture_rows"]

_CELL = 256
"""The height of a picture on the sheet."""
_GAP = 16
_CAPTION = 26
_CURVES_HEIGHT = 300
_INK, _PAPER, _GRID = (34, 34, 34), (250, 250, 248), (222, 222, 218)
_TERMS = ("total", "content", "style", "tv")
"""The names of the losses that are shown."""
_DECADES = 5
"""Curves are logarithmic; what is more than this many decades below the highest loss is cut off."""
_LONGEST = 1024
"""Pictures are reduced to this many pixels on the longer side."""
_WIDTH, _HEIGHT, _MARGIN = 640, 260, 52
"""Width, height and margin of a drawing of curves, in its own units."""
_COLORS = ("#1b5ea8", "#c84c18", "#208244", "#804098", "#5a5a5a", "#b08000", "#008c96", "#c03070")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fafaf8 }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top }
figure img { max-width: 22rem; max-height: 22rem; width: auto; height: auto; display: block }
figure.result img { max-width: 100%; max-height: none }
table { border-collapse: collapse } td, th { padding: .15rem 1rem .15rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid #ddd } .times tr > * { text-align: right }
tr.changed, tr.head { font-weight: 600 } svg { width: 100%; max-width: 48rem; height: auto }
"""


def _by_term(history: Sequence[Losses]) -> dict[str, list[float]]:
    """The curves by their names: the weighted losses, step by step; those all 0 are left out."""
    series = {name: [float(getattr(losses, name)) for losses in history] for name in _TERMS}
    return {name: values for name, values in series.items() if any(values)}


def _plotted(
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


def contact_sheet(result: Result, inputs: Mapping[str, Image.Image]) -> Image.Image:
    """The sheet of a run, an RGB image: pictures in rows, and the curves of losses below them.

    First come ``inputs``, by their captions, then the snapshots, then the result. Losses are
    weighted; a draft has none.
    """
    cells = list(inputs.items())
    for iteration, painting in result.snapshots.items():
        if iteration != result.iterations:
            cells.append((f"iteration {iteration}", Image.fromarray(painting.pixels)))
    cells.append((f"iteration {result.iterations}: the picture", Image.fromarray(result.pixels)))
    rows = picture_rows(cells)
    if not _by_term(result.history):
        return rows
    width = max(rows.width, 3 * _CELL)
    sheet = Image.new("RGB", (width, rows.height + _CURVES_HEIGHT + _GAP), _PAPER)
    sheet.paste(rows)
    curves = _drawn(result.history, (width - 2 * _GAP, _CURVES_HEIGHT))
    sheet.paste(curves, (_GAP, rows.height))
    return sheet


def picture_rows(cells: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures in rows, each over its caption: an RGB image of ``cells`` (caption, image)."""
    rows = _in_rows([(caption, _fitted(image)) for caption, image in cells])
    width = max(sum(image.width + _GAP for _, image in row) + _GAP for row in rows)
    sheet = Image.new("RGB", (width, len(rows) * (_CELL + _CAPTION + _GAP) + _GAP), _PAPER)
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
    return sheet


def _fitted(image: Image.Image) -> Image.Image:
    """The image in RGB at the height of a cell, its aspect kept up to 8 : 1."""
    width = min(max(1, round(image.width * _CELL / image.height)), 8 * _CELL)
    return image.convert("RGB").resize((width, _CELL), Image.Resampling.LANCZOS)


def _in_rows(cells: Sequence[tuple[str, Image.Image]]) -> list[list[tuple[str, Image.Image]]]:
    """Cells (caption, image) in rows, each row at most as wide as five pictures of 4:3."""
    rows: list[list[tuple[str, Image.Image]]] = [[]]
    for cell in cells:
        used = sum(image.width + _GAP for _, image in rows[-1])
        if rows[-1] and used + cell[1].width > 5 * (_CELL * 4 // 3 + _GAP):
            rows.append([])
        rows[-1].append(cell)
    return rows


def _drawn(history: Sequence[Losses], size: tuple[int, int]) -> Image.Image:
    """The losses over the iterations at ``size`` (width, height), on a logarithmic scale.

    The curves are drawn at twice the size and reduced, which smooths them.
    """
    scale = 2
    width, height = (side * scale for side in size)
    image = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13 * scale)
    left, right, upper, lower = 70 * scale, width - 110 * scale, 12 * scale, height - 34 * scale
    decades, ticks, curves = _plotted(_by_term(history), left, upper, right, lower)
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


def html_report(result: Result, inputs: Mapping[str, Image.Image]) -> str:
    """The report of a run as the text of an HTML file.

    The result comes first, then ``inputs``, by their captions, and the snapshots, then curves of
    the weighted losses, facts of the run, times by scale and every option.
    """
    title = f"Ortist: {result.iterations} iterations"
    figures = [_figure(caption, image) for caption, image in inputs.items()]
    figures += [
        _figure(f"iteration {iteration}", painting.image)
        for iteration, painting in result.snapshots.items()
        if iteration != result.iterations
    ]
    style = _by_layer([losses.style_by_layer for losses in result.history])
    content = _by_layer([losses.content_by_layer for losses in result.history])
    terms = _by_term(result.history)
    facts = [
        _row("stopped", result.stopped),
        _row("iterations", f"{result.iterations} of {result.options.iterations}"),
        _row("seconds", f"{result.seconds:.2f}"),
        _row("provider", result.provider),
        _row("model", f"{result.model.name}, sha256 {result.model.sha256}"),
        _row("ortist", __version__),
        *(_row(f"final loss, {name}", f"{getattr(result.final, name):.6g}") for name in _TERMS),
    ]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        _figure("the picture", result.image, "result"),
        f"<h2>Pictures</h2><div>{''.join(figures)}</div>",
        "<h2>Losses by term, weighted</h2>" + _curves(terms) if terms else "",
        "<h2>Style loss by layer, weighted</h2>" + _curves(style) if style else "",
        "<h2>Content loss by layer, weighted</h2>" + _curves(content) if content else "",
        f"<h2>The run</h2><table>{''.join(facts)}</table>",
        f'<h2>Time</h2><table class="times">{_times(result.steps)}</table>',
        f"<h2>Options</h2><table>{_options(result.options)}</table>",
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _figure(caption: str, image: Image.Image, kind: str = "") -> str:
    """A picture with its caption, reduced, as a JPEG within the page."""
    image = image.convert("RGB")
    image.thumbnail((_LONGEST, _LONGEST))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90, subsampling="4:4:4")
    data = base64.b64encode(stream.getvalue()).decode()
    text = escape(caption)
    return (
        f'<figure class="{kind}"><img src="data:image/jpeg;base64,{data}" alt="{text}" '
        f'width="{image.width}" height="{image.height}"><figcaption>{text}</figcaption></figure>'
    )


def _by_layer(history: Sequence[Mapping[int, float]]) -> dict[str, list[float]]:
    """The curves by the layers' names, step by step, of losses by layer."""
    return {f"layer {tap}": [losses[tap] for losses in history] for tap in history[0]}


def _curves(series: Mapping[str, Sequence[float]]) -> str:
    """An inline SVG of curves over the iterations, on a logarithmic scale, with a legend."""
    right = _WIDTH - 2 * _MARGIN
    decades, ticks, curves = _plotted(series, _MARGIN, 10, right, _HEIGHT - 30)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="11" '
        'font-family="system-ui, sans-serif">'
    ]
    for label, y in decades.items():
        parts.append(
            f'<path d="M{_MARGIN} {y:.1f}H{right}" stroke="#ddd"/><text x="{_MARGIN - 6}" '
            f'y="{y + 4:.1f}" text-anchor="end">{label}</text>'
        )
    for label, x in ticks.items():
        parts.append(f'<text x="{x:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{label}</text>')
    for index, (name, line) in enumerate(curves.items()):
        color = _COLORS[index % len(_COLORS)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>'
            f'<text x="{right + 10}" y="{20 + 16 * index}" fill="{color}">{escape(name)}</text>'
        )
    return "".join(parts) + "</svg>"


def _row(name: object, *cells: object, kind: str = "") -> str:
    """A row of a table, of that class; ``name`` is its heading."""
    values = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells)
    return f'<tr class="{kind}"><th>{escape(str(name))}</th>{values}</tr>'


def _times(steps: Sequence[Progress]) -> str:
    """Rows of a table: steps, seconds and milliseconds a step by scale.

    What it takes to enter a scale counts with the scale's first step.
    """
    rows = [_row("scale, pixels", "steps", "seconds", "ms a step", kind="head")]
    before = steps[0].seconds
    for scale, group in groupby(steps[1:], lambda step: step.scale):
        at_scale = list(group)
        seconds = at_scale[-1].seconds - before
        before = at_scale[-1].seconds
        pace = f"{1000 * seconds / len(at_scale):.1f}"
        rows.append(_row(scale, len(at_scale), f"{seconds:.2f}", pace))
    return "".join(rows)


def _options(options: Options) -> str:
    """Rows of a table: every option, those that are not at their default marked as changed."""
    rows = []
    for field in dataclasses.fields(options):
        value, declared = getattr(options, field.name), declaration(field)
        text = declared.unset if value is None else value
        kind = "" if value == field.default else "changed"
        rows.append(_row(field.name, text, declared.help, kind=kind))
    return "".join(rows)
