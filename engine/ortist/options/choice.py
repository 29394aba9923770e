"""Where the options of a run come from: an Options object, or layers of named values."""

from __future__ import annotations

import os
from typing import Any

from ..errors import OptionError
from .fields import Options
from .presets import preset_options
from .toml import read_config

__all__ = ["choose_options", "layered_options"]


def choose_options(options: Options | None, preset: str | None, given: dict[str, Any]) -> Options:
    """``options``, or those of ``layered_options``, to which ``given``, keywords, are handed.

    Raises OptionError where both are given and for ``options`` that are no Options.
    """
    if options is None:
        return layered_options(preset, **given)
    if preset is not None or given:
        raise OptionError("give options, or preset and keywords, but not both.")
    if not isinstance(options, Options):
        raise OptionError(
            f"options should be ortist.Options, not {type(options).__name__}; single options are "
            "keywords, as size=512."
        )
    return options


def layered_options(
    preset: str | None = None, config: str | os.PathLike[str] | None = None, **given: Any
) -> Options:
    """The defaults, over them the preset's options, the TOML file's, and the given ones.

    Raises OptionError for an unknown preset or option, and for a file that is no configuration.
    """
    if config is None:
        return Options.of(preset, **given)
    for name, value in given.items():
        Options.check(name, value)
    read = read_config(config)
    try:
        return Options(**{**preset_options(preset), **read, **given})
    except OptionError as error:  # each value alone is right, so some contradict each other
        raise OptionError(f"with the options in {os.fspath(config)!r}, {error}") from error
