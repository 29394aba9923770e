"""Ending in time: which scale the next step belongs to, so that the last one is reached.

The time of a step is taken to grow with the number of pixels. First comes what one step at the last
scale needs; of the rest of the time limit each scale gets the share that its steps would have of
the whole run, and leaves what it does not need to the next. Where there is no time for one step at
the last scale, the run stays at the scale where it is. With time enough every step is done, and the
picture is what it is without a limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

__all__ = ["CLOSING", "ENLARGING", "ENTRY", "TimeBudget"]

ENTRY = 3
"""Evaluations that entering a scale costs: style, content, the enlarged picture."""
CLOSING = 2
"""Evaluations after the last step: the losses of the start and of the picture."""
ENLARGING = 0.3
"""What enlarging a picture that ends at an early scale takes of one evaluation at the last one."""


class TimeBudget:
    """``pixels`` and ``iterations`` of each scale, and the limit in seconds since the set-up."""

    def __init__(self, pixels: Sequence[int], iterations: Sequence[int], limit: float) -> None:
        self._pixels, self._limit = pixels, limit
        costs = [p * (n + ENTRY) for p, n in zip(pixels, iterations, strict=True)]
        costs[-1] -= pixels[-1] * (1 + ENTRY)  # those come first
        self._shares = [sum(costs[: i + 1]) / (sum(costs) or 1) for i in range(len(costs))]
        self._recent: deque[float] = deque(maxlen=3)

    def took(self, scale: int, seconds: float, entered: bool) -> None:
        """A step at that scale was done in ``seconds``, and the scale entered with it or not."""
        evaluations = 1 + (ENTRY if entered else 0)
        self._recent.append(seconds / evaluations / self._pixels[scale])

    def scale_of_next(self, now: int, wanted: int, elapsed: float) -> int | None:
        """The scale of the next step, ``wanted`` or a later one; None where there is no time.

        ``now`` is the present scale. A step is expected to take as long, pixel for pixel, as the
        slowest of the last three.
        """
        pace = max(self._recent, default=0.0)
        last = len(self._pixels) - 1

        def end(scale: int) -> float:
            """When a step at ``scale``, and the result after it, would be there."""
            evaluations = 1 + (ENTRY if scale > now else 0) + CLOSING
            return elapsed + evaluations * pace * self._pixels[scale]

        if end(last) > self._limit:
            enlarging = ENLARGING * pace * self._pixels[last] if now < last else 0.0
            return wanted if wanted == now and end(now) + enlarging <= self._limit else None
        reserve = (1 + ENTRY + CLOSING) * pace * self._pixels[last]
        for scale in range(wanted, last):
            if end(scale) <= self._shares[scale] * (self._limit - reserve):
                return scale
        return last
