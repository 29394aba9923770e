"""Decisions: how a tap pulls by its sums; normalised gradients have the weights for norms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ortist.objective.decide import Decider
from ortist.objective.pieces import Piece, Terms
from ortist.objective.sweeper import Sweeper
from ortist.objective.targets import ByteBudget, ContentFeatures, Targets
from ortist.objective.weights import Weights
from ortist.style.guides import Guides
from ortist.style.losses import STYLE_LOSSES

from .aims import Aimed, aimed, objective, pictures, shipped, statistics, sweeper

LOSSES = sorted(STYLE_LOSSES)


def maps(image: Any, tap: int) -> Any:
    return sweeper().maps(image, [tap])[tap]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("masked", [False, True])
def test_normalised_gradients_have_the_weights_for_norms(loss: str, masked: bool) -> None:
    """At conv1, whose gradient can be had at the features themselves."""
    _, image = pictures(70, 81)
    regions, guides = 1, None
    if masked:  # regions that do not overlap, by cells
        masks = np.zeros((2, 70, 81), np.float32)
        masks[0, :, :41], masks[1, :, 45:] = 1, 1
        regions, guides = 2, Guides(masks)
    losses = {1: [STYLE_LOSSES[loss](part) for part in statistics((1,), regions)[1]]}
    terms = Terms(moments=frozenset({1}), shifts=True)
    sums = sweeper().observe(Piece(image, guides=guides), terms)
    decide = Decider(losses, (), Weights({}, {1: 3.0}, 0.0), {})
    pull = decide(1, sums)
    assert pull.mixing is not None
    features = maps(image, 1)[0].astype(np.float64)
    size = features.shape[1:]
    shown: Any = np.ones((1, *size))
    if guides is not None:
        shown = guides.over(shipped().tap(1), slice(0, size[0]), slice(0, size[1]))
    gradient = np.zeros((64, size[0] * size[1]))
    for region, guide in enumerate(shown):
        own = pull.mixing[region] @ features.reshape(64, -1)
        if pull.shift is not None:
            own += pull.shift[region][:, None]
        gradient += own * guide.reshape(-1)
    assert np.linalg.norm(gradient) == pytest.approx(3, rel=1e-4 if not masked else 1e-2)
    assert (pull.shift is None) == (loss == "gram")


def test_normalised_content_and_variation_have_their_weights_too() -> None:
    content, image = pictures(70, 81)
    difference = maps(image, 3) - maps(content, 3)
    one = objective(None, normalize=True)
    known = Targets(content=ContentFeatures(content, (3,), ByteBudget(2**28)))
    energies = one.energies(known)
    assert energies[3] == pytest.approx(np.square(maps(content, 3)).sum(), rel=1e-5)
    with_features = sweeper().features(content, (3,))
    piece = Piece(image, content=with_features)
    sums = sweeper().observe(piece, Terms(errors=frozenset({3})))
    assert sums.errors[3] == pytest.approx(np.square(difference).sum(), rel=1e-5)
    pull = Decider({}, (3,), Weights({3: 2.0}, {}, 0.0), energies)(3, sums)
    assert pull.content_weight is not None
    assert np.linalg.norm(2 * pull.content_weight * difference) == pytest.approx(2, rel=1e-4)
    variation = Aimed(one, Targets(), Weights({}, {}, 5.0))
    assert np.linalg.norm(variation(image)[1]) == pytest.approx(5, rel=1e-4)
    # Of a picture that is the content itself only rounding would be blown up.
    at = Aimed(one, known, Weights({3: 2.0}, {}, 0.0))
    assert np.abs(at(content)[1]).max() < 1e-3
    assert np.abs(at(image)[1]).max() > 1e-3


def test_a_contents_energies_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at every step: they are the content's alone."""
    content, image = pictures(70, 81)
    counted = []
    count = Sweeper.energies

    def counting(*task: Any) -> dict[int, float]:
        counted.append(task)
        return count(*task)

    monkeypatch.setattr(Sweeper, "energies", counting)
    at = aimed(objective(None, normalize=True), content, (1, 4))
    first, again = at(image), at(image)
    assert len(counted) == 1
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("tile", [None, 40])
def test_normalised_steps_are_those_of_the_terms_alone(tile: int | None) -> None:
    """A sum of terms, each at its own norm whatever its loss is."""
    content, image = pictures(70, 81)
    one = objective(tile, normalize=True)
    at = aimed(one, content, (1, 4), "meanstd")
    weights = Weights({1: 2.0}, {1: 3.0, 4: 0.5}, 0.7)
    whole = Aimed(one, at.targets, weights)(image)[1]
    scaled = Aimed(one, at.targets, Weights({1: 4.0}, {1: 6.0, 4: 1.0}, 1.4))(image)[1]
    np.testing.assert_allclose(scaled, 2 * whole, rtol=1e-4, atol=1e-6 * np.abs(whole).max())
    parts = np.zeros_like(whole)
    none = Weights({1: 0.0}, {1: 0.0, 4: 0.0}, 0.0)
    for term in ("content", "style", "tv"):
        alone = replace(none, **{term: getattr(weights, term)})
        parts += Aimed(one, at.targets, alone)(image)[1]
    np.testing.assert_allclose(whole, parts, rtol=0, atol=1e-5 * np.abs(whole).max())
