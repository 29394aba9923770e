"""Painting frame after frame."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from numpy.typing import NDArray
from ortist.errors import InputError, OptionError
from ortist.jobs.gif import gif_timing
from ortist.jobs.video import Painter, frame_size
from ortist.jobs.y4m import Header, read_frame, read_header, write_frame, write_header
from ortist.options.fields import Options
from PIL import Image

from tests.conftest import SAMPLES, Ortist, small_pictures

CONTENT, STYLE = small_pictures()
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
QUICK = ("--size", "48", "--iterations", "6", "--frame-iterations", "2")


def film(count: int, space: str = "420jpeg", frame: NDArray[np.uint8] = CONTENT) -> bytes:
    out = io.BytesIO()
    header = Header(frame.shape[1], frame.shape[0], Fraction(24), "1:1", space)
    write_header(out, header)
    for i in range(count):
        write_frame(out, header, np.roll(frame, i, 1))
    return out.getvalue()


def frames(data: bytes) -> tuple[Header, list[NDArray[np.uint8]]]:
    stream = io.BytesIO(data)
    header = read_header(stream)
    found = []
    while (frame := read_frame(stream, header)) is not None:
        found.append(frame)
    return header, found


def test_a_style_file_gives_the_same_frames() -> None:
    options = Options(size=48, smallest_size=32, iterations=4)
    style = ortist.extract_style(STYLE, options)
    for size, notes in ((48, 0), (40, 1)):  # at 40, the first scale has 28 pixels
        sized = Options(size=size, smallest_size=28, iterations=4)
        ours, theirs = Painter(style, sized, 2), Painter(STYLE, sized, 2)
        frames = [ours(CONTENT), ours(CONTENT)]
        assert [len(frame.notes) for frame in frames] == [notes, 0]
        if notes == 0:
            expected = [theirs(CONTENT), theirs(CONTENT)]
            for one, other in zip(frames, expected, strict=True):
                np.testing.assert_array_equal(one.pixels, other.pixels)


@pytest.mark.long
def test_a_still_film_flickers_far_less_than_frames_on_their_own() -> None:
    """The same frame with a little noise, as a camera has it."""
    noise = np.random.default_rng(0).integers(-2, 3, (4, *CONTENT.shape))
    shots = [np.clip(CONTENT + n, 0, 255).astype(np.uint8) for n in noise]
    options = Options(size=48, iterations=30, quality="paper")
    painter = Painter(STYLE, options, 6)
    followed = [painter(shot) for shot in shots]
    alone = [ortist.transfer(shot, STYLE, options).pixels for shot in shots]
    assert [frame.fresh for frame in followed] == [True, False, False, False]
    assert [frame.iterations for frame in followed] == [30, 6, 6, 6]

    def flicker(pictures: list[NDArray[np.uint8]]) -> float:
        return float(np.abs(np.diff(np.stack(pictures).astype(int), axis=0)).mean())

    assert flicker([frame.pixels for frame in followed]) < 0.6 * flicker(alone)
    assert followed[-1].losses.total < followed[0].losses.total


def test_patches_stay_where_they_lay() -> None:
    """A still film in which one thing moves: what is far from it stays to the bit."""
    shots = [CONTENT.copy() for _ in range(4)]
    for i, shot in enumerate(shots):
        shot[4 + 3 * i : 12 + 3 * i, 2:10] = (220, 40, 40)
    options = Options(size=48, quality="draft")
    painter = Painter(STYLE, options, blend=0)
    followed = [painter(shot) for shot in shots]
    assert [frame.fresh for frame in followed] == [True, False, False, False]
    assert [frame.iterations for frame in followed] == [0] * 4
    alone = [ortist.transfer(shot, STYLE, options).pixels for shot in shots]
    np.testing.assert_array_equal(followed[0].pixels, alone[0])

    def stays(pictures: list[NDArray[np.uint8]]) -> float:
        far = np.stack(pictures).astype(int)[:, :, 32:]
        return float((np.abs(np.diff(far, axis=0)).max(axis=3) <= 1).mean())

    assert stays([frame.pixels for frame in followed]) > max(0.9, stays(alone))


def test_frames_that_follow_take_the_steps_of_their_quality() -> None:
    shot = np.roll(CONTENT, 1, 1)
    for options, steps in (
        ({"quality": "standard"}, [3, 3]),
        ({"iterations": 4}, [4, 4]),
        ({"quality": "paper", "iterations": 4}, [4, 20]),
    ):
        painter = Painter(STYLE, Options.of(size=48, **options))
        assert [painter(frame).iterations for frame in (CONTENT, shot)] == steps


def test_a_cut_begins_anew() -> None:
    painter = Painter(STYLE, Options(size=48, iterations=4), 2)
    black, white = (np.full_like(CONTENT, level) for level in (0, 255))
    assert [painter(shot).fresh for shot in (black, black, white)] == [True, False, True]


def test_streams_from_python() -> None:
    out = io.BytesIO()
    options = Options(size=48, iterations=4)
    count = ortist.video(io.BytesIO(film(2)), out, STYLE, options, frame_iterations=1, chroma="444")
    header, found = frames(out.getvalue())
    assert count == len(found) == 2
    assert (header.width, header.height, header.rate) == (64, 48, Fraction(24))
    assert header.space == "444"
    with pytest.raises(OptionError, match="no chroma '411'"):
        ortist.video(io.BytesIO(film(1)), out, STYLE, options, chroma="411")  # type: ignore[arg-type]
    for wrong in ({"iterations": 0}, {"blend": 1.0}):
        with pytest.raises(OptionError, match="out of range"):
            Painter(STYLE, options, **wrong)
    with pytest.raises(InputError, match="more than the limit of 100"):
        ortist.video(io.BytesIO(film(1)), out, STYLE, max_pixels=100)
    with pytest.raises(InputError, match="has no frames"):
        ortist.video(io.BytesIO(film(0)), out, STYLE, options)


def test_sizes_are_even_and_not_enlarged() -> None:
    options = Options(size=100)
    assert frame_size(1920, 1080, options) == (178, 100)
    assert frame_size(1080, 1920, options) == (100, 178)
    assert frame_size(64, 48, options) == (64, 48)


def pipe(data: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ortist", "video", *words, "--style"]
    command += [str(SAMPLES / "swirls.jpg"), *QUICK]
    return subprocess.run(command, input=data, capture_output=True, timeout=120)


@pytest.mark.parametrize(("space", "written"), [("420mpeg2", "420mpeg2"), ("mono", "444")])
def test_a_pipe(space: str, written: str) -> None:
    done = pipe(film(3, space), "-", "-o", "-")
    assert (done.returncode, done.stderr) == (0, b"")
    header, found = frames(done.stdout)
    assert (len(found), header.space, header.aspect) == (3, written, "1:1")
    assert header.rate == 24
    assert np.abs(found[0].astype(int) - CONTENT).mean() > 3


def test_a_stream_cut_short_keeps_the_frames_before(tmp_path: Path) -> None:
    data = film(3)[:-100]
    done = pipe(data, "-", "-o", "-")
    assert done.returncode == 3
    assert b"ends in the middle of frame 3; the 2 before it were painted" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert len(frames(done.stdout)[1]) == 2
    out = tmp_path / "out.y4m"
    (tmp_path / "in.y4m").write_bytes(data)
    done = pipe(b"", str(tmp_path / "in.y4m"), "-o", str(out))
    assert done.returncode == 3
    assert len(frames(out.read_bytes())[1]) == 2
    assert sorted(os.listdir(tmp_path)) == ["in.y4m", "out.y4m"]


def test_frames_go_out_as_they_are_made() -> None:
    """The second frame is not given before the first was read: nothing waits for the end."""
    data = film(2)
    size = (len(data) - data.index(b"FRAME")) // 2
    command = [sys.executable, "-m", "ortist", "video", "-", "-o", "-", "--style"]
    command += [str(SAMPLES / "swirls.jpg"), *QUICK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(60, process.kill)
        timer.start()
        process.stdin.write(data[:-size])
        process.stdin.flush()
        header = read_header(process.stdout)
        assert read_frame(process.stdout, header) is not None
        process.stdin.write(data[-size:])
        process.stdin.close()
        assert read_frame(process.stdout, header) is not None
        assert process.wait() == 0
        timer.cancel()


def test_bad_input_is_one_sentence(ortist: Ortist, tmp_path: Path) -> None:
    style = SAMPLES / "swirls.jpg"
    (tmp_path / "text.y4m").write_text("no film")
    cases = [
        (("absent.y4m", "-o", "o.y4m"), 3, "'absent.y4m' does not exist"),
        ((tmp_path / "text.y4m", "-o", tmp_path / "o.y4m"), 3, "not a YUV4MPEG2 stream"),
        (("absent.mp4", "-o", tmp_path / "o.mp4"), 3, "'absent.mp4' does not exist"),
        (("-", "-o", "-", "--json"), 2, "cannot both go to stdout"),
        (("-", "-o", "-", "--chroma", "x"), 2, "no chroma 'x'"),
        ((tmp_path / "text.y4m", "-o", "no/o.y4m"), 2, "there is no folder 'no'"),
    ]
    for words, code, said in cases:
        done = ortist("video", *words, "--style", style)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
    done = ortist(
        "video", SAMPLES / "swirls.jpg", "-o", tmp_path / "o.mp4", "--style", style, PATH="/no"
    )
    assert done.returncode == 4
    assert "need ffmpeg, which is not on the path; install it" in done.stderr
    assert os.listdir(tmp_path) == ["text.y4m"]


@needs_ffmpeg
def test_video_files(ortist: Ortist, tmp_path: Path) -> None:
    """Frames, rate and sound come through ffmpeg, and its own words where it fails."""
    film_file, out = tmp_path / "in.mp4", tmp_path / "-out.mkv"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=80x60:r=10:d=0.4"]
    command += ["-f", "lavfi", "-i", "sine=d=0.4", str(film_file)]
    subprocess.run(command, check=True, timeout=60)
    style = ("--style", SAMPLES / "swirls.jpg", *QUICK)
    done = ortist("video", film_file, "-o", out, *style)
    assert (done.returncode, done.stderr) == (0, "")
    assert told_of(out) == (64, 48, Fraction(10), 4)
    assert "Audio: aac" in asked("-i", out)[1]
    done = ortist("video", SAMPLES / "draw.py", "-o", tmp_path / "x.mp4", *style)
    assert done.returncode == 3
    assert done.stderr.startswith("ortist: ffmpeg cannot read the video")
    done = ortist("video", film_file, "-o", tmp_path / "x.nonsense", *style)
    assert done.returncode == 2
    assert done.stderr.startswith("ortist: ffmpeg cannot write the video")
    assert done.stderr.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["-out.mkv", "in.mp4"]


def asked(*words: object) -> tuple[bytes, str]:
    """What FFmpeg, called so, writes to stdout, and says."""
    command = ["ffmpeg", "-hide_banner", "-nostdin", *map(str, words)]
    done = subprocess.run(command, capture_output=True, timeout=60)
    return done.stdout, done.stderr.decode()


def told_of(path: Path) -> tuple[int, int, Fraction, int]:
    """Width, height, rate and number of frames of a video file."""
    data, _ = asked("-i", path, "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "-")
    header, found = frames(data)
    return header.width, header.height, header.rate, len(found)


def gif(path: Path, delays: list[int], **more: Any) -> None:
    """An animated GIF of frames of different colours, shown so many milliseconds each."""
    shots = [Image.new("RGBA" if more else "RGB", (64, 48), (40 * i, 0, 99)) for i in range(1, 7)]
    if more:
        for shot in shots:
            shot.putpixel((3, 3), (0, 0, 0, 0))
    count = len(delays)
    shots[0].save(path, save_all=True, append_images=shots[1:count], duration=delays, loop=0)


@pytest.mark.parametrize("delays", [[100, 300, 100, 500], [40, 40, 200], [70, 110], [10, 500]])
def test_the_timing_of_a_gif(tmp_path: Path, delays: list[int]) -> None:
    gif(tmp_path / "a.gif", delays)
    data = (tmp_path / "a.gif").read_bytes()
    timing = gif_timing(io.BytesIO(data))
    assert timing is not None
    assert not timing.transparent
    shown = [delay // 10 if delay >= 20 else 10 for delay in delays]
    assert list(timing.delays) == shown
    assert timing.seconds == Fraction(sum(shown), 100)
    gif(tmp_path / "b.gif", delays, clear=True)
    clear = gif_timing(io.BytesIO((tmp_path / "b.gif").read_bytes()))
    assert clear is not None
    assert clear.transparent
    for cut in range(0, len(data), 3):  # damaged ones are FFmpeg's to judge
        gif_timing(io.BytesIO(data[:cut]))
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(data)
        damaged[int(rng.integers(len(data)))] = int(rng.integers(256))
        gif_timing(io.BytesIO(bytes(damaged)))
    gif(tmp_path / "c.gif", delays[:1])
    assert gif_timing(io.BytesIO((tmp_path / "c.gif").read_bytes())) is None


@needs_ffmpeg
def test_a_gif_takes_the_time_that_it_took(ortist: Ortist, tmp_path: Path) -> None:
    """Every frame for its time, the last too; what is shown for longer is painted once."""
    gif(tmp_path / "a.gif", [100, 300, 100, 500], clear=True)
    words = (tmp_path / "a.gif", "-o", tmp_path / "o.mp4", "--style", SAMPLES / "swirls.jpg")
    done = ortist("video", *words, *QUICK, "--json")
    assert done.returncode == 0
    assert "has transparent parts, which are painted in the colours below them." in done.stderr
    assert done.stderr.count("\n") == 1
    assert told_of(tmp_path / "o.mp4")[2:] == (Fraction(10), 10)
    report = json.loads(done.stdout)
    assert report["frames"] == 10
    assert report["iterations"] <= 4 * 6


def test_a_frame_that_stays_is_painted_once() -> None:
    header = Header(48, 48, Fraction(24), "1:1", "444")
    source, target = io.BytesIO(), io.BytesIO()
    write_header(source, header)
    for shot in (CONTENT, CONTENT, CONTENT[::-1], CONTENT[::-1]):
        write_frame(source, header, np.ascontiguousarray(shot[:48, :48]))
    source.seek(0)
    steps: list[int] = []
    how: dict[str, Any] = {"size": 48, "iterations": 3, "frame_iterations": 2}
    ortist.video(source, target, STYLE, on_frame=lambda f: steps.append(f.iterations), **how)
    assert [bool(step) for step in steps] == [True, False, True, False]
    _, found = frames(target.getvalue())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])


@needs_ffmpeg
def test_what_is_wrong_with_a_video_is_said_of_it(ortist: Ortist, tmp_path: Path) -> None:
    style = ("--style", SAMPLES / "swirls.jpg", *QUICK)
    asked("-f", "lavfi", "-i", "sine=d=0.2", tmp_path / "sound.m4a")
    film = ("-f", "lavfi", "-i", "testsrc=s=64x48:r=5:d=0.4", "-f", "lavfi", "-i", "sine=d=0.4")
    asked(*film, "-c:a", "aac", tmp_path / "in.mp4")
    done = ortist("video", tmp_path / "sound.m4a", "-o", tmp_path / "o.mp4", *style)
    assert done.returncode == 3
    assert "has no moving picture, only sound or text; name a video." in done.stderr
    for name in ("o.png", "o.JPG", "o.webp"):
        done = ortist("video", tmp_path / "in.mp4", "-o", tmp_path / name, *style)
        assert done.returncode == 2
        assert "names a picture; end a video's name in .mp4" in done.stderr
        assert done.stderr.count("\n") == 1
    # Sound that the container cannot hold is converted.
    done = ortist("video", tmp_path / "in.mp4", "-o", tmp_path / "o.webm", *style)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Audio: " in asked("-i", tmp_path / "o.webm")[1]
    # Nothing needs a folder for temporary files.
    done = ortist(
        "video", tmp_path / "in.mp4", "-o", tmp_path / "o.mov", *style, TMPDIR="/no", HOME="/no"
    )
    assert (done.returncode, done.stderr) == (0, "")
