"""What a run's options come to: the scales of its pyramid, and what they leave to the recipe."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from ..network.bundle import Recipe
from ..options.fields import Options

__all__ = ["Scale", "Tuning", "plan_scales", "tuned"]

_STRIDE = 16
"""A multiple of the strides of the shipped model's taps."""
_AVERAGING = 0.97
"""Adam's; L-BFGS, whose steps do not scatter, has none."""


@dataclass(frozen=True)
class Scale:
    """A scale of the pyramid: the picture's shorter side, in pixels, and its number of steps."""

    side: int
    iterations: int


def plan_scales(options: Options) -> list[Scale]:
    """The scales from small to large: size / sqrt(2)^i down to ``smallest_size``.

    Coarse structure is cheap to move where the picture is small (Gatys et al., CVPR 2017, section
    5). The first scale gets a double share of the iterations, and what a division leaves over;
    where there are too few for every scale to get one, the smallest are left out. The smaller
    scales of a seamless texture are rounded to where the network's stride fits.
    """
    sides = [options.size]
    smallest = options.smallest_size if isinstance(options.smallest_size, int) else options.size
    for halvings in itertools.count(1):
        side = round(options.size / 2 ** (halvings / 2))
        if side < smallest:
            break
        side = max(1, round(side / _STRIDE)) * _STRIDE if options.seamless else side
        if side < sides[0]:  # rounded, two may be one
            sides.insert(0, side)
    sides = sides[-max(1, options.steps - 1) :]
    share = options.steps // (len(sides) + 1)
    first = options.steps - share * (len(sides) - 1)
    return [Scale(sides[0], first), *(Scale(side, share) for side in sides[1:])]


@dataclass(frozen=True)
class Tuning:
    """The options of these names, none left open.

    ``jitter`` in pixels, 1 for none; ``learning_rate`` and ``final_learning_rate`` in units of the
    normalised pixel; ``averaging`` is a decay in [0, 1).
    """

    jitter: int
    learning_rate: float
    final_iterations: int
    final_learning_rate: float
    averaging: float


def tuned(options: Options, recipe: Recipe) -> Tuning:
    """``options`` where they were given, else what the model's recipe or the optimiser has."""
    adam = options.optimizer == "adam"
    rate = recipe.learning_rate if options.learning_rate is None else options.learning_rate
    final_iterations, final_rate = options.final_iterations, options.final_learning_rate
    if final_iterations is None:
        final_iterations = round(recipe.final_share * options.steps)
    return Tuning(
        jitter=options.jitter or (recipe.jitter if adam else 1),
        learning_rate=rate,
        final_iterations=final_iterations,
        final_learning_rate=recipe.final_rate * rate if final_rate is None else final_rate,
        averaging=(_AVERAGING if adam else 0.0) if options.averaging is None else options.averaging,
    )
