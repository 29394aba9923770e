"""What a command writes, and where: checked before the work begins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import OptionError
from ..options.fields import STARTS, Options
from .named import Named
from .request import Request

__all__ = ["Places", "check_request"]


def check_request(request: Request, options: Options) -> None:
    """Raises OptionError where something is to be written that has no place, or the reverse."""
    wanted = request.output or request.sheet or request.report or request.json or request.plan
    if not wanted and options.iterations > 0:
        raise OptionError("there is no place for the picture; name one with -o FILE.")
    if request.preview_every and not (request.preview or request.output):
        raise OptionError("there is no place for the preview; name one with --preview FILE.")
    if request.preview and not request.preview_every:
        raise OptionError("--preview FILE needs --preview-every N, which says how often.")
    if request.checkpoint_every and not request.checkpoint:
        raise OptionError("there is no place for the checkpoint; name one with --checkpoint FILE.")


@dataclass(frozen=True)
class Places:
    """The files of one command; ``snapshots`` are the pictures on the way, by iteration."""

    request: Request
    snapshots: dict[int, Path] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request, snapshots: Sequence[int]) -> Places:
        """The places of a request: beside out.png, iteration 100's picture goes to out-0100.png."""
        out = request.output
        if out is None:
            return cls(request)
        return cls(request, {n: out.with_name(f"{out.stem}-{n:04}{out.suffix}") for n in snapshots})

    @property
    def preview(self) -> Path | None:
        """Where the picture so far is shown; None where it is not."""
        if not self.request.preview_every:
            return None
        return self.request.preview or self.request.output

    @property
    def painted(self) -> list[Path]:
        """The pictures that have the depth asked for."""
        request = self.request
        return _there([request.output, request.preview, *self.snapshots.values()])

    @property
    def others(self) -> list[Path]:
        """What is no picture."""
        return _there([self.request.report, self.request.trace, self.request.checkpoint])

    def check_writable(self, options: Options) -> None:
        """Raises OptionError where a file cannot be written, or two would be one."""
        from ..files import check_writable
        from ..pictures.outputs import output_depth

        pictures = [*self.painted, *_there([self.request.sheet])]
        for path in pictures:
            output_depth(path, options.depth if path in self.painted else 8)
        every = [*pictures, *self.others]
        for path in every:
            check_writable(path)
        seen: set[str] = set()
        for path in every:
            resolved = os.path.realpath(path)
            if resolved in seen:
                raise OptionError(
                    f"two outputs would both be written to {str(path)!r}; rename one."
                )
            seen.add(resolved)

    def check_inputs(self, named: Named, options: Options) -> None:
        """Raises OptionError where a picture would be replaced that the run, gone on with, needs.

        (A result may replace the content: it is written when that is no longer needed.)
        """
        inputs = {os.path.realpath(source) for source in _read(named, options)}
        early = _there([self.preview, self.request.output if self.request.checkpoint else None])
        for path in (*self.others, *early):
            if os.path.realpath(path) in inputs:
                raise OptionError(
                    f"{str(path)!r} is a picture that the run needs; name another file."
                )


def _read(named: Named, options: Options) -> list[str]:
    """The pictures that are read."""
    masks = [path for pair in named.masks for path in pair if path != "-"]
    init = [] if options.init is None or options.init in STARTS else [options.init]
    return [*named.sources, *masks, *init]


def _there(paths: Iterable[Path | None]) -> list[Path]:
    return [path for path in paths if path is not None]
