"""The Engine: one open model, with which many pictures are painted."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import numpy as np
from PIL import Image

from .errors import DivergedError, OptionError
from .network.bundle import Model, find_model
from .options.choice import choose_options
from .options.fields import Options, Provider
from .pictures.raster import Picture, Raster
from .run.extraction import take_style
from .run.loop import Run
from .run.plan import Plan
from .run.result import Result
from .run.setup import Asked, Objectives, plan_pictures, set_up
from .run.stepping import Progress
from .style.files import ExtractedStyle, Style
from .style.styles import Mask

__all__ = ["Calls", "Engine", "finished"]

_FIXED = ("model", "provider", "threads")
"""Options that an engine has for all its pictures."""


class Calls(ABC):
    """The ways to ask for a picture: the functions of the package, and the methods of an Engine."""

    @abstractmethod
    def _engine_for(self, options: Options) -> AbstractContextManager[Engine]:
        """The engine that does what is asked for with such options."""

    def transfer(
        self,
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

        >>> import ortist
        >>> result = ortist.transfer("photo.jpg", "painting.jpg", size=48, iterations=4)
        >>> result.save("painted.png")

        ``on_progress`` is called after every step; where it returns False the run stops. Styles,
        masks, options, executor and errors are those of ``iterate``; a run that diverges raises
        DivergedError, whose ``result`` has what was reached before. A program that paints many
        pictures does so faster by an ``Engine``.
        """
        _check_told(on_progress)
        run = self.iterate(
            content, style, options, masks=masks, preset=preset, executor=executor, **overrides
        )
        return finished(run, on_progress)

    def invert(
        self,
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
        _check_told(on_progress)
        run = self.iterate(content, None, options, preset=preset, executor=executor, **overrides)
        return finished(run, on_progress)

    def texture(
        self,
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
        _check_told(on_progress)
        run = self.iterate(None, style, options, preset=preset, executor=executor, **overrides)
        return finished(run, on_progress)

    def iterate(
        self,
        content: Picture | None,
        style: Style | Sequence[Style] | None,
        options: Options | None = None,
        *,
        masks: Sequence[Mask] = (),
        preset: str | None = None,
        executor: Executor | None = None,
        **overrides: Any,
    ) -> Run:
        """Sets a run up and returns it: an iterator of Progress with ``pixels()``, ``result()``.

        Without ``style`` only content and TV count (feature inversion); without ``content`` only
        style and TV, on a square canvas (texture synthesis); both start from noise unless told
        otherwise. A style is a picture, a style file's path, the name of a built-in style or what
        ``extract_style`` returned; a list or tuple of them is blended as ``style_weights`` say.
        ``masks`` are pairs (mask of the content, mask of the style or None for all of it), white
        where they count: of one style any number, of several styles one each, in their order.
        Options come from ``options``, or from ``preset``, ``config`` (a TOML file) and keywords,
        each over the one before (see Options). ``init`` may be a picture in any form. With
        ``executor`` the picture is done in tiles, wherever that runs things: its workers must have
        Ortist and the model, and use ``threads`` threads each. What is sent are pixels and
        matrices, no paths; the result is that of the same tiles here, to rounding, and to the byte
        with one thread. Raises OptionError, PictureError, StyleFileError, ModelError, ProviderError
        or ResourceError.
        """
        init = overrides.get("init")
        if isinstance(init, (Image.Image, np.ndarray, Raster)):
            overrides["init"] = "image"  # as options call it
        else:
            init = None
        if not isinstance(executor, Executor | None):
            raise OptionError(
                f"executor should be a concurrent.futures.Executor, not {executor!r:.80}."
            )
        chosen = choose_options(options, preset, overrides)
        with self._engine_for(chosen) as engine:
            return engine.set_up(Asked(content, style, masks, init), chosen, executor)

    def extract_style(
        self,
        paintings: Style | Sequence[Style],
        options: Options | None = None,
        *,
        preset: str | None = None,
        **overrides: Any,
    ) -> ExtractedStyle:
        """The statistics of the paintings' features, for the sizes that such options ask for.

        >>> import ortist
        >>> style = ortist.extract_style("painting.jpg", size=48)
        >>> style.save("monet.ostyle")
        >>> result = ortist.transfer("photo.jpg", "monet.ostyle", size=48, iterations=4)

        A run with the same ``size``, ``smallest_size``, ``style_size``, ``style_scale`` and model
        has the same bytes with the style as with the paintings themselves; several are blended as
        ``style_weights`` say, else equally. Options and errors are those of ``iterate``.
        """
        chosen = choose_options(options, preset, overrides)
        with self._engine_for(chosen) as engine:
            return take_style(engine._objectives, paintings, engine._own(chosen))


class Engine(Calls):
    """One model on one provider with so many CPU threads, for programs that paint many pictures.

    >>> import ortist
    >>> with ortist.Engine(threads=1) as engine:
    ...     for name in ("first.png", "second.png"):
    ...         engine.transfer("photo.jpg", "painting.jpg", size=48, iterations=4).save(name)

    The methods are the functions of the package, and give the same bytes. The second picture finds
    the model open, its styles looked at, and the memory there. ``model``, ``provider`` and
    ``threads`` are the engine's: a method that is given another raises OptionError; left at their
    defaults they are the engine's own. Runs may be stepped in any order, from any threads: they
    come to the same bytes as one after the other.

    An engine may be used by several threads. One of them computes at a time, in the order in which
    they asked, a step at a time; pictures are read and written side by side. For pictures that are
    painted side by side, take an engine for each thread, and divide the CPUs by ``threads``.

    ``close`` lets go of what is shared; a method that is called later raises OptionError. Runs that
    ``iterate`` made before go on, with what they have.

    Raises ModelError where there is no such model and OptionError for what is no option. The model
    is opened by the first picture, which is also where ProviderError is raised.
    """

    def __init__(
        self,
        model: str | None = None,
        provider: Provider = "auto",
        threads: int | None = None,
    ) -> None:
        options = Options.of(model=model, provider=provider, threads=threads)
        self._fixed = {name: getattr(options, name) for name in _FIXED}
        self.model: Model = find_model(options.model)
        self._objectives = Objectives(self.model)

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._objectives.closed

    def __enter__(self) -> Self:
        self._objectives.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of sessions, styles and memory, but of those that a run still has."""
        self._objectives.close()

    def _engine_for(self, options: Options) -> AbstractContextManager[Engine]:
        return nullcontext(self)

    def set_up(
        self,
        asked: Asked,
        options: Options,
        executor: Executor | None = None,
        plan: Plan | None = None,
    ) -> Run:
        """Sets a run up whose options have been chosen, and its plan perhaps; as ``iterate``."""
        return set_up(self._objectives, asked, self._own(options), executor, plan)

    def plan(
        self, asked: Asked, options: Options, by_rows: bool = True, files: bool = True
    ) -> Plan:
        """How such a run will fit into the memory (run/plan.py), from its pictures' headers."""
        return plan_pictures(self.model, asked, self._own(options), by_rows, files)

    def was_made_for(self, options: Options) -> bool:
        """Whether it was made with these model, provider and threads; reads nothing."""
        return all(getattr(options, name) == own for name, own in self._fixed.items())

    def fits(self, options: Options) -> bool:
        """Whether an engine made with these options would be as this one is."""
        fixed = {name: getattr(options, name) for name in _FIXED}
        return fixed == self._fixed and self._is_own(options.model)

    def _is_own(self, model: str | None) -> bool:
        """Whether what that name or path stands for now is the engine's model, wherever it lies."""
        return dataclasses.replace(find_model(model), folder=self.model.folder) == self.model

    def _own(self, options: Options) -> Options:
        """``options`` with what the engine fixes; raises OptionError where they say otherwise."""
        self._objectives.check_open()
        for name, own in self._fixed.items():
            given = getattr(options, name)
            if given in (own, getattr(Options, name)):
                continue
            if name == "model" and self._is_own(given):
                continue
            had = self.model.name if name == "model" else own
            raise OptionError(
                f"{name} is {given!r}, and this engine has "
                f"{'all that there are' if had is None else repr(had)}; leave it out, or make "
                f"another Engine with {name}={given!r}."
            )
        return dataclasses.replace(options, **self._fixed)


def _check_told(on_progress: object) -> None:
    """Raises OptionError for what cannot be called; before anything is looked at."""
    if on_progress is not None and not callable(on_progress):
        raise OptionError(f"on_progress should be a function, not {on_progress!r:.80}.")


def finished(run: Run, on_progress: Callable[[Progress], object] | None = None) -> Result:
    """The result of ``run`` at its end, or where ``on_progress`` returned what counts as False.

    Raises DivergedError with the ``result`` before.
    """
    try:
        for progress in run:
            go_on = None if on_progress is None else on_progress(progress)
            if go_on is not None and not go_on:
                break
    except DivergedError as error:
        error.result = run.result() if run.iteration >= 0 else None
        raise
    return run.result()
