"""Checkpoints: from any step to the same bytes; and every file that is none is left alone."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ortist.errors import CheckpointError, DivergedError, OptionError
from ortist.run.loop import Run
from ortist.run.stepping import Stepper

from tests.attacks.damage import damaged_json
from tests.conftest import kept, small_pictures

CONTENT, STYLE = small_pictures()
ADAM: dict[str, Any] = {"size": 48, "smallest_size": 24, "iterations": 12, "snapshots": (2, 9)}
ADAM |= {"content_layers": "3,5"}
LBFGS: dict[str, Any] = {"size": 32, "smallest_size": 24, "iterations": 8, "optimizer": "lbfgs"}
NOTEBOOK: dict[str, Any] = {"preset": "cs231n-starry-night", "size": 32, "iterations": 25}
NOTEBOOK |= {"style_size": 32}


def started(options: dict[str, Any], steps: int) -> Run:
    run = kept.iterate(CONTENT, STYLE, **options)
    list(itertools.islice(run, steps))
    return run


@pytest.mark.parametrize("options", [ADAM, LBFGS, NOTEBOOK], ids=["adam", "lbfgs", "notebook"])
def test_a_run_goes_on_from_every_step_to_the_same_bytes(
    options: dict[str, Any], tmp_path: Path
) -> None:
    """The iterate, not only the picture; losses and snapshots too."""
    path = tmp_path / "run.ckpt"
    run = kept.iterate(CONTENT, STYLE, **options)
    saved = []
    for _ in run:
        run.save_checkpoint(path)
        saved.append(path.read_bytes())
    assert run.finished
    whole = run.result()
    for iteration in {*range(0, len(saved), 4), len(saved) - 1}:
        path.write_bytes(saved[iteration])
        other = kept.iterate(CONTENT, STYLE, **options)
        other.resume(path)
        assert other.iteration == iteration
        assert len(list(other)) == len(saved) - 1 - iteration
        result = other.result()
        assert result.history == whole.history
        assert (result.initial, result.final) == (whole.initial, whole.final)
        np.testing.assert_array_equal(result.pixels, whole.pixels)
        assert list(result.snapshots) == list(whole.snapshots)
        for n, painting in whole.snapshots.items():
            np.testing.assert_array_equal(result.snapshots[n].values, painting.values)
        assert other.state is not None
        assert run.state is not None
        np.testing.assert_array_equal(other.state.point.values, run.state.point.values)
        seconds = [step.seconds for step in result.steps]
        assert seconds == sorted(seconds)


def test_the_bytes_are_the_states(tmp_path: Path) -> None:
    """Saved, read and saved again: the same file, for what was read is all that was saved."""
    run = started(ADAM, 5)
    run.save_checkpoint(tmp_path / "a")
    other = kept.iterate(CONTENT, STYLE, **ADAM)
    other.resume(tmp_path / "a")
    other.save_checkpoint(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_an_interruption_does_not_shift_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random generator is part of the state: a step that is done again is the same step."""
    whole = started(ADAM, 99)
    run = started(ADAM, 3)
    evaluate = Stepper.evaluate

    def interrupted(*given: Any) -> Any:
        evaluate(*given)
        raise KeyboardInterrupt

    monkeypatch.setattr(Stepper, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(run)
    monkeypatch.undo()
    list(run)
    assert run.result().history == whole.result().history


OTHER: list[tuple[dict[str, Any], str]] = [
    ({"size": 40}, "size was 48 and is now 40"),
    ({"iterations": 13}, "iterations was 12 and is now 13"),
    ({"style_layers": "1,4"}, "style_layers was null and is now [[1, null], [4, null]]"),
    ({"content": STYLE}, "the content image is another"),
    ({"style": CONTENT}, "the style image is another"),
    ({"style": [STYLE, STYLE]}, "the style image 2 is another"),
    ({"masks": [(CONTENT[..., 0], None)]}, "the content mask 1 is another"),
    ({"style": None}, 'init was "content" and is now "noise"'),
    ({"threads": 1}, "threads was"),
]


@pytest.mark.parametrize(("changed", "said"), OTHER, ids=[said for _, said in OTHER])
def test_another_runs_checkpoint_is_refused(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.ckpt"
    started(ADAM | {"threads": 2 if "threads" in changed else None}, 2).save_checkpoint(path)
    before = path.read_bytes()
    changed = {"content": CONTENT, "style": STYLE, **ADAM, **changed}
    run = kept.iterate(**changed)
    with pytest.raises(CheckpointError) as caught:
        run.resume(path)
    assert str(caught.value).startswith(f"the checkpoint {str(path)!r} is of another run: {said}")
    assert str(caught.value).endswith("remove the file or name another to start anew.")
    assert path.read_bytes() == before
    assert run.iteration == -1


def test_time_and_memory_limits_may_change(tmp_path: Path) -> None:
    started(ADAM, 2).save_checkpoint(tmp_path / "a")
    run = kept.iterate(CONTENT, STYLE, **ADAM, time_limit=1000, max_pixels=10_000)
    run.resume(tmp_path / "a")
    assert run.result().history == started(ADAM, 2).result().history


def damaged(data: bytes) -> dict[str, bytes]:
    magic = data.index(b"\n") + 1
    body = bytearray(data[magic + 32 :])
    body[8:12] = b"????"
    forged = data[:magic] + hashlib.sha256(body).digest() + bytes(body)
    short = data[magic + 32 : -4]
    return {
        "empty": b"",
        "no checkpoint": b"\x89PNG\r\n\x1a\n" + data,
        "only magic": data[:magic],
        "cut short": data[:-1],
        "half": data[: len(data) // 2],
        "one bit": data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
        "one bit of the hash": data[:magic] + bytes([data[magic] ^ 1]) + data[magic + 1 :],
        "longer": data + b"\0",
        "another version": data.replace(b"checkpoint 2", b"checkpoint 3"),
        "a forged header": forged,
        "a forged length": data[:magic] + hashlib.sha256(short).digest() + short,
    }


def test_damaged_files_are_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    started(ADAM, 3).save_checkpoint(path)
    run = kept.iterate(CONTENT, STYLE, **ADAM)
    for name, data in damaged(path.read_bytes()).items():
        path.write_bytes(data)
        with pytest.raises(CheckpointError) as caught:
            run.resume(path)
        assert "to start anew." in str(caught.value), name
        assert str(path) in str(caught.value), name
        assert path.read_bytes() == data, name
    with pytest.raises(CheckpointError, match=r"absent' does not exist; name another\."):
        run.resume(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        run.resume(tmp_path)


def test_there_is_nothing_to_save_before_the_start(tmp_path: Path) -> None:
    run = kept.iterate(CONTENT, STYLE, **ADAM)
    with pytest.raises(OptionError, match="no state to save before its first iteration"):
        run.save_checkpoint(tmp_path / "a")
    assert os.listdir(tmp_path) == []


def sealed(header: Any, numbers: bytes) -> bytes:
    """The file of that header and those numbers, with the right hash, which anybody can compute."""
    words = json.dumps(header).encode()
    body = len(words).to_bytes(8, "little") + words + numbers
    return b"ortist checkpoint 2\n" + hashlib.sha256(body).digest() + body


def opened(data: bytes) -> tuple[Any, bytes]:
    """The header and the numbers of a checkpoint's bytes."""
    body = data[len(b"ortist checkpoint 2\n") + 32 :]
    length = int.from_bytes(body[:8], "little")
    return json.loads(body[8 : 8 + length]), body[8 + length :]


def harmless(run: Run, path: Path, said: str) -> bool:
    """Whether the checkpoint is refused; where it is not, the run goes on, or says it diverged."""
    try:
        run.resume(path)
    except CheckpointError:
        return True
    try:
        next(run, None)
        run.result().pixels.sum()
    except DivergedError:
        pass
    except Exception as error:
        pytest.fail(f"{said}: {error!r}")
    return False


@pytest.mark.parametrize("options", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_damaged_fields_are_refused_or_do_no_harm(options: dict[str, Any], tmp_path: Path) -> None:
    run, path = started(options, 5), tmp_path / "run.ckpt"
    run.save_checkpoint(path)
    header, numbers = opened(path.read_bytes())
    other = kept.iterate(CONTENT, STYLE, **options)
    refused = 0
    for said, changed in damaged_json({key: header[key] for key in ("state", "arrays")}):
        path.write_bytes(sealed({**header, **changed}, numbers))
        refused += harmless(other, path, said)
    assert refused > 500


@pytest.mark.parametrize("options", [ADAM, LBFGS], ids=["adam", "lbfgs"])
def test_damaged_numbers_are_refused_or_do_no_harm(options: dict[str, Any], tmp_path: Path) -> None:
    """Times that are no times, scales that are none, and pictures that are not finite."""
    run, path = started(options, 5), tmp_path / "run.ckpt"
    run.save_checkpoint(path)
    header, numbers = opened(path.read_bytes())
    other, begin = kept.iterate(CONTENT, STYLE, **options, time_limit=1e6), 0
    for name, kind, shape in header["arrays"]:
        dtype = np.dtype(kind)
        size = int(np.prod(shape)) * dtype.itemsize
        places = range(shape[1]) if name == "steps" else (0, int(np.prod(shape)) // 2)
        for place, odd in itertools.product(places, (np.nan, np.inf, -np.inf, 1e38, -1.0)):
            values = np.frombuffer(numbers[begin : begin + size], dtype).copy()
            values[place if name != "steps" else len(values) - shape[1] + place] = odd
            changed = numbers[:begin] + values.tobytes() + numbers[begin + size :]
            path.write_bytes(sealed(header, changed))
            refused = harmless(other, path, f"{name}[{place}] = {odd}")
            assert refused or np.isfinite(odd), (name, place, odd)
        begin += size
