"""Many pictures: which, where to, through which executor, and what a second run does."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ortist
import pytest
from ortist.cli.main import main
from ortist.engine import Engine
from ortist.errors import (
    OptionError,
    OutputError,
    PictureError,
    ProviderError,
    ResourceError,
)
from ortist.jobs.batch import plan_batch
from ortist.jobs.finding import find_pictures, told_of
from ortist.jobs.ledger import LEDGER, Ledger
from ortist.jobs.painting import Worker
from ortist.network.providers import candidates
from ortist.objective.pieces import Piece
from ortist.objective.sweeper import Sweeper
from ortist.options.fields import Options
from ortist.run.settings import read_settings
from PIL import Image

from tests.attacks.kill import kill_and_go_on
from tests.conftest import SAMPLES, Ortist, small_pictures

OPTIONS = Options(size=48, iterations=3, provider="cpu")
STYLE = SAMPLES / "swirls.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """photos/a.png, photos/deep/b.png, and what is no picture."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    content = small_pictures()[0]
    for i, name in enumerate(("a.png", "deep/b.png")):
        Image.fromarray(content[:, 4 * i : 60 + 4 * i]).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_text("no picture")
    return folder


def places(*names: object, without: Path | None = None) -> list[str]:
    return [found.place for found in find_pictures(map(str, names), without)]


def test_files_folders_and_patterns(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places(photos) == ["a.png", "deep/b.png"]
    assert places(photos / "deep" / "b.png") == ["b.png"]
    assert places(photos / "*.png") == ["a.png"]
    assert places(photos / "**" / "*.png") == ["a.png", "deep/b.png"]
    assert places(photos / "d*") == ["deep/b.png"]
    assert places(photos / "a.png", photos) == ["a.png", "deep/b.png"]  # each once
    assert places(photos, without=photos / "deep") == ["a.png"]
    assert places(photos / "deep", without=photos) == ["b.png"]  # inputs within the outputs
    assert places("absent.png") == ["absent.png"]  # whoever opens it says so
    (photos / "[1].png").write_bytes((photos / "a.png").read_bytes())
    assert places(photos / "[1].png") == ["[1].png"]  # a name before a pattern
    monkeypatch.chdir(photos)
    assert places("*.png") == ["[1].png", "a.png"]
    for nothing, kind in (("*.jpg", "pattern"), (str(photos.parent / "empty"), "folder")):
        (photos.parent / "empty").mkdir(exist_ok=True)
        with pytest.raises(OptionError, match=f"no picture in the {kind}"):
            places(nothing)


@pytest.mark.long
def test_contents_times_styles_and_a_second_run(photos: Path, tmp_path: Path) -> None:
    out = photos / "out"  # inside the input folder: never taken for an input
    styles = [STYLE, SAMPLES / "shards.jpg"]
    seen: list[ortist.Outcome] = []
    found = ortist.batch(photos, styles, out, OPTIONS, on_outcome=seen.append)
    assert found == seen
    assert [outcome.status for outcome in found] == ["painted"] * 4
    names = ["a-shards.png", "a-swirls.png", "deep/b-shards.png", "deep/b-swirls.png"]
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.png")) == names
    single = ortist.transfer(photos / "deep" / "b.png", styles[1], OPTIONS)
    with Image.open(out / "deep" / "b-shards.png") as image:
        assert image.tobytes() == single.pixels.tobytes()

    settings = read_settings(out / "deep" / "b-shards.png", 10**7)
    assert settings.find_input("content") == str(photos / "deep" / "b.png")  # as it was named
    assert settings.find_input("style") == str(styles[1])

    def statuses(**changed: Any) -> list[str]:
        options = Options.of(**{**vars(OPTIONS), **changed})
        return sorted(o.status for o in ortist.batch([photos], styles, out, options))

    before = {name: (out / name).stat().st_mtime_ns for name in names}
    assert statuses() == ["kept"] * 4
    assert statuses(threads=1) == ["kept"] * 4
    assert {name: (out / name).stat().st_mtime_ns for name in names} == before
    (out / names[0]).unlink()  # missing, cut, and made from something else
    (out / names[1]).write_bytes((out / names[1]).read_bytes()[:-1])
    assert statuses() == ["kept", "kept", "painted", "painted"]
    with Image.open(photos / "a.png") as image:
        turned = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned.save(photos / "a.png")
    assert statuses() == ["kept", "kept", "painted", "painted"]
    assert statuses(iterations=2) == ["painted"] * 4
    lines = (out / LEDGER).read_bytes()
    (out / LEDGER).write_bytes(lines[:-30])  # cut in the last line: that picture is made again
    assert statuses(iterations=2) == ["kept", "kept", "kept", "painted"]
    assert (out / LEDGER).read_bytes() == lines


def test_what_cannot_end_well_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    a, b = photos / "a.png", photos / "deep" / "a.jpg"
    with Image.open(a) as image:
        image.convert("RGB").save(b)
    again = photos / "deep" / "a.png"
    again.write_bytes(a.read_bytes())
    with pytest.raises(OptionError, match=r"a.png' and '.*deep/a.png' would both be painted"):
        plan_batch([a, again], [STYLE], out, OPTIONS)
    again.unlink()
    # Names that differ in their suffix alone keep it.
    (tmp_path / "swirls.png").write_bytes(a.read_bytes())
    plan = plan_batch([a, b], [STYLE, tmp_path / "swirls.png"], out, OPTIONS)
    names = ["a.png-swirls.jpg", "a.jpg-swirls.jpg", "a.png-swirls.png", "a.jpg-swirls.png"]
    assert [os.path.basename(task.output) for task in plan.tasks] == [f"{n}.png" for n in names]
    (tmp_path / "swirls.png").unlink()
    (tmp_path / "a-swirls.png").write_bytes(a.read_bytes())
    with pytest.raises(OptionError, match="is a file that the run needs"):
        plan_batch([a, tmp_path / "a-swirls.png"], [STYLE], tmp_path, OPTIONS)
    with pytest.raises(OptionError, match="no picture in the folder"):
        plan_batch([photos], [STYLE], photos, OPTIONS)
    with pytest.raises(PictureError, match=r"'/absent.jpg' does not exist"):
        plan_batch([photos], ["/absent.jpg"], out, OPTIONS)
    with pytest.raises(OptionError, match="cannot tell a picture format"):
        plan_batch([photos], [STYLE], out, OPTIONS, ".xyz")
    with pytest.raises(OptionError, match="keeps no snapshots"):
        ortist.batch(a, STYLE, out, size=48, iterations=3, snapshots=(1,))
    with pytest.raises(OptionError, match="a batch was given none; give its path as init"):
        ortist.batch(a, STYLE, out, size=48, iterations=3, init="image")
    with pytest.raises(OptionError, match="99 jobs cannot share"):
        ortist.batch(a, STYLE, out, OPTIONS, jobs=99)
    assert not out.exists()
    with pytest.raises(OutputError, match="cannot write"):
        ortist.batch(a, STYLE, a / "out", OPTIONS)
    with Ledger(str(out)), pytest.raises(OptionError, match="another batch is writing into"):
        ortist.batch(a, STYLE, out, OPTIONS)


def test_a_bad_picture_does_not_stop_the_others(photos: Path, tmp_path: Path) -> None:
    (photos / "bad.png").write_text("no picture")
    found = ortist.batch([photos, "/absent.png"], STYLE, tmp_path / "out", OPTIONS)
    errors = {Path(o.content).name: o.error for o in found if o.status == "failed"}
    assert sorted(errors) == ["absent.png", "bad.png"]
    assert "is not a picture that can be read" in str(errors["bad.png"])
    assert [o.status for o in found].count("painted") == 2


def test_a_full_disk_stops_it_and_loses_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, room = os.fsync, [1]

    def fsync(handle: int) -> None:
        if os.fstat(handle).st_size > 1000 and os.path.basename(
            os.readlink(f"/proc/self/fd/{handle}")
        ).startswith(".ortist-"):
            room[0] -= 1
            if room[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    out = tmp_path / "out"
    styles = [STYLE, SAMPLES / "shards.jpg"]
    found = ortist.batch(photos, styles, out, OPTIONS)
    assert [o.status for o in found] == ["painted", "failed", "skipped", "skipped"]
    assert "No space left on device" in str(found[1].error)
    monkeypatch.undo()
    again = ortist.batch(photos, styles, out, OPTIONS)
    assert sorted(o.status for o in again) == ["kept", "painted", "painted", "painted"]
    assert not list(out.rglob(".ortist-????????????????*"))


class Remote(Executor):
    """As a cluster's: what it runs gets there by pickle, and it may lose a worker."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        import pickle

        data = pickle.dumps((fn, args, kwargs))
        self.sizes.append(len(data))
        function, words, named = pickle.loads(data)
        future: Future[Any] = Future()
        future.set_result(function(*words, **named))
        return future


def test_any_executor(photos: Path, tmp_path: Path) -> None:
    """Threads too, each with an objective of its own, and the same bytes everywhere."""
    remote = Remote()
    styles = [STYLE, SAMPLES / "shards.jpg"]
    with ThreadPoolExecutor(3) as threads:
        for name, how in {
            "here": {},
            "remote": {"executor": remote},
            "threads": {"executor": threads},
        }.items():
            found = ortist.batch(photos, styles, tmp_path / name, OPTIONS, **how)  # type: ignore[arg-type]
            assert [o.status for o in found] == ["painted"] * 4
    for path in (tmp_path / "here").rglob("*.png"):
        place = path.relative_to(tmp_path / "here")
        for name in ("remote", "threads"):
            assert (tmp_path / name / place).read_bytes() == path.read_bytes()
    assert max(remote.sizes) < 5000
    with pytest.raises(OptionError, match="jobs, or an executor or a cluster"):
        ortist.batch(photos, STYLE, tmp_path / "x", OPTIONS, jobs=2, executor=remote)


def test_the_style_is_looked_at_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    looks, observations = Sweeper.features, Sweeper.observe

    def features(self: Sweeper, pixels: Any, taps: Any) -> Any:
        sizes.append(pixels.shape[2:])
        return looks(self, pixels, taps)

    def observe(self: Sweeper, piece: Piece, terms: Any) -> Any:
        sizes.append(piece.pixels.shape[2:])
        return observations(self, piece, terms)

    monkeypatch.setattr(Sweeper, "features", features)
    monkeypatch.setattr(Sweeper, "observe", observe)
    ortist.batch(photos, STYLE, tmp_path / "out", OPTIONS)
    assert sizes.count((48, 64)) == 1  # the style's; the two contents are 60 wide
    # Of each content the photo, and the picture for its last losses; no step moves a window.
    assert sizes.count((48, 60)) == 2 * 2


def test_a_worker_keeps_its_engine_as_long_as_it_fits(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[Any, ...]] = []

    def counted(model: Any, *how: Any) -> Sweeper:
        opened.append(how)
        return Sweeper(model, *how)

    monkeypatch.setattr("ortist.run.setup.Sweeper", counted)
    tasks = plan_batch([photos / "a.png"], [STYLE, SAMPLES / "shards.jpg"], tmp_path, OPTIONS).tasks
    other = [dataclasses.replace(t, options=dataclasses.replace(OPTIONS, threads=1)) for t in tasks]
    with contextlib.closing(Worker()) as worker:
        for asked, count in ((tasks, 1), (other, 2), (tasks, 3)):
            assert {worker.paint(task).status for task in asked} == {"painted"}
            assert len(opened) == count
        foreign = worker.paint(dataclasses.replace(tasks[0], model_sha256="0" * 64))
    assert foreign.status == "failed"
    assert "is another one here than where the batch was started" in str(foreign.error)


def test_a_worker_that_is_killed(photos: Path, tmp_path: Path) -> None:
    """As by the system for want of memory."""
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, context, initializer=_die_soon) as executor,
        pytest.raises(ResourceError, match="has ended: from outside"),
    ):
        ortist.batch(photos, STYLE, tmp_path, size=48, iterations=10**6, executor=executor)


def _die_soon() -> None:
    threading.Timer(1, os.kill, (os.getpid(), signal.SIGKILL)).start()


def test_the_command(
    ortist: Ortist, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "bad.png").write_text("no picture")
    words = ("batch", photos, "--style", STYLE, "-o", tmp_path / "out", "--json")
    quick = ("--size", 48, "--iterations", 3)
    done = ortist(*words, "--jobs", 2, *quick)
    assert done.returncode == 1
    found = {Path(line["content"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert {name: line["status"] for name, line in found.items()} == {
        "a.png": "painted",
        "b.png": "painted",
        "bad.png": "failed",
    }
    assert found["a.png"]["output"] == str(tmp_path / "out" / "a-swirls.png")
    assert found["a.png"]["final"]["total"] > 0
    assert "ortist: bad-swirls.png: the content image" in done.stderr
    assert "of 3 pictures 2 painted, 0 kept, 1 failed, 0 skipped" in done.stderr
    assert "Traceback" not in done.stderr
    (photos / "bad.png").unlink()
    done = ortist(*words, *quick)
    assert done.returncode == 0
    assert "of 2 pictures 0 painted, 2 kept" in done.stderr
    # A picture of the folder is repeated from where the command was given.
    monkeypatch.chdir(tmp_path)
    done = ortist("batch", "photos", "--style", STYLE, "-o", "named", *quick)
    assert done.returncode == 0
    done = ortist("transfer", "--from", "named/deep/b-swirls.png", "-o", "again.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert Path("again.png").read_bytes() == Path("named/deep/b-swirls.png").read_bytes()
    done = ortist("batch", photos / "*.tif", "--style", STYLE, "-o", tmp_path / "no")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_ends_all_at_once(photos: Path, tmp_path: Path, jobs: int) -> None:
    """In a group of its own, as a terminal would send it, to the workers too."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ortist", "batch", str(photos), "--style", str(STYLE)]
    command += ["-o", str(out), "--size", "48", "--iterations", "1000000", "--jobs", str(jobs)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not out.is_dir() and process.poll() is None:  # pictures have begun
            time.sleep(0.1)
        time.sleep(1)
        began = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - began < 5
    assert process.returncode == 130
    end = b"ortist: interrupted with 0 of 2 pictures there; start again for the rest.\n"
    assert said.endswith(end)
    assert not list(out.rglob("*.png"))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a worker is left")


@pytest.mark.long
@pytest.mark.parametrize("jobs", [1, 2])
def test_kill_9_tears_nothing(tmp_path: Path, jobs: int) -> None:
    """The long form: python -m tests.attacks.kill --rounds 50"""
    kill_and_go_on(tmp_path, 2, jobs, seed=jobs)


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_a_ledger_that_is_no_file_is_refused(photos: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if kind == "fifo":
        os.mkfifo(out / LEDGER)
    elif kind == "folder":
        (out / LEDGER).mkdir()
    else:
        (out / LEDGER).symlink_to("/dev/zero")
    with pytest.raises(OutputError, match=f"{LEDGER}': it is"):
        ortist.batch(photos, STYLE, out, size=48, iterations=1)


def test_a_provider_that_is_not_there_is_said_once(photos: Path, tmp_path: Path) -> None:
    if "cuda" in candidates("auto"):
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(ProviderError, match="has no provider 'cuda'"):
        plan_batch(photos, STYLE, tmp_path / "out", Options(provider="cuda"))


def test_a_provider_that_fails_at_the_first_picture_is_said_once(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there by its name, and cannot be used: no other picture would be painted either."""
    tried = []

    def unusable(*_: object, **__: object) -> None:
        tried.append(1)
        raise ProviderError("CUDA cannot be used here.")

    monkeypatch.setattr(Engine, "set_up", unusable)
    with pytest.raises(ProviderError, match="CUDA cannot be used here"):
        ortist.batch(photos, STYLE, tmp_path / "out", size=48, iterations=1)
    assert len(tried) == 1


def test_what_is_passed_over_is_counted_and_said(
    photos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ortist.jobs.finding.has_extra", lambda extra: extra == "jxl")
    photo = (photos / "a.png").read_bytes()
    for name in ("deep/IMG_1", "b.jfif", "c.jxl"):
        (photos / name).write_bytes(photo)
    (photos / "README").write_text("no picture")
    for name in ("x.heic", "y.HEIC", "z.psd"):
        (photos / name).write_bytes(photo)
    os.mkfifo(photos / "pipe")
    passed: Counter[str] = Counter()
    found = find_pictures(photos, passed=passed)
    assert [one.place for one in found] == ["a.png", "b.jfif", "c.jxl", "deep/IMG_1", "deep/b.png"]
    assert passed == {"": 2, ".heic": 2, ".psd": 1, ".txt": 1}
    said = told_of(passed)
    assert said is not None
    assert said.startswith("6 files were passed over")
    assert "2 .heic" in said
    assert "pip install 'ortist[heic]'" in said
    assert told_of(Counter()) is None
    assert "3 others" in str(
        told_of(Counter({".a": 9, ".b": 8, ".c": 7, ".d": 6, ".e": 2, ".f": 1}))
    )
    monkeypatch.setattr("sys.argv", ["ortist", "batch", str(photos / "deep"), "--style", "oil"])
    (photos / "deep" / "notes.txt").write_text("no picture")
    sys.argv += ["-o", str(tmp_path / "out"), "--size", "48", "--quality", "draft"]
    assert main() == 0
    assert "1 file was passed over" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "IMG_1-oil.png",
        "b-oil.png",
    }
    (photos / "only").mkdir()
    (photos / "only" / "x.heic").write_bytes(photo)
    with pytest.raises(OptionError, match=r"no picture in the folder .*ortist\[heic\]"):
        find_pictures(photos / "only")
