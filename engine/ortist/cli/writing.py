"""What a command leaves at its end: pictures, sheet, report, and a summary on stdout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .follow import losses_as_json
from .places import Places

if TYPE_CHECKING:
    from PIL import Image

    from ..run.result import Result

__all__ = ["write_result"]


def write_result(
    result: Result, places: Places, inputs: dict[str, Image.Image], sources: list[str]
) -> None:
    """Writes all that was asked for; raises OutputError.

    ``inputs`` are the pictures that sheet and report show, by role, and ``sources`` their paths.
    """
    request = places.request
    if request.output:
        result.save(request.output)
    for iteration, path in _written(result, places).items():
        result.save(path, snapshot=iteration)
    if request.sheet:
        from ..pictures.outputs import save_picture
        from ..pictures.raster import Painting
        from .sheet import contact_sheet

        save_picture(Painting.of(contact_sheet(result, inputs)), request.sheet, depth=8)
    if request.report:
        from ..files import atomic_writer
        from .report import html_report

        names = (f"{role}: {path}" for role, path in zip(inputs, sources, strict=True))
        captions = dict(zip(names, inputs.values(), strict=True))
        with atomic_writer(request.report) as stream:
            stream.write(html_report(result, captions).encode(errors="replace"))
    if request.json:
        print(json.dumps(_summary(result, places)))


def _written(result: Result, places: Places) -> dict[int, Path]:
    """The files of the snapshots that the run came to."""
    return {n: path for n, path in places.snapshots.items() if n in result.snapshots}


def _summary(result: Result, places: Places) -> dict[str, Any]:
    request, (width, height) = places.request, result.painting.size
    return {
        "output": None if request.output is None else str(request.output),
        "size": [width, height],
        "iterations": result.iterations,
        "stopped": result.stopped,
        "seconds": round(result.seconds, 3),
        "provider": result.provider,
        "model": {"name": result.model.name, "sha256": result.model.sha256},
        "weights": {
            "content": dict(result.weights.content),
            "style": dict(result.weights.style),
            "tv": result.weights.tv,
        },
        "initial": losses_as_json(result.initial),
        "final": losses_as_json(result.final),
        "snapshots": {str(n): str(path) for n, path in _written(result, places).items()},
        "sheet": None if request.sheet is None else str(request.sheet),
    }
