"""A report of a run: one HTML file with pictures, losses, times and settings.

The file needs no other: pictures are data URIs, curves are inline SVG, and there are no scripts.
Every text in it is escaped, and a content security policy forbids whatever else a browser might
load.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby

from PIL import Image

from .._version import __version__
from ..options.declaring import declaration
from ..options.fields import Options
from ..run.result import Result
from ..run.stepping import Progress
from .sheet import DECADES, TERMS, by_term

__all__ = ["html_report"]

_LONGEST = 1024
"""Pictures are reduced to this many pixels on the longer side."""
_WIDTH, _HEIGHT, _MARGIN = 640, 260, 52
"""Width, height and margin of a drawing of curves, in its own units."""
_COLORS = ("#1b5ea8", "#c84c18", "#208044", "#804098", "#5a5a5a", "#b08000", "#008c96", "#c03070")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fafaf8 }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top }
figure img { max-width: 22rem; max-height: 22rem; width: auto; height: auto; display: block }
figure.result img { max-width: 100%; max-height: none }
table { border-collapse: collapse } td, th { padding: .15rem 1rem .15rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid #ddd } td.n { text-align: right }
tr.changed { font-weight: 600 } svg { width: 100%; max-width: 48rem; height: auto }
"""


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
    facts: list[tuple[str, object]] = [
        ("stopped", result.stopped),
        ("iterations", f"{result.iterations} of {result.options.iterations}"),
        ("seconds", f"{result.seconds:.2f}"),
        ("provider", result.provider),
        ("model", f"{result.model.name}, sha256 {result.model.sha256}"),
        ("ortist", __version__),
        *((f"final loss, {name}", f"{getattr(result.final, name):.6g}") for name in TERMS),
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
        "<h2>Losses by term, weighted</h2>",
        _curves(by_term(result.history)),
        "<h2>Style loss by layer, weighted</h2>" + _curves(style) if style else "",
        "<h2>Content loss by layer, weighted</h2>" + _curves(content) if content else "",
        f"<h2>The run</h2><table>{_rows(facts)}</table>",
        f"<h2>Time</h2><table>{_times(result.steps)}</table>",
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
    positive = [value for line in series.values() for value in line if value > 0] or [1.0]
    top = math.ceil(math.log10(max(positive)) + 1e-9)
    bottom = max(math.floor(math.log10(min(positive))), top - DECADES)
    last = max(1, *(len(line) - 1 for line in series.values())) if series else 1
    right = _WIDTH - 2 * _MARGIN

    def x(iteration: float) -> float:
        return _MARGIN + (right - _MARGIN) * iteration / last

    def y(value: float) -> float:
        share = (math.log10(value) - bottom) / (top - bottom) if value > 0 else 0.0
        return 10 + (_HEIGHT - 40) * (1 - min(1.0, max(0.0, share)))

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="11" '
        'font-family="system-ui, sans-serif">'
    ]
    for decade in range(bottom, top + 1):
        height = y(10.0**decade)
        parts.append(
            f'<path d="M{_MARGIN} {height:.1f}H{right}" stroke="#ddd"/><text x="{_MARGIN - 6}" '
            f'y="{height + 4:.1f}" text-anchor="end">1e{decade}</text>'
        )
    for tick in sorted({round(last * quarter / 4) for quarter in range(5)}):
        parts.append(
            f'<text x="{x(tick):.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{tick}</text>'
        )
    for index, (name, line) in enumerate(series.items()):
        color = _COLORS[index % len(_COLORS)]
        ends = [*line, line[-1]] if len(line) == 1 else line
        points = " ".join(f"{x(i):.1f},{y(value):.1f}" for i, value in enumerate(ends))
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>'
            f'<text x="{right + 10}" y="{20 + 16 * index}" fill="{color}">{escape(name)}</text>'
        )
    return "".join(parts) + "</svg>"


def _rows(pairs: Iterable[tuple[str, object]]) -> str:
    """Rows of a table: name and value."""
    return "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in pairs
    )


def _times(steps: Sequence[Progress]) -> str:
    """Rows of a table: steps, seconds and milliseconds a step by scale.

    What it takes to enter a scale counts with the scale's first step.
    """
    rows = ["<tr><th>scale, pixels</th><th>steps</th><th>seconds</th><th>ms a step</th></tr>"]
    before = steps[0].seconds
    for scale, group in groupby(steps[1:], lambda step: step.scale):
        at_scale = list(group)
        seconds = at_scale[-1].seconds - before
        before = at_scale[-1].seconds
        rows.append(
            f'<tr><td class="n">{scale}</td><td class="n">{len(at_scale)}</td><td class="n">'
            f'{seconds:.2f}</td><td class="n">{1000 * seconds / len(at_scale):.1f}</td></tr>'
        )
    return "".join(rows)


def _options(options: Options) -> str:
    """Rows of a table: every option, those that are not at their default marked as changed."""
    rows = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        kind = "" if value == field.default else ' class="changed"'
        declared = declaration(field)
        text = str(declared.unset if value is None else value)
        rows.append(
            f"<tr{kind}><th>{escape(field.name)}</th><td>{escape(text)}</td>"
            f"<td>{escape(declared.help)}</td></tr>"
        )
    return "".join(rows)
