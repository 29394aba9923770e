"""Options on the command line: made from the fields of ``Options``, asked for besides, and shown.

A function decorated with ``takes_options`` gets ``given``: the options that the user wrote, by
field name; and ``request``, if it has such a parameter, a dataclass whose fields are options too.
What was not written stays with the preset or the default. ``--help`` shows options under headings.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterable
from typing import Any

import typer
from typer.core import TyperCommand

from ..options.declaring import Heading, declaration
from ..options.fields import Options
from ..options.kinds import FLAG
from ..options.presets import PRESETS

__all__ = ["PRESET", "HeadedCommand", "asked", "file", "flag", "takes_options"]

_COLUMN = 28
"""Where the help texts begin; a longer option has a line of its own."""
_LAST = re.compile(r"\[[^][]*\]$")
_KEPT = "\xa0"
"""A space at which no line ends."""


def asked(
    default: Any,
    help: str,
    heading: Heading,
    metavar: str | None,
    *names: str,
    min: int | None = None,
) -> Any:
    """A parameter that is an option: required where ``default`` is ..., a flag without ``metavar``.

    ``names`` are for where they are not the parameter's own. Typer itself heeds the heading, by its
    name of ``rich_help_panel``, only with rich, which is never imported here.
    """
    return typer.Option(
        default, *names, help=help, metavar=metavar, min=min, rich_help_panel=heading
    )


def file(help: str, heading: Heading = Heading.OUTPUT, *names: str, metavar: str = "FILE") -> Any:
    """A parameter that is an option: the path of a file, None where it is not given."""
    return asked(None, help, heading, metavar, *names)


def flag(help: str, name: str, heading: Heading = Heading.OUTPUT) -> Any:
    """A parameter that is an option: True where it is given by its one ``name``."""
    return asked(False, help, heading, None, name)


PRESET = asked(None, f"A named set of options: {', '.join(PRESETS)}.", Heading.FIRST, "NAME")
"""``--preset``, as every command has it."""


def takes_options(
    without: Collection[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds the fields of Options but those in ``without``, and of the request, to a command."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        fields = [field for field in dataclasses.fields(Options) if field.name not in without]
        signature = inspect.signature(command, eval_str=True)
        own = dict(signature.parameters)
        del own["given"]
        request = own.pop("request").annotation if "request" in own else None
        asked_for = inspect.signature(request, eval_str=True).parameters if request else {}
        parameters = [*own.values(), *asked_for.values(), *map(_parameter, fields)]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {field.name: _read(field, values.pop(field.name)) for field in fields}
            if request:
                values["request"] = request(**{name: values.pop(name) for name in asked_for})
            written = {name: value for name, value in given.items() if value is not None}
            command(**values, given=written)

        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {value.name: value.annotation for value in parameters}
        return run

    return decorate


def _parameter(field: dataclasses.Field[Any]) -> inspect.Parameter:
    """The option of that field, as typer takes it."""
    declared = declaration(field)
    help, is_flag = declared.help, declared.kind is FLAG
    if not is_flag and field.default is not None and field.default != ():
        help += f" [default: {field.default}]"
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=asked(None, help, declared.heading, declared.metavar),
        annotation=bool | None if is_flag else str | None,
    )


def _read(field: dataclasses.Field[Any], value: Any) -> Any:
    """Numbers from the command line's text; what is made of other text, Options knows itself."""
    if not isinstance(value, str):
        return value
    return declaration(field).number("--" + field.name.replace("_", "-"), value)


class HeadedCommand(TyperCommand):
    """A command whose help has a section for its arguments and one for every heading."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the sections; those of options in the order of ``Heading``.

        What names no heading, as typer's own ``--help``, comes at the end of the last one.
        """
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        sections |= {heading: [] for heading in Heading}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                argument = param.param_type_name == "argument"
                heading = getattr(param, "rich_help_panel", None) or [*Heading][-1]
                sections["Arguments" if argument else heading].append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    _write_rows(formatter, rows)


def _write_rows(formatter: Any, rows: Iterable[tuple[str, str]]) -> None:
    """Names to the left, their texts from ``_COLUMN`` on.

    A line ends neither in a name with hyphens nor in the [default: …] at the end of a text.
    """
    width = formatter.width - _COLUMN
    for name, text in rows:
        whole = _LAST.sub(lambda match: match[0].replace(" ", _KEPT), " ".join(text.split()))
        lines = textwrap.wrap(whole, width, break_on_hyphens=False, break_long_words=False)
        left = " " * formatter.current_indent + name
        if len(left) + 2 > _COLUMN:
            formatter.write(f"{left}\n")
            left = ""
        for line in lines or [""]:
            formatter.write(f"{left:<{_COLUMN}}{line.replace(_KEPT, ' ')}\n")
            left = ""
