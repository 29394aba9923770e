"""Weights of the losses: those that were given, and balanced ones for those that were not.

A balanced weight gives its term a share of the loss that does not depend on how strong the pictures
or the model's activations are. With E_l the unweighted style loss of a picture whose features are
zero (style/losses.py; for Gram matrices ||A_l||^2; with regions the mean by their areas), P_l the
content image's features, n the number of values of the picture, and the model's shares s, c, t
(manifest, recipe):

    style_l = s_l / E_l          sum of s_l = 1
    content_l = c E / (k K ||P_l||^2)      tv = t E / n      E = sum_l style_l E_l

E is 1 with balanced style weights, and what the user's own weights make it otherwise, so that
balanced weights fit given style weights. k is the option ``strength``, K the number of content
layers. Adam does not feel the common scale. Where gradients are normalised, weights say what part
of the gradient each term is, so that the shares are the weights: E_l, ||P_l||^2 and n are taken as
1. (Not in the paper, which tunes weights by hand for each picture.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import OptionError
from ..network.bundle import Model
from ..options.fields import Options
from ..options.parsing import LayerWeights

__all__ = ["Weights", "chosen_taps", "resolve_weights"]


@dataclass(frozen=True)
class Weights:
    """What each loss is multiplied by; taps (by index) with weight 0 are left out."""

    content: Mapping[int, float]
    style: Mapping[int, float]
    tv: float


def chosen_taps(options: Options, model: Model) -> tuple[list[int], dict[int, float | None]]:
    """Content taps and style taps with their weights (None: balanced).

    Raises OptionError and ModelError for layers that are not there.
    """
    if options.content_layers is None:
        content = list(model.recipe.content_layers)
    else:
        content = list(_by_index(options.content_layers, model))
    if options.content_weight == 0:
        content = []
    if options.style_layers is None:
        style: dict[int, float | None] = dict.fromkeys(model.recipe.style_shares)
    else:
        style = _by_index(options.style_layers, model)
    return content, {tap: weight for tap, weight in style.items() if weight != 0}


def _by_index(layers: LayerWeights, model: Model) -> dict[int, float | None]:
    """Tap index -> weight; raises OptionError where two names mean one layer."""
    found: dict[int, float | None] = {}
    for layer, weight in layers:
        index = model.tap(layer).index
        if index in found:
            raise OptionError(f"the layer {index} is named twice, once as {layer!r}; name it once.")
        found[index] = weight
    return found


def resolve_weights(
    options: Options,
    model: Model,
    content_energies: Mapping[int, float],
    style_energies: Mapping[int, float],
    values: int,
) -> Weights:
    """The weights for these ||P_l||^2, these energies E_l and a picture of ``values`` values."""
    _, wanted = chosen_taps(options, model)
    alike = options.normalize_gradients
    shares = {tap: model.recipe.style_shares.get(tap, 1.0) for tap in style_energies}
    total = sum(shares.values())
    if total == 0 and any(wanted[tap] is None for tap in shares):
        names = ", ".join(model.tap(tap).name for tap in shares)
        raise OptionError(
            f"the recipe of {model.name} gives the style layers {names} no share; give them "
            "weights, or choose others."
        )
    style: dict[int, float] = {}
    energy = 0.0
    for tap, own in style_energies.items():
        # That of an all-zero target (a black picture's, say) is 0; 1 is as good.
        own = 1.0 if alike else own or 1.0
        given = wanted[tap]
        style[tap] = shares[tap] / total / own if given is None else given
        energy += style[tap] * own
    if not style or alike:
        energy = 1.0
    content = {}
    for tap, own in content_energies.items():
        share = model.recipe.content_share / options.strength / len(content_energies)
        own = 1.0 if alike else own or 1.0
        balanced = share * energy / own
        content[tap] = balanced if options.content_weight is None else options.content_weight
    tv = model.recipe.tv_share * energy / (1 if alike else values)
    return Weights(content, style, tv if options.tv_weight is None else options.tv_weight)
