"""Command-line options made from the fields of ``Options``: names, defaults and help texts.

A function decorated with ``takes_options`` gets ``given``: the options that the user wrote, by
field name; and ``request``, a Request, if it has such a parameter. What was not written stays with
the preset or the default.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, Optional, get_args, get_origin, get_type_hints

import typer

from ..errors import OptionError
from ..options.fields import Options
from ..options.parsing import LayerWeights
from .request import Request

__all__ = ["takes_options"]


def takes_options(
    without: Collection[str] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds every field of Options but those in ``without`` to a typer command, and of Request."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        fields = [field for field in dataclasses.fields(Options) if field.name not in without]
        types = get_type_hints(Options)
        signature = inspect.signature(command, eval_str=True)
        asked = {}
        if "request" in signature.parameters:
            asked = get_type_hints(Request, include_extras=True)
        extra = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=asked[field.name],
            )
            for field in dataclasses.fields(Request)
            if field.name in asked
        ]
        extra += [_parameter(field, types[field.name]) for field in fields]
        built = ("request", "given")
        own = [value for value in signature.parameters.values() if value.name not in built]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            given = {f.name: values.pop(f.name) for f in fields}
            if asked:
                values["request"] = Request(**{name: values.pop(name) for name in asked})
            kinds = {field: _plain(types[field.name]) for field in fields}
            written = {
                field.name: _read(field, kind, given[field.name])
                for field, kind in kinds.items()
                if given[field.name] is not None
            }
            command(**values, given=written)

        run.__signature__ = signature.replace(parameters=[*own, *extra])  # type: ignore[attr-defined]
        run.__annotations__ = {value.name: value.annotation for value in (*own, *extra)}
        return run

    return decorate


def _parameter(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    name = "--" + field.name.replace("_", "-")
    kind = _plain(hint)
    if kind is bool:
        name += f"/--no-{name[2:]}"
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            Optional[bool if kind is bool else str],  # noqa: UP045 - built at run time
            typer.Option(name, help=_help(field, hint), metavar=_metavar(field, kind)),
        ],
    )


def _read(field: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    """Numbers from the command line's text; what is made of other text, Options knows itself."""
    words = field.name in ("time_limit", "max_memory")
    if kind not in (int, float) or value == field.metadata["unset"] or words:
        return value
    try:
        return kind(value)
    except ValueError:
        name = "--" + field.name.replace("_", "-")
        what = "whole number" if kind is int else "number"
        unset = field.metadata["unset"]
        other = f" or {unset}" if unset else ""
        raise OptionError(f"{name} should be a {what}{other}, not {value!r}.") from None


def _plain(hint: Any) -> Any:
    """``X`` of ``X | None``."""
    parts = [part for part in get_args(hint) if part is not type(None)]
    return parts[0] if type(None) in get_args(hint) else hint


def _metavar(field: dataclasses.Field[Any], kind: Any) -> str | None:
    """What may be written, the word for None included."""
    listed = {"snapshots": "N,N,…", "time_limit": "TIME", "model": "MODEL"}
    listed |= {"init": "content|noise|gray|style|FILE"}
    listed |= {"style_weights": "W,W,…", "tile": "N|auto|off"}
    listed |= {"max_memory": "SIZE", "scratch": "FOLDER"}
    words = {int: "N", float: "X", bool: None, LayerWeights: "LAYERS"}
    found = listed.get(field.name, words.get(kind))
    if get_origin(kind) is Literal:
        found = "|".join(get_args(kind))
    unset = field.metadata["unset"]
    return f"{found}|{unset}" if unset else found


def _help(field: dataclasses.Field[Any], hint: Any) -> str:
    text = str(field.metadata["help"])
    if field.default is None or field.default == () or hint is bool:
        return text
    return f"{text} [default: {field.default}]"
