"""Options in TOML files: the keys are the options' names, the values those of Python.

TOML has no word for None; what it is called instead, ``"auto"`` or ``"none"``, is said with each
option.
"""

from __future__ import annotations

import dataclasses
import json
import os
import textwrap
from typing import Any

from ..errors import OptionError
from ..files import read_bytes
from .declaring import declaration
from .fields import Options
from .parsing import shown

__all__ = ["read_config", "to_toml"]

_SIZE_LIMIT = 2**20
"""Bytes of a file of options; the one that ``to_toml`` writes has 5,000."""


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The options that the file gives, by name, each one checked.

    Raises OptionError, which names the file and the key, for a file that is not there or no TOML,
    for an unknown key, and for a value that the option cannot take; also for what is no path.
    """
    import tomllib  # only whoever has such a file waits for it

    try:
        file = os.fspath(path)
    except TypeError:
        raise OptionError(f"config should be the path of a file, not {shown(path)}.") from None
    named = f"the configuration {file!r}"
    data = read_bytes(file, named, OptionError, "--print-config writes one", _SIZE_LIMIT)
    try:
        given = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:  # TOML's own errors and UTF-8's
        reason = str(error).strip().splitlines()[0]
        raise OptionError(
            f"{named} is no TOML ({reason}); mend it or leave --config out."
        ) from error
    checked = {}
    for name, value in given.items():
        try:
            checked[name] = Options.check(name, value)
        except OptionError as error:
            raise OptionError(f"in {file!r}: {error}") from error
    return checked


def to_toml(options: Options) -> str:
    """Every option with its help text; ``read_config`` gives the same options back."""
    parts = []
    for field in dataclasses.fields(options):
        declared = declaration(field)
        lines = textwrap.wrap(declared.help, 96)
        value = getattr(options, field.name)
        written = f'"{declared.unset}"' if value is None else _written(value)
        parts.append("".join(f"# {line}\n" for line in lines) + f"{field.name} = {written}\n")
    return "\n".join(parts)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _quoted(value)
    if not isinstance(value, tuple):
        return repr(value)
    if any(isinstance(item, tuple) and item[1] is not None for item in value):
        pairs = (f"{_quoted(str(layer))} = {weight!r}" for layer, weight in value)
        return f"{{ {', '.join(pairs)} }}"
    items = (item[0] if isinstance(item, tuple) else item for item in value)
    return f"[{', '.join(map(_written, items))}]"


def _quoted(text: str) -> str:
    """A basic string: JSON's escapes are TOML's too; U+007F, which JSON leaves, needs one."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise OptionError(f"{text!r} is not Unicode and cannot be written in TOML.") from None
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
