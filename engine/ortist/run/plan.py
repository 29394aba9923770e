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
import math
import os
import shutil
from collections.abc import Iterator, Sequence
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
from .guide import guide_sides, most_matched
from .tuning import Scale, plan_scales, tuned
from .view import KEPT_BYTES

__all__ = ["MemoryModel", "Plan", "plan_run"]

_BASE = 95 * 10**6
"""Interpreter, libraries and sessions."""
_FILES = 50 * 10**6
"""Bands and strips of arrays in files, at once."""
_TILES = (1024, 768, 512, 384, 256, 192, 128, 64)
"""Larger ones see less halo, but are not faster."""
_SMALL = 256
"""Below this tiles see more halo than picture: state in files is cheaper than smaller tiles."""
_MATCHING, _LAYING = 1.75, 170
"""What matching takes, over the features of both pictures; bytes a pixel of laying patches, also of
resizing, where the arrays are in memory."""
_LONGEST = 2**14
"""Pixels of the longer side, at most, of a picture that is larger than its content."""
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


def plan_run(memory: MemoryModel, files: bool = True) -> Plan:
    """The plan for pictures of which only the headers were read.

    ``files`` says that the state may be in files. Raises ResourceError, with the largest size that
    would do, where nothing fits the budget (``max_memory``, or what the machine has free, less a
    tenth), and where the disk has no room for the files.
    """
    options = memory.options
    budget = options.max_memory or int(0.9 * available_memory())
    _check_enlarging(memory)
    if memory.canvas[0] * memory.canvas[1] > options.max_pixels:
        raise OptionError(
            f"the picture would have {memory.canvas[0]} x {memory.canvas[1]} pixels, more than the "
            f"limit of {options.max_pixels}; give a smaller --size or raise --max-pixels."
        )
    for tile, on_disk in memory.ways(files):
        peak = memory.peak(tile, on_disk)
        if not budget or peak <= budget:
            break
    else:
        raise ResourceError(_refusal(memory, budget, files))
    size, scales = memory.canvas, tuple(plan_scales(options))
    if on_disk:
        folder = Path(options.scratch or os.curdir)
        _check_disk(folder, memory.disk, size)
        return Plan(tile, folder, 0, peak, budget, memory.disk, size, scales)
    spare = (budget - peak) * 9 // 10 if budget else KEPT_BYTES
    kept = min(KEPT_BYTES, spare, memory.features)
    return Plan(tile, None, kept, peak + kept, budget, 0, size, scales)


def _check_enlarging(memory: MemoryModel) -> None:
    """Raises OptionError for what is narrow, and would be enlarged to an endless ribbon."""
    if memory.content is None:
        return
    own, asked = memory.content.size, memory.canvas
    if max(asked) <= max(_LONGEST, *own):
        return
    most = max(_LONGEST, *own) * min(own) // max(own)
    remedy = f"give --size {most} or less" if most >= 16 else "give one that is less narrow"
    raise OptionError(
        f"the content image has {own[0]} x {own[1]} pixels, and the picture would have "
        f"{asked[0]} x {asked[1]}; {remedy}."
    )


def _refusal(memory: MemoryModel, budget: int, files: bool) -> str:
    """What to say where no way takes less than ``budget``."""
    width, height = memory.canvas
    said, least = size_in_words(budget), size_in_words(memory.least(files))
    low, high = 16, memory.options.size
    while high - low > 1:  # the largest size that fits
        middle = (low + high) // 2
        fits = memory.at_size(middle).least(files) <= budget
        low, high = (middle, high) if fits else (low, middle)
    if low == 16:
        return (
            f"{said} of memory are less than the {least} that {width} x {height} pixels take at "
            "least; give more by --max-memory."
        )
    why = f" ({memory.why_not_in_files})" if memory.why_not_in_files else ""
    return (
        f"a picture of {width} x {height} pixels takes {least} of memory, and there "
        f"are {said}{why}; give --size {low}, the largest that fits, or more by --max-memory."
    )


def _check_disk(folder: Path, needed: int, size: tuple[int, int]) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OptionError(
            f"cannot keep the run's state in {str(folder)!r} ({error.strerror}); name another "
            "folder by --scratch."
        ) from error
    if free < needed:
        raise ResourceError(
            f"the state of {size[0]} x {size[1]} pixels takes {size_in_words(needed)} on the disk "
            f"and {str(folder)!r} has {size_in_words(free)}; make room, name another folder by "
            "--scratch, or give a smaller --size."
        )


@dataclass
class MemoryModel:
    """The memory that a run takes, by the way it is made; all in bytes.

    ``by_rows`` says that the picture will be written in a format that takes it by rows.
    """

    model: Model
    options: Options
    content: Header | None
    styles: Sequence[Header]
    masks: Sequence[Header] = ()
    by_rows: bool = True

    def __post_init__(self) -> None:
        side = self.options.size
        self.canvas = (side, side) if self.content is None else size_at(self.content.size, side)
        self._pixels = self.canvas[0] * self.canvas[1]
        content_taps, style_taps = chosen_taps(self.options, self.model)
        content = set() if self.content is None else {*content_taps}
        seen = content | (style_taps.keys() if self.styles else set())
        self._taps = [tap for tap in self.model.taps if tap.index in seen]
        everywhere = [tap.name for tap in self._taps if tap.sees_everything]
        if self.options.seamless and everywhere:
            raise OptionError(
                f"a texture cannot be seamless by the layers {', '.join(everywhere)} of "
                f"{self.model.name}, which see the whole picture; choose --style-layers before "
                "them, or another model."
            )
        own = [tap for tap in self._taps if tap.index in content]
        self._features = sum(4 * tap.channels / tap.stride**2 for tap in own)  # bytes a pixel
        self._regions = [mask.role for mask in self.masks].count("content mask")
        on_cpu = self.options.provider in ("auto", "cpu")
        self._in_bands = bool(self.model.program.exchanges) and on_cpu

    def at_size(self, size: int) -> MemoryModel:
        """The model of the run at another size, without snapshots."""
        options = dataclasses.replace(self.options, size=size, snapshots=())
        return dataclasses.replace(self, options=options)

    def ways(self, files: bool = True) -> Iterator[tuple[int | None, bool]]:
        """(tile, state in files) from the least costly to the least hungry."""
        files = files and self.why_not_in_files is None
        asked = self.options.tile
        if isinstance(asked, int):
            tiles = large = [asked]
        else:
            yield None, False
            if asked == "off":
                return
            tiles = [tile for tile in _TILES if tile < max(self.canvas)] or [_TILES[-1]]
            large = [tile for tile in tiles if tile >= _SMALL or not files] or tiles
        yield from ((tile, False) for tile in large)
        if files:
            yield from ((tile, True) for tile in tiles)

    def least(self, files: bool = True) -> int:
        """The least budget for which there is a plan."""
        return min(self.peak(*way) for way in self.ways(files))

    @property
    def features(self) -> int:
        """Content features over all windows, which may be kept."""
        steps = plan_scales(self.options)[-1].iterations
        windows = 1 + min(tuned(self.options, self.model.recipe).jitter ** 2, steps)
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
        arrays = {0: 2, 1: 6}.get(self.options.steps, 10)
        spooled = 0 if self.content is None else self.content.resident
        return int(self._pixels * (_ARRAY * arrays + 4 + 4 * self._regions)) + spooled

    def peak(self, tile: int | None, on_disk: bool) -> int:
        """The most that is resident at once."""
        resident, decoding = 0, 0
        for picture in filter(None, (self.content, *self.styles, *self.masks)):
            spooled = on_disk and picture is self.content
            own = picture.spooling if spooled and picture.spooling else picture.decoding
            decoding = max(decoding, resident + own)
            resident += 0 if spooled else picture.resident
        styles = max((self._style(header, tile) for header in self.styles), default=0)
        step = self._graphs(tile) + (_FILES if on_disk else self._state(tile))
        ending = 0
        if on_disk and not self.by_rows:  # its levels, and Pillow's
            ending = self._graphs(tile) + 8 * self._pixels
        guide = self._guide(tile, on_disk) if self.options.guidance else 0
        if guide and not self.options.steps:
            return _BASE + max(decoding, resident + max(guide, ending))
        return _BASE + max(decoding, resident + max(styles, step, ending, guide))

    def _guide(self, tile: int | None, on_disk: bool) -> int:
        """The guide (run/guide.py): features of both pictures, at the largest scale that is looked
        at, and the patches at the full size.
        """
        shares = self.model.recipe.style_shares
        features = sum(4 * t.channels / t.stride**2 for t in self.model.taps if t.index in shares)
        looked_at, laid = 0, 0
        for side in guide_sides(self.options.size):
            width, height = self.at_size(side).canvas
            own = width * height
            painted = sum(math.prod(self._seen_style(style, side)) for style in self.styles)
            if own <= most_matched(tile) or not looked_at:
                looked_at = int(_MATCHING * features * (own + painted))
            laid = _ARRAY * painted + (_FILES if on_disk else _LAYING * own)
        return max(looked_at, laid)

    def _style(self, header: Header, tile: int | None) -> int:
        """The moments of one style: its values, resized and normalised, and its features."""
        options = self.options
        width, height = self._seen_style(header, options.size)
        values, wraps = _ARRAY * width * height, (options.seamless, options.seamless)
        seen = self._seen((width, height), tile, wraps, observing=True)
        return values + max(values, self._swept(seen))

    def _seen_style(self, header: Header, side: int) -> tuple[int, int]:
        """(width, height) of a style where the picture's shorter side is ``side``."""
        options = self.options
        full = (options.style_size or options.size) * options.style_scale * side / options.size
        return size_at(header.size, min(max(round(full), self.model.smallest_side), *header.size))

    def _graphs(self, tile: int | None) -> int:
        wraps = self.options.seamless
        by_rows = wraps and tile is None and self._in_bands
        seen = self._seen(self.canvas, tile, (wraps and not by_rows, wraps), observing=False)
        taken = self._swept(seen) + int(seen * self._features)
        if tile is not None or wraps:
            # The pixels of the tile that comes next and the gradient of the last are there too.
            taken += 4 * _ARRAY * seen
        return taken

    def _swept(self, pixels: int) -> int:
        """What a sweep over so many pixels takes: its arrays, and the segments that are run."""
        program, worked_on = self.model.program, pixels
        if self._in_bands:
            worked_on = min(pixels, (self.options.threads or available_cpus()) * BAND_PIXELS)
        guides, guided = 0.0, 0.0
        for tap in self._taps if self._regions else ():
            guides += 4 * self._regions / tap.stride**2
            guided = max(guided, 4 * (1 + self._regions) * tap.channels / tap.stride**2)
        kept = program.kept + 2 * _ARRAY + guides
        return int(pixels * kept + worked_on * (program.working + guided))

    def _seen(
        self, size: tuple[int, int], tile: int | None, wraps: tuple[bool, bool], observing: bool
    ) -> int:
        """Pixels of the largest tile with its halo; ``size`` is (width, height)."""
        least = self.model.smallest_side
        tiles = plan_tiles(size[1], size[0], tile, self._taps, least, wraps, observing)
        seen = (part.seen for part in tiles)
        return max(int((y.stop - y.start) * (x.stop - x.start)) for y, x in seen)

    def _state(self, tile: int | None) -> int:
        """The arrays of the state before and after a step, with its gradient, at once.

        Adam: values, gradient and two moments, twice; the average, twice; the content. L-BFGS: ten
        pairs, and what its line search holds.
        """
        arrays = 9.0 if self.options.optimizer == "adam" else 29.0
        arrays += 2 if tuned(self.options, self.model.recipe).averaging else 0
        arrays += 5 if tile is None else 1.5  # the window's copies; what tiles leave between them
        return int(self._pixels * (_ARRAY * arrays + 4 * self._regions))
