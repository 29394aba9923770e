"""Video: frame after frame, each painted from the one before, so that it flickers little.

The first frame is painted as any picture is. Each next one starts from the last painting plus what
changed between the two frames' targets, be these frames of the film or their guides: where nothing
moved, from the very pixels that were there, and where something did, from something near. So a few
steps at full size suffice, and what the optimiser is free to choose (which stroke goes where) it
does not choose anew; nor are patches laid anew where they still match. Nothing tracks
motion: Ruder, Dosovitskiy and Brox, "Artistic Style Transfer for Videos", GCPR 2016, do by optical
flow, with a loss that ties the frames. After a cut, when most of the frame changed, the next frame
is painted as the first was.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..arrays import Array
from ..engine import Engine, finished
from ..errors import InputError, OptionError
from ..objective.targets import Losses
from ..options.choice import choose_options
from ..options.fields import Options
from ..pictures.raster import Painting
from ..pictures.values import denormalize, normalize, size_at
from ..run.plan import Plan
from ..run.setup import Asked, load_init
from ..run.trail import Trail
from ..run.tuning import tuned
from ..style.files import Style, has_patches, load_style
from ..style.named import opened
from .y4m import Header, read_frame, read_header, write_frame, write_header

__all__ = ["Frame", "Painter", "frame_size", "video"]

_CUT = 40.0
"""Mean change of a frame, in levels of 255, that counts as a cut; motion seldom comes to 25."""

_CALM = 0.5
"""Adam's step of a frame that follows, against the first's: a fresh Adam moves all by it."""

_FOLLOWING = 20
"""Steps of a frame that follows, in the paper's way."""

_SAME = 6.0
"""Change of a pixel, in levels of 255, over which blending fades out: noise is below."""


@dataclass(frozen=True)
class Frame:
    """A painted frame: uint8 [H, W, 3], what it cost, and whether it was painted from nothing.

    ``notes`` are its run's (Run.notes), of frames painted from nothing.
    """

    pixels: NDArray[np.uint8]
    losses: Losses
    iterations: int
    seconds: float
    fresh: bool
    notes: tuple[str, ...] = ()


def frame_size(width: int, height: int, options: Options) -> tuple[int, int]:
    """(width, height) of the painted frames: ``options.size`` on the shorter side, never enlarged.

    The longer side is rounded to an even number, which most encoders need.
    """
    side = min(options.size, width, height)
    wide, high = size_at((width, height), side)
    return (wide, high + high % 2) if high > wide else (wide + wide % 2, high)


class Painter:
    """Paints the frames of one video, of one size, in one style: call it with each in turn.

    ``iterations`` is the number of steps of a frame that follows another: None for 20 in the
    paper's way, else for as many as the first takes. ``blend``, from 0 to 1, is how much of the
    last painting is mixed in where the film stands still.
    """

    def __init__(
        self, style: Style, options: Options, iterations: int | None = None, blend: float = 0.5
    ) -> None:
        if iterations is not None and not 1 <= iterations <= 1_000_000:
            raise OptionError(f"{iterations} frame iterations are out of range; give 1 or more.")
        if not 0 <= blend < 1:
            raise OptionError(f"blend {blend} is out of range; it should be from 0 to below 1.")
        if options.snapshots:
            raise OptionError("a video keeps no snapshots; leave them out.")
        self._style = load_style(opened(style), options.max_pixels, options.style_side)
        self._options, self._init = load_init(options.settled(has_patches(self._style)))
        in_papers_way = self._options.guidance == 0
        self._iterations = iterations or (_FOLLOWING if in_papers_way else self._options.steps)
        self._blend = blend
        self._engine = Engine(options.model, options.provider, options.threads)
        self._trail = Trail()
        self._last: tuple[Array, Array] | None = None
        """Content and painting of the frame before, normalised."""

    def __call__(self, frame: NDArray[np.uint8]) -> Frame:
        """The next frame, painted from uint8 [H, W, 3]; raises as ``Engine.iterate`` does."""
        began = time.perf_counter()
        height, width = frame.shape[:2]
        size = frame_size(width, height, self._options)
        image = Image.fromarray(frame)
        image = image if image.size == size else image.resize(size, Image.Resampling.BOX)
        model = self._engine.model
        content = normalize(Painting.of(image).values, model)
        # Rescaled by its own darkest and brightest value, each frame would be lit anew.
        options = dataclasses.replace(self._options, size=min(size), rescale=False)
        fresh, kept = True, None
        if self._last is None:  # the memory is planned when the size is known, for all frames
            plan = self._engine.plan(Asked(image, self._style), options, files=False)
            self._options, options = plan.applied(self._options), plan.applied(options)
        else:
            change = (content - self._last[0]) * np.array(model.std, np.float32).reshape(3, 1, 1)
            if np.abs(change).mean() * 255 < _CUT:
                options, fresh = self._following(options), False
                still = np.exp(-np.square(change * (255 / _SAME)).sum(1, keepdims=True))
                kept = np.float32(self._blend) * still
        self._trail = Trail() if fresh else self._trail
        asked = Asked(np.asarray(image), self._style, init=self._init, trail=self._trail)
        run = self._engine.set_up(asked, options, plan=Plan())
        result = finished(run)
        painted = normalize(result.painting.values, model)
        if self._last is not None and kept is not None:
            painted += kept * (self._last[1] - painted)
        self._last = content, painted
        self._trail.keep(painted)
        return Frame(
            Painting(denormalize(painted, model)).pixels,
            result.final,
            result.iterations,
            time.perf_counter() - began,
            fresh,
            tuple(run.notes) if fresh else (),
        )

    def _following(self, options: Options) -> Options:
        """The options of a frame that follows another: no pyramid, few and smaller steps.

        And a window that moves, whatever the first frame's does: what a stride's grid adds to one
        frame, which is too little to be seen, would add up over the frames.
        """
        recipe = self._engine.model.recipe
        rate, lbfgs = tuned(options, recipe).learning_rate, options.optimizer == "lbfgs"
        return dataclasses.replace(
            options,
            iterations=self._iterations,
            learning_rate=rate * _CALM,
            smallest_size="none",
            jitter=None if lbfgs else max(options.jitter or 1, recipe.jitter),
            final_iterations=0,
            free_iterations=0,
        )


def _header(source: IO[bytes], most: int) -> Header:
    """The stream's header; raises InputError, also for more than ``most`` pixels."""
    header = read_header(source)
    if header.width * header.height > most:
        raise InputError(
            f"the video has {header.width} x {header.height} pixels, more than the limit of "
            f"{most}; raise it with --max-pixels if you trust the source."
        )
    return header


def video(
    source: IO[bytes],
    target: IO[bytes],
    style: Style,
    options: Options | None = None,
    *,
    preset: str | None = None,
    frame_iterations: int | None = None,
    blend: float = 0.5,
    chroma: Literal["input", "444"] = "input",
    on_frame: Callable[[Frame], object] | None = None,
    **overrides: Any,
) -> int:
    """Paints the Y4M stream ``source`` into the Y4M stream ``target``; the number of frames.

    Each frame is written and flushed as soon as it is painted; one that is the one before to the
    last bit, as of a film that waits, is not painted again.
    ``chroma`` is that of the output: the input's (444 for mono, as paintings have colours) or 444.
    ``on_frame`` is called after each frame. Raises InputError for what cannot be read and where the
    stream ends in the middle of a frame, after the frames before it were written; else as
    ``iterate`` and the streams do.
    """
    options = choose_options(options, preset, overrides)
    if chroma not in ("input", "444"):
        raise OptionError(f"there is no chroma {chroma!r}; choose input or 444.")
    header = _header(source, options.max_pixels)
    painter = Painter(style, options, frame_iterations, blend)
    before: NDArray[np.uint8] | None = None
    frame: Frame | None = None
    width, height = frame_size(header.width, header.height, options)
    space = "444" if chroma == "444" or header.space == "mono" else header.space
    painted = dataclasses.replace(header, width=width, height=height, space=space)
    count = 0
    while True:
        try:
            pixels = read_frame(source, header)
        except EOFError:
            raise InputError(
                f"the video ends in the middle of frame {count + 1}; the {count} before it were "
                "painted and written."
            ) from None
        if pixels is None:
            break
        if frame is None or before is None or not np.array_equal(pixels, before):
            frame = painter(pixels)
        else:  # shown for longer: the painting is, too
            frame = dataclasses.replace(frame, iterations=0, seconds=0.0, fresh=False)
        before = pixels
        if count == 0:
            write_header(target, painted)
        write_frame(target, painted, frame.pixels)
        target.flush()
        count += 1
        if on_frame is not None:
            on_frame(frame)
    if count == 0:
        raise InputError("the video has no frames.")
    return count
