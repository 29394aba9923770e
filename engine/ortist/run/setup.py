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

from ..arrays import Array, Arrays
from ..errors import OptionError, PictureError
from ..network.bundle import Model
from ..network.sessions import available_cpus
from ..objective.objective import Manner, Objective
from ..objective.sweeper import Sweeper
from ..options.fields import STARTS, Options, Provider
from ..pictures.raster import Picture, Raster
from ..pictures.reading import load_picture, read_header, spool_picture
from ..style.files import ExtractedStyle, Style, is_style_file, load_style
from ..style.remembered import RememberingObserver
from ..style.styles import Mask, Observer, Region, Styles, as_list, load_regions
from .loop import Run
from .plan import Plan, plan_run
from .scene import Scene
from .turns import Turns

__all__ = ["Objectives", "load_init", "plan_pictures", "set_up"]

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
        self.model = model
        self.turns = Turns()
        self.closed = False
        self._sweepers: dict[tuple[Provider, int | None], Sweeper] = {}
        self._observers: OrderedDict[tuple[object, ...], RememberingObserver] = OrderedDict()

    def opened(
        self, options: Options, executor: Executor | None = None
    ) -> tuple[Objective, Observer]:
        """The objective for such options, and what it sees of styles, kept from run to run.

        Raises OptionError, also when closed, ModelError or ProviderError.
        """
        provider, threads = options.provider, options.threads
        manner = Manner(
            options.tile_side, options.seamless, options.normalize_gradients, options.tv_loss
        )
        with self.turns:
            self.check_open()
            if (provider, threads) not in self._sweepers:
                self._sweepers[provider, threads] = Sweeper(self.model, provider, threads)
            sweeper = self._sweepers[provider, threads]
            objective = Objective(sweeper, manner, executor)
            key = provider, threads, manner.tile, manner.wraps, executor
            observer = self._observers.pop(key, None) or RememberingObserver(objective)
            self._observers[key] = observer
            if len(self._observers) > _KEPT:
                self._observers.popitem(last=False)
            return objective, observer

    def close(self) -> None:
        """Lets go of them; a run keeps the one that it has."""
        with self.turns:
            self.closed = True
            self._sweepers.clear()
            self._observers.clear()

    def check_open(self) -> None:
        """Raises OptionError when closed."""
        if self.closed:
            raise OptionError("this engine is closed; make another ortist.Engine.")


def plan_pictures(
    model: Model,
    content: Picture | None,
    style: Style | Sequence[Style] | None,
    options: Options,
    masks: Sequence[Mask] = (),
    by_rows: bool = True,
    files: bool = True,
) -> Plan:
    """How the run fits into the memory (plan.py), from the headers of its pictures.

    A style file has no pixels to make room for. Raises as ``plan_run``, and PictureError.
    """
    most = options.max_pixels
    photo = None if content is None else read_header(content, most, "content image")
    paintings = [
        read_header(cast(Picture, picture), most, "style image")
        for picture in as_list(style)
        if not is_style_file(picture)
    ]
    regions = [
        read_header(mask, most, role)
        for pair in masks
        for mask, role in zip(pair, ("content mask", "style mask"), strict=True)
        if mask is not None
    ]
    return plan_run(model, options, photo, paintings, regions, by_rows, files)


def set_up(
    objectives: Objectives,
    content: Picture | None,
    style: Style | Sequence[Style] | None,
    options: Options,
    masks: Sequence[Mask] = (),
    *,
    init: Picture | None = None,
    start: Array | None = None,
    executor: Executor | None = None,
    plan: Plan | None = None,
) -> Run:
    """The run of these pictures, with an objective that it shares with others.

    ``init`` is the picture that the option calls "image". ``start``, normalised values [1, 3, H, W]
    of the first scale, stands in for what ``init`` says. With ``executor`` the picture is done in
    tiles, wherever that runs things. ``plan`` says how it fits into the memory; without it one is
    made. Raises OptionError, PictureError, StyleFileError, ModelError, ProviderError or
    ResourceError.
    """
    _check_pairs(masks)
    options = options if executor is None else _in_tiles(options)
    if plan is None:
        plan = plan_pictures(objectives.model, content, style, options, masks)
    if executor is not None:  # what is kept here would have to be sent at every step
        plan = dataclasses.replace(plan, kept=0)
    options = plan.applied(options)
    objective, observer = objectives.opened(options, executor)
    arrays = Arrays(plan.folder, options.threads or available_cpus())
    pictures = _load(objectives.model, content, as_list(style), masks, options, arrays)
    if options.init is None:
        both = content is not None and len(pictures.styles) > 0
        options = dataclasses.replace(options, init="content" if both else "noise")
    options, image = load_init(options, init)
    styles = Styles(pictures.styles, options, pictures.regions(options.max_pixels))
    with objectives.turns:
        scene = Scene(
            objective, pictures.content, styles, options, image, arrays, plan.kept, observer
        )
        return Run(scene, options, pictures.by_role(image), start, objectives.turns)


def load_init(options: Options, init: Picture | None = None) -> tuple[Options, Raster | None]:
    """The picture that is to be started from, if any, and options that say just that: "image".

    It is ``init``, or what the option ``init`` is the path of. Raises PictureError.
    """
    picture = init
    if init is None and options.init not in (None, *STARTS):
        picture = options.init
        if not os.path.exists(options.init):
            raise PictureError(
                f"there is no init {options.init!r}; give content, noise, gray, style or the path "
                "of a picture."
            )
    if picture is None:
        return options, None
    loaded = load_picture(picture, options.max_pixels, "init image")
    return dataclasses.replace(options, init="image"), loaded


@dataclass(frozen=True)
class _Pictures:
    """The pictures of a run, read."""

    content: Raster | None
    styles: Sequence[Raster | ExtractedStyle]
    masks: Sequence[tuple[Raster, Raster | None]]

    def regions(self, max_pixels: int) -> list[Region]:
        """The masks, fitted to the pictures that they belong to."""
        return load_regions(self.masks, self.content, self.styles, max_pixels)

    def by_role(self, init: Raster | None) -> dict[str, Raster | ExtractedStyle]:
        """The pictures by the names that settings give them (settings.py)."""
        roles: dict[str, Raster | ExtractedStyle] = {}
        if self.content is not None:
            roles["content"] = self.content
        for number, style in enumerate(self.styles, 1):
            roles["style" if len(self.styles) == 1 else f"style {number}"] = style
        for number, (mask, part) in enumerate(self.masks, 1):
            roles[f"content mask {number}"] = mask
            if part is not None:
                roles[f"style mask {number}"] = part
        if init is not None:
            roles["init"] = init
        return roles


def _load(
    model: Model,
    content: Picture | None,
    styles: Sequence[Style],
    masks: Sequence[Mask],
    options: Options,
    arrays: Arrays,
) -> _Pictures:
    """Reads the pictures, the content into ``arrays``; raises PictureError or StyleFileError."""
    most = options.max_pixels
    photo = None if content is None else spool_picture(content, most, arrays, "content image")
    paintings = [load_style(picture, most) for picture in styles]
    for painting in paintings:
        if isinstance(painting, ExtractedStyle):
            painting.check(model)
    guides = [
        (
            load_picture(mask, most, "content mask"),
            None if part is None else load_picture(part, most, "style mask"),
        )
        for mask, part in masks
    ]
    return _Pictures(photo, paintings, guides)


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
    listed = isinstance(masks, (list, tuple))
    for pair in masks if listed else ():
        listed = listed and isinstance(pair, (list, tuple)) and len(pair) == 2
    if not listed:
        given = repr(masks) if isinstance(masks, (str, list, tuple)) else type(masks).__name__
        raise OptionError(
            f"masks should be a list of pairs, not {given[:80]}; give [(content mask, style mask "
            "or None), …]."
        )
