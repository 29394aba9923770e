"""Video files as streams of Y4M: Y4M itself, and others through FFmpeg, where it is installed.

FFmpeg runs with a list of arguments and may open files and pipes only, so that neither a name nor
a playlist in a file makes it reach for the network.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import InputError, OutputError, ResourceError
from ..files import atomic_path, atomic_writer, check_writable, require_file

__all__ = ["decoded", "encoded"]

_QUIET = ("-hide_banner", "-loglevel", "error", "-nostdin", "-y")
_LOCAL = ("-protocol_whitelist", "file,pipe")


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
    command += ["-vf", "scale=out_color_matrix=bt601:out_range=tv"]
    command += ["-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "pipe:1"]
    with _ffmpeg(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as (process, said):
        assert process.stdout is not None
        try:
            yield process.stdout
            if not process.stdout.read(1) and process.wait():
                raise InputError(f"ffmpeg cannot read the video {str(path)!r}.")
        except InputError as error:
            process.kill()
            process.wait()
            if reason := _last(said):
                raise InputError(f"ffmpeg cannot read the video {str(path)!r}: {reason}") from error
            raise


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
            raise OutputError(f"ffmpeg cannot write the video {str(path)!r}: {_last(said)}")


@contextlib.contextmanager
def _ffmpeg(
    arguments: list[str], stdin: int, stdout: int
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """FFmpeg, in a session of its own, and what it says on stderr; it ends with the block.

    Ctrl-C is for the painter, which ends FFmpeg in order. Raises ResourceError where there is none.
    """
    program = shutil.which("ffmpeg")
    if program is None:
        raise ResourceError(
            "video files need ffmpeg, which is not on the path; install it, or give - for Y4M on "
            "standard input and output, or names that end in .y4m."
        )
    command = [program, *_QUIET, *_LOCAL, *arguments]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=said, start_new_session=True
        )
        try:
            yield process, said
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()


def _is_y4m(path: Path) -> bool:
    return path.suffix.lower() == ".y4m"


def _last(said: IO[bytes]) -> str:
    """The last line that FFmpeg said, which tells best what was wrong; "" for none."""
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
