"""A provider is proved before it is used: one step on a small picture, against the CPU's.

Providers round in their own ways, some in float16 or TF32, and where rounding decides which of two
values is the larger a pooling sends the gradient another way. What is meant here is another thing:
drivers and kernels that compute wrongly. So the tolerance is wide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import Array
from ..errors import ProviderError
from ..network.bundle import Model
from ..network.providers import CPU, candidates
from ..options.fields import Provider
from .bands import Buffers
from .inputs import Shape
from .opened import OpenProgram
from .pieces import Piece, Pull, Sums
from .sweep import Sweep

__all__ = ["open_proved"]

_SIDE = 64
_TOLERANCE = 0.02
"""What second moments and a gradient may differ by, over their norms."""
_proved: set[tuple[str, str]] = set()
"""Models, by their hashes, and providers that were proved in this process."""


def open_proved(
    model: Model, provider: Provider, threads: int, profile: str | None = None
) -> OpenProgram:
    """The model's program on the first of the ``candidates`` that gives what the CPU gives.

    Raises ProviderError where a provider that was named cannot be had, or gives something else, and
    ModelError for a model that cannot be run.
    """
    refused: ProviderError | None = None
    for name in candidates(provider):
        try:
            program = OpenProgram(model, name, threads, profile)
            _prove(model, name, program)
            return program
        except ProviderError as error:
            refused = error
    assert refused is not None  # the CPU is a candidate, or there was a name
    raise refused


def _prove(model: Model, name: str, program: OpenProgram) -> None:
    """Raises ProviderError where ``program`` on the provider ``name`` differs from the CPU."""
    key = model.sha256, name
    if program.provider == CPU or key in _proved:
        return
    expected = _one_step(OpenProgram(model, "cpu", 1))
    try:
        given = _one_step(program)
    except ProviderError:
        raise
    except Exception as error:  # ONNX Runtime's own, which share no base class
        raise _refusal(name, (str(error).strip().splitlines() or [repr(error)])[0]) from error
    apart = max(_apart(one, other) for one, other in zip(given, expected, strict=True))
    if not apart <= _TOLERANCE:
        raise _refusal(name, f"a step differs from the CPU's by {apart:.2g} of its norm")
    _proved.add(key)


def _refusal(name: str, reason: str) -> ProviderError:
    return ProviderError(
        f"the provider {name!r} cannot be used here ({reason[:300]}); --provider cpu works "
        "everywhere."
    )


def _apart(given: Array, expected: Array) -> float:
    """||given - expected|| / ||expected||."""
    return float(np.linalg.norm(given - expected) / (np.linalg.norm(expected) or 1.0))


def _one_step(program: OpenProgram) -> list[Array]:
    """The second moments of the style's taps of a picture of noise, and a gradient from them."""
    model = program.model
    side = max(_SIDE, model.smallest_side)
    image = np.random.default_rng(0).standard_normal((1, 3, side, side), np.float32)
    taps = sorted(model.recipe.style_shares)
    switches = frozenset(f"with_{kind}_{tap}" for kind in ("moments", "style") for tap in taps)
    sweep = Sweep(program, Shape(side, side, False, side * side, switches), Buffers(), {})
    sweep.set_piece(Piece(image), 0.0)
    seen: dict[int, Array] = {}

    def decide(tap: int, sums: Sums) -> Pull:
        (moments,) = sums.moments[tap]
        seen[tap] = np.asarray(moments.second, np.float32)
        mixing: Any = seen[tap][None] / (np.linalg.norm(seen[tap]) or 1.0)
        return Pull(mixing.astype(np.float32), None, None)

    gradient = np.empty(image.shape, np.float32)
    sweep.run(image, gradient, taps, decide)
    sweep.close()
    return [*(seen[tap] for tap in taps), gradient]
