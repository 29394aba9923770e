"""A run from pictures and options: the one way in which a run is set up, whoever asks for it.

What runs on one model can share is in ``Objectives``: sessions, what is known of styles, memory.
"""

from __future__ import annotations

import dataclasses
import os
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, cast

from ..arrays import Arrays
from ..errors import OptionError, PictureError
from ..network.blas import one_blas_thread
from ..network.bundle import Model
from ..network.sessions import available_cpus
from ..objective.objective import Manner, Objective
from ..objective.sweeper import Sweeper
from ..options.fields import STARTS, Options
from ..pictures.raster import Picture, Raster
from ..pictures.reading import load_picture, read_header, spool_picture
from ..style.files import ExtractedStyle, Style, has_patches, is_style_file, load_style
from ..style.remembered import RememberedPlaces, RememberingObserver
from ..style.styles import Mask, Observer, Styles, as_list, load_regions
from .loop import Run
from .memory import MemoryModel
from .plan import Plan, plan_run
from .trail import Trail
from .turns import Turns
from .view import Scene

__all__ = ["Asked", "Objectives", "load_init", "load_styles", "plan_pictures", "set_up", "settle"]

_KEPT = 4
"""Kinds of objectives whose view of styles is kept: with and without tiles, say."""
_SHARED_TILE = 512
"""The side, in pixels, of tiles that an executor's workers share, where no other is given."""


class Objectives:
    """The objectives of one model, whose sessions and memory they share.

    The model is opened when a run first needs it. It works for one picture at a time: whoever uses
    an objective does so within ``turns``. Once ``closed`` there are none to be had.
    """

    def __init__(self, model: Model) -> None:
        self.model, self.turns, self.closed = model, Turns(), False
        self._sweeper: Sweeper | None = None
        self.places = RememberedPlaces()
        self._observers: OrderedDict[tuple[object, ...], RememberingObserver] = OrderedDict()

    def opened(
        self, options: Options, executor: Executor | None = None
    ) -> tuple[Objective, Observer]:
        """The objective for such options, and what it sees of styles, kept from run to run.

        The provider and the threads are those of the first options. Raises OptionError, also when
        closed, ModelError or ProviderError.
        """
        provider, threads, tile = options.provider, options.threads, options.tile_side
        manner = Manner(tile, options.seamless, options.normalize_gradients, options.tv_loss)
        with self.turns:
            self.check_open()
            self._sweeper = self._sweeper or Sweeper(self.model, provider, threads)
            objective = Objective(self._sweeper, manner, executor)
            if executor is not None:  # it would be kept with its workers, whom somebody else ends
                return objective, objective
            key = tile, manner.wraps
            observer = self._observers.pop(key, None) or RememberingObserver(objective)
            self._observers[key] = observer
            if len(self._observers) > _KEPT:
                self._observers.popitem(last=False)
            return objective, observer

    def close(self) -> None:
        """Lets go of them; a run keeps the one that it has."""
        with self.turns:
            self.closed, self._sweeper = True, None
            self._observers.clear()
            self.places = RememberedPlaces()

    def check_open(self) -> None:
        """Raises OptionError when closed."""
        if self.closed:
            raise OptionError("this engine is closed; make another ortist.Engine.")


@dataclass(frozen=True)
class Asked:
    """What a run is made of, as it was given.

    ``init`` is the picture that the option calls "image". ``trail`` is what the picture before has
    left, in a film.
    """

    content: Picture | None
    style: Style | Sequence[Style] | None
    masks: Sequence[Mask] = ()
    init: Picture | None = None
    trail: Trail | None = None


def settle(options: Options, content: object, styles: Sequence[Style]) -> Options:
    """``options`` with nothing left open that the quality decides, for such pictures.

    Style files of format 1 have nothing to match.
    """
    matched = content is not None and bool(styles) and all(map(has_patches, styles))
    return options.settled(matched)


def plan_pictures(
    model: Model, asked: Asked, options: Options, by_rows: bool = True, files: bool = True
) -> Plan:
    """How the run fits into the memory (plan.py), from the headers of its pictures.

    A style file has no pixels to make room for. Raises as ``plan_run``, and PictureError.
    """
    options = settle(options, asked.content, as_list(asked.style))
    most, content = options.max_pixels, asked.content
    photo = None if content is None else read_header(content, most, "content image")
    paintings = [
        read_header(cast(Picture, picture), most, "style image", options.style_side)
        for picture in as_list(asked.style)
        if not is_style_file(picture)
    ]
    masks = [
        read_header(mask, most, role)
        for pair in asked.masks
        for mask, role in zip(pair, ("content mask", "style mask"), strict=True)
        if mask is not None
    ]
    return plan_run(MemoryModel(model, options, photo, paintings, masks, by_rows), files)


def set_up(
    objectives: Objectives,
    asked: Asked,
    options: Options,
    executor: Executor | None = None,
    plan: Plan | None = None,
) -> Run:
    """The run of what is asked for, with an objective that it shares with others.

    With ``executor`` the picture is done in tiles, wherever that runs things. ``plan`` says how it
    fits into the memory; without it one is made. Raises OptionError, PictureError, StyleFileError,
    ModelError, ProviderError or ResourceError.
    """
    _check_pairs(asked.masks)
    options = settle(options, asked.content, as_list(asked.style))
    options = options if executor is None else _in_tiles(options)
    plan = plan or plan_pictures(objectives.model, asked, options)
    options, most = plan.applied(options), options.max_pixels
    arrays = Arrays(plan.folder, options.threads or available_cpus())
    content: Raster | None = None
    if asked.content is not None:
        content = spool_picture(asked.content, most, arrays, "content image")
    images = load_styles(asked.style, options, objectives.model)
    masks = [
        (
            load_picture(mask, most, "content mask"),
            None if part is None else load_picture(part, most, "style mask"),
        )
        for mask, part in asked.masks
    ]
    if options.init is None:
        init = "content" if content is not None and images else "noise"
        options = dataclasses.replace(options, init=init)
    options, image = load_init(options, asked.init)
    objective, observer = objectives.opened(options, executor)  # no sessions for damaged pictures
    styles = Styles(images, options, load_regions(masks, content, images, most))
    # What an executor's workers keep here would have to be sent at every step.
    kept = plan.kept if executor is None else 0
    with objectives.turns, one_blas_thread():
        scene = Scene(
            *(objective, observer, objectives.places, content, styles, image, options, arrays),
            *(kept, asked.trail),
        )
        return Run(scene, _by_role(content, images, masks, image), objectives.turns)


def load_styles(
    style: Style | Sequence[Style] | None, options: Options, model: Model
) -> list[Raster | ExtractedStyle]:
    """The styles, read, as large as such options look at them.

    Raises PictureError and StyleFileError, also for a file of another ``model``.
    """
    most, least = options.max_pixels, options.style_side
    images = [load_style(picture, most, least) for picture in as_list(style)]
    for image in images:
        if isinstance(image, ExtractedStyle):
            image.check(model)
    return images


def load_init(options: Options, init: Picture | None = None) -> tuple[Options, Raster | None]:
    """The picture that is to be started from, if any, and options that say just that: "image".

    It is ``init``, or what the option ``init`` is the path of. Raises PictureError.
    """
    if init is None and options.init not in (None, *STARTS):
        init = options.init
        if not os.path.exists(init):
            raise PictureError(
                f"there is no init {init!r}; give content, noise, gray, style or the path of a "
                "picture."
            )
    if init is None:
        return options, None
    picture = load_picture(init, options.max_pixels, "init image")
    return dataclasses.replace(options, init="image"), picture


def _by_role(
    content: Raster | None,
    styles: Sequence[Raster | ExtractedStyle],
    masks: Sequence[tuple[Raster, Raster | None]],
    init: Raster | None,
) -> dict[str, Raster | ExtractedStyle]:
    """The pictures by the names that settings give them (settings.py)."""
    roles: dict[str, Raster | ExtractedStyle | None] = {"content": content}
    for number, style in enumerate(styles, 1):
        roles["style" if len(styles) == 1 else f"style {number}"] = style
    for number, (mask, part) in enumerate(masks, 1):
        roles |= {f"content mask {number}": mask, f"style mask {number}": part}
    roles["init"] = init
    return {role: picture for role, picture in roles.items() if picture is not None}


def _in_tiles(options: Options) -> Options:
    """``options`` with tiles, for workers to share."""
    if options.tile == "off":
        raise OptionError(
            "an executor's workers share a picture's tiles, and tile is 'off'; leave it out, or "
            "give the side of the tiles."
        )
    return options if options.tile_side else dataclasses.replace(options, tile=_SHARED_TILE)


def _check_pairs(masks: Any) -> None:
    """Raises OptionError for a mask, or what else it may be, in the place of a list of pairs."""
    pairs = masks if isinstance(masks, (list, tuple)) else [None]
    if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
        given = repr(masks) if isinstance(masks, (str, list, tuple)) else type(masks).__name__
        raise OptionError(
            f"masks should be a list of pairs, not {given[:80]}; give [(content mask, style mask "
            "or None), …]."
        )
