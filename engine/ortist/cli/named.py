"""The pictures that a command names, or that the picture of ``--from`` was made with."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import OptionError
from ..options.fields import Options
from .request import Request

if TYPE_CHECKING:
    from ..run.settings import Settings

__all__ = ["Named", "note", "recorded_settings"]

_ROLES = {"transfer": ("content", "style"), "invert": ("content",), "texture": ("style",)}


@dataclasses.dataclass(frozen=True)
class Named:
    """The pictures named on the command line; a style mask of - stands for all of the style."""

    command: str
    content: str | None
    styles: list[str]
    masks: Sequence[tuple[str, str]] = ()

    @property
    def sources(self) -> list[str]:
        """Content and styles, those that there are."""
        return [*([] if self.content is None else [self.content]), *self.styles]

    @property
    def pairs(self) -> list[tuple[str, str | None]]:
        """The masks as the engine takes them."""
        return [(mask, None if part == "-" else part) for mask, part in self.masks]

    def checked(self) -> Named:
        """Raises OptionError where one is missing."""
        for role, there in (("content", self.content), ("style", self.styles)):
            if not there and role in _ROLES[self.command]:
                raise OptionError(
                    f"Missing argument {role.upper()!r}; see ortist {self.command} --help, or give "
                    "--from a picture that has it."
                )
        return self

    def filled(self, settings: Settings) -> Named:
        """What was named, else the recorded files, verified; with new styles no old masks."""
        roles = _ROLES[self.command]
        content, styles, masks = self.content, self.styles, self.masks
        if content is None and "content" in roles:
            content = settings.find_input("content")
        if not styles and "style" in roles:
            styles = [settings.find_input(role) for role in settings.styles]
            if not masks:
                masks = [
                    (settings.find_input(mask), settings.find_input(part) if part else "-")
                    for mask, part in settings.masks
                ]
        return Named(self.command, content, styles, masks)


def recorded_settings(command: str, request: Request, given: dict[str, Any]) -> Settings | None:
    """The settings in the picture of ``--from``, if any.

    Raises OptionError for another command's, and PictureError for a picture without settings.
    """
    source = request.source
    if source is None:
        return None
    for name, other in (("preset", request.preset), ("config", request.config)):
        if other is not None:
            raise OptionError(f"give --from or --{name}, but not both.")
    from ..run.settings import read_settings

    settings = read_settings(source, given.get("max_pixels", Options.max_pixels))
    if settings.command != command:
        raise OptionError(
            f"{str(source)!r} was made by ortist {settings.command}; repeat it with ortist "
            f"{settings.command} --from."
        )
    if settings.version != __version__:
        note(
            f"{str(source)!r} was made by ortist {settings.version}, this is {__version__}: the "
            "picture may differ."
        )
    return settings


def note(message: str) -> None:
    """A remark on stderr."""
    print(f"ortist: {message}", file=sys.stderr)
