"""Command-line options made from the fields of ``Options``, by what each declares of itself.

A function decorated with ``takes_options`` gets ``given``: the options that the user wrote, by
field name; and ``request``, a Request, if it has such a parameter. What was not written stays with
the preset or the default.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any, Optional, get_type_hints

from ..errors import OptionError
from ..options.declaring import declaration
from ..options.fields import Options
from ..options.kinds import FLAG
from ..options.parsing import shown
from .request import Request, asked

__all__ = ["takes_options"]


def takes_options(
    without: Collection[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds every field of Options but those in ``without`` to a typer command, and of Request."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        fields = [field for field in dataclasses.fields(Options) if field.name not in without]
        signature = inspect.signature(command, eval_str=True)
        own = dict(signature.parameters)
        hints = get_type_hints(Request, include_extras=True) if own.pop("request", None) else {}
        del own["given"]
        extra = [
            _parameter(field.name, field.default, hints[field.name])
            for field in dataclasses.fields(Request)
            if field.name in hints
        ]
        extra += [_parameter(field.name, None, _annotation(field)) for field in fields]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {f.name: values.pop(f.name) for f in fields}
            if hints:
                values["request"] = Request(**{name: values.pop(name) for name in hints})
            written = {
                field.name: _read(field, given[field.name])
                for field in fields
                if given[field.name] is not None
            }
            command(**values, given=written)

        run.__signature__ = signature.replace(parameters=[*own.values(), *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {value.name: value.annotation for value in (*own.values(), *extra)}
        return run

    return decorate


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def _annotation(field: dataclasses.Field[Any]) -> Any:
    """The option of that field, as typer takes it."""
    declared = declaration(field)
    name, help = _flag(field), declared.help
    if declared.kind is FLAG:
        name += f"/--no-{name[2:]}"
    elif field.default is not None and field.default != ():
        help += f" [default: {field.default}]"
    return Annotated[
        Optional[bool if declared.kind is FLAG else str],  # noqa: UP045 - built at run time
        asked(declared.heading, help, declared.metavar, name),
    ]


def _read(field: dataclasses.Field[Any], value: Any) -> Any:
    """Numbers from the command line's text; what is made of other text, Options knows itself."""
    declared = declaration(field)
    literal, unset = declared.kind.literal, declared.unset
    if literal is None or value == unset:
        return value
    try:
        return literal(value)
    except ValueError:
        what = "whole number" if literal is int else "number"
        other = f" or {unset}" if unset else ""
        raise OptionError(
            f"{_flag(field)} should be a {what}{other}, not {shown(value)}."
        ) from None


def _flag(field: dataclasses.Field[Any]) -> str:
    return "--" + field.name.replace("_", "-")
