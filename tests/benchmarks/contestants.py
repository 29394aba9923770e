"""What is raced: one optimiser step of the CS231n recipe, by Ortist and by PyTorch.

Both take the same pictures, weights and thread count. A step is loss, gradient, Adam's update and
the clamp. Each contestant is built inside the process that runs it; nothing is imported before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ortist.network.bundle import Model, find_model
from ortist.network.sessions import available_cpus, count_threads
from ortist.options.fields import Provider
from ortist.options.presets import PRESETS

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"

__all__ = ["CONTESTANTS", "PRESET", "Contestant", "Recipe", "load_pictures", "recipe_of"]

PRESET = PRESETS["cs231n-starry-night"]
_BOX = (-1.5, 1.5)


class Recipe(NamedTuple):
    """The taps of content and style, by their weights, and the weight of the total variation."""

    content: dict[int, float]
    style: dict[int, float]
    tv: float


def recipe_of(model: Model) -> Recipe:
    """The assignment's for SqueezeNet; for VGG-19 relu1_1 to relu4_1, each with one weight."""
    if model.backbone == "vgg19":
        return Recipe({20: 1e-3}, dict.fromkeys((1, 6, 11, 20), 1.0), 1e-3)
    return Recipe({3: PRESET["content_weight"]}, PRESET["style_layers"], PRESET["tv_weight"])


class Contestant(Protocol):
    """``step`` moves the picture once; ``gradient`` gives that of the picture as it is."""

    def step(self) -> None: ...

    def wait(self) -> None:
        """Until the steps are done: a GPU is behind its program."""

    def loss(self) -> float: ...

    def gradient(self) -> Any: ...


def load_pictures(
    model: Model, side: int, content: Path | None = None, style: Path | None = None
) -> tuple[Any, Any]:
    """Content and style at that shorter side, normalised [1, 3, H, W]; the samples by default."""
    from ortist.pictures.reading import load_picture
    from ortist.pictures.values import normalize, shorter_side_to

    paths = (content or SAMPLES / "harbour.jpg", style or SAMPLES / "swirls.jpg")
    images = [shorter_side_to(load_picture(path, 10**9), side) for path in paths]
    return normalize(images[0], model), normalize(images[1], model)


class OrtistStep:
    """The engine's own objective and Adam, in tiles of ``tile`` pixels or untiled."""

    def __init__(
        self,
        model_name: str | None,
        side: int,
        pictures: tuple[Path, Path] | None,
        threads: int | None = None,
        profile: str | None = None,
        provider: Provider = "cpu",
        tile: int | None = None,
    ):
        import numpy as np
        from ortist.arrays import Arrays
        from ortist.network.blas import one_blas_thread
        from ortist.objective.objective import Manner, Objective
        from ortist.objective.sweeper import Sweeper
        from ortist.objective.targets import ByteBudget, ContentFeatures, Targets
        from ortist.objective.weights import Weights
        from ortist.run.optimizers import AdamState, adam_init, adam_step
        from ortist.style.losses import STYLE_LOSSES

        model = find_model(model_name)
        content, style = load_pictures(model, side, *(pictures or ()))
        self._sweeper = Sweeper(model, provider, threads, profile)
        self._objective = Objective(self._sweeper, Manner(tile))
        recipe = recipe_of(model)
        taps = recipe.style
        losses = {
            tap: [STYLE_LOSSES["gram"](found.statistics()) for found in regions]
            for tap, regions in self._objective.moments(style, taps).items()
        }
        self._sweeper.release()
        known = ContentFeatures(content, tuple(recipe.content), ByteBudget(2**28))
        self._targets = Targets(losses, known)
        self._weights = Weights(recipe.content, taps, recipe.tv)
        self._arrays = Arrays(threads=count_threads(threads))
        self._values, self._state = np.clip(content, *_BOX), adam_init(content, self._arrays)

        def adam(values: Any, gradient: Any, first: Any, second: Any) -> tuple[Any, ...]:
            before = AdamState(self._state.steps, first, second)
            values, after = adam_step(values, gradient, before, 3.0)
            return np.clip(values, *_BOX, out=values), after.first, after.second

        self._adam = adam
        self._next, self._one_blas_thread = AdamState, one_blas_thread

    def step(self) -> None:
        """As run/loop.py and run/stepping.py make it: slice by slice, with one thread of BLAS."""
        with self._one_blas_thread():
            _, gradient = self._evaluated()
            before = self._values, gradient, self._state.first, self._state.second
            self._values, first, second = self._arrays.each(self._adam, *before)
            self._state = self._next(self._state.steps + 1, first, second)

    def wait(self) -> None:
        pass

    def loss(self) -> float:
        return float(self._evaluated()[0].total)

    def gradient(self) -> Any:
        return self._evaluated()[1]

    def end_profiling(self) -> list[str]:
        """The paths of the records that ``profile`` asked for."""
        return self._sweeper.program.end_profiling()

    def _evaluated(self) -> tuple[Any, Any]:
        gradient = self._arrays.new(self._values.shape)
        return self._objective(self._values, self._targets, self._weights, gradient)


class TorchStep:
    """The notebook's loop: autograd and torch.optim.Adam, weights taken from the same bundle."""

    def __init__(
        self,
        model_name: str | None,
        side: int,
        pictures: tuple[Path, Path] | None,
        channels_last: bool = False,
        compiled: bool = False,
        dtype: str = "float32",
        device: str = "cpu",
    ):
        import torch
        from ortist_export.check import bundled_module

        torch.set_num_threads(available_cpus())
        model = find_model(model_name)
        content, style = load_pictures(model, side, *(pictures or ()))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        recipe = recipe_of(model)
        taps = sorted({*recipe.content, *recipe.style})
        module: Any = bundled_module(model.folder, tuple(taps)).requires_grad_(False)
        module = module.to(device, getattr(torch, dtype)).to(memory_format=layout)

        def tensor(values: Any) -> torch.Tensor:
            found = torch.from_numpy(values).to(device, getattr(torch, dtype))
            return found.to(memory_format=layout)

        def gram(features: torch.Tensor) -> torch.Tensor:
            matrix = features.reshape(features.shape[1], -1)
            return matrix @ matrix.T / matrix.numel()

        def evaluate(image: torch.Tensor) -> torch.Tensor:
            maps = dict(zip(taps, module(image), strict=True))
            ((kept, weight),) = recipe.content.items()
            loss = weight * (maps[kept] - target).square().sum()
            for tap, weight in recipe.style.items():
                loss = loss + weight * (gram(maps[tap]) - grams[tap]).square().sum()
            rows, columns = image[:, :, 1:] - image[:, :, :-1], image[..., 1:] - image[..., :-1]
            variation = rows.square().sum() + columns.square().sum()
            total: torch.Tensor = loss + recipe.tv * variation
            return total

        target = dict(zip(taps, module(tensor(content)), strict=True))[min(recipe.content)]
        grams = dict(zip(taps, map(gram, module(tensor(style))), strict=True))
        self._evaluate: Callable[[torch.Tensor], torch.Tensor] = (
            torch.compile(evaluate) if compiled else evaluate
        )
        self._image = tensor(content).clone().clamp_(*_BOX).requires_grad_()
        self._optimizer = torch.optim.Adam([self._image], lr=3.0)

    def step(self, clamp: bool = True) -> None:
        self._optimizer.zero_grad()
        self._evaluate(self._image).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        if clamp:
            self._image.data.clamp_(*_BOX)

    def wait(self) -> None:
        if self._image.is_cuda:
            self._image.sum().item()

    def restart(self, learning_rate: float) -> None:
        """A fresh Adam, as the notebook's last phase has it."""
        self._optimizer = type(self._optimizer)([self._image], lr=learning_rate)

    def loss(self) -> float:
        return self._evaluate(self._image).item()

    def gradient(self) -> Any:
        self._optimizer.zero_grad()
        self._evaluate(self._image).backward()  # type: ignore[no-untyped-call]
        assert self._image.grad is not None
        return self._image.grad.contiguous().cpu().numpy().copy()


def _product(*arguments: Any) -> Any:
    """The product by whose rate the floor of a step is told (floor.py)."""
    from .floor import Product

    return Product(available_cpus())


CONTESTANTS: dict[str, Callable[..., Contestant]] = {
    "product": _product,
    "ortist": OrtistStep,
    "tiles-512": partial(OrtistStep, tile=512),
    "tiles-1024": partial(OrtistStep, tile=1024),
    "torch": TorchStep,
    "torch-channels-last": partial(TorchStep, channels_last=True),
    "torch-compile": partial(TorchStep, compiled=True),
    "ortist-cuda": partial(OrtistStep, provider="cuda"),
    "torch-cuda": partial(TorchStep, device="cuda"),
    "torch-cuda-channels-last": partial(TorchStep, device="cuda", channels_last=True),
    "torch-cuda-compile": partial(TorchStep, device="cuda", compiled=True),
    "torch-float64": partial(TorchStep, dtype="float64"),
}
