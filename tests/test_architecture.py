"""The shape of the house: who may import whom, what the public names are, what a start loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ortist
import pytest

from tests.conftest import ROOT, SAMPLES

WORKSHOP = ("torch", "onnx", "onnxscript")
SERVE = ("anyio", "prometheus_client", "starlette", "uvicorn")
"""What the extra ``serve`` brings, and the service imports."""
CLUSTER = ("dask", "distributed")
"""What the extra ``cluster`` brings."""


def imports(folder: str) -> Iterator[tuple[Path, str]]:
    """(file, top-level package) of every import under ``folder``, lazy ones included."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield path, alias.name.split(".")[0]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield path, (node.module or "").split(".")[0]


def test_the_engine_imports_no_framework_and_no_unpickler() -> None:
    found = {package for _, package in imports("engine")}
    assert not found & {*WORKSHOP, "ortist_export", "tests", "pickle", "dill", "shelve"}
    third_party = found - set(sys.stdlib_module_names)
    core = {"numpy", "PIL", "onnxruntime", "typer", "ortist_models"}
    assert third_party == {*core, *SERVE, *CLUSTER}
    text = "".join(path.read_text() for path in (ROOT / "engine").rglob("*.py"))
    for phrase in ("allow_pickle", "eval(", "exec(", "__import__"):
        assert phrase not in text


def test_typer_is_only_in_the_command() -> None:
    for path, package in imports("engine"):
        assert package != "typer" or path.parent.name == "cli", path


def test_what_the_service_needs_is_only_in_the_service() -> None:
    for path, package in imports("engine"):
        assert package not in SERVE or path.parent.name == "serve", path


def test_the_cluster_is_in_three_files() -> None:
    files = {path.name for path, package in imports("engine") if package in CLUSTER}
    assert files == {"cluster.py", "elsewhere.py"}  # one of cli/, two of jobs/


def test_the_workshop_and_the_models_do_not_import_the_engine() -> None:
    for folder in ("export", "models"):
        assert "ortist" not in {package for _, package in imports(folder)}
    assert {package for _, package in imports("models")} <= set(sys.stdlib_module_names)


ROOMS = [
    *("errors", "_version", "signals", "forks", "files", "recycling", "arrays"),
    *("options", "network", "pictures", "style", "objective", "run"),
    *("engine", "api", "jobs", "serve", "cli"),
]
"""The engine's rooms, from the ground up: each may import what stands before it, and itself."""


def engine_imports() -> dict[str, set[str]]:
    """The engine's modules that each of its modules imports, wherever in the file that stands."""
    package = ROOT / "engine" / "ortist"
    paths = {
        ".".join(path.relative_to(package).with_suffix("").parts): path
        for path in package.rglob("*.py")
    }
    found: dict[str, set[str]] = {name: set() for name in paths}
    for name, path in paths.items():
        inside = name.split(".")[:-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            start = inside[: len(inside) - node.level + 1]
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}" if base else alias.name
                found[name].add(whole if whole in paths else base)
    return found


def test_the_rooms_stand_in_one_order() -> None:
    """No import to the right, also none for types alone; the package's face stands outside."""
    for name, imported in engine_imports().items():
        if name in ("__init__", "__main__"):
            continue
        own = ROOMS.index(name.split(".")[0])
        for other in imported:
            assert ROOMS.index(other.split(".")[0]) <= own, f"{name} imports {other}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = engine_imports()
    while left:
        free = [name for name, imported in left.items() if not (imported - {name}) & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        left = {name: imported for name, imported in left.items() if name not in free}


def test_every_room_says_what_it_is_for() -> None:
    for room in (ROOT / "engine" / "ortist").iterdir():
        if (room / "__init__.py").is_file():
            text = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
            assert len(text.splitlines()) >= 3 or room.name == "cli", room
            assert room.name in ROOMS, room
            assert (ROOT / "tests" / "engine" / room.name).is_dir(), room


def test_the_public_names() -> None:
    assert ortist.__all__ == sorted(ortist.__all__, key=lambda n: (not n.isupper(), n))
    for name in ortist.__all__:
        assert getattr(ortist, name) is not None
    assert dir(ortist) == sorted(ortist.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        ortist.nonsense  # noqa: B018


def test_every_module_says_what_it_offers() -> None:
    for folder in ("engine", "export", "models"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name in ("__main__.py",) or path.parent.name == "ortist_export" == path.stem:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert ast.get_docstring(tree), path
            names = [
                target.id
                for node in tree.body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            ]
            assert "__all__" in names or len(tree.body) == 1, path


def test_files_stay_readable() -> None:
    for path in ROOT.glob("*/**/*.py"):
        if ".venv" not in path.parts[len(ROOT.parts)]:
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 600, path


LONG = {
    "engine/ortist/cli/batch.py:batch": "A third of it is the command's options, one by one.",
    "engine/ortist/cli/serve.py:serve": "Its signature is the command's options, one by one.",
    "engine/ortist/options/fields.py:Options": "It is the options, one by one.",
}
"""Classes of more than 250 lines and functions of more than 60, each with the reason why."""


def lengths(node: ast.AST, name: str = "") -> Iterator[tuple[str, int, int]]:
    """(dotted name, lines, lines at most) of every class and function in ``node``."""
    for child in ast.iter_child_nodes(node):
        own = name
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            own = f"{name}.{child.name}".removeprefix(".")
            assert child.end_lineno is not None
            most = 250 if isinstance(child, ast.ClassDef) else 60
            yield own, child.end_lineno - child.lineno + 1, most
        yield from lengths(child, own)


def test_classes_and_functions_are_short_or_have_a_reason() -> None:
    long = {
        f"{path.relative_to(ROOT).as_posix()}:{name}"
        for folder in ("engine", "export")
        for path in (ROOT / folder).rglob("*.py")
        for name, lines, most in lengths(ast.parse(path.read_text(encoding="utf-8")))
        if lines > most
    }
    assert long == LONG.keys()


def loaded_by(*words: str) -> set[str]:
    """The modules in memory after the command, run in a process of its own."""
    code = (
        "import json, sys; from ortist.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60
    )
    return set(json.loads(done.stderr))


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["transfer", "--help"], ["serve", "--help"]]
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    loaded = loaded_by(*words)
    assert not loaded & {"numpy", "PIL", "onnxruntime", "pydantic", "rich", "pickle", *WORKSHOP}


def test_a_command_loads_none_of_the_others() -> None:
    commands = {
        f"ortist.cli.{name}" for name in ("batch", "paint", "serve", "style", "system", "video")
    }
    assert loaded_by("transfer", "--help") & commands == {"ortist.cli.paint"}
    assert loaded_by("style", "list") & commands == {"ortist.cli.style"}


def test_a_picture_is_made_where_torch_and_onnx_are_missing(tmp_path: Path) -> None:
    """The packages are made impossible to import; the bare install itself is tested by .ci/run."""
    out = tmp_path / "out.png"
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({WORKSHOP!r}))\n"
        "import sys; from ortist.cli import main; sys.exit(main())"
    )
    pictures = [str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg")]
    words = ["transfer", *pictures, "-o", str(out), "--size", "48", "--iterations", "4"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert out.is_file()


@pytest.mark.parametrize("words", [["export", "squeezenet1_1"], ["models", "get", "vgg19"]])
def test_without_the_extra_the_workshop_names_it(words: list[str]) -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'onnx' else real(n, *a)\n"
        f"sys.argv = ['ortist', *{words}]\n"
        "import sys; from ortist.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    command = "export" if words[0] == "export" else "models get"
    assert done.stderr == (
        f"ortist: ortist {command} needs onnx; install Ortist with the extra that brings it, in a "
        "checkout: pip install '.[onnx]'\n"
    )


def test_without_the_extra_serve_names_it() -> None:
    code = (
        "import importlib.util, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'uvicorn' else real(n, *a)\n"
        "sys.argv = ['ortist', 'serve']\n"
        "from ortist.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert done.stderr == (
        "ortist: ortist serve needs uvicorn; install the extra that brings it: pip install "
        "'ortist[serve]'\n"
    )


def test_no_telemetry_is_sent_and_nothing_is_written_to_the_home(tmp_path: Path) -> None:
    """ONNX Runtime's own telemetry is off before it is imported, whoever imports the engine."""
    code = (
        "import os, ortist\n"
        "from ortist.network.sessions import load_onnxruntime\n"
        "load_onnxruntime(); print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout == "1\n"
    assert list(tmp_path.iterdir()) == []
