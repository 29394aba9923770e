"""The words of the house: a docstring can be read alone, and names only files that exist."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

HOUSES = ("engine/ortist", "export/ortist_export", "models")
FILES = [path for house in HOUSES for path in sorted((ROOT / house).rglob("*.py"))]
KNOWN = [
    f"/{path.relative_to(ROOT).as_posix()}"
    for path in ROOT.rglob("*.py")
    if ".venv" not in path.parts[len(ROOT.parts)]
]
"""Every file of the repository, from its root."""

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

LEANING = re.compile(r"(The same|Of|As|Those|That|It|With|And)\b")
"""Openings that lean on what stands above, or on the name, instead of saying the subject."""


def name_of(path: Path) -> str:
    """The path below the root of the repository, with slashes."""
    return path.relative_to(ROOT).as_posix()


def documented(path: Path) -> Iterator[tuple[str, Documented]]:
    """(dotted name, node) of the module, "", and of every class, function and method.

    What is inside a function does not count.
    """

    def below(name: str, node: Documented) -> Iterator[tuple[str, Documented]]:
        yield name, node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
        for child in node.body:
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from below(f"{name}.{child.name}".removeprefix("."), child)

    yield from below("", ast.parse(path.read_text(encoding="utf-8")))


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string that stands alone: those of variables too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            text = node.value.value
            if isinstance(text, str):
                yield node.lineno, text.strip()


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every comment."""
    source = io.StringIO(path.read_text(encoding="utf-8"))
    for token in tokenize.generate_tokens(source.readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_docstrings_open_with_their_subject(path: Path) -> None:
    leaning = [(line, text[:60]) for line, text in docstrings(path) if LEANING.match(text)]
    assert not leaning


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_all_that_is_public_says_what_it_is(path: Path) -> None:
    silent = {
        name
        for name, node in documented(path)
        if ast.get_docstring(node) is None
        and not any(part.startswith("_") for part in name.split("."))
    }
    assert not silent


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_that_are_named_exist(path: Path) -> None:
    """A name with folders is the end of a path; with ``x.py`` alone any folder will do."""
    for line, text in (*docstrings(path), *comments(path)):
        for named in re.findall(r"[\w/]*\w\.py\b", text):
            assert any(other.endswith(f"/{named}") for other in KNOWN), f"{line}: {named}"
