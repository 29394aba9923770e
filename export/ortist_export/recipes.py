"""Default weights of the losses for the models we know, found by looking at pictures.

Weights here are balanced ones (engine/ortist/objective/weights.py): shares of the loss, free of the
scale of the activations. An unknown model gets the recipe that suits ImageNet's weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["recipe"]

_IMAGENET = {
    "content_layers": [3],
    "content_share": 0.1,
    "style_shares": {"1": 1.0, "4": 0.6, "6": 0.6, "7": 0.4},
    "tv_share": 0.01,
    "learning_rate": 0.08,
    "jitter": 4,
    "final_share": 0.0,
    "final_rate": 1.0,
}
_BY_NAME: dict[str, dict[str, Any]] = {
    # Its layers are fitted one by one, to equal energy, the shallow ones best: they have the most
    # say. Content holds the picture back more than ImageNet's does, and the grid of the stride is
    # stronger: a wider window, a last phase of small steps and half the total variation (which
    # smooths less than it shows the grid) take it out, and lower the loss too (all measured by
    # tests/benchmarks/judge.py; ImageNet's gains nothing by them).
    "squeezenet1_1-procedural": {
        **_IMAGENET,
        "content_share": 0.04,
        "style_shares": {"1": 2.0, "2": 0.5, "3": 1.0, "4": 0.6, "6": 0.4, "7": 0.3},
        "tv_share": 0.005,
        "learning_rate": 0.1,
        "jitter": 8,
        "final_share": 0.3,
        "final_rate": 0.35,
    },
}
_BY_BACKBONE: dict[str, dict[str, Any]] = {
    "squeezenet1_0": _IMAGENET,
    "squeezenet1_1": _IMAGENET,
    # The layers of Gatys et al., each with one say; nobody has measured more of it yet.
    "vgg19": {
        **_IMAGENET,
        "content_layers": [22],
        "style_shares": {"1": 1.0, "6": 1.0, "11": 1.0, "20": 1.0, "29": 1.0},
        "jitter": 8,
    },
}


def recipe(name: str, taps: Sequence[int], backbone: str | None = None) -> dict[str, Any]:
    """The defaults for model ``name`` as its manifest holds them, kept to ``taps``, its indices.

    ``backbone`` names an architecture whose layers are known, None stands for any other. Where a
    recipe names no tap that the model has, style takes all of them alike, and content the middle
    one.
    """
    known = _BY_BACKBONE.get(
        backbone or "", {**_IMAGENET, "content_layers": [], "style_shares": {}}
    )
    values = dict(_BY_NAME.get(name, known))
    shares = {tap: share for tap, share in values["style_shares"].items() if int(tap) in taps}
    values["style_shares"] = shares or {str(tap): 1.0 for tap in taps}
    content = [tap for tap in values["content_layers"] if tap in taps]
    values["content_layers"] = content or [taps[len(taps) // 2]]
    return values
