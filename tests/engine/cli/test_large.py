"""Pictures larger than the memory, by the command: plans, files, and what goes wrong with them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ortist.network.bundle import find_model
from ortist.options.fields import Options
from ortist.pictures.reading import read_header
from ortist.run.memory import MemoryModel

from tests.conftest import SAMPLES, Ortist

PICTURES = (str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg"))


@pytest.fixture(scope="module")
def in_files() -> list[str]:
    """Options with which the state of a small picture lies in files."""
    options = Options(size=512, tile=128, smallest_size=256)
    headers = [read_header(path, 10**9) for path in PICTURES]
    model = find_model("squeezenet1_1-procedural")
    least = MemoryModel(model, options, headers[0], headers[1:]).least()
    words = ["--size", "512", "--tile", "128", "--smallest-size", "256", "--iterations", "3"]
    return [*words, "--max-memory", str(least)]


def test_the_plan_is_printed_and_nothing_made(
    ortist: Ortist, in_files: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    done = ortist("transfer", *PICTURES, "-o", out, *in_files, "--plan")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "picture  682 x 512 pixels, in tiles of 128 pixels"
    assert lines[1].startswith("state    in files of 44 MB in ")
    done = ortist("transfer", *PICTURES, *in_files, "--plan", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["memory"]["predicted"] <= found["memory"]["budget"]
    assert [side for side, _ in found["scales"]] == [362, 512]
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_is_refused(ortist: Ortist, tmp_path: Path) -> None:
    words = ("transfer", *PICTURES, "-o", tmp_path / "out.jpg", "--max-memory")
    done = ortist(*words, "400MB", "--size", "4096", "--max-pixels", "100000000")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("ortist: a picture of 5461 x 4096 pixels takes ")
    largest = re.search(r"give --size (\d+), the largest that fits, or", done.stderr)
    assert largest is not None
    assert 3000 < int(largest[1]) < 4096
    done = ortist(*words, "64MB")
    assert done.returncode == 4
    assert "take at least; give more by --max-memory" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of file sizes")
def test_a_disk_that_is_full_half_way(in_files: list[str], tmp_path: Path) -> None:
    """The arrays of the first scales fit under the limit, the last one's do not."""
    out = tmp_path / "out.tif"
    out.write_bytes(b"an older picture")
    words = [sys.executable, "-m", "ortist", "transfer", *PICTURES, "-o", str(out), *in_files]
    trace = tmp_path / "trace.jsonl"
    command = ["bash", "-c", 'ulimit -f 3000; exec "$@"', "-", *words, "--trace", str(trace)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"ortist: cannot keep the run's state in '{tmp_path}' (File too")
    assert done.stderr.count("\n") == 1
    assert len(trace.read_text().splitlines()) >= 2
    assert out.read_bytes() == b"an older picture"
    assert sorted(os.listdir(tmp_path)) == ["out.tif", "trace.jsonl"]


@pytest.mark.long
def test_killed_and_gone_on_with_its_state_in_files(in_files: list[str], tmp_path: Path) -> None:
    """Nothing is left of its files, and it ends with the bytes of a run that nobody killed."""
    words = [sys.executable, "-m", "ortist", "transfer", *PICTURES, *in_files, "-o"]
    whole, out, trace = (tmp_path / name for name in ("whole.tif", "out.tif", "trace.jsonl"))
    subprocess.run([*words, str(whole)], check=True, timeout=400)
    words += [str(out), "--trace", str(trace)]
    words += ["--checkpoint", str(tmp_path / "run"), "--checkpoint-every", "1"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "run").exists():
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -9
    left = set(os.listdir(tmp_path)) - {".run.part"}
    assert left == {"whole.tif", "trace.jsonl", "run"}
    done = subprocess.run(words, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "going on from iteration" in done.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["out.tif", "trace.jsonl", "whole.tif"]


def test_a_sheet_needs_the_pictures_in_memory(
    ortist: Ortist, in_files: list[str], tmp_path: Path
) -> None:
    done = ortist("transfer", *PICTURES, "--sheet", tmp_path / "sheet.png", *in_files)
    assert done.returncode == 2
    assert "leave them out, or give more by --max-memory" in done.stderr
