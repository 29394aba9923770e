"""README's words against the program: its commands parse, its links and pictures are there."""

from __future__ import annotations

import re
import shlex

import pytest

from tests.conftest import ROOT, Ortist

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^ortist [^\n#]+", README, re.MULTILINE)

GROUPS = ("models", "style")
"""Commands that have commands of their own."""


def test_links_and_pictures_exist() -> None:
    local = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(local) > 8
    for link in local:
        assert (ROOT / link).is_file(), link


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_use_options_that_exist(command: str, ortist: Ortist) -> None:
    words = shlex.split(command)[1:]
    usage = ortist(*words[: 2 if words[0] in GROUPS else 1], "--help")
    assert usage.returncode == 0
    for word in words:
        if word.startswith("-"):
            assert re.search(rf"(^|\s){word}\b", usage.stdout), word


def test_ci_runs_the_two_commands() -> None:
    assert len(re.findall(r"^python3 -m venv \.venv ", README, re.MULTILINE)) == 1
    assert len(re.findall(r"^python3 -m venv \.venv-test ", README, re.MULTILINE)) == 1
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "readme .venv)" in ci
    assert "readme .venv-test)" in ci


def test_every_option_of_the_readme_example_is_python_too() -> None:
    block = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
    compile(block, "README.md", "exec")
