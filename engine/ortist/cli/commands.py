"""Commands by name, imported and built when they are asked for.

``ortist transfer`` needs none of the others. To import them, and to have typer build them all,
takes some 50 ms at each start.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import typer
import typer.main
from typer.core import TyperGroup

__all__ = ["Command", "Commands"]


class Command(NamedTuple):
    """``place`` is "module:name" of a function or of a typer app, ``kind`` of a command's class.

    ``settings`` are more that typer is told of a function.
    """

    place: str
    kind: str | None = None
    settings: Mapping[str, Any] = {}


class Commands(Mapping[str, Any]):
    """The commands of a ``table``, with what typer is told of every app, as typer builds them."""

    def __init__(self, table: Mapping[str, Command], of_apps: Mapping[str, Any]) -> None:
        self._table, self._of_apps = table, of_apps
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = self._build(name, self._table[name])
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def group(self) -> type[TyperGroup]:
        """The class of a group that has these commands."""
        commands: Any = self

        class Group(TyperGroup):
            def __init__(self, **attributes: Any) -> None:
                super().__init__(**attributes)
                self.commands = commands

        return Group

    def _build(self, name: str, command: Command) -> Any:
        found, app = _at(command.place), typer.Typer(**self._of_apps)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
            group: Any = typer.main.get_command(app)
            return group.commands[name]
        kind = None if command.kind is None else _at(command.kind)
        app.command(name, cls=kind, **command.settings)(found)
        built = typer.main.get_command(app)
        built.name = name
        return built


def _at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), name)
