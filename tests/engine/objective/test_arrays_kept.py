"""A run's arrays are made by its first step: later ones, and the last losses, use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ortist import Engine
from ortist.objective.sweep import Sweep

from tests.conftest import small_pictures

CONTENT, STYLE = small_pictures()
MASK = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"style_loss": "w2"},
        {"normalize_gradients": True},
        {"optimizer": "lbfgs"},
        {"masks": True},
        {"content": None},
        {"content": None, "seamless": True},
        {"content": None, "seamless": True, "style_loss": "meanstd"},
    ],
)
def test_no_step_but_the_first_makes_arrays(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = Sweep.__init__

    def counted(self: Sweep, *arguments: Any) -> None:
        made.append(arguments[1])
        make(self, *arguments)

    monkeypatch.setattr(Sweep, "__init__", counted)
    masks = [(MASK, None), (255 - MASK, None)] if given.pop("masks", False) else []
    content = given.pop("content", CONTENT)
    styles = [STYLE, STYLE] if masks else STYLE
    options = {"size": 48, "iterations": 4, "quality": "paper", "smallest_size": "none", **given}
    with Engine(provider="cpu") as engine:
        run = engine.iterate(content, styles, masks=masks, **options)
        next(run)
        next(run)
        first = len(made)
        for _ in run:
            pass
        run.result()
    assert made[first:] == []
