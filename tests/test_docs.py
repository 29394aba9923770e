"""The words of the pages against the program: commands, options, links, examples, doctests.

A fenced block that opens with ``sh run`` or ``python run`` is run, in a folder of its own that has
small pictures of the names that the pages use. The commands of ``sh run`` blocks are made small:
each ``ortist`` that paints gets ``--size 48 --iterations 4`` at its end. Python blocks say small
sizes themselves. Of the other blocks, commands are looked up in ``--help``, Python is compiled.
"""

from __future__ import annotations

import ast
import doctest
import functools
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from tests.conftest import ROOT, SAMPLES

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "examples").glob("*/README.md"))
TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}

GROUPS = ("export", "models", "style")
"""Commands that have commands of their own."""

FOREIGN = {"--extra-index-url", "--ignore-scripts", "--nthreads", "--prefix", "--preload"}
"""Options in the prose that are other programs'."""

NAMES = {
    "harbour.jpg": ("photo.jpg", "photo.tif", "photos/harbour.jpg", "photos/old/harbour.png"),
    "swirls.jpg": ("painting.jpg", "night.jpg", "waterlilies.jpg"),
    "shards.jpg": ("shards.jpg", "other.jpg", "haystacks.jpg"),
    "pencil.jpg": ("pencil.jpg",),
    "harbour-sky.png": ("sky.png", "sky2.png"),
    "harbour-land.png": ("land.png", "land2.png"),
}
"""What the sample pictures are called in the pages."""

SMALL = """#!/bin/sh
case "$1 $2" in
    "style extract") set -- "$@" --size 48 ;;
    transfer*|invert*|texture*|batch*) set -- "$@" --size 48 --iterations 4 ;;
esac
exec {python} -m ortist "$@"
"""
"""The ``ortist`` of ``sh run`` blocks."""


class Block(NamedTuple):
    page: str
    line: int
    info: str
    text: str


def blocks(*infos: str) -> list[Block]:
    """The fenced blocks of all pages that open with one of ``infos``."""
    found = []
    for page, text in TEXTS.items():
        for match in re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1], match[2]))
    return [block for block in found if block.info in infos]


def place(block: Block) -> str:
    return f"{block.page}:{block.line}"


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(line: str) -> Iterator[list[str]]:
    """The commands of a shell's line, each in words, without what is redirected."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set("|&;"):
            yield words
            words = []
        else:
            words.append(word)


def ortist_commands() -> Iterator[tuple[str, str]]:
    """(page, words after ``ortist``) of every command, in blocks and in the prose."""
    for block in blocks("sh", "sh run"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for words in commands(line):
                if words and words[0].rpartition("/")[2] == "ortist":
                    kept = words[: words.index(">")] if ">" in words else words
                    yield block.page, shlex.join(kept[1:])
    for page, text in TEXTS.items():
        for match in re.findall(r"`ortist\s([^`]+)`", prose(text)):
            yield page, " ".join(match.split())


COMMANDS = sorted(set(ortist_commands()))


@functools.cache
def usage(*words: str) -> str:
    """What ``--help`` says of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "ortist", *words, "--help"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def usage_of(words: list[str]) -> str:
    named = [word for word in words[: 2 if words[0] in GROUPS else 1] if word[0] != "-"]
    return usage(*named)


def offers(text: str, option: str) -> bool:
    return re.search(rf"(^|[\s/]){re.escape(option)}(?![\w-])", text) is not None


def test_the_pages_have_commands_to_look_at() -> None:
    assert len(COMMANDS) > 40
    assert len(blocks("sh run")) > 10
    assert len(blocks("python run")) > 2


def test_blocks_say_what_they_are() -> None:
    known = ("", "sh", "sh run", "python", "python run")
    fences = sum(text.count("\n```") for text in TEXTS.values())
    assert len(blocks(*known)) * 2 == fences


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_use_options_that_exist(page: str, command: str) -> None:
    words = shlex.split(command)
    text = usage_of(words)
    for word in words:
        if word.startswith("-") and word != "-":
            assert offers(text, word), f"{page}: ortist {command} has no {word}"


def test_benchmarks_in_the_pages_exist() -> None:
    found = 0
    for page, text in TEXTS.items():
        for name, rest in re.findall(r"python -m (tests\.[\w.]+)([^`\n]*)", text):
            found += 1
            path = ROOT / (name.replace(".", "/") + ".py")
            assert path.is_file(), f"{page}: {name}"
            for option in re.findall(r"--[\w-]+", rest):
                parameter = option[2:].replace("-", "_") + ": Annotated["
                source = path.read_text(encoding="utf-8")
                assert parameter in source or f'"{option}"' in source, f"{page}: {name} {option}"
    assert found > 10


def test_options_in_the_prose_exist() -> None:
    found = ["transfer", "texture", "batch", "video", "serve", "models get", "models tune"]
    found += ["export squeezenet1_1", "export onnx", "export train"]
    known = "".join(usage(*words.split()) for words in found)
    known += "".join(path.read_text() for path in (ROOT / "tests" / "benchmarks").glob("*.py"))
    for page, text in TEXTS.items():
        for code in re.findall(r"`([^`]+)`", prose(text)):
            for option in re.findall(r"(?<!\S)--[a-z][\w-]*", code):
                named = option in FOREIGN or offers(known.replace('"', " "), option)
                assert named or f" {option[2:].replace('-', '_')}: Annotated" in known, (
                    f"{page}: there is no {option}"
                )


def anchors(text: str) -> set[str]:
    """What a page's headings are called in links, as GitHub makes it."""
    heads = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", TEXTS)
def test_links_and_pictures_exist(page: str) -> None:
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = folder / path if path else ROOT / page
        assert target.is_file(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), f"{page}: {link}"


def test_every_page_and_picture_is_linked_somewhere() -> None:
    linked = set()
    for page, text in TEXTS.items():
        folder = (ROOT / page).parent
        for link in re.findall(r"\]\(([^)#]+)", text):
            if "://" not in link:
                linked.add((folder / link).resolve())
    assert {*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "pictures").iterdir()} <= linked


HOUSES = ("engine/ortist", "export/ortist_export", "models/ortist_models", "tests")


def defined() -> set[str]:
    """The names that the houses define: ``function``, ``Class``, ``Class.method``, ``TABLE``."""
    found: set[str] = set()

    def collect(body: list[ast.stmt], inside: str) -> None:
        for node in body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.update({node.name, inside + node.name})
            if isinstance(node, ast.ClassDef):
                collect(node.body, f"{node.name}.")
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(target.id for target in targets if isinstance(target, ast.Name))

    for house in HOUSES:
        for path in (ROOT / house).rglob("*.py"):
            collect(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


def test_the_design_names_what_exists() -> None:
    """Files and names; of names, those that no manifest has: dotted, with capitals or ``_``."""
    codes = re.findall(r"`([^`\n]+)`", prose(TEXTS["docs/design.md"]))
    files = {code for code in codes if code.endswith(".py") and code != "__init__.py"}
    assert len(files) > 30
    for file in files:
        places = [ROOT / file, ROOT / "engine" / "ortist" / file]
        assert any(place.is_file() for place in places), file
    names = {
        code
        for code in codes
        if re.fullmatch(r"[A-Za-z_]+(\.[A-Za-z_]+)?", code) and re.search(r"[A-Z_.]", code)
    }
    names -= {name for name in names if name.startswith("with_") or name.endswith(".py")}
    assert len(names) > 50
    assert not names - defined()


def test_the_readme_is_a_face_and_no_manual() -> None:
    assert len(README.splitlines()) <= 120


def test_ci_runs_the_two_commands() -> None:
    assert len(re.findall(r"^python3 -m venv \.venv ", README, re.MULTILINE)) == 1
    assert len(re.findall(r"^python3 -m venv \.venv-test ", README, re.MULTILINE)) == 1
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "readme .venv)" in ci
    assert "readme .venv-test)" in ci


@pytest.fixture(scope="module")
def small_samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sample pictures, 64 pixels high, by the names of the pages."""
    folder = tmp_path_factory.mktemp("samples")
    for sample, names in NAMES.items():
        with Image.open(SAMPLES / sample) as image:
            small = image.resize((image.width * 64 // image.height, 64))
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            small.save(folder / name)
    return folder


@pytest.fixture
def desk(small_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with those pictures in it."""
    folder = tmp_path / "desk"
    shutil.copytree(small_samples, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("block", blocks("sh run"), ids=place)
def test_commands_run(block: Block, desk: Path, tmp_path: Path) -> None:
    before = set(desk.iterdir())
    shim = tmp_path / "bin" / "ortist"
    shim.parent.mkdir()
    shim.write_text(SMALL.format(python=shlex.quote(sys.executable)))
    shim.chmod(0o755)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, f"{place(block)}: {done.stderr}"
    written = {path.name for path in set(desk.iterdir()) - before}
    for name in re.findall(r"(?:-o|--report|--trace|--sheet|[^-]>) ([\w.]+)", block.text):
        assert name in written or "--plan" in block.text, f"{place(block)}: {name}"


@pytest.mark.parametrize("block", blocks("python", "python run"), ids=place)
@pytest.mark.usefixtures("desk")
def test_python_runs(block: Block) -> None:
    code = compile(block.text, place(block), "exec")
    if block.info == "python run":
        exec(code, {"__name__": "__main__"})


def modules_with_doctests() -> list[str]:
    """The engine's modules that have examples in their docstrings."""
    folder = ROOT / "engine"
    found = []
    for path in sorted(folder.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(folder).with_suffix("").parts
            found.append(".".join(part for part in parts if part != "__init__"))
    return found


@pytest.mark.parametrize("name", modules_with_doctests())
def test_doctests_run(
    name: str, small_samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two pictures in the current folder, photo.jpg and painting.jpg; none is skipped."""
    for picture in ("photo.jpg", "painting.jpg"):
        shutil.copy(small_samples / picture, tmp_path)
    monkeypatch.chdir(tmp_path)
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    examples = [example for test in tests for example in test.examples]
    assert examples
    assert not any(doctest.SKIP in example.options for example in examples)
    runner = doctest.DocTestRunner()
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
    assert runner.tries == len(examples)
