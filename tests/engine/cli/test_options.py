"""Options on the command line, in files and in Python: one set, which cannot drift apart."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import ortist as package
import pytest
from ortist.options.choice import layered_options
from ortist.options.fields import Options

from tests.conftest import Ortist


@pytest.fixture
def line(content_file: Path, style_file: Path) -> tuple[object, ...]:
    return "transfer", content_file, style_file


def test_every_option_is_in_help_in_files_and_in_python(
    ortist: Ortist, line: tuple[object, ...], tmp_path: Path
) -> None:
    names = [field.name for field in dataclasses.fields(Options)]
    usage = "".join(ortist(command, "--help").stdout for command in ("transfer", "texture"))
    assert [n for n in names if f" --{n.replace('_', '-')} " not in usage] == []
    printed = ortist(*line, "--print-config")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert re.findall(r"^(\w+) = ", printed.stdout, re.MULTILINE) == names
    (tmp_path / "options.toml").write_text(printed.stdout)
    assert layered_options(config=tmp_path / "options.toml") == Options()
    for name in names:  # a keyword that is known complains of the value, not of the name
        wrong: dict[str, Any] = {name: object()}
        with pytest.raises(package.OptionError) as caught:
            package.iterate(None, None, **wrong)
        assert "no option" not in str(caught.value)


def test_what_is_printed_gives_the_same_options_again(
    ortist: Ortist, line: tuple[object, ...], tmp_path: Path
) -> None:
    path = tmp_path / "a.toml"
    path.write_text('size = 100\nstyle_size = 80\ntime_limit = "2m"\n')
    words = ("--preset", "cs231n-the-scream", "--config", path)
    given = ("--style-size", "none", "--jitter", "auto", "--iterations", "7", "--no-rescale")
    first = ortist(*line, *words, *given, "--print-config")
    assert (first.returncode, first.stderr) == (0, "")
    (tmp_path / "b.toml").write_text(first.stdout)
    found = layered_options(config=tmp_path / "b.toml")
    assert (found.size, found.style_size, found.jitter) == (100, None, None)
    assert (found.iterations, found.rescale, found.time_limit) == (7, False, 120.0)
    assert found.content_weight == 3e-2
    assert ortist(*line, "--config", tmp_path / "b.toml", "--print-config").stdout == first.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "x"], "--size should be a whole number, not 'x'."),
        (["--jitter", "none"], "--jitter should be a whole number or auto, not 'none'."),
        (["--tv-weight", "x"], "--tv-weight should be a number or auto, not 'x'."),
        (["--time-limit", "0s"], "time_limit 0.0 is out of range"),
        (["--config", "absent.toml"], "the configuration 'absent.toml' does not exist; --print"),
        (["--config", "odd.toml"], "in 'odd.toml': there is no option 'sise'; did you mean 'size'"),
    ],
)
def test_what_is_off_is_one_sentence(
    words: list[str],
    said: str,
    ortist: Ortist,
    line: tuple[object, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.toml").write_text("sise = 5")
    done = ortist(*line, "-o", "o.png", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ortist: {said}")
    assert done.stderr.count("\n") == 1
