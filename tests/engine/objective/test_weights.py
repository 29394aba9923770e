"""Weights of the losses, from the options and a model's recipe."""

from __future__ import annotations

import dataclasses

import pytest
from ortist.errors import OptionError
from ortist.network.bundle import Model
from ortist.objective.weights import resolve_weights
from ortist.options.fields import Options


def test_style_layers_that_have_no_share_need_weights(procedural: Model) -> None:
    recipe = dataclasses.replace(procedural.recipe, style_shares={1: 0.0, 3: 1.0})
    model = dataclasses.replace(procedural, recipe=recipe)
    options = Options.of(style_layers={1: None})
    with pytest.raises(OptionError, match="gives the style layers conv1 no share; give them"):
        resolve_weights(options, model, {}, {1: 2.0}, 300)
    given = resolve_weights(Options.of(style_layers={1: 7.0}), model, {}, {1: 2.0}, 300)
    assert given.style == {1: 7.0}
    both = resolve_weights(Options.of(style_layers={1: None, 3: None}), model, {}, {1: 2, 3: 4}, 9)
    assert both.style == {1: 0.0, 3: 0.25}
