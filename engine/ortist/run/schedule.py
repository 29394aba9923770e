"""Which scale the next step belongs to: the scales in their order, cut short by a time limit.

The time of a step is taken to grow with the number of pixels. First comes what one step at the last
scale needs; of the rest of the time limit each scale gets the share that its steps would have of
the whole run, and leaves what it does not need to the next. Where there is no time for one step at
the last scale, the run stays at the scale where it is. With time enough every step is done, and the
picture is what it is without a limit.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from ..errors import OptionError
from .stepping import State
from .tuning import Scale

__all__ = ["CLOSING", "ENLARGING", "ENTRY", "Schedule"]

ENTRY = 3
"""Evaluations that entering a scale costs: style, content, the enlarged picture."""
CLOSING = 2
"""Evaluations after the last step: the losses of the start and of the picture."""
ENLARGING = 0.3
"""What enlarging a picture that ends at an early scale takes of one evaluation at the last one."""


class Schedule:
    """The ``scales`` of a run with their numbers of steps, and the seconds that there are for them.

    ``limit`` counts from the set-up, None for no limit. ``out_of_time`` says that a step was left
    out.
    """

    def __init__(self, scales: Sequence[Scale], limit: float | None = None) -> None:
        self.scales, self._limit = tuple(scales), limit
        self.out_of_time = False
        self._pixels = [scale.side**2 for scale in scales]  # times the same aspect
        costs = [p * (s.iterations + ENTRY) for p, s in zip(self._pixels, scales, strict=True)]
        costs[-1] -= self._pixels[-1] * (1 + ENTRY)  # those come first
        self._shares = [sum(costs[: i + 1]) / (sum(costs) or 1) for i in range(len(costs))]
        self._recent: deque[float] = deque(maxlen=3)

    def wanted(self, state: State) -> int | None:
        """The index of the next step's scale; None where all steps are done."""
        steps = state.iteration - state.began
        done = state.converged or steps >= self.scales[state.scale].iterations
        wanted = state.scale + 1 if done else state.scale
        return wanted if wanted < len(self.scales) else None

    def in_time(self, state: State, elapsed: float) -> int | None:
        """The scale that ``wanted`` says, or a later one, ``elapsed`` seconds after the set-up.

        None where all steps are done, or where there is no time for another. A step is expected to
        take as long, pixel for pixel, as the slowest of the last three.
        """
        now, wanted, limit = state.scale, self.wanted(state), self._limit
        if wanted is None or limit is None:
            return wanted
        pace = max(self._recent, default=0.0)
        last = len(self._pixels) - 1

        def end(scale: int) -> float:
            """When a step at ``scale``, and the result after it, would be there."""
            evaluations = 1 + (ENTRY if scale > now else 0) + CLOSING
            return elapsed + evaluations * pace * self._pixels[scale]

        if end(last) > limit:
            enlarging = ENLARGING * pace * self._pixels[last] if now < last else 0.0
            self.out_of_time = wanted > now or end(now) + enlarging > limit
            return None if self.out_of_time else wanted
        reserve = (1 + ENTRY + CLOSING) * pace * self._pixels[last]
        for scale in range(wanted, last):
            if end(scale) <= self._shares[scale] * (limit - reserve):
                return scale
        return last

    def took(self, scale: int, seconds: float, entered: bool) -> None:
        """A step at that scale was done in ``seconds``, and the scale entered with it or not."""
        evaluations = 1 + (ENTRY if entered else 0)
        self._recent.append(seconds / evaluations / self._pixels[scale])

    def repeating(self, schedule: Sequence[tuple[int, int]]) -> Schedule:
        """The schedule of just these scales (side, steps), without a limit of time.

        Raises OptionError where they do not begin with the first scale, or where there is no such.
        """
        sides = [scale.side for scale in self.scales]
        try:
            counts = [(int(side), int(steps)) for side, steps in schedule]
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"a schedule is a list of pairs (side, steps), not {schedule!r:.80}."
            ) from error
        if any(steps < 0 for _, steps in counts):
            raise OptionError(f"the schedule {schedule!r:.80} has a negative number of steps.")
        if not counts or counts[0][0] != sides[0]:
            raise OptionError("a schedule is for a run's beginning, and from its first scale on.")
        if any(later <= side for (side, _), (later, _) in itertools.pairwise(counts)):
            raise OptionError(f"the scales of the schedule {schedule!r:.80} do not become larger.")
        if any(side not in sides for side, _ in counts):
            raise OptionError(f"the schedule {schedule!r} is not one of the scales {sides}.")
        return Schedule([Scale(side, steps) for side, steps in counts])
