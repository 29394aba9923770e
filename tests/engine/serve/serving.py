"""A real server in a process of its own, for the tests: started, asked, stopped, killed."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from PIL import Image

from tests.conftest import SAMPLES

__all__ = ["Server", "pictures", "small_jpeg"]


def small_jpeg(name: str, side: int = 64) -> bytes:
    """A sample picture, ``side`` pixels high, encoded."""
    stream = io.BytesIO()
    with Image.open(SAMPLES / f"{name}.jpg") as image:
        image.resize((side * 4 // 3, side)).save(stream, "JPEG", quality=92)
    return stream.getvalue()


def pictures(content: str = "photo.jpg", style: str = "painting.jpg") -> list[Any]:
    """The files of a form: a photo and a painting, by these names."""
    return [
        ("content", (content, small_jpeg("harbour"), "image/jpeg")),
        ("style", (style, small_jpeg("swirls"), "image/jpeg")),
    ]


class Server:
    """``ortist serve`` on a port of its own, ready when the block begins, after ``seconds``."""

    def __init__(self, state: Path, *words: str, **env: str) -> None:
        command = [sys.executable, "-m", "ortist", "serve", "--port", "0", "--state", str(state)]
        began = time.monotonic()
        self.log = state.with_name(f"{state.name}.log")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *words],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **env},
            )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        match = re.fullmatch(r"ortist serves (http://\S+)/\n", self.line)
        assert match, self.log.read_text()
        self.base, self.seconds = match[1], time.monotonic() - began
        self.client = httpx.Client(base_url=self.base, timeout=60)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self) -> tuple[int, float]:
        """Ends it by SIGTERM: its exit status, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20), time.monotonic() - began

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self.process.kill()
        self.process.wait(20)

    def workers(self) -> list[int]:
        """The numbers of the processes that paint."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int(folder.joinpath("stat").read_text().rpartition(")")[2].split()[1])
                words = folder.joinpath("cmdline").read_bytes()
            except (OSError, ValueError):
                continue
            if parent == self.process.pid and b"spawn_main" in words:
                found.append(int(folder.name))
        return found

    def submit(self, key: str | None = None, **options: object) -> str:
        """The id of a new job for the small pictures."""
        headers = {} if key is None else {"Idempotency-Key": key}
        data = {name: str(value) for name, value in options.items()}
        answer = self.client.post("/v1/jobs", files=pictures(), data=data, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> Any:
        """What the service says of a job."""
        answer = self.client.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait(self, job_id: str, *states: str, seconds: float = 60) -> Any:
        """The job once it is in one of these states, or has ended."""
        end = time.monotonic() + seconds
        while (job := self.job(job_id))["state"] not in (states or ("done", "failed", "cancelled")):
            assert time.monotonic() < end, job
            time.sleep(0.03)
        return job

    def wait_for_step(self, job_id: str, step: int = 1, seconds: float = 60) -> None:
        """Waits until a job has got that far."""
        end = time.monotonic() + seconds
        while ((self.job(job_id)["progress"] or {}).get("iteration", -1)) < step:
            assert time.monotonic() < end
            time.sleep(0.02)

    def events(self, job_id: str, after: int | None = None) -> list[tuple[int, str, Any]]:
        """All events of a job to its end: (number, name, data)."""
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        found = []
        with self.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            text = answer.read().decode()
        for block in text.split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "event" in lines:
                found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
        return found
