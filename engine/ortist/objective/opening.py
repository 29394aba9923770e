"""Which objective a run has."""

from __future__ import annotations

from concurrent.futures import Executor

from ..network.bundle import Model
from ..options.fields import Options
from .general import GeneralObjective
from .objective import Objective

__all__ = ["Evaluator", "open_objective"]

Evaluator = Objective | GeneralObjective


def open_objective(
    model: Model, options: Options, masked: bool, executor: Executor | None = None
) -> Evaluator:
    """The fast objective where it can do what is asked for, else the general one.

    And the general one where an ``executor`` shall do the work of its tiles.
    """
    fast = options.style_loss == "gram" and not (masked or options.normalize_gradients)
    fast = fast and executor is None
    if fast and options.tile_side is None and not options.seamless:
        return Objective(model, options.provider, options.threads, tv_loss=options.tv_loss)
    return GeneralObjective(
        model,
        options.provider,
        options.threads,
        options.tile_side,
        options.normalize_gradients,
        options.seamless,
        options.tv_loss,
        executor,
    )
