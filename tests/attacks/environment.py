"""Surroundings that lack something: addresses, open files, room on the disk, streams.

Each is a run of the command in a process of its own. It paints, or it ends with a documented code
and one line; what it was to write is there whole, or nothing of it is.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from tests.conftest import SAMPLES

__all__ = ["surroundings"]

_MOST_ADDRESSES = 1_200_000_000
_LEAST_ADDRESSES = 120_000_000
"""Bytes of addresses; with fewer Python, or what NumPy loads, ends before our first line."""
_NOT_OURS = ("OpenBLAS", "Fatal Python error", "error while loading shared libraries")
"""What a library or the interpreter says that ends the process itself."""
_FORMATS = (".png", ".jpg", ".tif", ".webp", ".bmp")


def surroundings(folder: Path, count: int, seed: int) -> str:
    """So many runs, each in a kind of surroundings that chance takes."""
    chance, codes, left_out = random.Random(seed), Counter[int](), 0
    kinds: list[Callable[[Path, random.Random], int | None]] = [
        _few_addresses,
        _few_files,
        _full_disk,
        _closed_streams,
        _full_stdout,
    ]
    for number in range(count):
        code = kinds[number % len(kinds)](folder, chance)
        if code is None:
            left_out += 1
        else:
            codes[code] += 1
    told = ", ".join(f"{number} with {code}" for code, number in sorted(codes.items()))
    return f"{count} surroundings, {told}; {left_out} ended by a library"


def _few_addresses(folder: Path, chance: random.Random) -> int | None:
    most = chance.randrange(_LEAST_ADDRESSES, _MOST_ADDRESSES)
    return _run(folder, "o.png", lambda: _limit(resource.RLIMIT_AS, most), codes=(0, 4))


def _few_files(folder: Path, chance: random.Random) -> int | None:
    most = chance.randrange(5, 32)
    return _run(folder, "o.png", lambda: _limit(resource.RLIMIT_NOFILE, most), codes=(0, 2, 3, 4))


def _full_disk(folder: Path, chance: random.Random) -> int | None:
    """A disk of a few kB where one can be mounted, else a limit of a file's size."""
    kilobytes, name = chance.randrange(4, 80, 4), f"o{chance.choice(_FORMATS)}"
    with _small_disk(folder / "disk", kilobytes) as disk:
        most = None if disk else (lambda: _limit(resource.RLIMIT_FSIZE, 1024 * kilobytes))
        return _run(folder / "disk", name, most, codes=(0, 2))


def _closed_streams(folder: Path, chance: random.Random) -> int | None:
    streams = [number for number in range(3) if chance.random() < 0.6]

    def close() -> None:
        for number in streams:
            os.close(number)

    return _run(folder, "o.png", close, ("--json",), codes=(0, 2))


def _full_stdout(folder: Path, chance: random.Random) -> int | None:
    with open("/dev/full", "w") as full:
        return _run(folder, "o.png", None, ("--json",), full.fileno(), codes=(2,))


def _limit(what: int, most: int) -> None:
    resource.setrlimit(what, (most, most))


@contextlib.contextmanager
def _small_disk(place: Path, kilobytes: int) -> Iterator[bool]:
    """A folder, on a disk of its own if this process may mount one: whether it is."""
    place.mkdir()
    size = f"size={kilobytes}k"
    command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(place)]
    with contextlib.suppress(OSError):
        mounted = os.getuid() == 0 and not subprocess.run(command, stderr=-3).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(place)], check=True)
        shutil.rmtree(place)


def _run(
    folder: Path,
    name: str,
    before: Callable[[], None] | None,
    more: tuple[str, ...] = (),
    stdout: int = subprocess.DEVNULL,
    codes: tuple[int, ...] = (0,),
) -> int | None:
    """Exit code of a run with ``before`` called in its process; None where a library ended it."""
    output = folder / name
    words = ["transfer", str(SAMPLES / "harbour.jpg"), str(SAMPLES / "swirls.jpg")]
    words += ["--size", "64", "--iterations", "1", "-o", str(output), *more]
    done = subprocess.run(
        [sys.executable, "-m", "ortist", *words],
        preexec_fn=before,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    if any(said in done.stderr for said in _NOT_OURS):
        return None
    assert done.returncode in codes, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stderr.count("\n") <= 1, done.stderr
    if output.exists():
        Image.open(output).load()
        output.unlink()
    assert not any(path.suffix for path in folder.iterdir() if path.is_file()), folder
    return done.returncode
