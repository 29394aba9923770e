"""The objective of a run, for its options."""

from __future__ import annotations

from concurrent.futures import Executor

from ..network.bundle import Model
from ..options.fields import Options
from .objective import Manner, Objective
from .sweeper import Sweeper
from .workers import Workers

__all__ = ["Evaluator", "open_objective"]

Evaluator = Objective


def open_objective(
    model: Model, options: Options, masked: bool, executor: Executor | None = None
) -> Evaluator:
    """Opens the model for a run; with an ``executor`` its workers share the work on pieces."""
    sweeper = Sweeper(model, options.provider, options.threads)
    manner = Manner(
        options.tile_side, options.seamless, options.normalize_gradients, options.tv_loss
    )
    workers = Workers(sweeper, options.provider, options.threads, executor)
    return Objective(sweeper, manner, workers)
