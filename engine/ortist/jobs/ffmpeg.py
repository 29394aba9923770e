"""Video files as streams of Y4M: Y4M itself, and others through FFmpeg, where it is installed.

FFmpeg runs with a list of arguments and may open files and pipes only, so that neither a name nor
a playlist in a file makes it reach for the network.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import InputError, OptionError, OutputError, ResourceError
from ..files import atomic_path, atomic_writer, check_writable, require_file
from ..pictures.outputs import is_picture_name
from .gif import Timing, gif_timing

__all__ = ["check_video_name", "decoded", "encoded", "has_alpha"]

_ASKING = ("-hide_banner", "-nostdin")
_ENDING = ("Error opening ", "Error parsing options for ", "Conversion failed")
_PART = re.compile(r"^(\[[^\]]*\] ?)+")
"""Which part of FFmpeg speaks, at the beginning of a line."""
_QUIET = ("-hide_banner", "-loglevel", "error", "-nostdin", "-y")
_LOCAL = ("-protocol_whitelist", "file,pipe")
_SAID = 2**16
"""Bytes that are kept of what FFmpeg says."""
_ALPHA = re.compile(
    r"Video: [^\n]*?\b(yuva\d|rgba|bgra|argb|abgr|gbrap|ya8|ya16)|alpha_mode\s*: 1", re.IGNORECASE
)
"""What FFmpeg calls a film with transparency."""


@contextlib.contextmanager
def decoded(path: Path) -> Iterator[IO[bytes]]:
    """A stream of Y4M (jobs/y4m.py): a Y4M file's own, else the first video in ``path``.

    FFmpeg makes it 4:4:4, in BT.601's limited range. Raises InputError where there is no such file
    or it cannot be read, ResourceError where there is no FFmpeg.
    """
    require_file(path, f"the video {str(path)!r}", InputError, "name another")
    if _is_y4m(path):
        try:
            file = path.open("rb")
        except OSError as error:
            raise InputError(f"cannot read {str(path)!r} ({error.strerror}).") from error
        with file:
            yield file
        return
    command = ["-i", f"file:{path.absolute()}", "-map", "0:v:0"]
    filters = "scale=out_color_matrix=bt601:out_range=tv"
    if timing := _gif(path):  # each frame for its time, also the last
        filters += f",fps={timing.rate},tpad=stop_mode=clone:stop=-1"
        command += ["-t", f"{float(timing.seconds):.2f}"]
    command += ["-vf", filters, "-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "pipe:1"]
    with _ffmpeg(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as (process, said):
        assert process.stdout is not None
        try:
            yield process.stdout
            if not process.stdout.read(1) and process.wait():
                raise InputError(f"ffmpeg cannot read the video {str(path)!r}.")
        except InputError as error:
            process.kill()
            process.wait()
            reason = said.last()
            if "matches no streams" in said.text():
                raise InputError(
                    f"{str(path)!r} has no moving picture, only sound or text; name a video."
                ) from error
            if reason:
                raise InputError(f"ffmpeg cannot read the video {str(path)!r}: {reason}") from error
            raise


def has_alpha(path: Path) -> bool:
    """Whether a video file has transparent parts, which a stream of Y4M does not keep."""
    if _is_y4m(path) or not path.is_file():
        return False
    if timing := _gif(path):
        return timing.transparent
    with _ffmpeg(
        ["-i", f"file:{path.absolute()}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        quiet=_ASKING,
    ) as (process, said):
        process.wait()
        return _ALPHA.search(said.text()) is not None


def check_video_name(path: Path) -> None:
    """Raises OptionError for the name of a picture in the place of a video's."""
    if is_picture_name(path):
        raise OptionError(
            f"{str(path)!r} names a picture; end a video's name in .mp4, .mkv, .mov, .webm, .gif "
            "or .y4m."
        )


def _gif(path: Path) -> Timing | None:
    """How long the frames of an animated GIF are shown; None for any other file."""
    try:
        with path.open("rb") as stream:
            return gif_timing(stream)
    except OSError:
        return None


@contextlib.contextmanager
def encoded(path: Path, sound: Path | None = None) -> Iterator[IO[bytes]]:
    """A stream for Y4M (jobs/y4m.py) that becomes the video file ``path`` when the block ends well.

    The file is whole or absent. The sound of the file ``sound`` is copied into it, unless it is
    Y4M; None for none. Raises OutputError where it cannot be written, ResourceError where there is
    no FFmpeg.
    """
    check_writable(path)
    if _is_y4m(path):
        with atomic_writer(path) as stream:
            yield stream
        return
    command = ["-f", "yuv4mpegpipe", "-i", "pipe:0"]
    if sound is not None and not _is_y4m(sound):
        command += [*_LOCAL, "-i", f"file:{sound.absolute()}", "-map", "0:v", "-map", "1:a?"]
        if path.suffix.lower() != ".webm":  # which holds Opus and Vorbis only, and has it made
            command += ["-c:a", "copy"]
    # Most players want 4:2:0, which needs even sides.
    command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]
    command += ["-colorspace", "smpte170m", "-color_range", "tv"]
    with (
        atomic_path(path) as temporary,
        _ffmpeg(
            [*command, f"file:{temporary}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as (process, said),
    ):
        assert process.stdin is not None
        try:
            yield process.stdin
            process.stdin.close()
            failed = process.wait() != 0
        except BrokenPipeError:
            failed = True
        if failed:
            process.wait()
            raise OutputError(f"ffmpeg cannot write the video {str(path)!r}: {said.last()}")


@contextlib.contextmanager
def _ffmpeg(
    arguments: list[str], stdin: int, stdout: int, quiet: tuple[str, ...] = _QUIET
) -> Iterator[tuple[subprocess.Popen[bytes], _Said]]:
    """FFmpeg, in a session of its own, and what it says on stderr; it ends with the block.

    Ctrl-C is for the painter, which ends FFmpeg in order. Raises ResourceError where there is none.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise ResourceError(
            "video files need ffmpeg, which is not on the path; install it, or give - for Y4M on "
            "standard input and output, or names that end in .y4m."
        )
    command = [program, *quiet, *_LOCAL, *arguments]
    process = subprocess.Popen(
        command, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    said = _Said(process.stderr)
    try:
        yield process, said
    finally:
        process.kill()
        process.wait()
        said.text()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


class _Said:
    """What FFmpeg says on stderr, read as it comes; the last of it is kept."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._kept = b""
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        while block := stream.read1(_SAID):  # type: ignore[attr-defined]  # a BufferedReader
            self._kept = (self._kept + block)[-_SAID:]

    def text(self) -> str:
        """All that is kept of it, once the process has ended."""
        self._thread.join(10)
        return self._kept.decode("utf-8", "replace").strip()

    def last(self) -> str:
        """The line that tells best what was wrong, in printable letters, 300 at most; "" for none.

        It is the last, but for sentences by which FFmpeg only says that it ends.
        """
        lines = [_PART.sub("", line).strip() for line in self.text().splitlines()]
        telling = [line for line in lines if line and not line.startswith(_ENDING)]
        line = (telling or lines or [""])[-1]
        return "".join(c if c.isprintable() else "?" for c in line)[:300]


def _is_y4m(path: Path) -> bool:
    return path.suffix.lower() == ".y4m"
