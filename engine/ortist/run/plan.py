"""Before anything large is made: how a picture will fit into the memory there is.

The least costly way that fits the budget is taken:

1. the whole picture at once, its state in memory;
2. in tiles (objective/pieces.py), the larger the better up to 1024 pixels, its state in memory,
   down to tiles of 256 pixels, or of 64 where its state cannot be in files;
3. in tiles, its state in files (arrays.py).

What a way takes is predicted in memory.py.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OptionError, ResourceError
from ..network.machine import available_memory
from ..options.fields import Options
from ..options.parsing import size_in_words
from .memory import MemoryModel
from .tuning import Scale, plan_scales
from .view import KEPT_BYTES

__all__ = ["Plan", "plan_run"]

_NARROWEST = 256
"""Sides of a picture, one over the other, at most: a few bytes can ask for 40 x 65 535 pixels."""
_LONGEST = 2**14
"""Pixels of the longer side, at most, of a picture that is larger than its content."""


@dataclass(frozen=True)
class Plan:
    """How a run is made.

    ``tile`` is the side of the tiles, None for the whole picture at once; ``folder`` is where the
    state's files are, None for a state in memory; up to ``kept`` bytes of content features are kept
    from step to step. ``peak`` is the resident memory that is predicted, ``budget`` what it may be
    (0: not known), ``disk`` what the files take, all in bytes. ``size`` is (width, height).
    """

    tile: int | None = None
    folder: Path | None = None
    kept: int = KEPT_BYTES
    peak: int = 0
    budget: int = 0
    disk: int = 0
    size: tuple[int, int] = (0, 0)
    scales: tuple[Scale, ...] = ()

    def applied(self, options: Options) -> Options:
        """``options`` with the tiles of this plan."""
        return options if self.tile is None else dataclasses.replace(options, tile=self.tile)

    def as_json(self) -> dict[str, Any]:
        """For the command's ``--json``."""
        return {
            "size": list(self.size),
            "tile": self.tile,
            "state": "memory" if self.folder is None else "files",
            "memory": {"predicted": self.peak, "budget": self.budget or None},
            "files": {
                "folder": None if self.folder is None else str(self.folder),
                "bytes": self.disk,
            },
            "scales": [[scale.side, scale.iterations] for scale in self.scales],
        }

    def __str__(self) -> str:
        width, height = self.size
        whole = "at once" if self.tile is None else f"in tiles of {self.tile} pixels"
        state = "in memory"
        if self.folder is not None:
            state = f"in files of {size_in_words(self.disk)} in {str(self.folder)!r}"
        budget = f" of {size_in_words(self.budget)}" if self.budget else ""
        scales = ", ".join(f"{scale.side} ({scale.iterations} steps)" for scale in self.scales)
        return (
            f"picture  {width} x {height} pixels, {whole}\n"
            f"state    {state}\n"
            f"memory   {size_in_words(self.peak)}{budget}\n"
            f"scales   {scales}"
        )


def plan_run(memory: MemoryModel, files: bool = True) -> Plan:
    """The plan for pictures of which only the headers were read.

    ``files`` says that the state may be in files. Raises ResourceError, with the largest size that
    would do, where nothing fits the budget (``max_memory``, or what the machine has free, less a
    tenth), and where the disk has no room for the files.
    """
    options = memory.options
    budget = options.max_memory or int(0.9 * available_memory())
    _check_narrow(memory)
    if memory.canvas[0] * memory.canvas[1] > options.max_pixels:
        raise OptionError(
            f"the picture would have {memory.canvas[0]} x {memory.canvas[1]} pixels, more than the "
            f"limit of {options.max_pixels}; give a smaller --size or raise --max-pixels."
        )
    for tile, on_disk in memory.ways(files):
        peak = memory.peak(tile, on_disk)
        if not budget or peak <= budget:
            break
    else:
        raise ResourceError(_refusal(memory, budget, files))
    size, scales = memory.canvas, tuple(plan_scales(options))
    if on_disk:
        folder = Path(options.scratch or os.curdir)
        _check_disk(folder, memory.disk, size)
        return Plan(tile, folder, 0, peak, budget, memory.disk, size, scales)
    spare = (budget - peak) * 9 // 10 if budget else KEPT_BYTES
    kept = min(KEPT_BYTES, spare, memory.features)
    return Plan(tile, None, kept, peak + kept, budget, 0, size, scales)


def _check_narrow(memory: MemoryModel) -> None:
    """Raises OptionError for a ribbon, and for what would be enlarged to one."""
    for picture in filter(None, (memory.content, *memory.styles)):
        width, height = picture.size
        if max(width, height) > _NARROWEST * min(width, height):
            raise OptionError(
                f"the {picture.role} has {width} x {height} pixels, and is more than {_NARROWEST} "
                "times as long as it is wide; cut it up."
            )
    if memory.content is None:
        return
    own, asked = memory.content.size, memory.canvas
    if max(asked) <= max(_LONGEST, *own):
        return
    most = max(_LONGEST, *own) * min(own) // max(own)
    remedy = f"give --size {most} or less" if most >= 16 else "give one that is less narrow"
    raise OptionError(
        f"the content image has {own[0]} x {own[1]} pixels, and the picture would have "
        f"{asked[0]} x {asked[1]}; {remedy}."
    )


def _refusal(memory: MemoryModel, budget: int, files: bool) -> str:
    """What to say where no way takes less than ``budget``."""
    width, height = memory.canvas
    said, least = size_in_words(budget), size_in_words(memory.least(files))
    low, high = 16, memory.options.size
    while high - low > 1:  # the largest size that fits
        middle = (low + high) // 2
        fits = memory.at_size(middle).least(files) <= budget
        low, high = (middle, high) if fits else (low, middle)
    if low == 16:
        return (
            f"{said} of memory are less than the {least} that {width} x {height} pixels take at "
            "least; give more by --max-memory."
        )
    why = f" ({memory.why_not_in_files})" if memory.why_not_in_files else ""
    return (
        f"a picture of {width} x {height} pixels takes {least} of memory, and there "
        f"are {said}{why}; give --size {low}, the largest that fits, or more by --max-memory."
    )


def _check_disk(folder: Path, needed: int, size: tuple[int, int]) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise OptionError(
            f"cannot keep the run's state in {str(folder)!r} ({error.strerror}); name another "
            "folder by --scratch."
        ) from error
    if free < needed:
        raise ResourceError(
            f"the state of {size[0]} x {size[1]} pixels takes {size_in_words(needed)} on the disk "
            f"and {str(folder)!r} has {size_in_words(free)}; make room, name another folder by "
            "--scratch, or give a smaller --size."
        )
