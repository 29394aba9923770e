"""A run's arrays are made by its first step: later ones, and the last losses, use them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ortist import Engine
from ortist.objective.pieces import Piece, Terms
from ortist.objective.sweep import Sweep
from ortist.objective.sweeper import Sweeper

from tests.conftest import small_pictures

from .aims import aimed, noise, objective, pictures, shipped

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


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> list[Sweep]:
    """All that are made from now on; none of them is little."""
    made: list[Sweep] = []
    make = Sweep.__init__

    def listed(self: Sweep, *arguments: Any) -> None:
        made.append(self)
        make(self, *arguments)

    monkeypatch.setattr(Sweep, "__init__", listed)
    monkeypatch.setattr("ortist.objective.sweeper._LITTLE", 1)
    return made


def open_ones(sweeps: list[Sweep]) -> int:
    return sum(1 for sweep in sweeps if sweep.bands)


def test_tiles_are_observed_and_pulled_at_without_new_arrays(sweeps: list[Sweep]) -> None:
    """From the third evaluation on, whose shapes have come back once."""
    content, image = pictures(150, 150)
    at = aimed(objective(64), content, (1, 4))
    sweeps.clear()
    for _ in range(3):
        at(image)
    made = len(sweeps)
    for _ in range(2):
        at(image)
    assert len(sweeps) == made
    assert open_ones(sweeps) == 2


def test_of_whole_pictures_one_sweep_is_kept(sweeps: list[Sweep]) -> None:
    """Though sizes come back: two of a large picture's were not reckoned with."""
    own = Sweeper(shipped(), "cpu", 1)
    terms = Terms(moments=frozenset({1, 4}))
    for height in (40, 48, 40, 48, 40):
        own.observe(Piece(noise(height, 40)), terms)
        assert open_ones(sweeps) == 1
    assert len(sweeps) == 5
