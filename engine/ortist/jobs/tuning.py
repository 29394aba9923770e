"""A model's recipe by measurement: recipes are tried on a few pairs, and a judge has its say.

A recipe's pictures are compared at the content distance of the judge's own (judging.py), by

    score = style removed - 0.2 max(0, log grid)

averaged over the pairs. One thing after the other is tried, and kept where the score gains by it:
which layer holds the content, how long Adam's steps are, what each style layer has to say (none,
half, twice), a last phase of small steps, more or less total variation. The window is as wide as
the stride of the deepest style layer. At the end the share of the content is made such that the
default strength gives the pictures that were compared.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DivergedError
from ..network.bundle import Model, Recipe
from ..options.fields import Options
from ..pictures.raster import Raster
from ..run.setup import Asked, Objectives, set_up
from .judging import Figures, Judge, at_equal_content

__all__ = ["CONTENT", "Trial", "Tuner"]

CONTENT = "content layer"
"""What is tried first; a recipe for which there was no time to is no better than any."""
_GAIN = 0.003
"""By how much a score must be better: less is the pairs' own chance."""
_GRID = 0.2
_MOST_JITTER = 16
_LAYERS = 4
"""Content layers that are tried at most."""


@dataclass(frozen=True)
class Trial:
    """A ``recipe`` that was tried, and what came of it, averaged over the pairs.

    ``strength`` is the one at which its pictures are as far from the photo as the judge's; ``what``
    says what is new about it. A recipe that diverged has a score of minus infinity.
    """

    what: str
    recipe: Recipe
    score: float
    style_removed: float
    grid: float
    strength: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.what:<34} style removed {self.style_removed:.3f}   grid {self.grid:.2f}   "
            f"strength {self.strength:5.2f}   {self.seconds:4.0f} s"
        )


class Tuner:
    """Tries recipes of ``model`` on ``pairs`` (content, style) with the eyes of ``judge``.

    Pictures have ``side`` pixels on the shorter side, and are painted in ``iterations`` steps.
    ``report`` is told of every trial. Raises what a run raises. ``untried`` is what there was no
    time to try all of, in the order in which it is tried.
    """

    def __init__(
        self,
        model: Model,
        judge: Model,
        pairs: Sequence[tuple[Raster, Raster]],
        side: int,
        iterations: int,
        report: Callable[[Trial], object],
    ) -> None:
        self._model, self._pairs, self._report = model, pairs, report
        self.untried: list[str] = []
        # By the paper's way alone: a guide would hide what the recipe does.
        self._options = Options(size=side, iterations=iterations, quality="paper", provider="cpu")
        self._judges = [Judge(judge, *pair, side) for pair in pairs]
        self._distances = [
            self._figures(judge, number, 1.0).content_distance for number in range(len(pairs))
        ]

    def tune(self, seconds: float) -> Trial:
        """The best trial of those that there is time for; its recipe is ready to be written."""
        end = time.perf_counter() + seconds
        first = dataclasses.replace(self._model.recipe, jitter=self._jitter(self._model.recipe))
        best = self.attempt("as it is", first, 1.0)
        stages = {
            CONTENT: self._contents,
            "steps": self._rates,
            "style layers": self._shares,
            "last phase": self._phases,
            "total variation": self._variations,
        }
        self.untried = []
        for name, stage in stages.items():
            for what, recipe in stage(best.recipe):
                if time.perf_counter() + best.seconds > end:
                    self.untried.append(name)
                    break
                trial = self.attempt(what, recipe, best.strength)
                if trial.score > best.score + _GAIN:
                    best = trial
        return dataclasses.replace(best, recipe=self._settled(best))

    def attempt(self, what: str, recipe: Recipe, strength: float) -> Trial:
        """Paints all pairs by ``recipe``, from that strength on."""
        began = time.perf_counter()
        model = dataclasses.replace(self._model, recipe=recipe)
        try:
            all_figures = [
                at_equal_content(self._painter(model, number), distance, strength)[0]
                for number, distance in enumerate(self._distances)
            ]
        except DivergedError:
            seconds = time.perf_counter() - began
            trial = Trial(what, recipe, -math.inf, -math.inf, math.inf, strength, seconds)
        else:
            removed = float(np.mean([figures.style_removed for figures in all_figures]))
            grid = float(np.mean([figures.grid for figures in all_figures]))
            taken = float(np.exp(np.mean([math.log(f.strength) for f in all_figures])))
            score = removed - _GRID * max(0.0, math.log(grid))
            seconds = time.perf_counter() - began
            trial = Trial(what, recipe, score, removed, grid, taken, seconds)
        self._report(trial)
        return trial

    def _painter(self, model: Model, number: int) -> Callable[[float], Figures]:
        return lambda strength: self._figures(model, number, strength)

    def _figures(self, model: Model, number: int, strength: float) -> Figures:
        """The figures of a pair painted by the recipe of ``model``."""
        options = dataclasses.replace(self._options, strength=strength)
        run = set_up(Objectives(model), Asked(*self._pairs[number]), options)
        for _ in run:
            pass
        return self._judges[number].figures(run.pixels(), strength)

    def _jitter(self, recipe: Recipe) -> int:
        strides = [self._model.tap(tap).stride for tap in recipe.style_shares]
        return min(_MOST_JITTER, max(strides))

    def _contents(self, recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
        taps = [tap for tap in self._model.taps[1:] if (tap.index,) != recipe.content_layers]
        chosen = np.linspace(0, len(taps) - 1, min(_LAYERS, len(taps))).round().astype(int)
        for tap in [taps[i] for i in dict.fromkeys(chosen.tolist())]:
            layers = (tap.index,)
            yield f"content {tap.name}", dataclasses.replace(recipe, content_layers=layers)

    def _rates(self, recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
        for factor in (0.6, 1.6):
            rate = float(f"{factor * recipe.learning_rate:.2g}")
            yield f"steps of {rate}", dataclasses.replace(recipe, learning_rate=rate)

    def _shares(self, recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
        for tap in recipe.style_shares:
            for factor, word in ((0.0, "without"), (0.5, "half of"), (2.0, "twice")):
                shares = {**recipe.style_shares, tap: factor * recipe.style_shares[tap]}
                shares = {own: share for own, share in shares.items() if share > 0}
                if shares:
                    what = f"{word} {self._model.tap(tap).name}"
                    changed = dataclasses.replace(recipe, style_shares=shares)
                    yield what, dataclasses.replace(changed, jitter=self._jitter(changed))

    def _phases(self, recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
        share, rate = (0.0, 1.0) if recipe.final_share else (0.3, 0.35)
        what = "a last phase of small steps" if share else "no last phase"
        yield what, dataclasses.replace(recipe, final_share=share, final_rate=rate)

    def _variations(self, recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
        for factor, word in ((0.5, "half"), (2.0, "twice")):
            share = factor * recipe.tv_share
            yield f"{word} the total variation", dataclasses.replace(recipe, tv_share=share)

    def _settled(self, trial: Trial) -> Recipe:
        """The recipe whose default strength is the trial's."""
        share = float(f"{trial.recipe.content_share / trial.strength:.2g}")
        return dataclasses.replace(trial.recipe, content_share=share)
