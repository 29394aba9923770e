"""Every option of a run, with its default and its help text, in one place.

The Python keywords, the command-line options (``cli/arguments.py``) and the keys of a configuration
file (``toml.py``) are all made from this dataclass, so they cannot drift apart. Nothing heavy is
imported here.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
from numbers import Integral, Real
from typing import Any, Literal, get_args

from ..errors import OptionError
from .parsing import HEAVIEST, LayerWeights, parse_duration, parse_layers, parse_size
from .presets import preset_options

__all__ = ["STARTS", "Options"]

STARTS = ("content", "noise", "gray", "style", "image")
"""What ``init`` can be besides a path; "image" stands for a picture that was handed over."""
Bounds = Literal["display", "cs231n"]
Colors = Literal["style", "content-luminance", "content-histogram", "style-matched"]
Optimizer = Literal["adam", "lbfgs"]
Provider = Literal["auto", "cpu", "cuda"]
StyleLossName = Literal["gram", "meanstd", "w2"]
TvLossName = Literal["squares", "nine-point"]
_CHOICES = {
    "bounds": Bounds,
    "colors": Colors,
    "optimizer": Optimizer,
    "provider": Provider,
    "style_loss": StyleLossName,
    "tv_loss": TvLossName,
}


def _option(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    unset: str | None = None,
) -> Any:
    """``unset`` is the word for None on the command line and in files, where None can be given."""
    metadata = {"help": help, "low": low, "high": high, "unset": unset}
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Options:
    """How a picture is made. All fields have defaults; every one can be given by keyword.

    Weights that are given multiply the losses of the CS231n assignment (objective graph), as in the
    paper. Weights left out are balanced: each term gets a share of the loss that does not depend on
    the pictures or on the model's scale (balance.py).

    Raises OptionError, which names the value and what would do, for a value out of range.
    """

    size: int = _option(512, "Shorter side of the picture, in pixels.", 16, 100_000)
    smallest_size: int | None = _option(
        128,
        "Shorter side of the first, smallest scale, in pixels; each next scale is sqrt(2) larger, "
        "up to --size.",
        16,
        100_000,
        unset="none",
    )
    style_size: int | None = _option(
        None,
        "Shorter side to which the style is reduced, in pixels; never enlarged. "
        "Without it, the same as --size.",
        16,
        100_000,
        unset="none",
    )
    style_scale: float = _option(
        1.0,
        "The style's size, times this: 0.5 for strokes half as large. Never enlarged either.",
        0.01,
        100,
    )
    style_weights: tuple[float, ...] = _option(
        (),
        "How much of each style, in their order, e.g. 2,1; with masks, how strongly each pulls. "
        "Without it, equal.",
    )
    style_loss: StyleLossName = _option(
        "gram",
        "What is matched of the style's features: their Gram matrix; each channel's mean and "
        "standard deviation; or mean and covariance, by the Wasserstein-2 distance.",
    )
    normalize_gradients: bool = _option(
        False,
        "Divide the gradient of each loss, at each layer, by its norm; weights then weigh "
        "gradients.",
    )
    iterations: int = _option(
        300,
        "Optimiser steps over all scales, the first scale getting a double share; 0 evaluates and "
        "stops.",
        0,
        1_000_000,
    )
    time_limit: float | None = _option(
        None,
        "Stop in time, as in 90 (seconds), 20s, 2m or 1h30m; each scale gets its share of the "
        "time, so that the last is reached.",
        0.1,
        10**8,
        unset="none",
    )
    strength: float = _option(
        1.0, "Style against content where weights are balanced: 2 doubles the style.", 1e-6, 1e6
    )
    content_layers: LayerWeights | None = _option(
        None,
        "Layers whose features are kept, e.g. 3 or 3,fire4. Without it, the model's own.",
        unset="auto",
    )
    content_weight: float | None = _option(
        None,
        "Weight of the content loss. Without it, balanced.",
        0,
        HEAVIEST,
        unset="auto",
    )
    style_layers: LayerWeights | None = _option(
        None,
        "Layers whose Gram matrices are matched, with weights: 1:300000,4:1000 or, balanced, "
        "1,4. Without it, the model's own, balanced.",
        unset="auto",
    )
    tv_weight: float | None = _option(
        None,
        "Weight of the total variation. Without it, balanced.",
        0,
        HEAVIEST,
        unset="auto",
    )
    tv_loss: TvLossName = _option(
        "squares",
        "Which total variation: squared differences of neighbours right and below, or of all eight "
        "(nine-point), which favours no direction.",
    )
    optimizer: Optimizer = _option(
        "adam", "lbfgs lowers the loss in far fewer steps, and stays nearer to the start."
    )
    learning_rate: float | None = _option(
        None,
        "Adam's step, in units of the normalised pixel (1 is about 58 of 255). Without it, the "
        "model's own.",
        0,
        1000,
        unset="auto",
    )
    beta2: float = _option(0.99, "Adam's decay of the squared gradient.", 0, 0.999999)
    jitter: int | None = _option(
        None,
        "Each step sees the picture through a window shifted by 0 to N - 1 pixels, which hides the "
        "grid of the network's stride; 1 for none. Without it, the model's own with adam, 1 with "
        "lbfgs.",
        1,
        16,
        unset="auto",
    )
    averaging: float | None = _option(
        None,
        "Decay of the running average that is the picture; 0 for the last iterate. Without it, "
        "0.97 with adam, 0 with lbfgs.",
        0,
        0.9999,
        unset="auto",
    )
    final_iterations: int | None = _option(
        None,
        "Length of a last phase with a fresh Adam at --final-learning-rate, in which the picture "
        "settles. Without it, the model's own share of --iterations.",
        0,
        unset="auto",
    )
    final_learning_rate: float | None = _option(
        None,
        "Adam's step in that last phase. Without it, the model's own part of --learning-rate.",
        0,
        1000,
        unset="auto",
    )
    bounds: Bounds = _option(
        "display",
        "Box that the pixels are clamped to: what a display shows, or the notebook's [-1.5, 1.5] "
        "in normalised units.",
    )
    free_iterations: int = _option(0, "Number of last iterations without clamping.", 0)
    rescale: bool = _option(
        False, "Stretch the finished picture from its darkest to its brightest value."
    )
    colors: Colors = _option(
        "style",
        "Whose colours the picture has: the style's, or the content's by its chroma, by matching "
        "the finished picture to it, or by matching the style to it before painting.",
    )
    init: str | None = _option(
        None,
        "What the picture starts from: content, noise, gray, style (noise in the style's colours), "
        "or any picture, resized. Without it, content, or noise to invert or texture.",
        unset="auto",
    )
    init_noise: float = _option(
        0.0, "How much noise is mixed into that start, from 0 to 1 (all of it).", 0, 1
    )
    seed: int = _option(0, "Seed of all noise, and of the jitter.", 0, 2**32 - 1)
    seamless: bool = _option(
        False, "Let opposite edges fit together, so that the texture can be laid side by side."
    )
    snapshots: tuple[int, ...] = _option((), "Iterations whose pictures are kept, e.g. 0,100,199.")
    depth: int | None = _option(
        None,
        "Bits per channel of the picture written, 8 or 16 (PNG, TIFF). Without it, 16 for .tif, "
        "else 8.",
        unset="auto",
    )
    settings: bool = _option(
        True, "Write the settings into the picture, with the inputs' names, for --from."
    )
    keep_metadata: bool = _option(
        False, "Copy the content's EXIF data, such as its author, date and place."
    )
    model: str | None = _option(
        None,
        "Name of a model, or path of its folder. Without it, the best that is there.",
        unset="auto",
    )
    provider: Provider = _option(
        "auto",
        "Where to compute: cuda needs the onnxruntime-gpu package; auto takes cuda if it works.",
    )
    threads: int | None = _option(
        None,
        "CPU threads. Without it, as many as this process may use.",
        1,
        unset="auto",
    )
    tile: int | str = _option(
        "auto",
        "Compute in tiles of N pixels a side, for less memory and the same picture; off for none. "
        "auto takes them where --max-memory asks for it.",
    )
    max_memory: int | None = _option(
        None,
        "Memory that the run may take, as in 2GB or 800MB. Without it, what is free, less a tenth.",
        16_000_000,
        unset="auto",
    )
    scratch: str | None = _option(
        None,
        "Folder for the state of pictures that are too large for the memory. Without it, the "
        "picture's.",
        unset="auto",
    )
    max_pixels: int = _option(
        89_478_485, "Refuse pictures with more pixels than this, from their header.", 1
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))
        if self.depth not in (None, 8, 16):
            raise OptionError(f"there is no depth {self.depth}; choose 8 or 16 bits per channel.")
        if self.optimizer == "lbfgs" and self.jitter not in (None, 1):
            raise OptionError(
                f"jitter {self.jitter} changes the loss at every step, which lbfgs cannot bear; "
                "give --jitter 1 or --optimizer adam."
            )
        if self.optimizer == "lbfgs" and self.normalize_gradients:
            raise OptionError(
                "normalized gradients are not those of the loss, which lbfgs needs; give "
                "--no-normalize-gradients or --optimizer adam."
            )
        for snapshot in self.snapshots:
            if not 0 <= snapshot <= self.iterations:
                raise OptionError(
                    f"there is no iteration {snapshot} for a snapshot; give numbers from 0 to "
                    f"{self.iterations} (--iterations)."
                )

    @property
    def tile_side(self) -> int | None:
        """``tile`` in pixels; None without tiles."""
        return self.tile if isinstance(self.tile, int) else None

    @classmethod
    def of(cls, preset: str | None = None, **given: Any) -> Options:
        """The defaults, over them the preset's options, over them the given ones.

        Raises OptionError for an unknown preset or option and for a value out of range.
        """
        for name, value in given.items():
            cls.check(name, value)
        return cls(**{**preset_options(preset), **given})

    @classmethod
    def check(cls, name: str, value: Any) -> Any:
        """The form in which the option is kept; raises OptionError for what it cannot be."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"the options are {', '.join(fields)}."
            raise OptionError(f"there is no option {name!r}; {hint}")
        return _checked(fields[name], value)


def _checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """The value in the form in which it is kept; raises OptionError for what it cannot be."""
    name, low, high = field.name, field.metadata["low"], field.metadata["high"]
    kinds = str(field.type).split(" | ")
    unset = field.metadata["unset"]
    if unset is not None and isinstance(value, str) and value.strip() == unset:
        value = None
    value = _normalised(name, kinds, value)
    if value is None:
        return None
    if low is not None and not (low <= value <= (math.inf if high is None else high)):
        span = f"at least {low}" if high is None else f"from {low} to {high}"
        raise OptionError(f"{name} {value} is out of range; it should be {span}.")
    choices = _CHOICES.get(name)
    if choices is not None and value not in get_args(choices):
        known = ", ".join(get_args(choices))
        raise OptionError(f"there is no {name} {value!r}; choose one of {known}.")
    return value


def _normalised(name: str, kinds: list[str], value: Any) -> Any:
    """The one form in which each option is kept, from the forms in which it may be given."""
    if name == "time_limit" and isinstance(value, str):
        return parse_duration(value)
    if name == "max_memory" and isinstance(value, str):
        return parse_size(value)
    if name in ("content_layers", "style_layers"):
        pairs = None if value is None else parse_layers(value)
        if name == "content_layers" and pairs and pairs[0][1] is not None:
            raise OptionError(
                "content_layers take no weights of their own; give one by content_weight."
            )
        return pairs
    if name == "snapshots":
        try:
            words = value.split(",") if isinstance(value, str) else list(value)
            if not all(isinstance(word, (str, Integral)) for word in words):
                raise TypeError
            return tuple(sorted({int(word) for word in words}))
        except (TypeError, ValueError):
            raise OptionError(
                f"cannot read the snapshots {value!r}; write iterations, as in 0,100,199."
            ) from None
    if name == "style_weights":
        return _style_weights(value)
    if name == "tile":
        return _tile(value)
    if name in ("model", "init", "scratch") and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if name == "init" and value is not None and not (isinstance(value, str) and value):
        raise OptionError(
            f"there is no init {value!r}; give content, noise, gray, style or a picture's path."
        )
    if value is None and "None" in kinds:
        return None
    if "int" in kinds or "float" in kinds:  # NumPy's numbers too
        if isinstance(value, bool) or not isinstance(value, Real):
            raise OptionError(f"{name} should be a number, not {value!r}.")
        if "int" in kinds and not isinstance(value, Integral):
            raise OptionError(f"{name} should be a whole number, not {value!r}.")
        return int(value) if isinstance(value, Integral) and "int" in kinds else float(value)
    if ("bool" in kinds and not isinstance(value, bool)) or (
        "str" in kinds and not isinstance(value, str)
    ):
        raise OptionError(f"{name} cannot be {value!r}; give {' or '.join(kinds)}.")
    return value


def _style_weights(value: Any) -> tuple[float, ...]:
    """``"2,1"`` or numbers."""
    try:
        words = value.split(",") if isinstance(value, str) else list(value)
        weights = tuple(float(word) for word in words)
        if not all(0 <= weight <= HEAVIEST for weight in weights) or (words and not any(weights)):
            raise ValueError
    except (TypeError, ValueError):
        raise OptionError(
            f"cannot read the style weights {value!r}; write a number for each style, not all of "
            "them 0, as in 2,1."
        ) from None
    return weights


def _tile(value: Any) -> int | str:
    """``"auto"``, ``"off"`` or a side in pixels, as a number or a word."""
    if value in ("auto", "off"):
        return str(value)
    word = str(value)
    if isinstance(value, bool) or not (word.isascii() and word.isdecimal()):
        raise OptionError(f"cannot read the tile {value!r}; give its side in pixels, auto or off.")
    if not 16 <= int(word) <= 100_000:
        raise OptionError(f"tile {word} is out of range; it should be from 16 to 100000.")
    return int(word)
