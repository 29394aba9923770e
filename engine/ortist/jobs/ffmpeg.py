"""Video files through FFmpeg, where it is installed: a Y4M stream out of one, another into one.

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
from ..files import atomic_path, require_file

__all__ = ["decoded", "encoded", "find_ffmpeg"]

_QUIET = ("-hide_banner", "-loglevel", "error", "-nostdin", "-y")
_LOCAL = ("-protocol_whitelist", "file,pipe")


def find_ffmpeg() -> str:
    """The path of the program ffmpeg; raises ResourceError where it is not installed."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise ResourceError(
            "video files need ffmpeg, which is not on the path; install it, or give - for Y4M on "
            "standard input and output, or names that end in .y4m."
        )
    return program


@contextlib.contextmanager
def decoded(path: Path) -> Iterator[IO[bytes]]:
    """A stream of Y4M (jobs/y4m.py): the first video in ``path``, 4:4:4, BT.601's limited range.

    Raises InputError where there is no such file or FFmpeg cannot read it, ResourceError where
    there is no FFmpeg.
    """
    require_file(path, f"the video {str(path)!r}", InputError, "name another")
    command = [find_ffmpeg(), *_QUIET, *_LOCAL, "-i", f"file:{path.absolute()}"]
    command += ["-map", "0:v:0", "-vf", "scale=out_color_matrix=bt601:out_range=tv"]
    command += ["-pix_fmt", "yuv444p", "-f", "yuv4mpegpipe", "pipe:1"]
    with tempfile.TemporaryFile() as said:
        process = _started(command, said, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            yield process.stdout
            rest = process.stdout.read(1)
            process.stdout.close()
            if process.wait() and not rest:
                raise InputError(f"ffmpeg cannot read the video {str(path)!r}: {_last(said)}")
        except InputError as error:
            process.kill()
            process.wait()
            if reason := _last(said):
                raise InputError(f"ffmpeg cannot read the video {str(path)!r}: {reason}") from error
            raise
        finally:
            process.kill()
            process.wait()
            process.stdout.close()


@contextlib.contextmanager
def encoded(path: Path, sound: Path | None = None) -> Iterator[IO[bytes]]:
    """A stream for Y4M (jobs/y4m.py) that becomes the video file ``path`` when the block ends well.

    The file is whole or absent. The sound of the file ``sound`` is copied into it; None for none.
    Raises OutputError where FFmpeg cannot write it, ResourceError where there is no FFmpeg.
    """
    with atomic_path(path) as temporary, tempfile.TemporaryFile() as said:
        command = [find_ffmpeg(), *_QUIET, *_LOCAL, "-f", "yuv4mpegpipe", "-i", "pipe:0"]
        if sound is not None:
            command += [*_LOCAL, "-i", f"file:{sound.absolute()}", "-map", "0:v", "-map", "1:a?"]
            command += ["-c:a", "copy"]
        # Most players want 4:2:0, which needs even sides.
        command += ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p"]
        command += ["-colorspace", "smpte170m", "-color_range", "tv", f"file:{temporary}"]
        process = _started(command, said, stdin=subprocess.PIPE)
        assert process.stdin is not None
        try:
            try:
                yield process.stdin
                process.stdin.close()
                failed = process.wait() != 0
            except BrokenPipeError:
                failed = True
            if failed:
                process.wait()
                raise OutputError(f"ffmpeg cannot write the video {str(path)!r}: {_last(said)}")
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()


def _started(
    command: list[str], said: IO[bytes], stdin: int | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """FFmpeg, started in a session of its own; what it says on stderr goes into ``said``.

    Ctrl-C is for the painter, which ends FFmpeg in order.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=said,
        start_new_session=True,
    )


def _last(said: IO[bytes]) -> str:
    """The last line that FFmpeg said, which tells best what was wrong; "" for none."""
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
