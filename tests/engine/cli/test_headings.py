"""The options in ``--help``: under headings, each once, and readable at 80 columns."""

from __future__ import annotations

import re
from typing import Any

import pytest
import typer.main
from ortist.cli.arguments import HeadedCommand
from ortist.cli.main import app
from ortist.options.declaring import Heading
from ortist.options.fields import Options

from tests.conftest import Ortist

COMMANDS = ["transfer", "invert", "texture", "batch", "video", "style extract"]
FIRST = [
    *("output", "preset", "size", "quality", "iterations", "time-limit", "strength", "colors"),
    *("max-memory", "mask"),
]


def command(name: str) -> Any:
    """What typer makes of the function."""
    here: Any = typer.main.get_command(app)
    for word in name.split():
        here = here.commands[word]
    return here


def options(name: str) -> list[Any]:
    """Each is a ``TyperOption``, whose home is another in each version of typer."""
    return [param for param in command(name).params if param.param_type_name == "option"]


def sections(text: str) -> dict[str, list[str]]:
    """The long names of the options under each title of a help text, in order."""
    rows: dict[str, list[str]] = {}
    title = ""
    for line in text.splitlines():
        if heading := re.fullmatch(r"(\S.*):", line):
            title = heading[1]
            assert title not in rows
            rows[title] = []
        elif row := re.match(r"  (?:-\w, )?--([\w-]+)", line):
            rows[title].append(row[1])
    return rows


def test_the_commands_that_paint_have_headings() -> None:
    for name in COMMANDS:
        assert isinstance(command(name), HeadedCommand), name
    for name, other in command("").commands.items():
        painting = any(option.name in ("size", "model") for option in options(name))
        assert painting == (name in COMMANDS), name
        # The service has settings of its own, enough of them for headings.
        assert (painting or name == "serve") == isinstance(other, HeadedCommand), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_declares_its_heading(name: str) -> None:
    for option in options(name):
        assert option.rich_help_panel in list(Heading), option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_stands_once_under_its_heading(name: str, ortist: Ortist) -> None:
    done = ortist(*name.split(), "--help", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    written = sections(done.stdout)
    expected: dict[str, list[str]] = {str(heading): [] for heading in Heading}
    for option in options(name):
        long = max(option.opts, key=len)
        expected[option.rich_help_panel].append(long.removeprefix("--"))
    expected[Heading.OUTPUT].append("help")
    assert written.pop("Arguments") == []
    assert written == {title: names for title, names in expected.items() if names}
    assert list(written) == [title for title in expected if expected[title]]


def test_ten_come_first(ortist: Ortist) -> None:
    written = sections(ortist("transfer", "--help").stdout)
    assert written[Heading.FIRST] == FIRST
    assert set(written) == {"Arguments", *Heading}
    for name in COMMANDS[1:]:
        first = sections(ortist(*name.split(), "--help").stdout)[Heading.FIRST]
        assert first[0] in ("output", "style"), name
        assert len(first) <= 11, name


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("columns", [20, 80, 200])
def test_lines_are_short_and_names_whole(name: str, columns: int, ortist: Ortist) -> None:
    """Below 50 columns the help takes no less; names may stick out then."""
    lines = ortist(*name.split(), "--help", COLUMNS=str(columns)).stdout.splitlines()
    rows = lines[lines.index("The ones to know:") :]
    assert not [line for line in rows if line.endswith(("-", " ")) or "\xa0" in line]
    if columns == 80:
        assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(rows).split())
    for option in options(name):
        assert " ".join(option.help.split()) in text
    assert not [line for line in rows if re.search(r"\[default:$", line)]


def test_usage_has_ranges_of_words() -> None:
    """What may be written, the word for None included, is made from the declarations."""
    shown = {option.name: option.metavar for option in options("transfer") + options("texture")}
    expected = {
        "size": "N",
        "style_size": "N|none",
        "strength": "X",
        "time_limit": "TIME|none",
        "provider": "auto|cpu|cuda|…",
        "depth": "8|16|auto",
        "init": "content|noise|gray|style|FILE|auto",
        "tile": "N|auto|off",
        "style_layers": "LAYERS|auto",
        "model": "MODEL|auto",
        "rescale": None,
    }
    assert {name: shown[name] for name in expected} == expected
    assert set(vars(Options())) <= set(shown)
