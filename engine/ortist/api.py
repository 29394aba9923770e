"""The functions of the package: ``iterate`` sets a run up; the others run it to its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .errors import DivergedError, OptionError
from .images import Picture, load_picture
from .loop import Run
from .models import find_model
from .objective import Objective
from .options import Options
from .result import Progress, Result
from .scene import Scene

__all__ = ["invert", "iterate", "texture", "transfer"]


def iterate(
    content: Picture | None,
    style: Picture | None,
    options: Options | None = None,
    *,
    preset: str | None = None,
    **overrides: Any,
) -> Run:
    """Sets a run up and returns it: an iterator of Progress with ``pixels()`` and ``result()``.

    Without ``style`` only content and TV count (feature inversion); without ``content`` only style
    and TV, on a square canvas (texture synthesis); both start from noise unless told otherwise.
    Options come from ``options``, or from ``preset``, ``config`` (a TOML file) and keywords, each
    over the one before (see Options). Raises OptionError, PictureError, ModelError, ProviderError
    or ResourceError.
    """
    if options is None:
        options = Options.of(preset, **overrides)
    elif preset is not None or overrides:
        raise OptionError("give options, or preset and keywords, but not both.")
    if options.init is None:
        both = content is not None and style is not None
        options = dataclasses.replace(options, init="content" if both else "noise")
    model = find_model(options.model)
    scene = Scene(
        Objective(model, options.provider, options.threads),
        None if content is None else load_picture(content, options.max_pixels, "content image"),
        None if style is None else load_picture(style, options.max_pixels, "style image"),
        options,
    )
    return Run(scene, options)


def transfer(
    content: Picture,
    style: Picture,
    options: Options | None = None,
    *,
    preset: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
    **overrides: Any,
) -> Result:
    """Paints ``content`` in the style of ``style``.

    >>> result = transfer("photo.jpg", "painting.jpg", size=512)  # doctest: +SKIP
    >>> result.save("painted.png")  # doctest: +SKIP

    ``on_progress`` is called after every step; where it returns False the run stops. Options
    and errors are those of ``iterate``; a run that diverges raises DivergedError, whose ``result``
    has what was reached before.
    """
    return _finished(iterate(content, style, options, preset=preset, **overrides), on_progress)


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
    style: Picture,
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
