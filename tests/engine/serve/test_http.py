"""The routes, asked by HTTP of a real server: what they paint, tell and refuse."""

from __future__ import annotations

import io
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ortist.style.named import BUILT_IN
from PIL import Image

from tests.conftest import Ortist
from tests.engine.serve.serving import Server, pictures, small_jpeg

SMALL = {"size": "48", "iterations": "4"}


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve") / "state"


@pytest.fixture(scope="module")
def server(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    styles = tmp_path_factory.mktemp("styles")
    (styles / "mine.jpg").write_bytes(small_jpeg("shards"))
    (styles / "broken.jpg").write_bytes(b"no picture")
    words = ["--styles", str(styles), "--max-upload", "1MB", "--max-pixels", "1000000"]
    with Server(state, *words, "--max-size", "512") as running:
        yield running
        log = running.log.read_text()
        assert "Traceback" not in log
        assert "'broken.jpg' is left out" in log


def test_a_picture_is_what_the_command_paints(
    server: Server, ortist: Ortist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.jpg").write_bytes(small_jpeg("harbour"))
    Path("painting.jpg").write_bytes(small_jpeg("swirls"))
    words = ["transfer", "photo.jpg", "painting.jpg", "-o", "out.png", "--size", "48"]
    done = ortist(*words, "--iterations", "4", "--seed", "3")
    assert done.returncode == 0, done.stderr
    answer = server.client.post("/v1/transfer", files=pictures(), data={**SMALL, "seed": "3"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert 'filename="photo-painting.png"' in answer.headers["content-disposition"]
    assert answer.content == Path("out.png").read_bytes()


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("image/jpeg", "JPEG"),
        ("image/webp, image/png;q=0.5", "WEBP"),
        ("image/*", "PNG"),
        ("text/html, image/jpeg;q=0.2, image/tiff;q=0.7", "TIFF"),
    ],
)
def test_accept_chooses_the_format(server: Server, accept: str, form: str) -> None:
    answer = server.client.post(
        "/v1/transfer", files=pictures(), data=SMALL, headers={"Accept": accept}
    )
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.format == form


def test_a_job_is_followed_to_its_picture(server: Server) -> None:
    answer = server.client.post(
        "/v1/jobs", files=pictures(), data={"size": "48", "iterations": "40"}
    )
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] in ("queued", "running")
    early = server.client.get(f"/v1/jobs/{job['id']}/picture")
    assert early.status_code == 409
    events = server.events(job["id"])
    numbers = [number for number, _, _ in events]
    assert numbers == sorted(set(numbers))
    assert {name for _, name, _ in events} == {"state", "progress", "preview"}
    steps = [data["iteration"] for _, name, data in events if name == "progress"]
    assert steps == sorted(steps)
    assert steps[-1] == 40
    assert events[-1][2]["state"] == "done"
    shown = next(data for _, name, data in events if name == "preview")
    assert shown["image"].startswith("data:image/jpeg;base64,")
    # Who comes back has what came after, and nothing twice.
    assert server.events(job["id"], numbers[-3]) == events[-2:]
    assert server.events(job["id"], numbers[-1]) == []
    told = server.job(job["id"])
    assert told["state"] == "done"
    picture = server.client.get(told["links"]["picture"])
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.height == 48
    preview = server.client.get(told["links"]["preview"])
    assert preview.headers["content-type"] == "image/jpeg"
    report = server.client.get(told["links"]["report"]).json()
    assert len(report["steps"]) == 41
    assert report["settings"]["inputs"]["content"]["path"] == "photo.jpg"
    assert server.client.delete(told["links"]["self"]).status_code == 204
    assert server.client.get(told["links"]["self"]).status_code == 404


def test_every_kind_of_order_is_painted(server: Server) -> None:
    photo, painting = pictures()
    white = io.BytesIO()
    Image.new("L", (64, 48), 255).save(white, "PNG")
    mask = ("mask.png", white.getvalue(), "image/png")
    orders: list[tuple[list[Any], dict[str, Any]]] = [
        ([photo], {"command": "invert"}),
        ([painting], {"command": "texture", "seamless": "true"}),
        ([photo], {"style": "mine"}),
        ([photo, painting], {"style": "swirls", "style_weights": "2,1"}),
        ([photo, painting, ("init", painting[1])], {}),
        ([photo, painting, ("content_mask", mask)], {"style_mask": "-"}),
        ([photo, painting], {"preset": "cs231n-starry-night", "init": "noise"}),
    ]
    for files, data in orders:
        answer = server.client.post("/v1/transfer", files=files, data={**SMALL, **data})
        assert answer.status_code == 200, (data, answer.text)


def test_a_key_makes_a_request_count_once(server: Server) -> None:
    first = server.submit("key-1", **SMALL)
    assert server.submit("key-1", **SMALL) == first
    answer = server.client.post(
        "/v1/jobs",
        files=pictures(),
        data={**SMALL, "seed": "9"},
        headers={"Idempotency-Key": "key-1"},
    )
    assert answer.status_code == 422
    assert "Idempotency-Key was used" in answer.json()["detail"]
    server.wait(first)
    assert server.submit("key-1", **SMALL) == first


def test_a_cancel_ends_the_work_within_a_second(server: Server) -> None:
    busy, queued = (server.submit(size=256, iterations=5000) for _ in range(2))
    server.wait_for_step(busy)
    assert server.job(queued)["place"] == 1
    for job in (queued, busy):
        began = time.monotonic()
        answer = server.client.delete(f"/v1/jobs/{job}")
        took = time.monotonic() - began
        assert answer.json()["state"] == "cancelled"
        assert took < 1.5  # 1 s is promised on a machine that is not shared
    assert server.client.get(f"/v1/jobs/{busy}/picture").status_code == 409


def test_a_caller_who_goes_away_ends_the_work(server: Server) -> None:
    request = server.client.build_request(
        "POST", "/v1/transfer", files=pictures(), data={"size": "256", "iterations": "5000"}
    )
    host, port = server.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        head = f"POST /v1/transfer HTTP/1.1\r\nHost: {host}\r\n"
        body = request.read()
        head += f"Content-Type: {request.headers['content-type']}\r\n"
        caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        _wait_for(server, "ortist_running_jobs 1.0")
    _wait_for(server, "ortist_running_jobs 0.0")


def _wait_for(server: Server, line: str) -> None:
    end = time.monotonic() + 20
    while line not in server.client.get("/metrics").text:
        assert time.monotonic() < end, line
        time.sleep(0.05)


def bomb() -> bytes:
    """A PNG of 69 bytes whose header says 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


PHOTO, PAINTING = pictures()
BAD: list[tuple[str, list[Any], dict[str, Any], int, str]] = [
    ("no content", [PAINTING], {}, 422, "the content is missing"),
    ("no style", [PHOTO], {}, 422, "the style is missing"),
    ("a style that is a path", [PHOTO], {"style": "../../etc/passwd"}, 422, "no style"),
    ("a style of another folder", [PHOTO], {"style": "/etc/hostname"}, 422, "no style"),
    ("no such style", [PHOTO], {"style": "monet"}, 422, "choose one of mine"),
    ("no picture", [PHOTO, ("style", ("x.png", b"no", "image/png"))], {}, 422, "'x.png' is not a"),
    ("empty", [PHOTO, ("style", ("x.png", b"", "image/png"))], {}, 422, "x.png"),
    ("a bomb", [PHOTO, ("style", ("b.png", bomb(), "image/png"))], {}, 422, "60000 x 60000"),
    ("two contents", [PHOTO, PHOTO, PAINTING], {}, 422, "2 pictures for content"),
    ("another file", [PHOTO, PAINTING, ("hat", PHOTO[1])], {}, 422, "no picture 'hat'"),
    ("a content in words", [PAINTING], {"content": "/etc/passwd"}, 422, "send a picture as a file"),
    ("unknown option", [PHOTO, PAINTING], {"sise": "1"}, 422, "did you mean 'size'"),
    ("the service's option", [PHOTO, PAINTING], {"threads": "1"}, 422, "the service's own"),
    ("a folder", [PHOTO, PAINTING], {"scratch": "/tmp"}, 422, "the service's own"),
    ("no number", [PHOTO, PAINTING], {"size": "many"}, 422, "size should be a whole number"),
    ("too large", [PHOTO, PAINTING], {"size": "513"}, 422, "up to 512"),
    ("too small", [PHOTO, PAINTING], {"size": "1"}, 422, "size 1 is out of range"),
    ("a path as init", [PHOTO, PAINTING], {"init": "/etc/passwd"}, 422, "send a picture"),
    ("a path as model", [PHOTO, PAINTING], {"model": "../x"}, 422, "no model '../x'"),
    ("no preset", [PHOTO, PAINTING], {"preset": "x"}, 422, "there is no preset 'x'"),
    ("no flag", [PHOTO, PAINTING], {"rescale": "maybe"}, 422, "should be true or false"),
    ("at odds", [PHOTO, PAINTING], {"optimizer": "lbfgs", "jitter": "4"}, 422, "jitter 4"),
    ("depth", [PHOTO, PAINTING], {"format": "jpg", "depth": "16"}, 422, "JPEG holds 8 bits"),
    ("no format", [PHOTO, PAINTING], {"format": "exe"}, 422, "there is no format 'exe'"),
    ("no command", [PHOTO, PAINTING], {"command": "rm"}, 422, "there is no command 'rm'"),
    ("style in vain", [PHOTO, PAINTING], {"command": "invert"}, 422, "no use for a style"),
    ("a lone mask", [PHOTO, PAINTING, ("style_mask", PHOTO[1])], {}, 422, "0 content masks"),
    ("too large a body", [("content", ("x.jpg", bytes(2_000_000)))], {}, 413, "1000000 bytes"),
    ("a long field", [PHOTO, PAINTING], {"seed": "1" * 9000}, 400, "the form cannot be read"),
]


@pytest.mark.parametrize("route", ["/v1/transfer", "/v1/jobs"])
@pytest.mark.parametrize(
    ("files", "data", "status", "said"), [bad[1:] for bad in BAD], ids=[b[0] for b in BAD]
)
def test_what_is_off_is_said_in_a_sentence(
    server: Server,
    state: Path,
    route: str,
    files: list[Any],
    data: dict[str, Any],
    status: int,
    said: str,
) -> None:
    answer = server.client.post(route, files=files, data=data)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert said in problem["detail"]
    assert str(state) not in answer.text
    assert "sent-" not in answer.text


def test_a_damaged_picture_fails_its_job_by_its_name(server: Server, state: Path) -> None:
    cut = small_jpeg("harbour")[:600]
    files = [("content", ("holiday.jpg", cut, "image/jpeg")), PAINTING]
    answer = server.client.post("/v1/transfer", files=files, data=SMALL)
    assert answer.status_code == 422
    assert "'holiday.jpg' is damaged" in answer.json()["detail"]
    assert str(state) not in answer.text


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({}, b"", 415),
        ({"Content-Type": "multipart/form-data"}, b"--x", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"nothing of a form", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\n\r\n\r\n--x--", 400),
        ({"Content-Type": "multipart/form-data; boundary=x", "Accept": "text/html"}, b"", 406),
    ],
)
def test_what_is_no_form_is_refused(
    server: Server, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = server.client.post("/v1/transfer", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["status"] == status


def test_a_body_that_says_it_is_too_large_is_not_read(server: Server) -> None:
    host, port = server.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as caller:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999\r\n"
        caller.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        assert caller.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_without_an_end_is_broken_off(server: Server) -> None:
    host, port = server.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as caller:
        head = f"POST /v1/jobs HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
        caller.sendall(f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n".encode())
        part = b'--x\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\n'
        caller.sendall(b"%x\r\n%b\r\n" % (len(part), part))
        sent = 0
        try:
            while sent < 50_000_000:
                caller.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                sent += 0x10000
        except OSError:
            pass
        assert sent < 40_000_000  # what is read on for the caller to see the answer, and buffers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_origins_may_not_send(server: Server, headers: dict[str, str]) -> None:
    for method, path in (("POST", "/v1/jobs"), ("DELETE", f"/v1/jobs/{'0' * 32}")):
        answer = server.client.request(method, path, headers=headers)
        assert answer.status_code == 403
    answer = server.client.get("/v1/options", headers=headers)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_own_page_may_send(server: Server) -> None:
    headers = {"Origin": server.base, "Sec-Fetch-Site": "same-origin"}
    answer = server.client.post("/v1/transfer", files=pictures(), data=SMALL, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "job_id", ["x", "0" * 31, "0" * 32, "A" * 32, "..%2f..%2fetc", "%00", "0" * 5000]
)
def test_an_id_that_is_none_is_not_there(server: Server, job_id: str) -> None:
    for tail in ("", "/events", "/picture", "/preview", "/report"):
        answer = server.client.get(f"/v1/jobs/{job_id}{tail}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "name",
    [
        'a"b\r\nSet-Cookie: x=1.jpg',
        "../../etc/passwd.jpg",
        "C:\\Users\\me\\photo.jpg",
        "Straße 東京.jpg",
        "<script>alert(1)</script>.jpg",
        "." * 300,
    ],
)
def test_names_of_files_harm_no_header(server: Server, name: str) -> None:
    answer = server.client.post("/v1/transfer", files=pictures(content=name), data=SMALL)
    assert answer.status_code == 200, answer.text
    assert "set-cookie" not in answer.headers
    said = answer.headers["content-disposition"]
    assert said.isascii()
    assert said.isprintable()
    assert "/" not in said
    assert "\\" not in said
    assert "<" not in said


def test_there_is_a_word_for_paths_and_methods_that_are_none(server: Server) -> None:
    assert server.client.get("/v2").json()["status"] == 404
    assert server.client.get("/page/../server.py").json()["status"] == 404
    assert server.client.get("/page/%2e%2e/server.py").json()["status"] == 404
    answer = server.client.put("/v1/jobs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_styles_models_and_health_are_told(server: Server) -> None:
    styles = server.client.get("/v1/styles").json()
    assert [style["name"] for style in styles] == ["mine", *BUILT_IN]
    for style in styles:
        answer = server.client.get(style["thumbnail"])
        with Image.open(io.BytesIO(answer.content)) as image:
            assert max(image.size) <= 240
    assert server.client.get("/v1/styles/..%2fx/thumbnail").status_code == 404
    models = server.client.get("/v1/models").json()
    assert [model["name"] for model in models if model["default"]] == ["squeezenet1_1-procedural"]
    assert server.client.get("/healthz").json() == {"status": "alive"}
    ready = server.client.get("/readyz").json()
    assert ready["model"]["name"] == "squeezenet1_1-procedural"
    metrics = server.client.get("/metrics").text
    for name in ("queue_jobs", "jobs_total", "job_seconds_bucket", "resident_bytes"):
        assert f"ortist_{name}" in metrics


def test_every_answer_has_the_headers_of_safety(server: Server) -> None:
    for path in ("/", "/v1/options", "/nothing", "/healthz"):
        headers = server.client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::1", "a:b:c"])
def test_names_that_are_not_the_services_lead_nowhere(server: Server, host: str) -> None:
    for path in ("/", "/v1/options"):
        answer = server.client.get(path, headers={"Host": host})
        assert answer.status_code in (400, 421)  # 400 is Uvicorn's, for what is no name
    form = {"size": "32", "iterations": "1"}
    answer = server.client.post("/v1/jobs", files=pictures(), data=form, headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert server.client.get("/healthz", headers={"Host": "probe.example"}).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost:80", "127.0.0.1", "[::1]:80", "x.localhost", "10.1.2.3"]
)
def test_addresses_and_localhost_are_the_services(server: Server, host: str) -> None:
    assert server.client.get("/v1/options", headers={"Host": host}).status_code == 200
