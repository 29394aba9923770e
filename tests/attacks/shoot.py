"""Hostile inputs, signals, full disks and forks: python -m tests.attacks.shoot --help

Each kind prints one line of figures. What is against a target fails an assertion, which names it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import ortist
import typer
from ortist.errors import OutputError, PictureError
from ortist.pictures.outputs import save_picture
from ortist.pictures.raster import Painting
from ortist.pictures.reading import load_picture, read_header
from PIL import Image

from tests.attacks.environment import surroundings
from tests.attacks.inputs import hostile_commands
from tests.attacks.pictures import hostile_pictures
from tests.conftest import SAMPLES

__all__ = ["commands", "disks", "forks", "painted", "pictures", "signals"]

_MOST_MEMORY, _MOST_SECONDS = 300 * 10**6, 5.0
_AT_ONCE = 50
"""Pictures of one batch."""
_FORMATS = (".png", ".jpg", ".tif", ".webp", ".bmp")


def pictures(folder: Path, count: int, seed: int) -> str:
    """So many pictures are read in this process: each is a picture or a PictureError of one line.

    None takes 5 seconds of CPU time; all together raise the peak of memory by 300 MB at most.
    """
    load_picture(SAMPLES / "harbour.jpg", 10**8)
    before, slowest, read = _peak(), (0.0, ""), 0
    for name, data in hostile_pictures(count, seed):
        path = folder / name
        path.write_bytes(data)
        began = time.process_time()
        try:
            read_header(path, 89_478_485)
            load_picture(path, 89_478_485)
            said, read = "", read + 1
        except PictureError as error:
            said = str(error)
        assert "\n" not in said, name
        slowest = max(slowest, (time.process_time() - began, name))
        assert slowest[0] < _MOST_SECONDS, slowest
        path.unlink()
    more = _peak() - before
    assert more < _MOST_MEMORY, more
    return f"{count} pictures, {read} read, slowest {slowest[0]:.2f} s, +{more / 1e6:.0f} MB"


def painted(folder: Path, count: int, seed: int) -> str:
    """So many pictures go through ``ortist batch``: a painting or one line that says why not.

    None takes 5 seconds of CPU time on average of its fifty; memory as for ``pictures``.
    """
    command = importlib.import_module("ortist.cli.main")
    waiting = iter(hostile_pictures(count, seed))
    before, slowest, codes = 0, 0.0, Counter[str]()
    while some := list(itertools.islice(waiting, _AT_ONCE)):
        paths = [folder / name for name, _ in some]
        for path, (_, data) in zip(paths, some, strict=True):
            path.write_bytes(data)
        said, told, began = io.StringIO(), io.StringIO(), time.process_time()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(told):
            sys.argv = ["ortist", "batch", *map(str, paths), "--style", str(SAMPLES / "swirls.jpg")]
            sys.argv += ["-o", str(folder / "out"), "--size", "32", "--iterations", "0"]
            sys.argv += ["--quality", "paper", "--json"]
            code = command.main()
        slowest = max(slowest, (time.process_time() - began) / len(some))
        outcomes = [json.loads(line) for line in told.getvalue().splitlines()]
        codes.update(outcome["status"] for outcome in outcomes)
        assert code in (0, 1), said.getvalue()
        assert len(outcomes) == len(some), said.getvalue()
        failed = [outcome["error"] for outcome in outcomes if outcome["status"] == "failed"]
        assert said.getvalue().count("\n") <= len(failed) + 8, said.getvalue()  # remarks, a sum
        for error in failed:
            assert "\n" not in error, error
            assert "unexpected" not in error, error
        shutil.rmtree(folder / "out")
        for path in paths:
            path.unlink()
        before = before or _peak()  # sessions are open
    more = _peak() - before
    assert slowest < _MOST_SECONDS, slowest
    assert more < _MOST_MEMORY, more
    told_of = ", ".join(f"{number} {status}" for status, number in sorted(codes.items()))
    return f"{count} by batch, {told_of}, {slowest:.2f} s each at most, +{more / 1e6:.0f} MB"


def commands(folder: Path, count: int, seed: int) -> str:
    """So many commands with hostile files and options: one line, exit 2 or 3, or a picture."""
    command = importlib.import_module("ortist.cli.main")
    codes: Counter[int] = Counter()
    for what, words in hostile_commands(folder, count, seed):
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            sys.argv = ["ortist", *words]
            code = command.main()
        assert code in (0, 2, 3, 5), (what, code, said.getvalue())
        assert code == 0 or said.getvalue().count("\n") == 1, (what, said.getvalue())
        codes[code] += 1
    peak = _peak()
    assert peak < 500 * 10**6 or count > 100, peak
    told = ", ".join(f"{number} with {code}" for code, number in sorted(codes.items()))
    return f"{count} commands, {told}; peak {peak / 1e6:.0f} MB"


def signals(folder: Path, count: int, seed: int) -> str:
    """So many runs are ended at moments between start and exit: 130 and one line, or done."""
    chance = random.Random(seed)
    words = ["transfer", str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg")]
    words += ["--size", "32", "--iterations", "20", "-o", str(folder / "o.png")]
    began = time.monotonic()
    assert _started(words).wait(timeout=300) == 0
    seconds = time.monotonic() - began
    ended = early = 0
    for _ in range(count):
        (folder / "o.png").unlink(missing_ok=True)
        process = _started(words)
        time.sleep(chance.uniform(0.0, 1.05) * seconds)
        number = chance.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        if process.returncode not in (0, 130):
            assert process.returncode == -number or _is_pythons(said), (process.returncode, said)
            early += 1
        assert process.returncode != 130 or said.count("\n") == 1, repr(said)
        ended += process.returncode == 130
        left = {path.name for path in folder.iterdir()} - {"o.png"}
        assert not left, left
        if (folder / "o.png").exists():
            Image.open(folder / "o.png").load()
    return (
        f"{count} signals, {ended} ended with 130, {early} came before Python was at the first "
        "line, nothing left behind"
    )


def _is_pythons(said: str) -> bool:
    """Whether Ctrl-C came while the interpreter itself was starting, which says so at length."""
    ours = f"{os.sep}ortist{os.sep}"
    return said.rstrip().endswith("KeyboardInterrupt") and ours not in said


def _started(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "ortist", *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def disks(folder: Path, count: int, seed: int) -> str:
    """A picture in every format where files may have so many bytes only: whole, or an error."""
    chance, refused = random.Random(seed), 0
    values = np.random.default_rng(seed).random((60, 80, 3)).astype(np.float32)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for suffix in _FORMATS:
        path = folder / f"o{suffix}"
        save_picture(Painting(values), path)
        whole = path.read_bytes()
        for _ in range(count):
            path.unlink(missing_ok=True)
            limit = chance.randrange(0, len(whole) + 100)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
            try:
                save_picture(Painting(values), path)
            except OutputError:
                refused += 1
                assert not path.exists(), (suffix, limit)
            else:
                assert path.read_bytes() == whole, (suffix, limit)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            assert {entry.name for entry in folder.iterdir()} <= {path.name}
        path.unlink(missing_ok=True)
    return f"{count} sizes of {len(_FORMATS)} formats, {refused} refused, none torn"


def forks(count: int) -> str:
    """So many children are forked and spawned while another thread paints: none hangs."""
    stop = threading.Event()

    def paint() -> None:
        while not stop.is_set():
            _paint()

    thread = threading.Thread(target=paint)
    thread.start()
    try:
        for how in ("fork", "spawn"):
            context: Any = multiprocessing.get_context(how)
            for _ in range(count if how == "fork" else max(1, count // 10)):
                child = context.Process(target=_paint)
                child.start()
                child.join(60)
                assert child.exitcode == 0, (how, child.exitcode)
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    return f"{count} forked and {max(1, count // 10)} spawned while a thread painted, none hung"


def _paint() -> None:
    """A picture, or the reason why there is none in a forked process."""
    with contextlib.suppress(ortist.OrtistError):
        ortist.transfer(SAMPLES / "harbour.jpg", SAMPLES / "swirls.jpg", size=32, iterations=2)


def _peak() -> int:
    """The most bytes that this program had in memory so far.

    ru_maxrss is not it: it counts what the process had that started this program, too.
    """
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main(
    hostile: Annotated[int, typer.Option(help="Hostile pictures, read.")] = 5000,
    batches: Annotated[int, typer.Option(help="Hostile pictures, by the command.")] = 5000,
    inputs: Annotated[int, typer.Option(help="Hostile files and options.")] = 400,
    ended: Annotated[int, typer.Option(help="Signals.")] = 200,
    full: Annotated[int, typer.Option(help="Sizes of a full disk, each in every format.")] = 100,
    limits: Annotated[int, typer.Option(help="Limits and closed streams.")] = 100,
    children: Annotated[int, typer.Option(help="Forked children.")] = 50,
    seed: Annotated[int, typer.Option(help="Of all that is random.")] = 1,
) -> None:
    """Shoot at Ortist, and print what became of it."""
    kinds = ((pictures, hostile), (painted, batches), (disks, full), (signals, ended))
    for shots, count in (*kinds, (commands, inputs), (surroundings, limits)):
        with tempfile.TemporaryDirectory() as name:
            if count:
                print(shots(Path(name), count, seed), flush=True)
    if children:
        print(forks(children), flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
