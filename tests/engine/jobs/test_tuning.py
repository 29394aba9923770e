"""Tuning: recipes tried on pairs, the better one kept and written; scenes that are drawn."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ortist.cli.tune import tune
from ortist.errors import DivergedError, OptionError
from ortist.jobs import tuning
from ortist.jobs.judging import Figures
from ortist.jobs.scenes import draw_scene
from ortist.jobs.tuning import Trial, Tuner
from ortist.network.bundle import Model, Recipe, load_model, write_recipe
from ortist.pictures.raster import Raster
from ortist_models import MANIFEST, SHIPPED_MODEL

from tests.conftest import ROOT, Ortist, small_pictures


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is painted: what a recipe is worth is known, and each look at the clock is 1 s."""

    def figures(self: Tuner, model: Model, number: int, strength: float) -> Figures:
        recipe = model.recipe
        if recipe.learning_rate > 0.15:
            raise DivergedError("too long a step")
        removed = (
            0.5 - 0.1 * (recipe.content_layers != (4,)) + 0.05 * (7 not in recipe.style_shares)
        )
        grid = 1.5 if recipe.final_share else 1.0
        reached = 0.3 + 0.1 * math.log(strength) + 0.2 * (recipe.content_layers == (4,))
        return Figures(strength, removed, reached, grid, np.zeros((1, 1, 3), np.uint8))

    clock = SimpleNamespace(perf_counter=partial(next, itertools.count(0.0)))
    monkeypatch.setattr(tuning, "time", clock)
    monkeypatch.setattr(Tuner, "_figures", figures)


@pytest.fixture
def tuner(procedural: Model, known: None) -> Tuner:
    """One that paints nothing."""
    pictures = [Raster(np.asarray(picture)) for picture in small_pictures(64)]
    return Tuner(procedural, procedural, [(pictures[0], pictures[1])], 64, 10, lambda trial: None)


def test_what_is_better_is_kept(tuner: Tuner, procedural: Model) -> None:
    best = tuner.tune(1e6)
    assert best.recipe.content_layers == (4,)
    assert 7 not in best.recipe.style_shares
    assert best.recipe.final_share == 0
    assert best.recipe.learning_rate <= 0.15
    assert best.recipe.jitter == 8
    # Its pictures were as far from the photo as the judge's at a smaller strength.
    assert best.strength < 0.2
    share = procedural.recipe.content_share / best.strength
    assert best.recipe.content_share == pytest.approx(share, rel=0.05)


def test_without_time_there_is_one_trial(tuner: Tuner, procedural: Model) -> None:
    best = tuner.tune(0)
    assert best.what == "as it is"
    assert best.recipe == procedural.recipe
    assert tuner.untried == STAGES


STAGES = ["content layer", "steps", "style layers", "last phase", "total variation"]


@pytest.mark.parametrize("seconds", range(1, 121, 7))
def test_what_there_was_no_time_for_is_told(
    seconds: int,
    known: None,
    copy: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A recipe is written where all content layers were tried at least, and only there."""
    before = (copy / MANIFEST).read_bytes()
    words: dict[str, Any] = {
        "content": None,
        "style": None,
        "judge": SHIPPED_MODEL,
        "size": 64,
        "iterations": 10,
    }
    given = {"minutes": seconds / 60, "dry_run": False, **words}
    if seconds < 15:  # the recipe as it is and four content layers, of three looks each
        with pytest.raises(OptionError, match=r"minutes are too few.*nothing is written"):
            tune(str(copy), **given)
        assert capsys.readouterr().out.count("\ncontent ") <= 4
        assert (copy / MANIFEST).read_bytes() == before
        return
    tune(str(copy), **given)
    told = capsys.readouterr().out
    assert f"written into {copy}" in told
    assert (copy / MANIFEST).read_bytes() != before
    assert told.count("\ncontent ") == 4
    named = re.findall(r"^no time for all of: (.*); more", told, re.MULTILINE)
    untried = named[0].split(", ") if named else []
    assert untried == STAGES[len(STAGES) - len(untried) :]
    assert ("twice the total variation" in told) == (not untried)


def test_a_recipe_that_diverges_is_the_worst(tuner: Tuner, procedural: Model) -> None:
    far = dataclasses.replace(procedural.recipe, learning_rate=9.0)
    assert tuner.attempt("far", far, 1.0).score == -math.inf


def test_a_real_trial_by_the_models_own_eyes(procedural: Model) -> None:
    told: list[Trial] = []
    pair = Raster(draw_scene(0, 64)), Raster(small_pictures(64)[1])
    best = Tuner(procedural, procedural, [pair], 64, 10, told.append).tune(0)
    assert told[0].recipe == best.recipe
    assert best.strength == 1
    assert 0 < best.style_removed < 1


def test_the_recipe_is_written_and_nothing_else(copy: Path) -> None:
    model = load_model(copy)
    before = json.loads((copy / MANIFEST).read_text())
    recipe = Recipe((4,), 0.07, {1: 1.0, 6: 0.5}, 0.02, 0.05, 8, 0.0, 1.0)
    write_recipe(model, recipe)
    assert load_model(copy).recipe == recipe
    after = json.loads((copy / MANIFEST).read_text())
    assert {k: v for k, v in after.items() if k != "recipe"} == {
        k: v for k, v in before.items() if k != "recipe"
    }
    assert after["recipe"].keys() == before["recipe"].keys()


@pytest.mark.long
def test_the_command_writes_a_copys_recipe_and_not_the_packages(
    ortist: Ortist, copy: Path, tmp_path: Path
) -> None:
    quick = ("--size", "64", "--iterations", "10", "--minutes", "0.01")
    refused = ortist("models", "tune", SHIPPED_MODEL, *quick)
    assert refused.returncode == 2
    assert "is the package's own and stays as it is" in refused.stderr
    few = ortist("models", "tune", copy, *quick, "--judge", SHIPPED_MODEL)
    assert few.returncode == 2
    assert few.stderr.startswith("ortist: 0.01 minutes are too few: a trial took ")
    long = (*quick[:-1], "5", "--judge", SHIPPED_MODEL)
    pair = [ROOT / "docs" / "samples" / name for name in ("harbour.jpg", "shards.jpg")]
    done = ortist(
        *("models", "tune", copy, *long, "--content", pair[0], "--style", pair[1]), timeout=400
    )
    assert done.returncode == 0, done.stderr
    assert "as it is" in done.stdout
    assert f"written into {copy}" in done.stdout
    load_model(copy).verify()
    odd = ortist("models", "tune", copy, "--content", "a.jpg")
    assert odd.returncode == 2
    assert "there are 1 photos and 0 paintings" in odd.stderr


def test_scenes_differ_and_are_what_their_seed_says() -> None:
    one, other = draw_scene(0, 96), draw_scene(1, 96)
    assert one.shape == (96, 128, 3)
    np.testing.assert_array_equal(one, draw_scene(0, 96))
    assert np.abs(one.astype(int) - other).mean() > 10
    assert one.std() > 25
