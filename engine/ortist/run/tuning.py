"""What options leave to the model's recipe and to the optimiser, decided."""

from __future__ import annotations

from dataclasses import dataclass

from ..network.bundle import Recipe
from ..options.fields import Options

__all__ = ["Tuning", "tuned"]

_AVERAGING = 0.97
"""Adam's; L-BFGS, whose steps do not scatter, has none."""


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
    return Tuning(
        jitter=options.jitter or (recipe.jitter if adam else 1),
        learning_rate=rate,
        final_iterations=round(recipe.final_share * options.iterations)
        if final_iterations is None
        else final_iterations,
        final_learning_rate=recipe.final_rate * rate if final_rate is None else final_rate,
        averaging=(_AVERAGING if adam else 0.0) if options.averaging is None else options.averaging,
    )
