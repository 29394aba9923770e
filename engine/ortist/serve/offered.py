"""The options that callers may give: derived from the fields of ``Options``, none is named twice.

What is about the machine (threads, provider, memory, folders) is the service's own. What a form
sends is text; it is read as the command line's is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from ..options.declaring import Declaration, declaration
from ..options.fields import STARTS, Options
from ..options.kinds import DURATION, FLAG, INIT, Kind
from ..options.parsing import LARGEST, shown

__all__ = ["OFFERED", "describe_options", "option_schema", "read_options"]

_OWN = {"provider", "threads", "max_memory", "scratch", "max_pixels", "snapshots", "tile"}
"""Options that the service sets itself, or that have no place in one answer."""
OFFERED = {field.name: field for field in dataclasses.fields(Options) if field.name not in _OWN}
"""The fields of Options that callers may give, by name."""
_FLAGS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}


def read_options(given: Mapping[str, str], max_size: int) -> dict[str, Any]:
    """The options of a form's text fields, each checked.

    ``init`` may be one of the words, no path: a picture is sent as a file. Raises OptionError.
    """
    options = {}
    for name, text in given.items():
        if name in _OWN:
            raise OptionError(f"the option {name!r} is the service's own; leave it out.")
        options[name] = _read(name, text)
    size = options.get("size", Options.size)
    if size > max_size:
        raise OptionError(
            f"size {size} is more than this service paints; give one up to {max_size}."
        )
    if options.get("init") not in (None, *_starts()):
        raise OptionError(
            f"there is no init {shown(options['init'])}; give {', '.join(_starts())}, or send a "
            "picture as the file init."
        )
    return options


def _starts() -> tuple[str, ...]:
    return tuple(start for start in STARTS if start != "image")


def _read(name: str, text: str) -> Any:
    """The option's value of a form's text; raises OptionError for what it cannot be."""
    if name not in OFFERED:
        return Options.check(name, text)  # which raises, with the name that may be meant
    declared, value = declaration(OFFERED[name]), text.strip()
    if declared.kind is FLAG:
        if value.lower() not in _FLAGS:
            raise OptionError(f"{name} should be true or false, not {shown(text)}.")
        return _FLAGS[value.lower()]
    return Options.check(name, declared.number(name, value))


def describe_options(max_size: int) -> list[dict[str, Any]]:
    """Every offered option for people and pages: name, help, heading, default, what it may be."""
    return [
        {
            "name": name,
            "help": declaration(field).help,
            "heading": str(declaration(field).heading),
            "default": _as_text(field.default, declaration(field)),
            **_facts(name, declaration(field), max_size),
        }
        for name, field in OFFERED.items()
    ]


def option_schema(name: str, max_size: int) -> dict[str, Any]:
    """The option as a JSON schema of a form's field."""
    declared = declaration(OFFERED[name])
    facts = _facts(name, declared, max_size)
    default = _as_text(OFFERED[name].default, declared)
    schema: dict[str, Any] = {"description": declared.help, "default": default}
    match facts["type"]:
        case "flag":
            own: dict[str, Any] = {"type": "string", "enum": ["true", "false"]}
        case "choice":
            own = {"type": "string", "enum": facts["choices"]}
        case "whole" | "number":
            number = {"type": "integer" if facts["type"] == "whole" else "number"}
            number |= {key: facts[short] for short, key in _BOUNDS if short in facts}
            own = number if declared.unset is None else _or_word(number, declared.unset)
        case _:
            own = {"type": "string", "maxLength": 4096}
    return {**schema, **own}


_BOUNDS = (("least", "minimum"), ("most", "maximum"))


def _or_word(schema: dict[str, Any], word: str) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "string", "const": word}]}


def _facts(name: str, declared: Declaration, max_size: int) -> dict[str, Any]:
    """The type of an option's values, with bounds or choices, and the word for none."""
    kind = declared.kind
    facts: dict[str, Any] = {"unset": declared.unset, "type": _type(kind)}
    if facts["type"] == "choice":
        words = _starts() if kind is INIT else (kind.metavar or "").split("|")
        facts["choices"] = [*words, *([declared.unset] if declared.unset else [])]
    if kind.literal is not None and facts["type"] != "choice":
        high = min(kind.high, max_size) if name == "size" else kind.high
        if kind.low > -math.inf:
            facts["least"] = kind.low
        if high not in (math.inf, LARGEST):
            facts["most"] = high
    return facts


def _type(kind: Kind) -> str:
    """flag, choice, whole, number, duration or text."""
    if kind is FLAG:
        return "flag"
    if kind is INIT or (kind.metavar and "|" in kind.metavar and kind.metavar.islower()):
        return "choice"
    if kind.metavar and kind.metavar.replace("|", "").isdigit():
        return "choice"
    if kind.metavar == DURATION.metavar:
        return "duration"
    return {int: "whole", float: "number", None: "text"}[kind.literal]


def _as_text(value: Any, declared: Declaration) -> str:
    """The default as a form would send it."""
    if value is None:
        return declared.unset or ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)
