"""What ``transfer``, ``invert`` and ``texture`` are asked for: which pictures, and what goes where.

All of it is checked before the work begins.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import OptionError
from ..options.declaring import Heading
from ..options.fields import STARTS, Options
from .arguments import PRESET, asked, file, flag
from .cluster import SCHEDULER
from .streams import FORMATS, STREAM
from .telling import note

if TYPE_CHECKING:
    from ..run.settings import Settings

__all__ = ["Named", "Places", "Request", "recorded_settings"]

_ROLES = {"transfer": ("content", "style"), "invert": ("content",), "texture": ("style",)}


@dataclass(frozen=True)
class Request:
    """Where options come from, and what is written where; each field is a command-line option."""

    output: Path | None = file(
        "The picture to write; its suffix names the format. A - is standard output. Without it, "
        "transfer writes CONTENT-STYLE.png into the working directory.",
        Heading.FIRST,
        "--output",
        "-o",
    )
    overwrite: bool = flag(
        "Let the picture replace the content, once it is done, or, without -o, one that is there.",
        "--overwrite",
    )
    format: str | None = asked(
        None,
        "The picture's format on standard output. [default: png]",
        Heading.OUTPUT,
        "|".join(FORMATS),
    )
    preset: str | None = PRESET
    config: Path | None = file(
        "Options from a TOML file: over the preset's, under the command line's.", Heading.RECIPE
    )
    source: Path | None = file(
        "Repeat what this picture was made with: its options and inputs, where not given.",
        Heading.RECIPE,
        "--from",
        metavar="PICTURE",
    )
    print_config: bool = flag(
        "Print the options as a TOML file, and stop.", "--print-config", Heading.RECIPE
    )
    plan: bool = flag(
        "Print how the picture will fit into the memory (tiles, files), and stop.",
        "--plan",
        Heading.MEMORY,
    )
    scheduler: str | None = SCHEDULER
    sheet: Path | None = file(
        "Write one picture that shows inputs, snapshots, result and loss curves."
    )
    report: Path | None = file(
        "Write one HTML file with pictures, loss curves, times and settings."
    )
    trace: Path | None = file("Write one JSON object a step, as the run goes on.")
    preview_every: int | None = asked(
        None, "Write the picture so far after every N steps.", Heading.OUTPUT, "N", min=1
    )
    preview: Path | None = file("Where to; without it, the output file.")
    checkpoint: Path | None = file(
        "Keep the run's state here; the same command again goes on from it, to the same bytes. "
        "Removed when the run is finished."
    )
    checkpoint_every: int | None = asked(
        None, "Steps from one checkpoint to the next. Without it, 50.", Heading.OUTPUT, "N", min=1
    )
    json: bool = flag("Print the result as one JSON object on stdout.", "--json")
    quiet: bool = flag("Say nothing on stderr but errors.", "--quiet")

    def placed(self, named: Named) -> Request:
        """The request with a place for the picture: where none is asked for, the inputs name it.

        Raises OptionError where a picture of that name is there, unless it may be overwritten, or
        goes on from a checkpoint.
        """
        wanted = self.output or self.sheet or self.report or self.json or self.plan
        if wanted or named.command != "transfer" or named.content in (None, STREAM):
            return self
        name = "-".join(Path(source).stem for source in named.sources)
        path = Path(f"{name}.png")
        going_on = self.checkpoint is not None and self.checkpoint.exists()
        if os.path.lexists(path) and not (self.overwrite or going_on):
            raise OptionError(
                f"{str(path)!r} is there already; give --overwrite to replace it, or name another "
                "file with -o."
            )
        return dataclasses.replace(self, output=path)


@dataclass(frozen=True)
class Named:
    """The pictures named on the command line, or that the picture of ``--from`` was made with.

    A style mask of None stands for all of the style.
    """

    command: str
    content: str | None
    styles: Sequence[str]
    masks: Sequence[tuple[str, str | None]] = ()

    @property
    def sources(self) -> list[str]:
        """Content and styles, those that there are."""
        return [*([] if self.content is None else [self.content]), *self.styles]

    def completed(self, settings: Settings | None) -> Named:
        """What was named, else the recorded files, verified; with new styles no old masks.

        Raises OptionError for what is neither named nor recorded, and as ``find_input``.
        """
        named = {"content": self.content, "style": self.styles}
        lacking = [role for role in _ROLES[self.command] if not named[role]]
        if lacking and settings is None:
            raise OptionError(
                f"Missing argument {lacking[0].upper()!r}; see ortist {self.command} --help, or "
                "give --from a picture that has it."
            )
        content, styles, masks = self.content, self.styles, self.masks
        if settings and "content" in lacking:
            content = settings.find_input("content")
        if settings and "style" in lacking:
            find = settings.find_input
            styles = [find(role) for role in settings.styles]
            masks = masks or [(find(mask), part and find(part)) for mask, part in settings.masks]
        return Named(self.command, content, styles, masks)


def recorded_settings(command: str, request: Request, given: dict[str, Any]) -> Settings | None:
    """The settings in the picture of ``--from``, if any.

    Raises OptionError for another command's, and PictureError for a picture without settings.
    """
    source = request.source
    if source is None:
        return None
    for name, other in (("preset", request.preset), ("config", request.config)):
        if other is not None:
            raise OptionError(f"give --from or --{name}, but not both.")
    from ..run.settings import read_settings

    settings = read_settings(source, given.get("max_pixels", Options.max_pixels))
    if settings.command != command:
        raise OptionError(
            f"{str(source)!r} was made by ortist {settings.command}; repeat it with ortist "
            f"{settings.command} --from."
        )
    if settings.version != __version__:
        note(
            f"{str(source)!r} was made by ortist {settings.version}, this is {__version__}: the "
            "picture may differ."
        )
    return settings


class Places:
    """The files that a command writes.

    ``picture`` is where the picture is written: for standard output a file ``stream`` meanwhile.
    ``snapshots`` are the pictures on the way, by iteration: beside out.png, iteration 100's goes to
    out-0100.png. ``preview`` is where the picture so far is shown, None where it is not.
    ``painted`` are all pictures that have the depth asked for, ``others`` is what is no picture.
    """

    def __init__(
        self, request: Request, snapshots: Sequence[int], stream: Path | None = None
    ) -> None:
        out = stream or request.output
        self.request, self.picture, self.streamed = request, out, stream is not None
        self.snapshots: dict[int, Path] = {}
        if out:
            self.snapshots = {n: out.with_name(f"{out.stem}-{n:04}{out.suffix}") for n in snapshots}
        shown = None if stream else out
        self.preview = (request.preview or shown) if request.preview_every else None
        self.painted = _there(out, request.preview, *self.snapshots.values())
        self.others = _there(request.report, request.trace, request.checkpoint)

    def check(self, named: Named, options: Options) -> None:
        """Raises OptionError for what has no place, cannot be written or would replace an input."""
        request = self.request
        out, preview, checkpoint = self.picture, request.preview, request.checkpoint
        wanted = out or request.sheet or request.report or request.json or request.plan
        if not wanted:
            raise OptionError("there is no place for the picture; name one with -o FILE.")
        if request.preview_every and not self.preview:
            raise OptionError("there is no place for the preview; name one with --preview FILE.")
        if preview and not request.preview_every:
            raise OptionError("--preview FILE needs --preview-every N, which says how often.")
        if request.checkpoint_every and not checkpoint:
            raise OptionError(
                "there is no place for the checkpoint; name one with --checkpoint FILE."
            )
        self._check_outputs(options.depth)
        self._check_inputs(named, options)

    def _check_inputs(self, named: Named, options: Options) -> None:
        """Raises OptionError where a file that is read, by whatever name, would be written.

        With ``--overwrite`` the picture may replace the content: it is written when that is no
        longer needed, unless the run is to be gone on with.
        """
        from ..files import check_apart, named_file
        from ..network.bundle import find_model

        request, out = self.request, self.picture
        kept = [*named.styles, *(path for pair in named.masks for path in pair if path)]
        kept += [] if options.init is None or options.init in STARTS else [options.init]
        kept += map(str, _there(request.config, request.source))
        kept += find_model(options.model).paths
        content = [] if named.content is None else [named.content]
        check_apart(_there(out), kept)
        others = _there(self.preview, request.sheet, *self.snapshots.values(), *self.others)
        check_apart(others, [*kept, *content])
        if out and content and named_file(out) == named_file(content[0]):
            if not request.overwrite:
                raise OptionError(
                    f"{str(out)!r} is the content; name another file, or give --overwrite to "
                    "replace it."
                )
            if request.checkpoint:
                raise OptionError(
                    f"{str(out)!r} is the content, which the checkpoint's run needs again; name "
                    "another file."
                )

    def _check_outputs(self, depth: int | None) -> None:
        """Raises OptionError where a file cannot be written, or two would be one."""
        # Here, not above: this takes half a second that the checks before need not wait for.
        from ..files import check_writable, named_file
        from ..pictures.outputs import output_depth

        pictures = [*self.painted, *_there(self.request.sheet)]
        for path in pictures:
            output_depth(path, depth if path in self.painted else 8)
        seen: set[object] = set()
        for path in (*pictures, *self.others):
            check_writable(path)
            resolved = named_file(path)
            if resolved in seen:
                raise OptionError(
                    f"two outputs would both be written to {str(path)!r}; rename one."
                )
            seen.add(resolved)


def _there(*paths: Path | None) -> list[Path]:
    return [path for path in paths if path is not None]
