"""Hostile inputs but pictures: models, style files, checkpoints, settings, streams, options."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ortist
from ortist_models import MANIFEST, SHIPPED, SHIPPED_MODEL

from tests.attacks.damage import ODD, damaged_json
from tests.attacks.graphs import hostile_graphs
from tests.conftest import SAMPLES

__all__ = ["hostile_commands"]

_PHOTO, _STYLE = SAMPLES / "harbour.jpg", SAMPLES / "swirls.jpg"
_SMALL = ("--size", "32", "--iterations", "1")
_Words = list[str]


def hostile_commands(folder: Path, count: int, seed: int) -> Iterator[tuple[str, _Words]]:
    """(what it is, the words after ``ortist``) of so many commands, their files in ``folder``."""
    rng = np.random.default_rng(seed)
    makers: list[Callable[[Path, np.random.Generator], tuple[str, _Words]]] = [
        *(_model, _style_file, _checkpoint, _config, _stream, _option),
    ]
    for number in range(count):
        place = folder / str(number)
        place.mkdir()
        what, words = makers[number % len(makers)](place, rng)
        output = "o.y4m" if words[0] == "video" else "o.png"
        yield what, [*words, "-o", str(place / output)]


def _some(items: list[Any], rng: np.random.Generator) -> Any:
    return items[int(rng.integers(len(items)))]


def _torn(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut short, or with some bytes changed."""
    if rng.random() < 0.3:
        return data[: int(rng.integers(len(data)))]
    changed = bytearray(data)
    for place in rng.integers(0, len(data), int(rng.integers(1, 9))):
        changed[place] = int(rng.integers(256))
    return bytes(changed)


def _model(place: Path, rng: np.random.Generator) -> tuple[str, _Words]:
    """The shipped model with another manifest, or another graph whose hash is right."""
    import hashlib

    model = place / "model"
    shutil.copytree(SHIPPED / SHIPPED_MODEL, model)
    manifest = json.loads((model / MANIFEST).read_text())
    kind = int(rng.integers(3))
    if kind == 0:
        what, manifest = _some(list(itertools.islice(damaged_json(manifest), 4000)), rng)
        (model / MANIFEST).write_text(json.dumps(manifest))
    elif kind == 1:
        what, graph = _some(list(hostile_graphs()), rng)
        name = "segment-03.onnx"
        old = hashlib.sha256((model / name).read_bytes()).hexdigest()
        (model / name).write_bytes(graph)
        text = (model / MANIFEST).read_text().replace(old, hashlib.sha256(graph).hexdigest())
        (model / MANIFEST).write_text(text)
    else:
        what = "a torn file"
        name = _some(sorted(path.name for path in model.iterdir()), rng)
        (model / name).write_bytes(_torn((model / name).read_bytes(), rng))
    return f"model: {what}", ["transfer", str(_PHOTO), str(_STYLE), "--model", str(model), *_SMALL]


def _style_file(place: Path, rng: np.random.Generator) -> tuple[str, _Words]:
    path = place / "a.ostyle"
    style = ortist.extract_style(str(_STYLE), size=32, smallest_size=None)
    path.write_bytes(_torn(style.encoded(), rng))
    return "style file", ["transfer", str(_PHOTO), str(path), *_SMALL]


def _checkpoint(place: Path, rng: np.random.Generator) -> tuple[str, _Words]:
    path = place / "run.ckpt"
    run = ortist.iterate(str(_PHOTO), str(_STYLE), size=32, iterations=2)
    next(run)
    run.save_checkpoint(path)
    path.write_bytes(_torn(path.read_bytes(), rng))
    words = ["transfer", str(_PHOTO), str(_STYLE), "--size", "32", "--iterations", "2"]
    return "checkpoint", [*words, "--checkpoint", str(path)]


def _config(place: Path, rng: np.random.Generator) -> tuple[str, _Words]:
    path = place / "a.toml"
    lines = [
        'size = "x"',
        "size = 1e400",
        "size = 10e9",
        "[size]",
        "a = [" * 500,
        "\0",
        "size = -1",
    ]
    lines += ["style_layers = {}", "unknown = 1", 'optimizer = "sgd"', "=", "seed = nan", "\xff"]
    path.write_bytes(_some(lines, rng).encode("latin-1"))
    return "config", ["transfer", str(_PHOTO), str(_STYLE), "--config", str(path), *_SMALL]


def _stream(place: Path, rng: np.random.Generator) -> tuple[str, _Words]:
    path = place / "a.y4m"
    heads = ["W32 H32 F25:1", "W0 H0 F25:1", "W999999 H999999 F1:1", "W32 H32 F0:0", "W-3 H9 F1:1"]
    heads += ["W32 H32 F25:1 It", "W32 H32 C420p10 F25:1", "W32", "W32 H32 F25:1 " + "X" * 2000]
    data = f"YUV4MPEG2 {_some(heads, rng)} C444\nFRAME\n".encode() + rng.bytes(32 * 32 * 2)
    path.write_bytes(data if rng.random() < 0.5 else _torn(data, rng))
    return "stream", ["video", str(path), "--style", str(_STYLE), *_SMALL]


def _option(place: Path, rng: np.random.Generator) -> tuple[str, _Words]:
    names = [
        "size",
        "iterations",
        "style-layers",
        "content-weight",
        "style-weights",
        "seed",
        "init",
    ]
    names += ["jitter", "max-memory", "threads", "tile", "snapshots", "optimizer", "depth", "from"]
    odd = [*map(str, ODD), "9" * 400, "1,2,", "1:", "0x10", "\u0661", "-0", "1e-400", "," * 300]
    name, value = _some(names, rng), _some(odd, rng).replace("\0", "")
    return "option", ["transfer", str(_PHOTO), str(_STYLE), *_SMALL, f"--{name}={value}"]
