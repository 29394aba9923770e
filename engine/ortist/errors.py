"""Every error that Ortist raises on purpose.

Each message is one sentence or two that echo the value and name the remedy. The command prints it
to stderr without a traceback and exits with ``exit_code``.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "CheckpointError",
    "DivergedError",
    "InputError",
    "ModelError",
    "OptionError",
    "OrtistError",
    "OutputError",
    "PictureError",
    "ProviderError",
    "ResourceError",
    "StyleFileError",
    "reason_of",
]

_LONGEST = 200
"""Letters of a reason that a library gave."""


class OrtistError(Exception):
    """The root of every error that Ortist raises on purpose."""

    exit_code = 1


class OptionError(OrtistError, ValueError):
    """An option or argument is off: unknown, out of its range, or at odds with another one."""

    exit_code = 2


class OutputError(OptionError):
    """A file cannot be written where it was asked for."""


class DivergedError(OptionError):
    """The loss left the finite numbers.

    ``result`` is the ``Result`` (run/result.py) of what was reached before; None where the start
    already diverged. (Its type is named in words: this module knows no other.)
    """

    exit_code = 5
    result: Any = None


class InputError(OrtistError):
    """A file given to Ortist cannot be used."""

    exit_code = 3


class PictureError(InputError):
    """A content image, a style image or a mask is missing, damaged or unfit."""


class ModelError(InputError):
    """A model is missing, damaged, foreign or without the layer asked for."""


class CheckpointError(InputError):
    """A checkpoint is missing, damaged, or of another run."""


class StyleFileError(InputError):
    """A style file is missing, damaged, or of another backbone."""


class ResourceError(OrtistError):
    """The machine lacks something that the run needs."""

    exit_code = 4


class ProviderError(ResourceError):
    """The execution provider that was named is not there."""


def reason_of(error: BaseException) -> str:
    """What a library's error says, to stand within a message: one line, bounded, without a path.

    Where it says nothing, that is the error's kind.
    """
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(said.split()).rstrip(".") or type(error).__name__
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
