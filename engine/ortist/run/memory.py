"""The memory that a run takes, by the way in which it is made: what plans (plan.py) go by.

It is counted from the model's bytes per pixel, which are measured at export, and from the arrays
that the loop and the objectives hold at once. A prediction is held against the measured peak by
``python -m tests.benchmarks.budget``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import OptionError
from ..network.bundle import Model
from ..network.sessions import count_threads
from ..objective.bands import plan_bands
from ..objective.opened import arenas_for
from ..objective.pieces import plan_tiles
from ..objective.weights import chosen_taps
from ..options.fields import STARTS, Options
from ..pictures.raster import Header
from ..pictures.values import size_at
from .guide import MATCHED_PIXELS, guide_sides
from .tuning import plan_scales, tuned

__all__ = ["MemoryModel"]

_BASE = 84 * 10**6
"""Interpreter and libraries."""
_SESSION, _WEIGHTS = 500_000, 2
"""Bytes of a session, and how often it holds its file's weights: as they are, and as ONNX Runtime
orders them for its products."""
_BESIDE = 40 * 10**6
"""What sweeps of other shapes and kinds hold that are small enough to be kept (sweeper.py)."""
_FILES, _SLICES = 20 * 10**6, 15 * 10**6
"""What of arrays in files is in memory: columns that are resized, and every thread's slices."""
_TILES = (1024, 768, 512, 384, 256, 192, 128, 64)
"""Larger ones see less halo, but are not faster."""
_SMALL = 256
"""Below this tiles see more halo than picture: state in files is cheaper than smaller tiles."""
_MATCHING, _MIXED = 1.8, 4
"""While places are matched: the memory that is taken, in ONNX Runtime and here, over the bytes of
both pictures' features; and how many arrays of the picture's size there are beside."""
_PROJECTED = 50
"""Bytes a pixel of what is seen of pictures that are looked at tile by tile."""
_PLACES, _LAID = 14, 54
"""Bytes a pixel of knowing which patch lies where, and of laid ones that are in memory."""
_ARRAY = 12
"""Bytes a pixel of one array of the state: three float32."""


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
        self._threads = count_threads(self.options.threads)

    @property
    def _slices(self) -> int:
        """What is in memory of arrays in files, or of patches that are being laid."""
        return _FILES + _SLICES * self._threads

    @property
    def _in_slices(self) -> int:
        """What is in memory of a state in files; a small one has fewer slices than threads."""
        array = _ARRAY * self._pixels
        return min(_FILES, array) + min(_SLICES * self._threads, array)

    def at_size(self, size: int) -> MemoryModel:
        """The model of the run at another size."""
        options = dataclasses.replace(self.options, size=size)
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
        if self.options.guidance and not self.options.steps:
            return 0
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
        """All files at the largest scale: the last state and the next, the content, snapshots."""
        arrays = {0: 2, 1: 6}.get(self.options.steps, 10) + len(self.options.snapshots)
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
        step = self._graphs(tile) + (self._in_slices if on_disk else self._state(tile))
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
        looked_at, laid, projected = 0, 0, 0
        for side in guide_sides(self.options.size):
            width, height = self.at_size(side).canvas
            own = width * height
            painted = sum(math.prod(self._seen_style(style, side)) for style in self.styles)
            if own <= MATCHED_PIXELS or not looked_at:
                shown = own + painted
                if tile is not None:
                    seen, _ = self._seen((width, height), tile, observing=True)
                    shown, projected = min(own, math.prod(seen)), _PROJECTED * (own + painted)
                    if not looked_at:  # what all scales are described by comes of whole styles
                        shown = max(shown, painted)
                scale = int(_MATCHING * features * shown) + projected + _MIXED * _ARRAY * own
                looked_at = max(looked_at, scale)
            in_memory = (_LAID + 4 * self._regions) * (not on_disk)
            laid = _ARRAY * painted + self._slices + int((_PLACES + in_memory) * own)
        return max(looked_at, laid)

    def _style(self, header: Header, tile: int | None) -> int:
        """The moments of one style: its values, resized and normalised, and its features."""
        options = self.options
        width, height = self._seen_style(header, options.size)
        values, wraps = _ARRAY * width * height, (options.seamless, options.seamless)
        seen, _ = self._seen((width, height), tile, wraps, observing=True)
        return values + max(values, self._swept(seen) + self._pools(seen, 1))

    def _seen_style(self, header: Header, side: int) -> tuple[int, int]:
        """(width, height) of a style where the picture's shorter side is ``side``."""
        options = self.options
        full = (options.style_size or options.size) * options.style_scale * side / options.size
        return size_at(header.size, min(max(round(full), self.model.smallest_side), *header.size))

    def _graphs(self, tile: int | None) -> int:
        """A step: its sweeps, and what the sessions of all kinds hold that were opened till then.

        Of a picture that is one piece those are the styles' and the step's. Of several there are
        the content's, if there is one, and those that only observe as well. What these took is of
        no use to the step's, whose pieces see more: both are kept from step to step.
        """
        wraps = self.options.seamless
        by_rows = wraps and tile is None and self._in_bands
        around = (wraps and not by_rows, wraps)
        seen, pieces = self._seen(self.canvas, tile, around, observing=False)
        pixels = math.prod(seen)
        taken = self._swept(seen) + int(pixels * self._features)
        if tile is not None or wraps:
            # The pixels of the tile that comes next and the gradient of the last are there too.
            taken += 4 * _ARRAY * pixels
        if pieces == 1:
            taken += _BESIDE * (tile is not None)  # the styles', which are in tiles perhaps
            return taken + int(2 * self._sessions) + self._pools(seen, 2, guided=1)
        by_errors = self.options.normalize_gradients  # with those a tile sees as much as for a step
        observed, _ = self._seen(self.canvas, tile, around, observing=not by_errors)
        both = self.content is not None
        taken += self._swept(observed) + _BESIDE * both
        # Those that observe have the way there alone.
        return taken + int((2.5 + both) * self._sessions) + self._pools(seen, 3 + both, guided=2)

    @property
    def _sessions(self) -> int:
        """The sessions of one kind: one a segment, and for each pool where there are bands."""
        pools = arenas_for(self.model, self._threads) if self._in_bands else 1
        segments = self.model.program.segments
        return pools * (_SESSION * len(segments) + _WEIGHTS * self.model.size)

    def _pools(self, seen: tuple[int, int], kinds: int, guided: int = 0) -> int:
        """ONNX Runtime's pools of memory, for each thread one of each of the kinds of sessions.

        So many of the kinds are ``guided``: they have the regions' masks.
        """
        (height, width), masked = seen, 0.0
        for tap in self._taps if self._regions else ():
            masked = max(masked, 4 * (1 + self._regions) * tap.channels / tap.stride**2)
        band, threads, program = height * width, 1, self.model.program
        if self._in_bands:
            least = self.model.smallest_side
            bands = plan_bands(height, width, self._threads, program.unit, least)
            band = width * max(end - begin for begin, end in bands)
            threads = min(self._threads, len(bands))
        return int(threads * band * (kinds * program.working + guided * masked))

    def _swept(self, seen: tuple[int, int]) -> int:
        """The arrays of a sweep over a piece of (height, width)."""
        guides = sum(4 * self._regions / tap.stride**2 for tap in self._taps)
        return int(math.prod(seen) * (self.model.program.kept + 2 * _ARRAY + guides))

    def _seen(
        self,
        size: tuple[int, int],
        tile: int | None,
        wraps: tuple[bool, bool] = (False, False),
        observing: bool = False,
    ) -> tuple[tuple[int, int], int]:
        """(height, width) of what every tile sees, and the tiles; ``size`` is (width, height)."""
        least = self.model.smallest_side
        tiles = plan_tiles(size[1], size[0], tile, self._taps, least, wraps, observing)
        rows, columns = tiles[0].seen
        return (rows.stop - rows.start, columns.stop - columns.start), len(tiles)

    def _state(self, tile: int | None) -> int:
        """The arrays of the state before and after a step, with its gradient, at once.

        Adam: values, gradient and two moments, twice; the average, twice; the content. L-BFGS: ten
        pairs, and what its line search holds. And snapshots, to the end.
        """
        arrays = 9.0 if self.options.optimizer == "adam" else 29.0
        arrays += 2 if tuned(self.options, self.model.recipe).averaging else 0
        arrays += len(self.options.snapshots)
        arrays += 5 if tile is None else 1.5  # the window's copies; what tiles leave between them
        return int(self._pixels * (_ARRAY * arrays + 4 * self._regions))
