"""``ortist video``: a Y4M stream or a video file, painted frame after frame."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import InputError, OptionError
from ..options.declaring import Heading
from ..options.fields import Options
from .arguments import takes_options
from .named import note
from .request import PRESET, asked

if TYPE_CHECKING:
    from ..jobs.video import Frame

__all__ = ["video"]

_FIRST, _OUTPUT = Heading.FIRST, Heading.OUTPUT


@takes_options(without=("snapshots", "seamless"))
def video(
    source: Annotated[
        str, typer.Argument(help="A video file, or - for Y4M on stdin.", metavar="VIDEO")
    ],
    style: Annotated[str, asked(_FIRST, "The painting or style file.", "STYLE")],
    output: Annotated[
        str, asked(_FIRST, "The file to write, or - for Y4M on stdout.", "FILE", "--output", "-o")
    ],
    frame_iterations: Annotated[
        int,
        asked(_FIRST, "Steps of a frame that follows another; --iterations is the first's.", "N"),
    ] = 20,
    blend: Annotated[
        float,
        asked(
            Heading.PICTURE,
            "How much of the last painting is kept where the film stands still.",
            "X",
        ),
    ] = 0.5,
    chroma: Annotated[
        str,
        asked(
            _OUTPUT, "Chroma of the Y4M that is written: as in the input, or 4:4:4.", "input|444"
        ),
    ] = "input",
    preset: Annotated[str | None, PRESET] = None,
    as_json: Annotated[
        bool, asked(_OUTPUT, "Print the result as one JSON object on stdout.", None, "--json")
    ] = False,
    *,
    given: dict[str, Any],
) -> None:
    """Paint VIDEO frame by frame, each from the one before, in sizes up to its own.

    Y4M (8 bits; BT.601 in limited range is assumed) is read and written without help; other files
    need ffmpeg, and keep their sound. What was painted before an interruption is kept.
    """
    options = Options.of(preset, **given)
    if output == "-" and as_json:
        raise OptionError(
            "--json and the video cannot both go to stdout; write the video to a file."
        )
    from ..jobs.video import video as paint

    frames: list[int] = []
    began = time.monotonic()
    stopped: BaseException | None = None
    with contextlib.ExitStack() as stack:
        reader = _reader(stack, source)
        writer = _writer(stack, output, source)
        show = stack.enter_context(_counter(frames))
        try:
            paint(
                reader,
                writer,
                style,
                options,
                frame_iterations=frame_iterations,
                blend=blend,
                chroma=cast(Any, chroma),
                on_frame=show,
            )
        except (InputError, KeyboardInterrupt) as error:
            if not frames:
                raise
            stopped = error  # the file is closed in order and keeps the frames before
    if as_json:
        seconds = round(time.monotonic() - began, 3)
        report = {"output": output, "frames": len(frames), "seconds": seconds}
        print(json.dumps({**report, "iterations": sum(frames)}))
    if isinstance(stopped, KeyboardInterrupt):
        note(f"interrupted after {len(frames)} frames.")
        raise typer.Exit(130)
    if stopped is not None:
        raise stopped


def _reader(stack: contextlib.ExitStack, source: str) -> IO[bytes]:
    if source == "-":
        return sys.stdin.buffer
    path = Path(source)
    if path.suffix.lower() != ".y4m":
        from ..jobs.ffmpeg import decoded

        return stack.enter_context(decoded(path))
    if not path.is_file():
        raise InputError(f"there is no video file {source!r}.")
    try:
        return stack.enter_context(path.open("rb"))
    except OSError as error:
        raise InputError(f"cannot read {source!r} ({error.strerror}).") from error


def _writer(stack: contextlib.ExitStack, output: str, source: str) -> IO[bytes]:
    from ..files import atomic_writer, check_writable

    if output == "-":
        return sys.stdout.buffer
    path = Path(output)
    check_writable(path)
    if path.suffix.lower() == ".y4m":
        return stack.enter_context(atomic_writer(path))
    from ..jobs.ffmpeg import encoded

    sound = None if source == "-" or source.lower().endswith(".y4m") else Path(source)
    return stack.enter_context(encoded(path, sound))


@contextlib.contextmanager
def _counter(frames: list[int]) -> Any:
    """Notes every frame's iterations, and counts on stderr where that is a terminal."""

    def show(frame: Frame) -> None:
        if not frames:
            for remark in frame.notes:
                note(remark)
        frames.append(frame.iterations)
        if sys.stderr.isatty():
            print(
                f"\rframe {len(frames)}, {frame.seconds:.1f} s", end="", file=sys.stderr, flush=True
            )

    yield show
    if frames and sys.stderr.isatty():
        print(file=sys.stderr)
