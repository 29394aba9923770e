"""``ortist video``: a Y4M stream or a video file, painted frame after frame."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InputError, OptionError
from ..options.declaring import Heading
from ..options.fields import STARTS, Options
from ..signals import end_in_order
from .arguments import PRESET, asked, flag, takes_options
from .telling import be_quiet, interrupted, note, shows_lines

if TYPE_CHECKING:
    from ..jobs.video import Frame

__all__ = ["video"]

_FIRST, _OUTPUT = Heading.FIRST, Heading.OUTPUT


@takes_options(without=("snapshots", "seamless"))
def video(
    source: Annotated[
        str, typer.Argument(help="A video file, or - for Y4M on stdin.", metavar="VIDEO")
    ],
    style: str = asked(..., "The painting, style file or built-in style.", _FIRST, "STYLE"),
    output: str = asked(
        ..., "The file to write, or - for Y4M on stdout.", _FIRST, "FILE", "--output", "-o"
    ),
    frame_iterations: int | None = asked(
        None,
        "Steps of a frame that follows another; --iterations is the first's. Without it, 20 in the "
        "paper's way, else as many as the first's.",
        _FIRST,
        "N",
    ),
    blend: float = asked(
        0.5,
        "How much of the last painting is kept where the film stands still.",
        Heading.PICTURE,
        "X",
    ),
    chroma: str = asked(
        "input",
        "Chroma of the Y4M that is written: as in the input, or 4:4:4.",
        _OUTPUT,
        "input|444",
    ),
    preset: str | None = PRESET,
    as_json: bool = flag("Print the result as one JSON object on stdout.", "--json"),
    quiet: bool = flag("Say nothing on stderr but errors.", "--quiet"),
    *,
    given: dict[str, Any],
) -> None:
    """Paint VIDEO frame by frame, each from the one before, in sizes up to its own.

    Y4M (8 bits; BT.601 in limited range is assumed) is read and written without help; other files
    need ffmpeg, and keep their sound. What was painted before an interruption is kept.
    """
    be_quiet(quiet)
    options = Options.of(preset, **given)
    if output == "-" and as_json:
        raise OptionError(
            "--json and the video cannot both go to stdout; write the video to a file."
        )
    frames: list[int] = []
    began = time.monotonic()
    how = {"frame_iterations": frame_iterations, "blend": blend, "chroma": chroma}
    stopped = _paint(source, output, style, options, how, frames)
    if as_json:
        seconds = round(time.monotonic() - began, 3)
        report = {"output": output, "frames": len(frames), "seconds": seconds}
        print(json.dumps({**report, "iterations": sum(frames)}))
    if isinstance(stopped, KeyboardInterrupt):
        raise interrupted(f"interrupted after {len(frames)} frames.")
    if stopped is not None:
        raise stopped


def _paint(
    source: str, output: str, style: str, options: Options, how: dict[str, Any], frames: list[int]
) -> BaseException | None:
    """Paints, adds each frame's iterations to ``frames``, and counts them on a terminal's stderr.

    What stopped it after a frame is returned: the file is closed in order and keeps those before.
    """
    from ..files import check_apart
    from ..jobs.ffmpeg import check_video_name, decoded, encoded, has_alpha
    from ..jobs.video import video
    from ..network.bundle import find_model

    def show(frame: Frame) -> None:
        for remark in () if frames else frame.notes:
            note(remark)
        frames.append(frame.iterations)
        if shows_lines():
            text = f"\rframe {len(frames)}, {frame.seconds:.1f} s"
            print(text, end="", file=sys.stderr, flush=True)

    if output != "-":
        check_video_name(Path(output))
        started = [] if options.init is None or options.init in STARTS else [options.init]
        read = [style, *started, *find_model(options.model).paths]
        check_apart([output], read if source == "-" else [source, *read])
    end_in_order()
    sound = None if source == "-" else Path(source)
    if sound is not None and has_alpha(sound):
        note(f"{source!r} has transparent parts, which are painted in the colours below them.")
    with (
        nullcontext(sys.stdin.buffer) if source == "-" else decoded(Path(source)) as reader,
        nullcontext(sys.stdout.buffer) if output == "-" else encoded(Path(output), sound) as writer,
    ):
        try:
            video(reader, writer, style, options, on_frame=show, **how)
        except (InputError, KeyboardInterrupt) as error:
            if not frames:
                raise
            return error
        finally:
            if frames and shows_lines():
                print(file=sys.stderr)
    return None
