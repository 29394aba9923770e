"""How an option is declared: a dataclass field made by ``option``.

Whatever shows or reads options asks the field's ``declaration`` and knows no option by name.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import Any

from ..errors import OptionError
from .kinds import Kind
from .parsing import shown

__all__ = ["Declaration", "Heading", "declaration", "option"]


class Heading(enum.StrEnum):
    """The groups that ``--help`` shows options in, in their order."""

    FIRST = "The ones to know"
    PICTURE = "Picture"
    STYLE = "Style"
    RECIPE = "Recipe"
    MEMORY = "Memory and machine"
    OUTPUT = "Output"


_MOST_WORDS = 8


@dataclasses.dataclass(frozen=True)
class Declaration:
    """What an option is, but for its name and its default.

    ``unset`` is the word for None on the command line and in files; None where there is no such.
    """

    help: str
    heading: Heading
    kind: Kind
    unset: str | None = None

    @property
    def metavar(self) -> str | None:
        """What may be written, the word for None included; None for a flag.

        Of many words the first ones: a usage text has 80 columns.
        """
        own = self.kind.metavar
        words = (own or "").split("|")
        if len(words) > _MOST_WORDS:
            own = "|".join([*words[:3], "…"])
        return own if self.unset is None else f"{own}|{self.unset}"

    def number(self, name: str, text: str) -> Any:
        """The number that ``text`` is, of an option that is one; else ``text``, as for ``unset``.

        Raises OptionError, which says the ``name`` by which it was asked for, for what is none.
        """
        literal = self.kind.literal
        if literal is None or text == self.unset:
            return text
        try:
            return literal(text)
        except ValueError:
            what = "whole number" if literal is int else "number"
            other = f" or {self.unset}" if self.unset else ""
            raise OptionError(f"{name} should be a {what}{other}, not {shown(text)}.") from None

    def check(self, name: str, value: Any) -> Any:
        """The form in which ``value`` is kept as the option called ``name``.

        Raises OptionError, which names the option, for what it cannot be.
        """
        if self._stands_for_none(value):
            return None
        try:
            kept = self.kind.read(value, name)
        except OptionError as error:
            if name in str(error):
                raise
            raise OptionError(f"{str(error).removesuffix('.')} ({name}).") from None
        # Path("auto") is kept as the word, which must mean the same when it is given again.
        return None if self._stands_for_none(kept) else kept

    def _stands_for_none(self, value: Any) -> bool:
        word = value.strip() if isinstance(value, str) else None
        return self.unset is not None and (value is None or word == self.unset)


def option(
    default: Any, heading: Heading, kind: Kind, unset: str | None = None
) -> Callable[[str], Any]:
    """What makes a field of Options of its help text; the metadata are those of a Declaration."""

    def described(help: str) -> Any:
        metadata = vars(Declaration(help, heading, kind, unset))
        return dataclasses.field(default=default, metadata=metadata)

    return described


def declaration(field: dataclasses.Field[Any]) -> Declaration:
    """What ``option`` was told when it made the field."""
    return Declaration(**field.metadata)
