"""Every option of a run, and all that is known of it, in one place.

The Python keywords, the command-line options (``cli/arguments.py``) and the keys of a configuration
file (``toml.py``) are all made from this dataclass, so they cannot drift apart: default, help text,
heading in the help, kind of value with its range or choices (``kinds.py``), and, where the option
can be None, the word for that. Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, Literal, get_args

from ..errors import OptionError
from .declaring import Heading, declaration, option
from .kinds import (
    DURATION,
    FLAG,
    FOLDER,
    INIT,
    ITERATIONS,
    LAYERS,
    MODEL,
    NUMBER,
    PLAIN_LAYERS,
    SIZE,
    SMALLEST,
    STYLE_WEIGHTS,
    TILE,
    WHOLE,
    one_of,
)
from .parsing import HEAVIEST, LayerWeights, shown
from .presets import PAPERS, QUALITIES, preset_options

__all__ = ["STARTS", "Options"]

STARTS = ("content", "noise", "gray", "style", "image")
"""What ``init`` can be besides a path; "image" stands for a picture that was handed over."""
FIRST, PICTURE, STYLE, RECIPE, MEMORY, OUTPUT = Heading
_MOST_STEPS = 1_000_000
SIDE = WHOLE.within(16, 100_000)
Bounds = Literal["display", "cs231n"]
Colors = Literal["style", "content-luminance", "content-histogram", "style-matched"]
Optimizer = Literal["adam", "lbfgs"]
Quality = Literal["draft", "standard", "best", "paper"]
Provider = Literal[
    "auto", "cpu", "cuda", "tensorrt", "migraphx", "dml", "coreml", "webgpu", "openvino", "dnnl",
    "xnnpack", "qnn", "cann", "vitisai"
]  # fmt: skip
StyleLossName = Literal["gram", "meanstd", "w2"]
TvLossName = Literal["squares", "nine-point"]


@dataclasses.dataclass(frozen=True)
class Options:
    """How a picture is made. All fields have defaults; every one can be given by keyword.

    Weights that are given multiply the losses of the CS231n assignment (objective graph), as in the
    paper. Weights left out are balanced: each term gets a share of the loss that does not depend on
    the pictures or on the model's scale (objective/weights.py).

    Numbers whose default is None are left open until a run is set up (``settled``).

    Raises OptionError, which names the value and what would do, for a value out of range.
    """

    size: int = option(512, FIRST, SIDE)("Shorter side of the picture, in pixels.")
    quality: Quality | None = option(None, FIRST, one_of(*get_args(Quality)), "auto")(
        "draft, standard and best lay the style's own patches where they match the photo, and take "
        "no, some or many steps from there; with paper the photo is changed step by step, as by "
        "Gatys et al. Without it, standard, and paper where there is nothing to match or an option "
        "of the paper's recipe is given. Options given go first."
    )
    smallest_size: int | str = option("auto", PICTURE, SMALLEST.within(16, 100_000))(
        "Shorter side of the first, smallest scale, in pixels; each next scale is sqrt(2) larger, "
        "up to --size; none for that one alone. auto is 128 in the paper's way, else none."
    )
    style_size: int | None = option(None, STYLE, SIDE, "none")(
        "Shorter side to which the style is reduced, in pixels; never enlarged. "
        "Without it, the same as --size."
    )
    style_scale: float = option(1.0, STYLE, NUMBER.within(0.01, 100))(
        "The style's size, times this: 0.5 for strokes half as large. Never enlarged either."
    )
    style_weights: tuple[float, ...] = option((), STYLE, STYLE_WEIGHTS)(
        "How much of each style, in their order, e.g. 2,1; with masks, how strongly each pulls. "
        "Without it, equal."
    )
    style_loss: StyleLossName | None = option(
        None, STYLE, one_of(*get_args(StyleLossName)), "auto"
    )(
        "What is matched of the style's features: their Gram matrix; each channel's mean and "
        "standard deviation; or mean and covariance, by the Wasserstein-2 distance. Without it, "
        "gram in the paper's way, else w2."
    )
    normalize_gradients: bool = option(False, RECIPE, FLAG)(
        "Divide the gradient of each loss, at each layer, by its norm; weights then weigh "
        "gradients."
    )
    iterations: int | None = option(None, FIRST, WHOLE.within(0, _MOST_STEPS), "auto")(
        "Optimiser steps over all scales, the first scale getting a double share; 0 takes none. "
        "Without it, 0, 3, 60 or 300, by --quality."
    )
    time_limit: float | None = option(None, FIRST, DURATION.within(0.1, 10**8), "none")(
        "Stop in time, as in 90 (seconds), 20s, 2m or 1h30m; each scale gets its share of the "
        "time, so that the last is reached."
    )
    matching: float | None = option(None, RECIPE, NUMBER.within(0, 1), "auto")(
        "How much of the guide, the photo made of the style's patches, is what the picture starts "
        "from and keeps: 0 for the photo itself, 1 for the guide. Without it, by --quality."
    )
    detail: float | None = option(None, RECIPE, NUMBER.within(0, 4), "auto")(
        "How much of the photo's drawing is added to the guide; 1 is all of it. Without it, by "
        "--quality."
    )
    detail_size: int | None = option(None, RECIPE, WHOLE.within(1, 100_000), "auto")(
        "What is finer than so many pixels is the photo's drawing. Without it, by --quality."
    )
    coverage: float | None = option(None, RECIPE, NUMBER.within(0, 4), "auto")(
        "How strongly the guide uses all of the style: 0 takes what is most alike, however often, "
        "1 uses all of it. Without it, by --quality."
    )
    strength: float = option(1.0, FIRST, NUMBER.within(1e-6, 1e6))(
        "Style against content where weights are balanced: 2 doubles the style."
    )
    content_layers: LayerWeights | None = option(None, RECIPE, PLAIN_LAYERS, "auto")(
        "Layers whose features are kept, e.g. 3 or 3,fire4. Without it, the model's own."
    )
    content_weight: float | None = option(None, RECIPE, NUMBER.within(0, HEAVIEST), "auto")(
        "Weight of the content loss. Without it, balanced."
    )
    style_layers: LayerWeights | None = option(None, STYLE, LAYERS, "auto")(
        "Layers whose Gram matrices are matched, with weights: 1:300000,4:1000 or, balanced, "
        "1,4. Without it, the model's own, balanced."
    )
    tv_weight: float | None = option(None, RECIPE, NUMBER.within(0, HEAVIEST), "auto")(
        "Weight of the total variation. Without it, balanced."
    )
    tv_loss: TvLossName = option("squares", RECIPE, one_of(*get_args(TvLossName)))(
        "Which total variation: squared differences of neighbours right and below, or of all eight "
        "(nine-point), which favours no direction."
    )
    optimizer: Optimizer = option("adam", RECIPE, one_of(*get_args(Optimizer)))(
        "lbfgs lowers the loss in far fewer steps, and stays nearer to the start."
    )
    learning_rate: float | None = option(None, RECIPE, NUMBER.within(0, 1000), "auto")(
        "Adam's step, in units of the normalised pixel (1 is about 58 of 255). Without it, the "
        "model's own in the paper's way, else 0.015."
    )
    beta2: float = option(0.99, RECIPE, NUMBER.within(0, 0.999999))(
        "Adam's decay of the squared gradient."
    )
    jitter: int | None = option(None, RECIPE, WHOLE.within(1, 16), "auto")(
        "Each step sees the picture through a window moved to one of N places each way, a pixel "
        "apart, which hides the grid of the network's stride; 1 for none. Without it, the model's "
        "own with adam, 1 with lbfgs."
    )
    averaging: float | None = option(None, RECIPE, NUMBER.within(0, 0.9999), "auto")(
        "Decay of the running average that is the picture; 0 for the last iterate. Without it, "
        "0.97 with adam, 0 with lbfgs in the paper's way, else 0.9."
    )
    final_iterations: int | None = option(None, RECIPE, WHOLE.within(0), "auto")(
        "Length of a last phase with a fresh Adam at --final-learning-rate, in which the picture "
        "settles. Without it, the model's own share of --iterations."
    )
    final_learning_rate: float | None = option(None, RECIPE, NUMBER.within(0, 1000), "auto")(
        "Adam's step in that last phase. Without it, the model's own part of --learning-rate."
    )
    bounds: Bounds = option("display", RECIPE, one_of(*get_args(Bounds)))(
        "Box that the pixels are clamped to: what a display shows, or the notebook's [-1.5, 1.5] "
        "in normalised units."
    )
    free_iterations: int = option(0, RECIPE, WHOLE.within(0))(
        "Number of last iterations without clamping."
    )
    rescale: bool = option(False, PICTURE, FLAG)(
        "Stretch the finished picture from its darkest to its brightest value."
    )
    colors: Colors = option("style", FIRST, one_of(*get_args(Colors)))(
        "Whose colours the picture has: the style's, or the content's by its chroma, by matching "
        "the finished picture to it, or by matching the style to it before painting."
    )
    init: str | None = option(None, PICTURE, INIT, "auto")(
        "What the picture starts from: content, noise, gray, style (noise in the style's colours), "
        "or any picture, resized. Without it, content, or noise to invert or texture."
    )
    init_noise: float = option(0.0, PICTURE, NUMBER.within(0, 1))(
        "How much noise is mixed into that start, from 0 to 1 (all of it)."
    )
    seed: int = option(0, RECIPE, WHOLE.within(0, 2**32 - 1))(
        "Seed of all noise, and of the jitter."
    )
    seamless: bool = option(False, PICTURE, FLAG)(
        "Let opposite edges fit together, so that the texture can be laid side by side."
    )
    snapshots: tuple[int, ...] = option((), OUTPUT, ITERATIONS)(
        "Iterations whose pictures are kept, e.g. 0,100,199."
    )
    depth: int | None = option(None, OUTPUT, one_of(8, 16), "auto")(
        "Bits per channel of the picture written, 8 or 16 (PNG, TIFF). Without it, 16 for .tif, "
        "else 8."
    )
    settings: bool = option(True, OUTPUT, FLAG)(
        "Write the settings into the picture, with the inputs' names, for --from."
    )
    keep_metadata: bool = option(False, OUTPUT, FLAG)(
        "Copy the content's EXIF data, such as its author, date and place."
    )
    model: str | None = option(None, RECIPE, MODEL, "auto")(
        "Name of a model, or path of its folder. Without it, the best that is there."
    )
    provider: Provider = option("auto", MEMORY, one_of(*get_args(Provider)))(
        "Where to compute, by ONNX Runtime's providers: what is not cpu needs another onnxruntime, "
        "and is proved against the CPU first; auto takes a graphics card if it works."
    )
    threads: int | None = option(None, MEMORY, WHOLE.within(1), "auto")(
        "CPU threads. Without it, as many as this process may use."
    )
    tile: int | str = option("auto", MEMORY, TILE.within(16, 100_000))(
        "Compute in tiles of N pixels a side, for less memory and the same picture; off for none. "
        "auto takes them where --max-memory asks for it."
    )
    max_memory: int | None = option(None, FIRST, SIZE.within(16_000_000), "auto")(
        "Memory that the run may take, as in 2GB or 800MB. Without it, what is free, less a tenth."
    )
    scratch: str | None = option(None, MEMORY, FOLDER, "auto")(
        "Folder for the state of pictures that are too large for the memory. Without it, the "
        "picture's."
    )
    max_pixels: int = option(89_478_485, MEMORY, WHOLE.within(1))(
        "Refuse pictures with more pixels than this, from their header."
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            kept = declaration(field).check(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, kept)
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
        most = _MOST_STEPS if self.iterations is None else self.iterations
        for snapshot in self.snapshots:
            if not 0 <= snapshot <= most:
                raise OptionError(
                    f"there is no iteration {shown(snapshot)} for the snapshots; give numbers from "
                    f"0 to {most} (--iterations)."
                )

    @property
    def tile_side(self) -> int | None:
        """``tile`` in pixels; None without tiles."""
        return self.tile if isinstance(self.tile, int) else None

    @property
    def steps(self) -> int:
        """``iterations`` of settled options; 0 while they are open."""
        return self.iterations or 0

    @property
    def style_side(self) -> float:
        """The shorter side, in pixels, at which a style is looked at where the picture is whole."""
        return (self.style_size or self.size) * self.style_scale

    @property
    def guidance(self) -> float:
        """``matching`` of settled options; 0 while it is open."""
        return self.matching or 0.0

    def settled(self, matched: bool) -> Options:
        """These options with nothing left open that the quality decides (presets.QUALITIES).

        ``matched`` says whether there are a content and paintings whose places could be matched.
        """
        plain = {field.name: field.default for field in dataclasses.fields(self)}
        tuned = self.matching == 0 or any(getattr(self, n) != plain[n] for n in PAPERS)
        quality = self.quality or ("standard" if matched and not tuned else "paper")
        implied = QUALITIES[quality].items()
        left = {name: value for name, value in implied if getattr(self, name) == plain[name]}
        if quality == self.quality and not left:
            return self
        return dataclasses.replace(self, quality=quality, **left)

    @classmethod
    def of(cls, preset: str | None = None, **given: Any) -> Options:
        """The defaults, over them the preset's options, and the given ones.

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
        return declaration(fields[name]).check(name, value)
