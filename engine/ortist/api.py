"""The functions of the package: ``iterate`` sets a run up; the others run it to its end."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, cast

import numpy as np
from PIL import Image

from .arrays import Array, Arrays
from .errors import DivergedError, OptionError, PictureError
from .network.bundle import Model, find_model
from .network.sessions import available_cpus
from .objective.opening import Evaluator, open_objective
from .options.choice import choose_options
from .options.fields import STARTS, Options
from .pictures.raster import Picture, Raster
from .pictures.reading import load_picture, read_header, spool_picture
from .run.loop import Run
from .run.plan import Plan, plan_run
from .run.result import Result
from .run.scene import Scene
from .run.state import Progress
from .style.files import ExtractedStyle, Style, is_style_file, load_style
from .style.styles import Mask, Styles, as_list, load_regions

__all__ = [
    "invert",
    "iterate",
    "load_init",
    "make_plan",
    "prepare",
    "texture",
    "transfer",
]


_SHARED_TILE = 512
"""The side, in pixels, of tiles that an executor's workers share, where no other is given."""


def iterate(
    content: Picture | None,
    style: Style | Sequence[Style] | None,
    options: Options | None = None,
    *,
    masks: Sequence[Mask] = (),
    preset: str | None = None,
    executor: Executor | None = None,
    **overrides: Any,
) -> Run:
    """Sets a run up and returns it: an iterator of Progress with ``pixels()`` and ``result()``.

    Without ``style`` only content and TV count (feature inversion); without ``content`` only style
    and TV, on a square canvas (texture synthesis); both start from noise unless told otherwise.
    A style is a picture, a style file's path or what ``extract_style`` returned; a list or tuple of
    them is blended as ``style_weights`` say. ``masks`` are pairs (mask of the
    content, mask of the style or None for all of it), white where they count: of one style any
    number, of several styles one each, in their order. Options come from ``options``, or from
    ``preset``, ``config`` (a TOML file) and keywords, each over the one before (see Options).
    ``init`` may be a picture in any form. With ``executor`` the picture is done in tiles, wherever
    that runs things: its workers must have Ortist and the model, and use ``threads`` threads each.
    What is sent are pixels and matrices, no paths; the result is that of the same tiles here, to
    rounding, and to the byte with one thread. Raises OptionError, PictureError, StyleFileError,
    ModelError, ProviderError or ResourceError.
    """
    init = None
    if isinstance(overrides.get("init"), (Image.Image, np.ndarray, Raster)):
        init, overrides["init"] = overrides["init"], "image"
    options = choose_options(options, preset, overrides)
    _check_pairs(masks)
    model = find_model(options.model)
    if executor is not None:
        options = _in_tiles(options)
    plan = make_plan(model, content, style, options, masks)
    options = plan.applied(options)
    if executor is not None:  # what is kept here would have to be sent at every step
        plan = dataclasses.replace(plan, kept=0)
    objective = open_objective(model, options, len(masks) > 0, executor)
    return prepare(objective, content, style, options, masks, init=init, plan=plan)


def _in_tiles(options: Options) -> Options:
    """``options`` with tiles, for workers to share."""
    if options.tile == "off":
        raise OptionError(
            "an executor's workers share a picture's tiles, and tile is 'off'; leave it out, or "
            "give the side of the tiles."
        )
    return options if options.tile_side else dataclasses.replace(options, tile=_SHARED_TILE)


def make_plan(
    model: Model,
    content: Picture | None,
    style: Style | Sequence[Style] | None,
    options: Options,
    masks: Sequence[Mask] = (),
    by_rows: bool = True,
    files: bool = True,
) -> Plan:
    """How the run fits into the memory (plan.py), from the headers of its pictures.

    A style file has no pixels to make room for.
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


def prepare(
    objective: Evaluator,
    content: Picture | None,
    style: Style | Sequence[Style] | None,
    options: Options,
    masks: Sequence[Mask] = (),
    start: Array | None = None,
    init: Picture | None = None,
    plan: Plan | None = None,
) -> Run:
    """A run on an ``objective`` that other runs may use before and after it, but not meanwhile.

    ``init`` is the picture that the option calls "image". ``start``, normalised values [1, 3, H, W]
    of the first scale, stands in for both. ``plan`` says where its state is; the options are those
    with its tiles. Raises as ``iterate``, but for models and providers.
    """
    styles = as_list(style)
    plan = Plan() if plan is None else plan
    if options.init is None:
        both = content is not None and len(styles) > 0
        options = dataclasses.replace(options, init="content" if both else "noise")
    options, image = load_init(options, init)
    most = options.max_pixels
    arrays = Arrays(plan.folder, options.threads or available_cpus())
    photo = None
    if content is not None:
        photo = spool_picture(content, most, arrays, "content image")
    paintings = [load_style(picture, most) for picture in styles]
    for painting in paintings:
        if isinstance(painting, ExtractedStyle):
            painting.check(objective.model)
    guides = [
        (
            load_picture(mask, most, "content mask"),
            None if part is None else load_picture(part, most, "style mask"),
        )
        for mask, part in masks
    ]
    regions = load_regions(guides, photo, paintings, most)
    own = Styles(paintings, options, regions)
    scene = Scene(objective, photo, own, options, image, arrays, plan.kept)
    inputs = _by_role(photo, paintings, guides)
    return Run(scene, options, inputs if image is None else {**inputs, "init": image}, start)


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


def transfer(
    content: Picture,
    style: Style | Sequence[Style],
    options: Options | None = None,
    *,
    masks: Sequence[Mask] = (),
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    executor: Executor | None = None,
    **overrides: Any,
) -> Result:
    """Paints ``content`` in the style of ``style``.

    >>> result = transfer("photo.jpg", "painting.jpg", size=48, iterations=4)
    >>> result.save("painted.png")

    ``on_progress`` is called after every step; where it returns False the run stops. Styles,
    masks, options, executor and errors are those of ``iterate``; a run that diverges raises
    DivergedError, whose ``result`` has what was reached before.
    """
    run = iterate(
        content, style, options, masks=masks, preset=preset, executor=executor, **overrides
    )
    return _finished(run, on_progress)


def invert(
    content: Picture,
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    executor: Executor | None = None,
    **overrides: Any,
) -> Result:
    """Feature inversion: a picture from noise whose features are ``content``'s.

    Mahendran and Vedaldi, CVPR 2015, as in the CS231n assignment. Else as ``transfer``.
    """
    run = iterate(content, None, options, preset=preset, executor=executor, **overrides)
    return _finished(run, on_progress)


def texture(
    style: Style | Sequence[Style],
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    executor: Executor | None = None,
    **overrides: Any,
) -> Result:
    """Texture synthesis: ``size`` x ``size`` pixels from noise with ``style``'s Gram matrices.

    Gatys, Ecker and Bethge, NeurIPS 2015. Else as ``transfer``.
    """
    run = iterate(None, style, options, preset=preset, executor=executor, **overrides)
    return _finished(run, on_progress)


def _by_role(
    content: Raster | None,
    styles: Sequence[Raster | ExtractedStyle],
    masks: Sequence[tuple[Raster, Raster | None]],
) -> dict[str, Raster | ExtractedStyle]:
    """The pictures of a run by the names that settings give them (settings.py)."""
    found: dict[str, Raster | ExtractedStyle] = {} if content is None else {"content": content}
    for number, style in enumerate(styles, 1):
        found["style" if len(styles) == 1 else f"style {number}"] = style
    for number, (mask, part) in enumerate(masks, 1):
        found[f"content mask {number}"] = mask
        if part is not None:
            found[f"style mask {number}"] = part
    return found


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


def _finished(run: Run, on_progress: Callable[[Progress], object] | None) -> Result:
    try:
        for progress in run:
            go_on = None if on_progress is None else on_progress(progress)
            if go_on is not None and not go_on:
                break
    except DivergedError as error:
        error.result = run.result() if run.iteration >= 0 else None
        raise
    return run.result()
