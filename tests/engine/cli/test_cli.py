"""The command, through a process of its own: what it writes, prints and exits with."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ortist.cli import telling
from PIL import Image

from tests.conftest import SAMPLES, SHIPPED_STYLE_TAPS, Ortist
from tests.engine.pictures.test_reading import png_header

QUICK = ("--size", 48, "--iterations", 6)


@pytest.fixture
def files(content_file: Path, style_file: Path) -> tuple[Path, Path]:
    return content_file, style_file


def test_a_picture_and_silence(ortist: Ortist, files: tuple[Path, Path], tmp_path: Path) -> None:
    done = ortist("transfer", *files, "-o", tmp_path / "out.png", *QUICK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (64, 48)
    assert os.listdir(tmp_path) == ["out.png"]


def test_two_runs_give_the_same_bytes(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        done = ortist("transfer", *files, "-o", tmp_path / name, "--size", 96, "--iterations", 30)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_json_is_one_object_with_everything(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.jpg"
    words = ("--json", "-o", out, "--snapshots", "0,3", "--sheet", tmp_path / "sheet.png")
    done = ortist("transfer", *files, *words, *QUICK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["output"] == str(out)
    assert found["size"] == [64, 48]
    assert found["iterations"] == 6
    assert found["stopped"] == "iterations"
    assert found["seconds"] > 0
    assert found["provider"] == "CPUExecutionProvider"
    assert found["model"]["name"] == "squeezenet1_1-procedural"
    assert re.fullmatch("[0-9a-f]{64}", found["model"]["sha256"])
    for moment in ("initial", "final"):
        losses = found[moment]
        terms = {"content", "content_by_layer", "style", "style_by_layer", "tv", "total"}
        assert set(losses) == terms
        assert set(losses["style_by_layer"]) == SHIPPED_STYLE_TAPS
        assert losses["style"] == pytest.approx(sum(losses["style_by_layer"].values()))
        parts = losses["content"] + losses["style"] + losses["tv"]
        assert losses["total"] == pytest.approx(parts)
    assert sorted(os.listdir(tmp_path)) == ["out-0000.jpg", "out-0003.jpg", "out.jpg", "sheet.png"]
    assert found["snapshots"] == {
        "0": str(tmp_path / "out-0000.jpg"),
        "3": str(tmp_path / "out-0003.jpg"),
    }


def test_a_sheet_alone(ortist: Ortist, files: tuple[Path, Path], tmp_path: Path) -> None:
    done = ortist("transfer", *files, "--sheet", tmp_path / "sheet.png", *QUICK)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1500


def test_invert_and_texture(ortist: Ortist, files: tuple[Path, Path], tmp_path: Path) -> None:
    done = ortist("invert", files[0], "-o", tmp_path / "inverted.png", "--json", *QUICK)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["initial"]["style"] == 0
    preset = ("--preset", "cs231n-feature-inversion", "--iterations", 0, "--json")
    done = ortist("invert", files[0], *preset)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["size"] == [256, 192]
    assert found["weights"] == {"content": {"3": 0.06}, "style": {}, "tv": 0.02}
    assert "was made for the model squeezenet1_1" in done.stderr
    done = ortist("texture", files[1], "-o", tmp_path / "texture.png", *QUICK)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "texture.png") as image:
        assert image.size == (48, 48)


def test_styles_masks_losses_and_tiles(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    for name, half in (("left", (0, 0, 32, 48)), ("right", (32, 0, 64, 48))):
        mask = Image.new("L", (64, 48), 0)
        mask.paste(255, half)
        mask.save(tmp_path / f"{name}.png")
    words: list[object] = ["--mask", tmp_path / "left.png", "-", "--mask", tmp_path / "right.png"]
    words += [tmp_path / "left.png", "--style-weights", "2,1", "--style-loss", "meanstd"]
    words += [
        "--tile",
        "16",
        "--style-layers",
        "1,2",
        "--style-scale",
        "0.5",
        "--normalize-gradients",
        "--json",
    ]
    sheet = ("--sheet", tmp_path / "sheet.png")
    done = ortist("transfer", files[0], files[1], SAMPLES / "shards.jpg", *sheet, *words, *QUICK)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 0 < found["final"]["style"] < found["initial"]["style"]
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.width > 1500


def test_models_and_doctor(ortist: Ortist) -> None:
    done = ortist("models", "list")
    assert done.stdout.startswith("* squeezenet1_1-procedural")
    folder = ortist("models", "path").stdout.strip()
    assert (Path(folder) / "manifest.json").is_file()
    count = len(json.loads((Path(folder) / "manifest.json").read_text())["files"])
    verified = ortist("models", "verify").stdout
    assert verified.endswith(f": {count} files are what the manifest says\n")
    done = ortist("doctor")
    assert done.returncode == 0, done.stderr
    assert "telemetry    off" in done.stdout
    assert done.stdout.rstrip().endswith("right")


def test_help_and_version(ortist: Ortist) -> None:
    assert ortist("--version").stdout == "ortist 0.1.0\n"
    for words in (
        [],
        ["transfer"],
        ["invert"],
        ["texture"],
        ["batch"],
        ["video"],
        ["models"],
        ["doctor"],
        ["export"],
    ):
        done = ortist(*words, "--help")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Usage: ortist")
    assert "1:300000,4:1000" in ortist("transfer", "--help").stdout


BAD = [
    (["transfer", "absent.png", "{style}", "-o", "o.png"], 3, "'absent.png' does not exist"),
    (["transfer", "text.png", "{style}", "-o", "o.png"], 3, "is not a picture that can be read"),
    (["transfer", "cut.jpg", "{style}", "-o", "o.png"], 3, "is damaged or cut short"),
    (["transfer", "bomb.png", "{style}", "-o", "o.png"], 3, "60000 x 60000 pixels"),
    (["transfer", "{content}", ".", "-o", "o.png"], 3, "is not a regular file"),
    (["texture", "{style}"], 2, "name one with -o FILE"),
    (["transfer", "{content}", "{style}", "-o", "no/o.png"], 2, "there is no folder 'no'"),
    (["transfer", "{content}", "{style}", "-o", "."], 2, "cannot tell a picture format"),
    (["transfer", "{content}", "{style}", "-o", "o.xyz"], 2, "end it in one of .jpg"),
    (["transfer", "{content}", "{style}", "-o", "dir.png"], 2, "it is a folder"),
    (["transfer", "{content}"], 2, "Missing argument"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--size", "x"], 2, "--size"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--colour", "x"], 2, "--colour"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--preset", "x"], 2, "no preset 'x'"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--threads", "0"], 2, "threads 0"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--style-layers", "77"], 2, "no layer 77"),
    (
        ["transfer", "{content}", "{style}", "-o", "o.png", "--style-layers", "9:1"],
        3,
        "ortist export squeezenet1_1 --name squeezenet1_1-procedural --taps 1,2,3,4,5,6,7,9",
    ),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--model", "x"], 3, "no model 'x'"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--model", "foreign"], 3, "manifest"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--provider", "x"], 2, "no provider 'x'"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--sheet", "./o.png"], 2, "two outputs"),
    (["transfer", "{content}", "{style}", "-o", "x" * 300 + ".png"], 2, "File name too long"),
    (["transfer", "x" * 300, "{style}", "-o", "o.png"], 3, "does not exist"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--model", "x" * 300], 3, "no model"),
    (["transfer", "{content}", "{style}", "-o", "pipe.png"], 2, "it is no regular file"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--style-layers=--3:1"], 2, "--3"),
    (
        ["transfer", "{content}", "{style}", "-o", "o.png", "--style-layers", "1:1,conv1:5"],
        2,
        "the layer 1 is named twice",
    ),
    (
        ["transfer", "{content}", "{style}", "-o", "o.png", "--content-layers", "3,fire2"],
        2,
        "the layer 3 is named twice",
    ),
    (
        ["transfer", "{content}", "{style}", "-o", "o.png", "--style-weights", "2,1"],
        2,
        "2 style weights do not fit 1 styles; give one for each",
    ),
    (
        ["transfer", "{content}", "{style}", "{style}", "-o", "o.png", "--mask", "wide.png", "-"],
        2,
        "1 masks do not fit 2 styles; give one --mask for each style",
    ),
    (
        ["transfer", "{content}", "{style}", "-o", "o.png", "--mask", "wide.png", "-"],
        3,
        "the content mask 'wide.png' has 30 x 10 pixels, its picture 640 x 480",
    ),
    (
        ["transfer", "{content}", "{style}", "-o", "o.png", "--mask", "{content}", "black.png"],
        3,
        "the style mask 'black.png' is all black",
    ),
    (
        ["transfer", "{content}", "{style}", "-o", "o.png", "--mask", "-", "-"],
        2,
        "the content mask '-' is no picture: a - stands for all of the style only",
    ),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--mask", "wide.png"], 2, "2 arguments"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--tile", "2"], 2, "tile 2 is out of"),
    (["transfer", "{content}", "{style}", "-o", "o.png", "--style-loss", "x"], 2, "no style_loss"),
    (["models", "verify", "x"], 3, "no model 'x'"),
    (["export", "squeezenet1_1", "--weights", "text.png"], 3, "text.png"),
    (["export", "squeezenet1_1", "--weights", "absent.pth"], 3, "absent.pth"),
    (["export", "squeezenet1_1", "--taps", "77"], 2, "no layer '77'"),
    (["export", "squeezenet1_1", "--name", "a/b"], 2, "'a/b'"),
    (["export", "squeezenet1_1", "--pooling", "mean"], 2, "'mean' is not one of"),
    (["export", "check", "x"], 3, "no model 'x'"),
    (["nonsense"], 2, "nonsense"),
]


@pytest.mark.parametrize(("words", "code", "said"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input_is_one_sentence(
    words: list[str],
    code: int,
    said: str,
    ortist: Ortist,
    files: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(files[0].read_bytes()[:5000])
    (tmp_path / "bomb.png").write_bytes(png_header(60000, 60000))
    Image.new("L", (30, 10), 255).save(tmp_path / "wide.png")
    Image.new("L", (64, 48), 0).save(tmp_path / "black.png")
    (tmp_path / "dir.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.json").write_text("{}")
    before = sorted(os.listdir(tmp_path))
    named = {"{content}": str(files[0]), "{style}": str(files[1])}
    done = ortist(*(named.get(word, word) for word in words))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("ortist: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert sorted(os.listdir(tmp_path)) == before


def test_a_provider_that_is_not_there(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    words = ("-o", tmp_path / "o.png", "--provider", "cuda")
    done = ortist("transfer", *files, *words)
    assert done.returncode == 4
    assert "has no provider 'cuda'; pip install onnxruntime-gpu, which has it, or" in done.stderr


def test_an_unwritable_folder(ortist: Ortist, files: tuple[Path, Path]) -> None:
    done = ortist("transfer", *files, "-o", "/proc/out.png", *QUICK)
    assert done.returncode == 2
    assert "cannot write '/proc/out.png'" in done.stderr


def test_a_full_disk_leaves_nothing_behind(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """The limit on file sizes stands in for a full disk: the write fails half-way."""
    out = tmp_path / "out.png"
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000));"
        "sys.argv[0] = 'ortist'; import sys; from ortist.cli import main; sys.exit(main())"
    )
    words = ["transfer", *map(str, files), "-o", str(out), *map(str, QUICK)]
    done = subprocess.run(
        [sys.executable, "-c", limited, *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert os.listdir(tmp_path) == []


def test_ctrl_c_writes_the_picture_so_far(files: tuple[Path, Path], tmp_path: Path) -> None:
    """And on a terminal a bar with the loss is shown."""
    out = tmp_path / "out.png"
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "ortist", "transfer", *map(str, files), "-o", str(out)]
    command += ["--size", "64", "--iterations", "100000", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, text=True)
    os.close(slave)
    shown, deadline = b"", time.monotonic() + 60
    while shown.count(b"loss") < 3 and time.monotonic() < deadline:
        if select.select([master], [], [], 1)[0]:
            shown += os.read(master, 4096)
    process.send_signal(signal.SIGINT)
    stdout, _ = process.communicate(timeout=60)
    os.close(master)
    assert b"painting" in shown
    assert process.returncode == 130
    found = json.loads(stdout)
    assert found["stopped"] == "cancelled"
    assert 0 < found["iterations"] < 100000
    with Image.open(out) as image:
        assert min(image.size) == 64
    assert os.listdir(tmp_path) == ["out.png"]


@pytest.mark.parametrize("module", ["typer", "numpy", "PIL", "onnxruntime", "ortist.run.loop"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_while_the_command_is_loaded(
    number: int, module: str, files: tuple[Path, Path], tmp_path: Path
) -> None:
    code = (
        "import os, sys\n"
        "class Hit:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Hit())\n"
        "from ortist.__main__ import main; main()"
    )
    command = [sys.executable, "-c", code, "transfer", *map(str, files), "-o", "out.png", *QUICK]
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (130, "ortist: interrupted.\n")
    assert os.listdir(tmp_path) == []


def test_a_batch_counts_on_a_terminal(files: tuple[Path, Path], tmp_path: Path) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "ortist", "batch", "missing.jpg", str(files[0]), "-o", "out"]
    command += ["--style", str(files[1]), *map(str, QUICK)]
    process = subprocess.Popen(command, stderr=slave, cwd=tmp_path)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # EIO, where no writer is left
        while select.select([master], [], [], 60)[0]:
            shown += os.read(master, 4096)
    os.close(master)
    assert process.wait(timeout=60) == 1
    assert b"2/2" in shown
    assert b"1 failed" in shown
    assert b"Traceback" not in shown


def test_sigterm_writes_the_picture_so_far(files: tuple[Path, Path], tmp_path: Path) -> None:
    out, trace = tmp_path / "out.png", tmp_path / "trace.jsonl"
    command = [sys.executable, "-m", "ortist", "transfer", *map(str, files), "-o", str(out)]
    command += ["--trace", str(trace), "--size", "64", "--iterations", "100000"]
    process = subprocess.Popen(command)
    while not (trace.is_file() and trace.stat().st_size) and process.poll() is None:
        time.sleep(0.1)
    process.terminate()
    assert process.wait(timeout=60) == 130
    assert sorted(os.listdir(tmp_path)) == ["out.png", "trace.jsonl"]


def test_the_content_may_be_replaced_by_its_picture(
    ortist: Ortist, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """And the sheet still shows what it was."""
    photo, sheet = tmp_path / "photo.png", tmp_path / "sheet.png"
    with Image.open(files[0]) as image:
        image.save(photo)
        expected = np.asarray(image.resize((341, 256), Image.Resampling.LANCZOS))
    link = tmp_path / "link.png"
    link.symlink_to(photo)
    done = ortist("transfer", photo, files[1], "-o", link, "--sheet", sheet, "--overwrite", *QUICK)
    assert done.returncode == 0, done.stderr
    assert link.is_symlink()
    with Image.open(photo) as image:
        assert image.size == (64, 48)
    with Image.open(sheet) as image:
        np.testing.assert_array_equal(np.asarray(image)[16:272, 16:357], expected)


def test_closed_and_full_streams(files: tuple[Path, Path], tmp_path: Path) -> None:
    run = f"{sys.executable} -m ortist"
    paint = f"{run} transfer {files[0]} {files[1]} --size 48 --iterations 2"
    for command, code in (
        (f"{run} models list >&-", 0),
        (f"{paint} -o {tmp_path}/a.png 2>&- >&-", 0),
        (f"{paint} -o {tmp_path}/b.png --json > /dev/full", 2),
        (f"PYTHONUNBUFFERED=1 {run} --help | true", 0),
    ):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == code, (command, done.stderr)
        assert "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_a_broken_model_does_not_hide_the_others(ortist: Ortist, tmp_path: Path) -> None:
    (tmp_path / "squeezenet1_1").mkdir()
    (tmp_path / "squeezenet1_1" / "manifest.json").write_text("{")
    done = ortist("models", "list", ORTIST_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "* squeezenet1_1 " in done.stdout
    assert "unusable" in done.stdout
    assert "squeezenet1_1-procedural" in done.stdout


def test_a_reader_that_goes_away_is_no_error(files: tuple[Path, Path]) -> None:
    command = f"{sys.executable} -m ortist models list | true"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""


def test_samples_are_small_pictures() -> None:
    for name in ("harbour", "swirls", "shards", "pencil"):
        path = SAMPLES / f"{name}.jpg"
        assert path.stat().st_size < 120_000
        with Image.open(path) as image:
            assert image.size == (640, 480)
            assert np.asarray(image).std() > 20


def test_png_header_claims_its_size() -> None:
    assert struct.unpack(">II", png_header(7, 9)[16:24]) == (7, 9)


def test_names_that_are_no_text_are_repeated(
    ortist: Ortist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes that are no UTF-8, in every role, in both kinds of settings' homes."""
    monkeypatch.chdir(tmp_path)
    names = [os.fsdecode(name) for name in (b"caf\xe9.jpg", b"\xff style.jpg", b"m\x80sk.png")]
    for name, sample in zip(names, ("harbour.jpg", "swirls.jpg", "harbour-sky.png"), strict=True):
        try:
            shutil.copy(SAMPLES / sample, name)
        except OSError:
            pytest.skip("the file system knows text only")
    content, style, mask = names
    for out in ("out.png", "out.jpg", "out.tif"):
        words = ("--mask", mask, "-", "--size", 32, "--iterations", 2, "-o", out)
        assert ortist("transfer", content, style, *words).returncode == 0
        done = ortist("transfer", "--from", out, "-o", f"again-{out}")
        assert (done.returncode, done.stderr) == (0, "")
        assert Path(f"again-{out}").read_bytes() == Path(out).read_bytes()


def test_long_messages_lose_their_middle(ortist: Ortist, tmp_path: Path) -> None:
    name = "/".join(["x" * 200] * 100)
    for words in (("transfer", name, name), ("texture", name, "-o", name), ("batch", name)):
        done = ortist(*words)
        assert done.returncode == 2 or done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert len(done.stderr) < 1100


def test_a_plain_line_a_minute_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for quiet in (False, True):
        telling.be_quiet(quiet)
        with telling.progress_bar(300) as show:
            for done in range(300):
                now[0] += 1
                show(done, "loss 0.5")
        said = capsys.readouterr().err.splitlines()
        expected = [f"ortist: {n} of 300 done, loss 0.5." for n in (59, 119, 179, 239, 299)]
        assert said == ([] if quiet else expected)
    telling.be_quiet(False)


def test_quiet_leaves_remarks_out(ortist: Ortist, tmp_path: Path) -> None:
    Image.new("RGB", (20, 16), "teal").save(tmp_path / "small.png")
    inputs = (tmp_path / "small.png", SAMPLES / "swirls.jpg", "-o", tmp_path / "o.png")
    words = (*inputs, "--size", 48, "--iterations", 1)
    assert "it is enlarged" in ortist("transfer", *words).stderr
    assert ortist("transfer", *words, "--quiet").stderr == ""
