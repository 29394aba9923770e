"""Where new processes cannot be had, or end at once: the reason in a sentence, and the remedy."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import ortist
import pytest
from ortist.jobs.painting import processes

from tests.conftest import SAMPLES, Ortist

PROGRAM = f"""
import ortist, sys
try:
    ortist.batch({str(SAMPLES / "harbour.jpg")!r}, {str(SAMPLES / "swirls.jpg")!r}, sys.argv[1],
                 jobs=2, threads=2, size=32, iterations=1)
except ortist.OrtistError as error:
    print("told:", error)
"""
TWO = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two CPUs")


def batched(folder: str) -> str:
    """What a batch of two jobs says in this process."""
    try:
        ortist.batch(
            SAMPLES / "harbour.jpg",
            SAMPLES / "swirls.jpg",
            folder,
            jobs=2,
            threads=2,
            size=32,
            iterations=1,
        )
    except ortist.OrtistError as error:
        return str(error)
    return "painted"


@TWO
def test_a_daemonic_process_starts_no_others(tmp_path: Path) -> None:
    """As those of Celery and of multiprocessing.Pool."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said = pool.apply(batched, (str(tmp_path),))
    assert said == "this process is daemonic and may start no others; give jobs=1, or an executor."


@TWO
def test_a_program_from_standard_input_can_be_started_by_nobody_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-", tmp_path], input=PROGRAM, capture_output=True, text=True, timeout=120
    )
    assert "told: the program comes from" in done.stdout
    assert "which new processes cannot read; give jobs=1, or put it into a file." in done.stdout
    assert done.stderr == ""


@TWO
def test_a_program_without_a_main_guard_is_told_of_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("ortist.OrtistError", "ZeroDivisionError"))
    done = subprocess.run(
        [sys.executable, program, tmp_path / "out"], capture_output=True, text=True, timeout=120
    )
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("ortist.errors.ResourceError: the first process that was to paint ended")
    assert 'lacks if __name__ == "__main__":' in last
    assert "began the whole program anew; put what the program does under" in done.stderr


@TWO
@pytest.mark.parametrize("how", [["-c", PROGRAM], ["guarded.py"]])
def test_other_programs_paint(tmp_path: Path, how: list[str]) -> None:
    guarded = (
        f"def main():{PROGRAM}".replace("\n", "\n    ") + '\nif __name__ == "__main__": main()'
    )
    (tmp_path / "guarded.py").write_text(guarded)
    done = subprocess.run(
        [sys.executable, *how, "out"], capture_output=True, text=True, timeout=120, cwd=tmp_path
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert (tmp_path / "out" / "harbour-swirls.png").is_file()


def test_a_frozen_program_hands_its_new_processes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyInstaller's programs are the interpreters of their processes, whose options they get."""
    from ortist import __main__

    class HandedOnError(Exception):
        pass

    def support() -> None:
        raise HandedOnError

    monkeypatch.setattr(multiprocessing, "freeze_support", support)
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(HandedOnError):
        __main__.main()


def test_the_leash_is_let_go_of_without_work() -> None:
    with processes(1) as executor:
        assert executor.submit(len, "four").result() == 4


def test_from_an_archive_the_reason_is_said(ortist: Ortist, tmp_path: Path) -> None:
    archive = tmp_path / "ortist.zip"
    root = Path(__file__).parents[3]
    with zipfile.ZipFile(archive, "w") as packed:
        for house in ("engine", "models"):
            for path in (root / house).rglob("*.py"):
                packed.write(path, path.relative_to(root / house))
    done = ortist(
        "texture", SAMPLES / "swirls.jpg", "-o", tmp_path / "o.png", PYTHONPATH=str(archive)
    )
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert f"was started from an archive, {str(archive)!r}" in done.stderr
