"""Named sets of options: qualities, and the four recipes of the CS231n assignment.

Stanford CS231n, assignment 3, StyleTransfer-PyTorch: 200 steps of Adam at 3.0 and, from step 180,
a fresh one at 0.1; pixels clamped to [-1.5, 1.5] before each of the first 190 steps; the picture
rescaled by its own minimum and maximum; number for number. The weights were found for SqueezeNet
1.1 with torchvision's ImageNet weights and mean little with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from .parsing import shown

__all__ = ["CS231N_MODEL", "PAPERS", "PRESETS", "QUALITIES", "preset_options"]

CS231N_MODEL = "squeezenet1_1"
"""The backbone and the name of the model that the CS231n presets were made for."""

_NOTEBOOK: dict[str, Any] = {
    "size": 192,
    "quality": "paper",
    "smallest_size": "none",
    "iterations": 200,
    "content_layers": (3,),
    "learning_rate": 3.0,
    "beta2": 0.999,
    "jitter": 1,
    "averaging": 0.0,
    "final_iterations": 20,
    "final_learning_rate": 0.1,
    "bounds": "cs231n",
    "free_iterations": 10,
    "rescale": True,
}


def _preset(
    style_size: int, content: float, style: tuple[int, int, int, int], tv: float
) -> dict[str, Any]:
    """The notebook's options with these weights; those of the style are of layers 1, 4, 6 and 7."""
    return {
        **_NOTEBOOK,
        "style_size": style_size,
        "content_weight": content,
        "style_layers": dict(zip((1, 4, 6, 7), style, strict=True)),
        "tv_weight": tv,
    }


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cs231n-composition-vii": _preset(512, 5e-2, (20000, 500, 12, 1), 5e-2),
    "cs231n-the-scream": _preset(224, 3e-2, (200000, 800, 12, 1), 2e-2),
    "cs231n-starry-night": _preset(192, 6e-2, (300000, 1000, 15, 3), 2e-2),
    "cs231n-feature-inversion": {**_preset(192, 6e-2, (0, 0, 0, 0), 2e-2), "init": "noise"},
}


def preset_options(name: str | None) -> Mapping[str, Any]:
    """The options of the preset called ``name``, by their names; None has none.

    Raises OptionError where there is no such preset.
    """
    if name is None:
        return {}
    if not isinstance(name, str) or name not in PRESETS:
        known = ", ".join(sorted(PRESETS))
        raise OptionError(f"there is no preset {shown(name)}; choose one of {known}.")
    return PRESETS[name]


_GUIDED: dict[str, Any] = {"coverage": 1.0, "detail": 0.7, "detail_size": 8}
_MATCHED: dict[str, Any] = {
    **_GUIDED,
    "matching": 1.0,
    "smallest_size": "none",
    "style_loss": "w2",
    "learning_rate": 0.015,
    "averaging": 0.9,
}

QUALITIES: Mapping[str, Mapping[str, Any]] = {
    "draft": {**_MATCHED, "iterations": 0},
    "standard": {**_MATCHED, "iterations": 3, "learning_rate": 0.033, "jitter": 1},
    "best": {**_MATCHED, "iterations": 60, "coverage": 0.75, "detail": 1.0, "detail_size": 24},
    "paper": {
        **_GUIDED,
        "matching": 0.0,
        "smallest_size": 128,
        "style_loss": "gram",
        "iterations": 300,
    },
}
"""What the option ``quality`` stands for; chosen by looking."""

PAPERS = (
    *("smallest_size", "style_loss", "style_layers", "normalize_gradients", "content_layers"),
    *("content_weight", "tv_weight", "tv_loss", "optimizer", "learning_rate", "beta2", "jitter"),
    *("averaging", "final_iterations", "final_learning_rate", "bounds", "free_iterations"),
    *("init", "init_noise", "seamless"),
)
"""Options that tune the paper's recipe: who gives one is taken to want that, unless a quality is
given too."""
