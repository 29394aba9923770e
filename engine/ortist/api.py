"""The functions of the package: each is a call of an Engine that is made for it (engine.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

from .engine import Engine, finished, init_picture
from .options.choice import choose_options
from .options.fields import Options
from .pictures.raster import Picture
from .run.loop import Run
from .run.result import Result
from .run.state import Progress
from .style.files import ExtractedStyle, Style
from .style.styles import Mask

__all__ = ["extract_style", "invert", "iterate", "texture", "transfer"]


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
    DivergedError, whose ``result`` has what was reached before. A program that paints many pictures
    does so faster by an ``Engine``.
    """
    run = iterate(
        content, style, options, masks=masks, preset=preset, executor=executor, **overrides
    )
    return finished(run, on_progress)


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
    return finished(run, on_progress)


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
    return finished(run, on_progress)


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
    init, given = init_picture(overrides)
    chosen = choose_options(options, preset, given)
    with _engine(chosen) as engine:
        return engine.set_up(content, style, chosen, masks, init=init, executor=executor)


def extract_style(
    paintings: Style | Sequence[Style],
    options: Options | None = None,
    *,
    preset: str | None = None,
    **overrides: Any,
) -> ExtractedStyle:
    """The statistics of the paintings' features, for the sizes that such options ask for.

    >>> extract_style(["painting.jpg", "photo.jpg"], size=48).save("monet.ostyle")
    >>> result = transfer("photo.jpg", "monet.ostyle", size=48, iterations=4)

    A run with the same ``size``, ``smallest_size``, ``style_size``, ``style_scale`` and model has
    the same bytes with the style as with the paintings themselves; several are blended as
    ``style_weights`` say, else equally. Options and errors are those of ``iterate``.
    """
    chosen = choose_options(options, preset, overrides)
    with _engine(chosen) as engine:
        return engine.extract_style(paintings, chosen)


def _engine(options: Options) -> Engine:
    """An engine for one call; the run that it sets up goes on when it is closed."""
    return Engine(options.model, options.provider, options.threads)
