"""Settings inside pictures: what a picture was made with, to make it again.

They are one JSON object in the picture's EXIF data (UserComment):

    {"ortist": version, "command": "transfer" | "invert" | "texture",
     "options": {…, "model": name or path}, "model": {"name": …, "sha256": …},
     "inputs": {"content": {"path": …, "sha256": …}, "style": {…}}, or "style 1", "style 2", …,
         for every pair of masks "content mask 1" and, where there is one, "style mask 1",
         and where the option init is "image", "init",
     "iteration": steps done, where they are not all,
     "schedule": [[side, steps], …], where they are not those of the plan (run/tuning.py)}

Options that have their defaults, or what their quality stands for, are left out, and those that say
nothing of the picture or lift a limit. Paths are as they were given; an input that was no file, or
has no printable name, has null.
What is read is a stranger's file: bounded in size, JSON and nothing else, and every option goes
through ``Options``.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import ModelError, PictureError, reason_of
from ..files import sha256_of
from ..network.bundle import Model, find_model
from ..options.fields import STARTS, Options
from ..options.presets import QUALITIES
from ..pictures.metadata import text_of
from ..pictures.raster import Source
from ..pictures.reading import open_picture
from ..style.named import BUILT_IN, built_in
from .stepping import Progress
from .tuning import plan_scales

__all__ = ["Settings", "describe", "read_settings"]

_LIMIT, _LONGEST_PATH = 32_768, 4096
"""Characters of JSON: JPEG holds 64 KiB of EXIF data."""
_LEFT_OUT = {"snapshots", "settings", "max_pixels", "time_limit", "max_memory", "scratch"}
_COMMANDS = {(True, True): "transfer", (True, False): "invert", (False, True): "texture"}
"""By whether there is a content image, and a style image."""
_STYLE = re.compile(r"style( [0-9]+)?", re.ASCII)
_ROLE = re.compile(r"content|style|init|(style|content mask|style mask) [1-9][0-9]{0,2}", re.ASCII)


@dataclass(frozen=True)
class Settings:
    """What ``picture`` says it was made with.

    ``iteration``: the step at which it stopped early. ``schedule``: the scales it went through, by
    their sides, and the steps at each, where a time limit or convergence made them others than the
    options plan.
    """

    picture: str
    version: str
    command: str
    options: Mapping[str, Any]
    model_sha256: str
    inputs: Mapping[str, tuple[str, str] | None]
    iteration: int | None
    schedule: tuple[tuple[int, int], ...] | None

    @property
    def styles(self) -> list[str]:
        """The roles of the styles, in their order."""
        return ["style"] if "style" in self.inputs else self._numbered("style")

    @property
    def masks(self) -> list[tuple[str, str | None]]:
        """The roles of the pairs of masks, in their order; None for all of the style."""
        masks = self._numbered("content mask")
        parts = [mask.replace("content", "style") for mask in masks]
        return [(m, p if p in self.inputs else None) for m, p in zip(masks, parts, strict=True)]

    def _numbered(self, role: str) -> list[str]:
        numbers = [int(name.split()[-1]) for name in self.inputs if re.match(rf"{role} \d", name)]
        return [f"{role} {number}" for number in sorted(numbers)]

    def find_input(self, role: str) -> str:
        """The path of the ``role``'s file: as recorded, else beside the picture.

        It is the name of a built-in style where that was taken.

        Raises PictureError where it is missing or its bytes are not those of then.
        """
        recorded = self.inputs[role]
        name = role if "mask" in role else f"{role} image"
        if recorded is None:
            raise PictureError(
                f"the {name} of {self.picture!r} was no file; name one to paint with its settings."
            )
        path, sha256 = recorded
        named = BUILT_IN.get(path) if _STYLE.fullmatch(role) else None
        if named is not None and named.sha256 == sha256:
            return path if built_in(path) else str(named.path)
        beside = Path(self.picture).parent / re.split(r"[\\/]", path)[-1]
        there = [p for p in dict.fromkeys((path, str(beside))) if os.path.isfile(p)]
        if not there:
            raise PictureError(
                f"the {name} {path!r} of {self.picture!r} does not exist; put it there or "
                f"beside the picture, or name the file to use."
            )
        for candidate in there:
            if sha256_of(candidate) == sha256:
                return candidate
        raise PictureError(
            f"the {name} {there[0]!r} has changed since {self.picture!r} was made (its "
            "sha256 differs); bring the old file back, or name it to paint with what it is now."
        )

    def check_model(self) -> None:
        """Raises ModelError unless the model of then is the one that its name stands for now."""
        name, sha256 = self.options["model"], self.model_sha256
        model = find_model(name)
        if model.sha256 != sha256:
            raise ModelError(
                f"the model {name!r} is not the one that {self.picture!r} was made with (its "
                f"sha256 begins with {model.sha256[:12]}, then it was {sha256[:12]}); install that "
                "one again, or choose a model by --model."
            )


def describe(
    options: Options,
    model: Model,
    inputs: Mapping[str, Source | None],
    steps: Sequence[Progress],
    iteration: int | None = None,
) -> str:
    """The settings of a picture after ``steps``, or after ``iteration`` of them: JSON in ASCII."""
    written = {}
    implied = QUALITIES[options.quality or "paper"]
    for field in dataclasses.fields(Options):
        value = getattr(options, field.name)
        if field.name == "model" and value is None:  # which one is the default may change
            value = model.name
        usual = implied.get(field.name, field.default)
        if value != usual and field.name not in _LEFT_OUT:
            written[field.name] = value
    settings: dict[str, Any] = {
        "ortist": __version__,
        "command": _command(inputs),
        "options": written,
        "model": {"name": model.name, "sha256": model.sha256},
        "inputs": {role: _input(source) for role, source in inputs.items()},
    }
    done = steps[-1].iteration if iteration is None else iteration
    if iteration is not None or done < options.steps:
        settings["iteration"] = done
    # The start is an evaluation, and no step.
    went = [step.scale for step in steps[: done + 1]]
    planned = [scale.side for scale in plan_scales(options) for _ in range(scale.iterations)]
    if went[1:] != planned[:done]:
        counts = [[side, len(list(group))] for side, group in groupby(went)]
        counts[0][1] -= 1
        settings["schedule"] = counts
    return json.dumps(settings)


def _command(roles: Collection[str]) -> str:
    return _COMMANDS["content" in roles, bool({"style", "style 1"} & set(roles))]


def _input(source: Source | None) -> dict[str, str | None]:
    if source is None:
        return {"path": None, "sha256": None}
    usable = _is_path(source.path) and len(json.dumps(source.path)) <= _LONGEST_PATH
    return {"path": source.path if usable else None, "sha256": source.sha256}


def read_settings(picture: str | PathLike[str], max_pixels: int) -> Settings:
    """The settings inside a picture that Ortist wrote.

    Raises PictureError where it is no picture, has no settings, or not such as are written here.
    """
    with open_picture(picture, max_pixels, "picture") as (image, _):
        text = text_of(image)
    path = os.fspath(picture)
    if text is None or '"ortist"' not in text:
        raise PictureError(
            f"the picture {path!r} has no settings in it; only pictures that ortist wrote as PNG, "
            "JPEG, TIFF or WebP have, unless with --no-settings or edited since."
        )
    return _parse_text(path, text)


def _parse_text(path: str, text: str) -> Settings:
    try:
        if len(text) > _LIMIT:
            raise ValueError(f"{len(text)} characters")
        return _parse(path, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise PictureError(
            f"the settings in {path!r} cannot be used ({type(error).__name__}: "
            f"{reason_of(error)}); make the picture anew, with its options."
        ) from error


def _parse(picture: str, raw: Any) -> Settings:
    command = str(raw["command"])
    options = dict(raw["options"])
    for name in _LEFT_OUT & set(options):
        raise ValueError(f"option {name!r}")
    options.setdefault("quality", "paper")  # which all pictures had before there were qualities
    checked = Options.of(None, **options).settled(matched=False)
    inputs: dict[str, tuple[str, str] | None] = {}
    for role, entry in raw["inputs"].items():
        if not _ROLE.fullmatch(role):
            raise ValueError(f"input {role!r}")
        path, sha256 = entry["path"], entry["sha256"]
        if path is not None and not _is_path(path):
            raise ValueError(f"{path!r} is no path")
        inputs[role] = None if path is None else (path, _text(sha256))
    if _command(inputs) != command:
        raise ValueError(f"command {command!r}")
    # A path is an input, with a hash; as an option it would have none.
    if checked.init not in (None, *STARTS) or (checked.init == "image") != ("init" in inputs):
        raise ValueError(f"init {checked.init!r}")
    iteration = raw.get("iteration")
    early = type(iteration) is int and 0 <= iteration <= checked.steps
    if iteration is not None and not early:
        raise ValueError(f"iteration {iteration!r}")
    schedule = raw.get("schedule")
    if schedule is not None:
        schedule = tuple((_number(side), _number(steps)) for side, steps in schedule)
        planned = [scale.side for scale in plan_scales(checked)]
        sides, steps = [side for side, _ in schedule], sum(steps for _, steps in schedule)
        fits = sides == [side for side in planned if side in sides] and sides[:1] == planned[:1]
        if not fits or steps != (checked.steps if iteration is None else iteration):
            raise ValueError(f"schedule {schedule!r}")
    _text(options["model"])
    sha256 = _text(raw["model"]["sha256"])
    version = _text(raw["ortist"])
    return Settings(picture, version, command, options, sha256, inputs, iteration, schedule)


def _is_path(value: Any) -> bool:
    """Whether it is printable but for bytes that are no UTF-8, as Python has them in paths."""
    return isinstance(value, str) and re.sub("[\udc80-\udcff]", "", value).isprintable()


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= 1_000_000:
        raise ValueError(f"{value!r} is not a number of steps or pixels")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{value!r} is not printable text")
    return value
