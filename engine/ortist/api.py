"""The functions of the package: ``iterate`` sets a run up; the others run it to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, cast

from .errors import DivergedError, OptionError
from .images import Array, Picture, Raster, load_picture, read_header, spool_picture
from .loop import Run
from .models import Model, find_model
from .options import Options
from .plan import Plan, plan_run
from .result import Progress, Result
from .scene import Evaluator, Scene, open_objective
from .stored import Arrays
from .styles import Mask, Styles, load_regions

__all__ = ["invert", "iterate", "make_plan", "prepare", "texture", "transfer"]


def iterate(
    content: Picture | None,
    style: Picture | Sequence[Picture] | None,
    options: Options | None = None,
    *,
    masks: Sequence[Mask] = (),
    preset: str | None = None,
    **overrides: Any,
) -> Run:
    """Sets a run up and returns it: an iterator of Progress with ``pixels()`` and ``result()``.

    Without ``style`` only content and TV count (feature inversion); without ``content`` only style
    and TV, on a square canvas (texture synthesis); both start from noise unless told otherwise.
    A list or tuple of styles is blended as ``style_weights`` say. ``masks`` are pairs (mask of the
    content, mask of the style or None for all of it), white where they count: of one style any
    number, of several styles one each, in their order. Options come from ``options``, or from
    ``preset``, ``config`` (a TOML file) and keywords, each over the one before (see Options).
    Raises OptionError, PictureError, ModelError, ProviderError or ResourceError.
    """
    if options is None:
        options = Options.of(preset, **overrides)
    elif preset is not None or overrides:
        raise OptionError("give options, or preset and keywords, but not both.")
    model = find_model(options.model)
    plan = make_plan(model, content, style, options, masks)
    options = plan.applied(options)
    objective = open_objective(model, options, masked=len(masks) > 0)
    return prepare(objective, content, style, options, masks, plan=plan)


def make_plan(
    model: Model,
    content: Picture | None,
    style: Picture | Sequence[Picture] | None,
    options: Options,
    masks: Sequence[Mask] = (),
    by_rows: bool = True,
    files: bool = True,
) -> Plan:
    """How the run fits into the memory (plan.py), from the headers of its pictures."""
    most = options.max_pixels
    photo = None if content is None else read_header(content, most, "content image")
    paintings = [read_header(picture, most, "style image") for picture in _several(style)]
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
    style: Picture | Sequence[Picture] | None,
    options: Options,
    masks: Sequence[Mask] = (),
    start: Array | None = None,
    plan: Plan | None = None,
) -> Run:
    """A run on an ``objective`` that other runs may use before and after it, but not meanwhile.

    ``start``, normalised values [1, 3, H, W] of the first scale, stands in for the option ``init``.
    ``plan`` says where its state is; the options are those with its tiles.
    Raises as ``iterate``, but for models and providers.
    """
    styles = _several(style)
    plan = Plan() if plan is None else plan
    if options.init is None:
        both = content is not None and len(styles) > 0
        options = dataclasses.replace(options, init="content" if both else "noise")
    most = options.max_pixels
    arrays = Arrays(plan.folder)
    photo = None
    if content is not None:
        photo = spool_picture(content, most, arrays, "content image")
    paintings = [load_picture(picture, most, "style image") for picture in styles]
    guides = [
        (
            load_picture(mask, most, "content mask"),
            None if part is None else load_picture(part, most, "style mask"),
        )
        for mask, part in masks
    ]
    regions = load_regions(guides, photo, paintings, most)
    scene = Scene(objective, photo, Styles(paintings, options, regions), options, arrays, plan.kept)
    return Run(scene, options, _by_role(photo, paintings, guides), start)


def transfer(
    content: Picture,
    style: Picture | Sequence[Picture],
    options: Options | None = None,
    *,
    masks: Sequence[Mask] = (),
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Paints ``content`` in the style of ``style``.

    >>> result = transfer("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
    >>> result.save("painted.png")  # doctest: +SKIP

    ``on_progress`` is called after every step; where it returns False the run stops. Styles,
    masks, options and errors are those of ``iterate``; a run that diverges raises DivergedError,
    whose ``result`` has what was reached before.
    """
    run = iterate(content, style, options, masks=masks, preset=preset, **overrides)
    return _finished(run, on_progress)


def invert(
    content: Picture,
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Feature inversion: a picture from noise whose features are ``content``'s.

    Mahendran and Vedaldi, CVPR 2015, as in the CS231n assignment. Else as ``transfer``.
    """
    return _finished(iterate(content, None, options, preset=preset, **overrides), on_progress)


def texture(
    style: Picture | Sequence[Picture],
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Texture synthesis: ``size`` x ``size`` pixels from noise with ``style``'s Gram matrices.

    Gatys, Ecker and Bethge, NeurIPS 2015. Else as ``transfer``.
    """
    return _finished(iterate(None, style, options, preset=preset, **overrides), on_progress)


def _by_role(
    content: Raster | None,
    styles: Sequence[Raster],
    masks: Sequence[tuple[Raster, Raster | None]],
) -> dict[str, Raster]:
    """The pictures of a run by the names that settings give them (settings.py)."""
    found = {} if content is None else {"content": content}
    for number, style in enumerate(styles, 1):
        found["style" if len(styles) == 1 else f"style {number}"] = style
    for number, (mask, part) in enumerate(masks, 1):
        found[f"content mask {number}"] = mask
        if part is not None:
            found[f"style mask {number}"] = part
    return found


def _several(style: Picture | Sequence[Picture] | None) -> list[Picture]:
    """One style, several or none, as a list."""
    if style is None:
        return []
    if not isinstance(style, (list, tuple)):
        return [cast(Picture, style)]
    if not style:
        raise OptionError("the list of styles is empty; give a style image.")
    return list(style)


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
