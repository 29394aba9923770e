"""Named sets of options: the four recipes of the CS231n assignment, number for number.

Stanford CS231n, assignment 3, StyleTransfer-PyTorch: 200 steps of Adam at 3.0 and, from step 180,
a fresh one at 0.1; pixels clamped to [-1.5, 1.5] before each of the first 190 steps; the picture
rescaled by its own minimum and maximum. The weights were found for SqueezeNet 1.1 with
torchvision's ImageNet weights and mean little with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from .parsing import shown

__all__ = ["CS231N_MODEL", "PRESETS", "preset_options"]

CS231N_MODEL = "squeezenet1_1"
"""The backbone and the name of the model that the CS231n presets were made for."""

_NOTEBOOK: dict[str, Any] = {
    "size": 192,
    "smallest_size": None,
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

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cs231n-composition-vii": {
        **_NOTEBOOK,
        "style_size": 512,
        "content_weight": 5e-2,
        "style_layers": {1: 20000, 4: 500, 6: 12, 7: 1},
        "tv_weight": 5e-2,
    },
    "cs231n-the-scream": {
        **_NOTEBOOK,
        "style_size": 224,
        "content_weight": 3e-2,
        "style_layers": {1: 200000, 4: 800, 6: 12, 7: 1},
        "tv_weight": 2e-2,
    },
    "cs231n-starry-night": {
        **_NOTEBOOK,
        "style_size": 192,
        "content_weight": 6e-2,
        "style_layers": {1: 300000, 4: 1000, 6: 15, 7: 3},
        "tv_weight": 2e-2,
    },
    "cs231n-feature-inversion": {
        **_NOTEBOOK,
        "style_size": 192,
        "content_weight": 6e-2,
        "style_layers": {1: 0, 4: 0, 6: 0, 7: 0},
        "tv_weight": 2e-2,
        "init": "noise",
    },
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
