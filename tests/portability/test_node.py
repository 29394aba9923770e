"""The shipped model in Node: a whole transfer, by the client of docs/format.md."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .case import FOLDER, asked, compare, packages, programs

HERE = Path(__file__).resolve().parent


def test_node_gives_the_same_gradient_and_picture() -> None:
    programs("node")
    packages("onnxruntime-node")
    done = subprocess.run(
        ["node", "node.mjs", str(FOLDER)],
        cwd=HERE,
        input=json.dumps(asked()),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = compare(json.loads(done.stdout))
    assert found.features <= 1e-6, found
    assert found.gradient <= 1e-6, found
    assert found.loss <= 1e-6, found
    assert found.losses <= 1e-4, found
    assert found.levels <= 0.1, found
