"""Malformed requests and crowds against the HTTP service: python -m tests.attacks.serve

Requests are drawn from a seed: forms with bytes flipped, cut or doubled, odd headers, methods and
paths, over every route of /openapi.json. The crowd uploads at once, some slowly, some vanishing.
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer

from tests.engine.serve.serving import Server, pictures

__all__ = ["crowd", "fuzz"]

_ODD = [
    "",
    "\x00",
    "../../etc/passwd",
    "%2e%2e",
    "A" * 5000,
    "\u2019",
    "-1",
    "1e999",
    "NaN",
    "[]",
    "{}",
]
_PROBE = """
import http.client, json, sys, threading, time
over, took = threading.Event(), []
threading.Thread(target=lambda: (sys.stdin.readline(), over.set()), daemon=True).start()
while not over.is_set():
    began = time.perf_counter()
    connection = http.client.HTTPConnection(sys.argv[1], timeout=60)
    connection.request("GET", "/healthz")
    assert connection.getresponse().status == 200
    connection.close()
    took.append(time.perf_counter() - began)
    if len(took) == 1:
        print("begun", flush=True)
    time.sleep(0.02)
print(json.dumps(took[1:]))
"""
"""A program that asks /healthz until a line comes, and prints the seconds that it took.

Each time it connects anew, as probes do. It says when it has begun.
"""
_CROWDS = 3
_HEADERS = [
    "Accept",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "Range",
    "Cookie",
    "If-Range",
]


def fuzz(server: Server, count: int, seed: int) -> Counter[int]:
    """Sends so many malformed requests; how often each status came, 0 for a closed connection.

    Asserts that no answer is the server's fault, and that its log has no traceback.
    """
    chance = random.Random(seed)
    paths = server.client.get("/openapi.json").json()["paths"]
    form = httpx.Request(
        "POST", server.base, files=pictures(), data={"size": "32", "iterations": "1"}
    )
    body, kind = form.read(), form.headers["content-type"]
    host, port = server.base.removeprefix("http://").split(":")
    found: Counter[int] = Counter()
    for number in range(count):
        request = _request(chance, paths, body, kind)
        status = _sent(host, int(port), request)
        found[status] += 1
        assert status < 500 or status in (503, 507), (number, status, request[:300])
    assert "Traceback" not in server.log.read_text()
    assert server.client.get("/healthz").status_code == 200
    return found


def _request(chance: random.Random, paths: dict[str, Any], body: bytes, kind: str) -> bytes:
    """One request, as bytes."""
    path = chance.choice([*paths, *["/v1/jobs", "/v1/transfer"] * 8])
    known = [name.upper() for name in paths[path] if name in ("get", "post", "delete")]
    for name in ("{job_id}", "{name}"):
        path = path.replace(name, quote(chance.choice(_ODD), safe="%."))
    odd = ["GET", "POST", "DELETE", "PUT", "HEAD", "BREW"]
    method = chance.choice(known if chance.random() < 0.9 else odd)
    headers = {"Host": "localhost", "Connection": "close"}
    if chance.random() < 0.3:
        headers[chance.choice(_HEADERS)] = chance.choice(_ODD).replace("\x00", "").strip()
    if method == "POST":
        body = _mutated(chance, body)
        headers.setdefault("Content-Type", kind)
        length = len(body) if chance.random() < 0.9 else chance.choice([0, len(body) // 2, 10**12])
        headers["Content-Length"] = str(length)
    else:
        body = b""
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body


def _mutated(chance: random.Random, body: bytes) -> bytes:
    """The form with something wrong about it."""
    data = bytearray(body)
    match chance.randrange(5):
        case 0:
            for _ in range(chance.randrange(1, 40)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        case 1:
            del data[chance.randrange(len(data)) :]
        case 2:
            at = chance.randrange(len(data))
            data[at:at] = data[: chance.randrange(2000)]
        case 3:
            head = data.index(b"\r\n\r\n")
            data[chance.randrange(head)] = chance.randrange(256)
        case _:
            data = data.replace(b'name="size"', b'name="%b"' % chance.randbytes(4).hex().encode())
            data = data.replace(b"32\r\n", chance.choice(_ODD).encode() + b"\r\n")
    return bytes(data)


def _sent(host: str, port: int, request: bytes) -> int:
    """The status of the answer, 0 where there is none."""
    with socket.create_connection((host, port), timeout=60) as caller:
        try:
            caller.sendall(request)
            if b"Content-Length: 1000000000000" in request or len(request) % 3 == 0:
                caller.shutdown(socket.SHUT_WR)  # else the server waits for the rest
            answer = caller.recv(64)
        except OSError:
            return 0
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


def crowd(server: Server, clients: int, seed: int) -> tuple[Counter[int], list[float]]:
    """Statuses of so many clients at once, and the seconds of /healthz meanwhile.

    Half of them are slow, a tenth vanishes in the middle of the body.
    """
    request = httpx.Request(
        "POST", server.base, files=pictures(), data={"size": "32", "iterations": "1"}
    )
    body, kind = request.read(), request.headers["content-type"]
    host, port = server.base.removeprefix("http://").split(":")
    lines = ("POST /v1/jobs HTTP/1.1", "Host: localhost", "Connection: close")
    head = "\r\n".join((*lines, f"Content-Type: {kind}", ""))
    whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    found: Counter[int] = Counter()

    def client(number: int) -> None:
        with socket.create_connection((host, int(port)), timeout=120) as caller:
            try:
                pieces = 10 if number % 2 else 1
                step = -(-len(whole) // pieces)
                for piece in range(pieces):
                    if number % 10 == 9 and piece == 5:
                        return
                    caller.sendall(whole[piece * step : (piece + 1) * step])
                    time.sleep(0.2 if pieces > 1 else 0)
                found[int(caller.recv(64)[9:12])] += 1
            except OSError:
                found[0] += 1

    # The probe is a process of its own: the clients' threads would hold it up.
    words = [sys.executable, "-c", _PROBE, f"{host}:{port}"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        assert probe.stdout.readline() == "begun\n"
        with ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(client, number) for number in range(clients)]:
                done.result()
        return found, json.loads(probe.communicate("over\n")[0])


def main(
    requests: Annotated[int, typer.Option(help="Malformed requests.", min=1)] = 10_000,
    clients: Annotated[int, typer.Option(help="Clients at once.", min=1)] = 400,
    seed: Annotated[int, typer.Option(help="Of the requests.")] = 0,
) -> None:
    """Prints what was answered, and how fast the server said that it lives."""
    with tempfile.TemporaryDirectory() as name, Server(Path(name) / "state") as server:
        print(json.dumps({"malformed": dict(sorted(fuzz(server, requests, seed).items()))}))
        found, took = Counter[int](), list[float]()
        for number in range(_CROWDS):
            answered, seconds = crowd(server, clients, seed + number)
            found, took = found + answered, took + seconds
        slow = statistics.quantiles(took, n=100, method="inclusive")[98]
        print(
            json.dumps({"crowd": dict(sorted(found.items())), "healthz_p99_ms": round(1000 * slow)})
        )
        for line in server.client.get("/metrics").text.splitlines():
            if "resident" in line and not line.startswith("#"):
                print(line)


if __name__ == "__main__":
    typer.run(main)
