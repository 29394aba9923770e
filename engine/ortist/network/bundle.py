"""Models: finding a bundle, reading its manifest, vouching for its files.

A bundle that is not exactly what its manifest says is refused before ONNX Runtime sees a byte.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ortist_models import (
    EVERYTHING,
    FEATURES,
    FORMAT,
    LARGEST_FILE,
    MANIFEST,
    SHIPPED,
    SHIPPED_MODEL,
    model_home,
)

from ..errors import ModelError, OptionError, OutputError, reason_of
from ..files import atomic_writer, read_bytes
from ..options.parsing import Layer
from ..options.presets import CS231N_MODEL
from .graphs import check_graph
from .program import Program, parse_program

__all__ = [
    "Model",
    "Recipe",
    "Tap",
    "default_model_name",
    "find_model",
    "installed_models",
    "load_model",
    "write_recipe",
]

_MANIFEST_LIMIT = 2**20
"""Bytes of a manifest; the shipped one has 20 kB."""
_harmless: set[str] = set()
"""Hashes of the files that ``check_graph`` let pass."""
_ODD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What parsing a manifest of another kind raises."""


@dataclass(frozen=True)
class Tap:
    """A named feature map.

    Feature i of an axis sees the ``receptive_field`` pixels from
    i * ``stride`` + ``receptive_start`` on, those before 0 being padding. ``path`` are the windows
    between the image and the features: kernel, stride, pads of both sides, whether windows may end
    beyond the border, and, where it is not once, how often every feature is repeated before.
    """

    index: int
    name: str
    channels: int
    stride: int
    receptive_field: int
    receptive_start: int
    path: tuple[tuple[int, ...], ...]

    @property
    def sees_everything(self) -> bool:
        """Whether every feature depends on the whole picture, as behind a gate."""
        return self.receptive_field == EVERYTHING

    def length(self, pixels: int) -> int:
        """The number of features along an axis of so many pixels (ONNX's rules of pooling)."""
        for kernel, stride, pads, ceil, *repeats in self.path:
            pixels *= repeats[0] if repeats else 1
            room = pixels + pads - kernel
            windows = (-(-room // stride) if ceil else room // stride) + 1
            # One that would begin beyond the border is none.
            if ceil and (windows - 1) * stride >= pixels + pads // 2:
                windows -= 1
            pixels = windows
        return max(0, pixels)


@dataclass(frozen=True)
class Recipe:
    """The model's own defaults: shares of the loss for balanced weights, and how Adam goes.

    ``learning_rate`` and ``jitter`` are as the options of those names; ``final_share`` of the steps
    are a last phase at ``final_rate`` times the learning rate.
    """

    content_layers: tuple[int, ...]
    content_share: float
    style_shares: Mapping[int, float]
    tv_share: float
    learning_rate: float
    jitter: int
    final_share: float
    final_rate: float


@dataclass(frozen=True)
class Model:
    """A bundle's manifest, checked.

    ``mean`` and ``std`` are of sRGB in [0, 1], by channel; ``smallest_side`` is in pixels;
    ``layers[i]`` names the backbone's ``features[i]``, tapped or not; ``source`` and ``license``
    are of the weights; ``pooling`` is ``max`` or ``avg``. ``backbone_sha256`` is the hash of the
    graph from the image to the taps, from which the ``program`` was made.
    """

    folder: Path
    name: str
    backbone: str
    taps: tuple[Tap, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    smallest_side: int
    recipe: Recipe
    layers: tuple[str, ...]
    hashes: Mapping[str, str]
    source: str
    license: str
    pooling: str
    program: Program
    backbone_sha256: str

    @property
    def sha256(self) -> str:
        """The hash of all files of the program, which hold weights and gradient."""
        text = "".join(self.hashes[segment.file] for segment in self.program.segments)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def has_features(self) -> bool:
        """Whether there is a graph of the features alone; models of before have none."""
        return FEATURES in self.hashes

    @property
    def size(self) -> int:
        """Bytes of the program's files, nearly all of them weights.

        Raises ModelError for one that is not there.
        """
        files = {self.folder / segment.file for segment in self.program.segments}
        try:
            return sum(file.stat().st_size for file in files)
        except OSError as error:
            _read(Path(error.filename))  # which says what is wrong with it
            raise

    @property
    def paths(self) -> list[str]:
        """The bundle's files, its manifest first."""
        return [str(self.folder / file) for file in (MANIFEST, *self.hashes)]

    def tap(self, layer: Layer) -> Tap:
        """The tap with that index or name.

        Raises OptionError for a layer that the backbone does not have, and ModelError, with the
        command that would export it, for one that this bundle does not offer.
        """
        for tap in self.taps:
            if layer in (tap.index, tap.name):
                return tap
        if layer not in (*self.layers[1:], *range(1, len(self.layers))):
            known = ", ".join(f"{i} {name}" for i, name in enumerate(self.layers) if i)
            raise OptionError(f"{self.backbone} has no layer {layer!r}; it has {known}.")
        known = ", ".join(f"{tap.index} {tap.name}" for tap in self.taps)
        indices = ",".join(str(tap.index) for tap in self.taps)
        command = f"ortist export {self.backbone} --name {self.name} --taps {indices},{layer}"
        if self.pooling != "max":
            command += f" --pooling {self.pooling}"
        # Of another's network the backbone is the file itself.
        if not self.source.startswith("https://") and not self.backbone.endswith(".onnx"):
            command += f" --weights {self.source}"
        raise ModelError(
            f"the model {self.name} was not exported with the layer {layer!r}; it has {known}; "
            f"to add it: {command}"
        )

    def read(self, file: str) -> bytes:
        """The bytes of one of the bundle's files; raises ModelError unless its hash is right."""
        path = self.folder / file
        data = _read(path)
        if hashlib.sha256(data).hexdigest() != self.hashes[file]:
            raise ModelError(
                f"the model file {path} is damaged: its sha256 is not the one in {MANIFEST}; "
                "export or install the model again."
            )
        # The package's own files are what the workshop wrote; others are walked once a process.
        if self.folder.parent != SHIPPED and self.hashes[file] not in _harmless:
            try:
                check_graph(data)
            except ValueError as error:
                raise ModelError(
                    f"the model file {path} is not one that Ortist exports ({reason_of(error)}); "
                    "use another model."
                ) from error
            _harmless.add(self.hashes[file])
        return data

    def verify(self) -> None:
        """Reads every file; raises ModelError for the first that is not the manifest's."""
        for file in self.hashes:
            self.read(file)


def _read(path: Path, most: int = LARGEST_FILE) -> bytes:
    """A regular file of bounded size; raises ModelError for anything else."""
    named = f"the model file {str(path)!r}"
    return read_bytes(str(path), named, ModelError, "export the model again", most)


def installed_models() -> Iterator[tuple[str, Path]]:
    """(name, folder) of every model that can be named; the home's hide shipped ones."""
    seen = set()
    for base in (model_home(), SHIPPED):
        try:
            folders = sorted(base.iterdir())
        except OSError:
            continue
        for folder in folders:
            hidden = folder.name.startswith(".")  # an export that is under way, or was killed
            if not hidden and folder.name not in seen and os.path.isfile(folder / MANIFEST):
                seen.add(folder.name)
                yield folder.name, folder


def find_model(name: str | None = None) -> Model:
    """The model called ``name``, or in the folder ``name``, or the default; raises ModelError."""
    if not SHIPPED.is_dir():
        raise ModelError(
            f"Ortist was started from an archive, {str(SHIPPED.parent)!r}, and its models must be "
            "in files; unpack the archive, or install it with pip."
        )
    installed = dict(installed_models())
    if name is None:
        name = default_model_name()
    if name in installed:
        return load_model(installed[name])
    if os.path.isfile(os.path.join(name, MANIFEST)):
        return load_model(Path(name))
    known = ", ".join(installed) or "none"
    raise ModelError(
        f"there is no model {name!r}; there are {known}, and ortist models get {CS231N_MODEL} gets "
        "the ImageNet one; a folder with a manifest.json can be named by its path."
    )


def default_model_name() -> str:
    """SqueezeNet 1.1 with ImageNet's weights where it was exported, else the shipped stand-in."""
    return CS231N_MODEL if CS231N_MODEL in dict(installed_models()) else SHIPPED_MODEL


def load_model(folder: Path) -> Model:
    """Reads and checks ``folder``'s manifest; raises ModelError where it is no manifest of ours."""
    path = folder / MANIFEST
    data = _read(path, _MANIFEST_LIMIT)
    try:
        return _parse(folder, json.loads(data))
    except _ODD as error:
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise ModelError(
            f"{path} is not the manifest of an Ortist model ({reason}); export the model again."
        ) from error


def write_recipe(model: Model, recipe: Recipe) -> None:
    """Writes ``recipe`` into the model's manifest; raises ModelError where that cannot be."""
    path = model.folder / MANIFEST
    raw = json.loads(_read(path, _MANIFEST_LIMIT))
    raw["recipe"] = {
        **dataclasses.asdict(recipe),
        "content_layers": list(recipe.content_layers),
        "style_shares": {str(tap): share for tap, share in recipe.style_shares.items()},
    }
    try:
        with atomic_writer(path) as stream:
            stream.write((json.dumps(raw, indent=2) + "\n").encode())
    except OutputError as error:
        raise ModelError(f"the recipe cannot be written: {error}") from error


def _parse(folder: Path, raw: Any) -> Model:
    """The model of a manifest; raises what ``load_model`` catches for one that is none of ours."""
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        given = raw.get("format") if isinstance(raw, dict) else None
        raise ValueError(f"format {given!r}, and this Ortist reads format {FORMAT}")
    mean, std = (_three_numbers(raw["normalization"][key]) for key in ("mean", "std"))
    if min(std) <= 0:
        raise ValueError("normalization needs three positive deviations")
    recipe, taps = _parse_recipe(raw["recipe"]), tuple(_parse_tap(tap) for tap in raw["taps"])
    hashes = {str(file): str(entry["sha256"]) for file, entry in raw["files"].items()}
    indices = {tap.index for tap in taps}
    if len(indices) != len(taps) or not {*recipe.style_shares, *recipe.content_layers} <= indices:
        raise ValueError("its recipe asks for layers that are not tapped, or one is tapped twice")
    if not 1 <= int(raw["smallest_side"]) <= 1024:
        raise ValueError(f"smallest_side {raw['smallest_side']!r}")
    pooling = raw.get("pooling", "max")  # which all models had before there was a choice
    if pooling not in ("max", "avg"):
        raise ValueError(f"pooling {pooling!r}")
    program = parse_program(raw["program"], indices)
    if not {segment.file for segment in program.segments} <= set(hashes):
        raise ValueError("it does not name the files of its program")
    words = [raw["name"], raw["backbone"], *raw["layers"], *raw["weights"].values()]
    if not all(isinstance(word, str) and word.isprintable() for word in words):
        raise ValueError("a name in it is not printable text")
    if not taps or any("/" in file for file in hashes):
        raise ValueError("it names no taps or files elsewhere")
    return Model(
        folder=folder,
        name=raw["name"],
        backbone=raw["backbone"],
        taps=taps,
        mean=mean,
        std=std,
        smallest_side=int(raw["smallest_side"]),
        recipe=recipe,
        layers=tuple(raw["layers"]),
        hashes=hashes,
        source=raw["weights"]["source"],
        license=raw["weights"]["license"],
        pooling=pooling,
        program=program,
        backbone_sha256=str(raw["backbone_sha256"]),
    )


def _three_numbers(raw: Any) -> tuple[float, float, float]:
    red, green, blue = map(float, raw)
    if not math.isfinite(red + green + blue):
        raise ValueError("a number in it is not finite")
    return red, green, blue


def _parse_recipe(raw: Any) -> Recipe:
    recipe = Recipe(
        content_layers=tuple(int(layer) for layer in raw["content_layers"]),
        content_share=float(raw["content_share"]),
        style_shares={int(k): float(v) for k, v in raw["style_shares"].items()},
        tv_share=float(raw["tv_share"]),
        learning_rate=float(raw["learning_rate"]),
        # Older models have none of these.
        jitter=int(raw.get("jitter", 4)),
        final_share=float(raw.get("final_share", 0)),
        final_rate=float(raw.get("final_rate", 1)),
    )
    numbers = [value for value in vars(recipe).values() if isinstance(value, float)]
    if not all(0 <= number < math.inf for number in (*numbers, *recipe.style_shares.values())):
        raise ValueError("a number in it is not finite or is negative")
    if not sum(recipe.style_shares.values()) > 0 or len(recipe.style_shares) > 1000:
        raise ValueError("its recipe's style shares are all 0")
    if not 1 <= recipe.jitter <= 16 or recipe.final_share > 1:
        raise ValueError("its recipe's jitter is not 1 to 16, or its final share more than 1")
    return recipe


def _parse_tap(raw: Any) -> Tap:
    numbers = ("index", "channels", "stride", "receptive_field", "receptive_start")
    path = tuple((int(k), int(s), int(p), bool(c), *map(int, r)) for k, s, p, c, *r in raw["path"])
    tap = Tap(name=str(raw["name"]), path=path, **{key: int(raw[key]) for key in numbers})
    if not all(len(w) <= 5 and min(*w[:2], *w[4:]) >= 1 and w[2] >= 0 for w in tap.path):
        raise ValueError("a window of a tap is none")
    fits = tap.receptive_field <= 10**4 or tap.sees_everything
    if not 1 <= tap.channels <= 2**14 or not fits or len(tap.path) > 1000:
        raise ValueError("a tap's channels, receptive field or path are out of range")
    if max((n for window in tap.path for n in (*window[:3], *window[4:])), default=0) > 10**4:
        raise ValueError("a window of a tap is too large")
    if tap.stride < 1 or not -tap.receptive_field < tap.receptive_start <= 0:
        raise ValueError("the stride or the receptive field of a tap is none")
    return tap
