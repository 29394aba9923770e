"""An order: what one job shall paint, as the form of a request asks for it.

It names files in the job's folder, with the names that the caller has for them, and goes as JSON
into the store and to the process that paints.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import OptionError
from ..files import sha256_of
from ..options.fields import Options
from ..options.parsing import shown
from .offered import read_options

__all__ = ["FORMATS", "Order", "Sent", "order_of"]

FORMATS = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "tif": "image/tiff",
}
"""What pictures can be answered as: the suffix, and the media type."""
_COMMANDS = ("transfer", "invert", "texture")
_FILES = ("content", "style", "content_mask", "style_mask", "init")
"""Fields that are pictures."""
_OTHERS = ("command", "preset", "format")


@dataclass(frozen=True)
class Sent:
    """A picture that was sent: the file in the job's folder, and the caller's name of it."""

    file: str
    name: str


@dataclass(frozen=True)
class Order:
    """What is to be painted; ``options`` are those that were given, over the ``preset``'s."""

    command: Literal["transfer", "invert", "texture"]
    options: Mapping[str, Any]
    preset: str | None
    format: str
    content: Sent | None
    styles: tuple[Sent, ...]
    masks: tuple[tuple[Sent, Sent | None], ...]
    init: Sent | None

    @property
    def sent(self) -> list[Sent]:
        """All its pictures."""
        masks = [picture for pair in self.masks for picture in pair]
        return [p for p in (self.content, *self.styles, *masks, self.init) if p is not None]

    def names(self, folder: Path) -> dict[str, str]:
        """The callers' names by the paths in the job's folder."""
        return {str(folder / picture.file): picture.name for picture in self.sent}

    def chosen(self, folder: Path, **own: Any) -> Options:
        """The run's options, ``own`` of the service among them; raises OptionError."""
        given = {**self.options, **own}
        if self.init is not None:
            given["init"] = str(folder / self.init.file)
        return Options.of(self.preset, **given)

    def digest(self, folder: Path) -> str:
        """A hash of all that was asked for, the pictures' bytes included."""
        values = self.as_json()
        values["files"] = [sha256_of(folder / picture.file) for picture in self.sent]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    @property
    def output_name(self) -> str:
        """What a caller may call the picture: photo-painting.png."""
        parts = [p.name.rpartition(".")[0] or p.name for p in (self.content, *self.styles[:1]) if p]
        return "-".join(parts)[:100] + f".{self.format}"

    def as_json(self) -> dict[str, Any]:
        """The order as JSON can hold it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Order:
        """What ``as_json`` made."""

        def sent(value: Any) -> Sent | None:
            return None if value is None else Sent(**value)

        return cls(
            values["command"],
            values["options"],
            values["preset"],
            values["format"],
            sent(values["content"]),
            tuple(Sent(**value) for value in values["styles"]),
            tuple((Sent(**mask), sent(part)) for mask, part in values["masks"]),
            sent(values["init"]),
        )


def order_of(
    parts: Sequence[tuple[str, str | Sent]],
    named_style: Callable[[str], Sent],
    format: str,
    max_size: int,
) -> Order:
    """The order of a form; ``named_style`` brings a style that is named and not sent.

    Raises OptionError for what is missing, too much, unknown or off.
    """
    pictures: dict[str, list[Sent | None]] = {name: [] for name in _FILES}
    single: dict[str, str] = {}
    for name, part in parts:
        if isinstance(part, Sent):
            _known(name, pictures).append(part)
        elif name == "style":
            pictures[name].append(named_style(part))
        elif name == "style_mask" and part == "-":
            pictures[name].append(None)
        elif name in _FILES and name != "init":
            raise OptionError(f"{name} is {shown(part)}; send a picture as a file.")
        elif name in single:
            raise OptionError(f"{name} is given twice; give it once.")
        elif part.strip():
            single[name] = part
    options = read_options({k: v for k, v in single.items() if k not in _OTHERS}, max_size)
    command = _one_of("command", single.get("command", "transfer"), _COMMANDS)
    if pictures["init"] and "init" in options:
        raise OptionError("init is given as a picture and as a word; give one of them.")
    order = Order(
        command,  # type: ignore[arg-type]
        options,
        single.get("preset"),
        _one_of("format", single.get("format", format), tuple(FORMATS)),
        _single("content", pictures["content"]),
        tuple(style for style in pictures["style"] if style is not None),
        _pairs(pictures["content_mask"], pictures["style_mask"]),
        _single("init", pictures["init"]),
    )
    _check_roles(order)
    Options.of(order.preset, **order.options)  # what contradicts each other is said at once
    return order


def _known(name: str, pictures: dict[str, list[Sent | None]]) -> list[Sent | None]:
    """The pictures of that field; raises OptionError where there is no such field."""
    if name not in pictures:
        known = ", ".join(_FILES)
        raise OptionError(f"there is no picture {shown(name)}; the pictures are {known}.")
    return pictures[name]


def _one_of(name: str, word: str, known: Sequence[str]) -> str:
    if word not in known:
        raise OptionError(f"there is no {name} {shown(word)}; choose one of {', '.join(known)}.")
    return word


def _single(name: str, pictures: Sequence[Sent | None]) -> Sent | None:
    if len(pictures) > 1:
        raise OptionError(f"there are {len(pictures)} pictures for {name}; send one.")
    return pictures[0] if pictures else None


def _pairs(
    masks: Sequence[Sent | None], parts: Sequence[Sent | None]
) -> tuple[tuple[Sent, Sent | None], ...]:
    """Masks of the content with those of the style; without any of the style, all of it."""
    if parts and len(parts) != len(masks):
        raise OptionError(
            f"there are {len(masks)} content masks and {len(parts)} style masks; send one for each "
            "(style_mask=- for all of a style), or none for the style."
        )
    pairs = zip(masks, parts or [None] * len(masks), strict=True)
    return tuple((mask, part) for mask, part in pairs if mask is not None)


def _check_roles(order: Order) -> None:
    """Raises OptionError where a picture is missing that the command needs, or has no use."""
    needs_content, needs_style = order.command != "texture", order.command != "invert"
    for name, there, needed in (
        ("content", order.content is not None, needs_content),
        ("style", bool(order.styles), needs_style),
    ):
        if needed and not there:
            more = ", or name one of /v1/styles" if name == "style" else ""
            raise OptionError(f"the {name} is missing; send a picture as the file {name}{more}.")
        if there and not needed:
            raise OptionError(f"{order.command} has no use for a {name}; leave it out.")
