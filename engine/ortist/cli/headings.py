"""``--help`` that shows a command's options under headings.

An option says its heading as ``rich_help_panel``, the name that typer has for it: typer itself
heeds it only with rich, which is never imported here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand

from ..options.declaring import Heading

__all__ = ["HeadedCommand"]

_COLUMN = 28
"""Where the help texts begin; a longer option has a line of its own."""
_LAST = re.compile(r"\[[^][]*\]$")
_KEPT = "\xa0"
"""A space at which no line ends."""


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
                sections.setdefault("Arguments" if argument else heading, []).append(record)
        for title, rows in sections.items():
            if rows:
                with formatter.section(title):
                    _write_rows(formatter, rows)


def _write_rows(formatter: Any, rows: Iterable[tuple[str, str]]) -> None:
    """Names to the left, their texts from ``_COLUMN`` on.

    A line ends neither in a name with hyphens nor in the [default: …] at the end of a text.
    """
    for name, text in rows:
        whole = _LAST.sub(lambda match: match[0].replace(" ", _KEPT), " ".join(text.split()))
        width = formatter.width - _COLUMN
        lines = textwrap.wrap(whole, width, break_on_hyphens=False, break_long_words=False)
        left = " " * formatter.current_indent + name
        if len(left) + 2 > _COLUMN:
            formatter.write(f"{left}\n")
            left = ""
        for line in lines or [""]:
            formatter.write(f"{left:<{_COLUMN}}{line.replace(_KEPT, ' ')}\n")
            left = ""
