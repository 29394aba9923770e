"""Requests drawn from the service's own description: python -m tests.attacks.schema

Schemathesis reads /openapi.json and sends what it allows, and what it forbids, to every route. No
answer may be the server's fault, nor one that the description does not have.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.engine.serve.serving import Server

__all__ = ["conform"]

_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def conform(server: Server, examples: int, seed: int, phases: str = "coverage,fuzzing") -> int:
    """The number of requests that were sent, so many of each route at most.

    Asserts that all answers were as described, and that the log has no traceback.
    """
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.base}/openapi.json"]
    command += ["--checks", ",".join(_CHECKS), "--phases", phases, "--no-color"]
    command += ["--max-examples", str(examples), "--seed", str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=server.log.parent)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr
    counts = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counts, done.stdout
    assert counts[1] == counts[2], done.stdout[-8000:]
    assert "Traceback" not in server.log.read_text()
    assert server.client.get("/healthz").status_code == 200
    return int(counts[1])


def main(
    requests: Annotated[int, typer.Option(help="Requests at least.", min=1)] = 10_000,
    examples: Annotated[int, typer.Option(help="Of each route in one round.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="Of the first round.")] = 0,
) -> None:
    """Prints how many were sent, and the memory of the server before and after."""
    with tempfile.TemporaryDirectory() as name, Server(Path(name) / "state") as server:
        sent, before = 0, _resident(server)
        while sent < requests:
            sent += conform(server, examples, seed)
            seed += 1
        print(json.dumps({"sent": sent, "mb_before": before, "mb_after": _resident(server)}))


def _resident(server: Server) -> dict[str, int]:
    """Megabytes by the service's own word."""
    lines = server.client.get("/metrics").text.splitlines()
    pairs = [line.split() for line in lines if "resident" in line and not line.startswith("#")]
    return {name: round(float(value) / 1e6) for name, value in pairs}


if __name__ == "__main__":
    typer.run(main)
