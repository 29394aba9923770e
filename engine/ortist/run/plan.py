"""Before anything large is made: how a picture will fit into the memory there is.

The least costly way that fits the budget is taken:

1. the whole picture at once, its state in memory;
2. in tiles (objective/pieces.py), the larger the better up to 1024 pixels, its state in memory,
   down to tiles of 256 pixels;
3. in tiles, its state in files (arrays.py).

What a way takes is predicted from the model's bytes per pixel (measured at export) and from the
arrays that the loop and the objectives hold at once, counted below. A prediction is held against
the measured peak by ``python -m tests.benchmarks.budget``.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OptionError, ResourceError
from ..network.bundle import Model
from ..network.machine import available_memory
from ..network.sessions import available_cpus
from ..objective.bands import BAND_PIXELS
from ..objective.pieces import plan_tiles
from ..objective.weights import chosen_taps
from ..options.fields import STARTS, Options
from ..options.parsing import size_in_words
from ..pictures.raster import Header
from ..pictures.values import size_at
from .scales import Scale, plan_scales
from .tuning import tuned
from .view import KEPT_BYTES

__all__ = ["Plan", "least_memory", "plan_run"]

_BASE = 95 * 10**6
"""Interpreter, libraries and sessions."""
_FILES = 50 * 10**6
"""Bands and strips of arrays in files, at once."""
_TILES = (1024, 768, 512, 384, 256, 192, 128, 64)
"""Larger ones see less halo, but are not faster."""
_SMALL = 256
"""Below this tiles see more halo than picture: state in files is cheaper than smaller tiles."""
_ARRAY = 12
"""Bytes a pixel of one array of the state: three float32."""


@dataclass(frozen=True)
class Plan:
    """How a run is made.

    ``tile`` is the side of the tiles, None for the whole picture at once; ``folder`` is where the
    state's files are, None for a state in memory; up to ``kept`` bytes of content features are kept
    from step to step. ``peak`` is the resident memory that is predicted, ``budget`` what it may be
    (0: not known), ``disk`` what the files take, all in bytes. ``size`` is (width, height).
    """

    tile: int | None = None
    folder: Path | None = None
    kept: int = KEPT_BYTES
    peak: int = 0
    budget: int = 0
    disk: int = 0
    size: tuple[int, int] = (0, 0)
    scales: tuple[Scale, ...] = ()

    def applied(self, options: Options) -> Options:
        """``options`` with the tiles of this plan."""
        return options if self.tile is None else dataclasses.replace(options, tile=self.tile)

    def as_json(self) -> dict[str, Any]:
        """For the command's ``--json``."""
        return {
            "size": list(self.size),
            "tile": self.tile,
            "state": "memory" if self.folder is None else "files",
            "memory": {"predicted": self.peak, "budget": self.budget or None},
            "files": {
                "folder": None if self.folder is None else str(self.folder),
                "bytes": self.disk,
            },
            "scales": [[scale.side, scale.iterations] for scale in self.scales],
        }

    def __str__(self) -> str:
        width, height = self.size
        whole = "at once" if self.tile is None else f"in tiles of {self.tile} pixels"
        state = "in memory"
        if self.folder is not None:
            state = f"in files of {size_in_words(self.disk)} in {str(self.folder)!r}"
        budget = f" of {size_in_words(self.budget)}" if self.budget else ""
        scales = ", ".join(f"{scale.side} ({scale.iterations} steps)" for scale in self.scales)
        return (
            f"picture  {width} x {height} pixels, {whole}\n"
            f"state    {state}\n"
            f"memory   {size_in_words(self.peak)}{budget}\n"
            f"scales   {scales}"
        )


def plan_run(
    model: Model,
    options: Options,
    content: Header | None,
    styles: Sequence[Header],
    masks: Sequence[Header] = (),
    by_rows: bool = True,
    files: bool = True,
) -> Plan:
    """The plan for pictures of which only the headers were read.

    ``by_rows`` says that the picture will be written in a format that takes it by rows, ``files``
    that the state may be in files. Raises ResourceError, with the largest size that would do, where
    nothing fits the budget (``max_memory``, or what the machine has free, less a tenth), and where
    the disk has no room for the files.
    """
    budget = options.max_memory or int(0.9 * available_memory())
    memory = MemoryModel(model, options, content, styles, masks, by_rows)
    if memory.canvas[0] * memory.canvas[1] > options.max_pixels:
        raise OptionError(
            f"the picture would have {memory.canvas[0]} x {memory.canvas[1]} pixels, more than the "
            f"limit of {options.max_pixels}; give a smaller --size or raise --max-pixels."
        )
    ways = list(_ways(memory, files))
    for tile, on_disk in ways:
        peak = memory.peak(tile, on_disk)
        if budget and peak > budget:
            continue
        kept = KEPT_BYTES if not budget else min(KEPT_BYTES, max(0, budget - peak) * 9 // 10)
        kept = min(kept, memory.features)
        folder = Path(options.scratch or os.curdir) if on_disk else None
        plan = Plan(
            tile=tile,
            folder=folder,
            kept=0 if on_disk else kept,
            peak=peak if on_disk else peak + kept,
            budget=budget,
            disk=memory.disk if on_disk else 0,
            size=memory.canvas,
            scales=tuple(plan_scales(options)),
        )
        _check_disk(plan)
        return plan
    least = min(memory.peak(*way) for way in ways)
    raise ResourceError(_refusal(memory, budget, least, files))


def least_memory(
    model: Model, options: Options, content: Header | None, styles: Sequence[Header]
) -> int:
    """The least budget, in bytes, for which there is a plan."""
    memory = MemoryModel(model, options, content, styles, (), by_rows=True)
    return min(memory.peak(*way) for way in _ways(memory, files=True))


def _ways(memory: MemoryModel, files: bool) -> Iterator[tuple[int | None, bool]]:
    """(tile, state in files) from the least costly to the least hungry."""
    files = files and memory.why_not_in_files is None
    asked = memory.options.tile
    if isinstance(asked, int):
        tiles = large = [asked]
    else:
        yield None, False
        if asked == "off":
            return
        tiles = [tile for tile in _TILES if tile < max(memory.canvas)] or [_TILES[-1]]
        large = [tile for tile in tiles if tile >= _SMALL or not files] or tiles
    yield from ((tile, False) for tile in large)
    if files:
        yield from ((tile, True) for tile in tiles)


def _refusal(memory: MemoryModel, budget: int, least: int, files: bool) -> str:
    """What to say where no way takes less than ``budget``."""
    width, height = memory.canvas
    said = size_in_words(budget)
    low, high = 16, memory.options.size
    while high - low > 1:  # the largest size that fits
        middle = (low + high) // 2
        smaller = memory.at_size(middle)
        fits = any(smaller.peak(*way) <= budget for way in _ways(smaller, files))
        low, high = (middle, high) if fits else (low, middle)
    if low == 16:
        return (
            f"{said} of memory are less than the {size_in_words(least)} that {width} x {height} "
            "pixels take at least; give more by --max-memory."
        )
    why = f" ({memory.why_not_in_files})" if memory.why_not_in_files else ""
    return (
        f"a picture of {width} x {height} pixels takes {size_in_words(least)} of memory, and there "
        f"are {said}{why}; give --size {low}, the largest that fits, or more by --max-memory."
    )


def _check_disk(plan: Plan) -> None:
    if plan.folder is None:
        return
    try:
        free = shutil.disk_usage(plan.folder).free
    except OSError as error:
        raise OptionError(
            f"cannot keep the run's state in {str(plan.folder)!r} ({error.strerror}); name another "
            "folder by --scratch."
        ) from error
    if free < plan.disk:
        raise ResourceError(
            f"the state of {plan.size[0]} x {plan.size[1]} pixels takes "
            f"{size_in_words(plan.disk)} on the disk and {str(plan.folder)!r} has "
            f"{size_in_words(free)}; make room, name another folder by --scratch, or give a "
            "smaller --size."
        )


class MemoryModel:
    """The memory that a run takes, by the way it is made; all in bytes."""

    def __init__(
        self,
        model: Model,
        options: Options,
        content: Header | None,
        styles: Sequence[Header],
        masks: Sequence[Header],
        by_rows: bool,
    ) -> None:
        self.options = options
        self._model, self._content, self._styles = model, content, styles
        self._masks, self._by_rows = masks, by_rows
        side = options.size
        self.canvas = (side, side) if content is None else size_at(content.size, side)
        self._pixels = self.canvas[0] * self.canvas[1]
        content_taps, style_taps = chosen_taps(options, model)
        if content is None:
            content_taps = []
        if not styles:
            style_taps = {}
        self._taps = [tap for tap in model.taps if tap.index in {*content_taps, *style_taps}]
        own = [tap for tap in model.taps if tap.index in content_taps]
        self._features = sum(4 * tap.channels / tap.stride**2 for tap in own)  # bytes a pixel
        self._regions = len([mask for mask in masks if mask.role == "content mask"])
        self._in_bands = bool(model.program.exchanges) and options.provider != "cuda"

    def at_size(self, size: int) -> MemoryModel:
        """The model of the run at another size, without snapshots."""
        options = dataclasses.replace(self.options, size=size, snapshots=())
        args = (self._content, self._styles, self._masks, self._by_rows)
        return MemoryModel(self._model, options, *args)

    @property
    def features(self) -> int:
        """Content features over all windows, which may be kept."""
        steps = plan_scales(self.options)[-1].iterations
        windows = 1 + min(tuned(self.options, self._model.recipe).jitter ** 2, steps)
        return int(windows * self._features * self._pixels)

    @property
    def why_not_in_files(self) -> str | None:
        """What of the options needs the state in memory."""
        if self.options.optimizer == "lbfgs":
            return "lbfgs keeps 20 arrays of its size in memory; adam can have them in files"
        if self.options.seamless:
            return "a seamless texture is rolled in memory"
        if self.options.init == "style" or self.options.init not in (None, *STARTS):
            return f"init {self.options.init!r} is made in memory"
        if self.options.colors == "content-histogram":
            return "colors content-histogram needs all of it in memory"
        return None

    @property
    def disk(self) -> int:
        """All files at the largest scale: the last state and the next, the content."""
        arrays = {0: 2, 1: 6}.get(self.options.iterations, 10)
        masks = 4 * self._regions
        spooled = 0 if self._content is None else self._content.resident
        return int(self._pixels * (_ARRAY * arrays + 4 + masks)) + spooled

    def peak(self, tile: int | None, on_disk: bool) -> int:
        """The most that is resident at once."""
        resident, decoding = 0, 0
        for picture in self._pictures():
            spooled = on_disk and picture is self._content
            own = picture.spooling if spooled and picture.spooling else picture.decoding
            decoding = max(decoding, resident + own)
            resident += 0 if spooled else picture.resident
        styles = max((self._style(header, tile) for header in self._styles), default=0)
        step = self._graphs(tile) + (_FILES if on_disk else self._state(tile))
        ending = 0
        if on_disk and not self._by_rows:  # its levels, and Pillow's
            ending = self._graphs(tile) + 8 * self._pixels
        return _BASE + max(decoding, resident + max(styles, step, ending))

    def _pictures(self) -> Iterator[Header]:
        if self._content is not None:
            yield self._content
        yield from (*self._styles, *self._masks)

    def _style(self, header: Header, tile: int | None) -> int:
        """The moments of one style: its values, resized and normalised, and its features."""
        options = self.options
        full = (options.style_size or options.size) * options.style_scale
        side = min(max(round(full), self._model.smallest_side), *header.size)
        width, height = size_at(header.size, side)
        around = (options.seamless, options.seamless)
        seen = self._seen(width, height, tile, around, observing=True)
        values = 2 * _ARRAY * width * height
        return max(values, _ARRAY * width * height + self._swept(seen))

    def _graphs(self, tile: int | None) -> int:
        wraps = self.options.seamless
        by_rows = wraps and tile is None and self._in_bands
        seen = self._seen(*self.canvas, tile, (wraps and not by_rows, wraps))
        taken = self._swept(seen) + int(seen * self._features)
        if tile is not None or wraps:
            # The pixels of the tile that comes next and the gradient of the last are there too.
            taken += 4 * _ARRAY * seen
        return taken

    def _swept(self, pixels: int) -> int:
        """What a sweep over so many pixels takes: its arrays, and the segments that are run."""
        program = self._model.program
        worked_on = pixels
        if self._in_bands:
            threads = self.options.threads or available_cpus()
            worked_on = min(pixels, threads * BAND_PIXELS)
        guides, guided = 0.0, 0.0
        for tap in self._taps if self._regions else ():
            guides += 4 * self._regions / tap.stride**2
            guided = max(guided, 4 * (1 + self._regions) * tap.channels / tap.stride**2)
        kept = program.kept + 2 * _ARRAY + guides
        return int(pixels * kept + worked_on * (program.working + guided))

    def _seen(
        self,
        width: int,
        height: int,
        tile: int | None,
        wraps: tuple[bool, bool],
        observing: bool = False,
    ) -> int:
        """Pixels of the largest tile with its halo."""
        least = self._model.smallest_side
        tiles = plan_tiles(height, width, tile, self._taps, least, wraps, observing)
        return max(_area(part.seen) for part in tiles)

    def _state(self, tile: int | None) -> int:
        """The arrays of the state before and after a step, with its gradient, at once.

        Adam: values, gradient and two moments, twice; the average, twice; the content. L-BFGS: ten
        pairs, and what its line search holds.
        """
        arrays = 9.0 if self.options.optimizer == "adam" else 29.0
        if tuned(self.options, self._model.recipe).averaging:
            arrays += 2
        arrays += 5 if tile is None else 1.5  # the window's copies; what tiles leave between them
        return int(self._pixels * (_ARRAY * arrays + 4 * self._regions))


def _area(seen: Iterable[slice]) -> int:
    rows, columns = seen
    return int((rows.stop - rows.start) * (columns.stop - columns.start))
