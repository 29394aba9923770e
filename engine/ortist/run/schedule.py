"""Which scale the next step belongs to: the scales in their order, cut short by a time limit."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import OptionError
from .scales import Scale
from .state import State
from .time_budget import TimeBudget

__all__ = ["Schedule"]


class Schedule:
    """The ``scales`` of a run, with their numbers of steps, and the time that there is for them.

    ``budget`` is None where there is no limit. ``out_of_time`` says that a step was left out.
    """

    def __init__(self, scales: Sequence[Scale], budget: TimeBudget | None) -> None:
        self.scales, self._budget = tuple(scales), budget
        self.out_of_time = False

    def wanted(self, state: State) -> int | None:
        """The index of the next step's scale; None where all steps are done."""
        steps = state.iteration - state.began
        done = state.converged or steps >= self.scales[state.scale].iterations
        wanted = state.scale + 1 if done else state.scale
        return wanted if wanted < len(self.scales) else None

    def in_time(self, state: State, elapsed: float) -> int | None:
        """The scale that ``wanted`` says, or a later one, ``elapsed`` seconds after the set-up.

        None where all steps are done, or where there is no time for another.
        """
        wanted = self.wanted(state)
        if wanted is None or self._budget is None:
            return wanted
        scale = self._budget.scale_of_next(state.scale, wanted, elapsed)
        self.out_of_time = scale is None
        return scale

    def took(self, scale: int, seconds: float, entered: bool) -> None:
        """A step at that scale was done in ``seconds``, and the scale entered with it or not."""
        if self._budget is not None:
            self._budget.took(scale, seconds, entered)

    def repeating(self, schedule: Sequence[tuple[int, int]]) -> Schedule:
        """The schedule of just these scales (side, steps), without a limit of time.

        Raises OptionError where they do not begin with the first scale, or where there is no such.
        """
        sides = [scale.side for scale in self.scales]
        if not schedule or schedule[0][0] != sides[0]:
            raise OptionError("a schedule is for a run's beginning, and from its first scale on.")
        if any(side not in sides for side, _ in schedule):
            raise OptionError(f"the schedule {schedule!r} is not one of the scales {sides}.")
        return Schedule([Scale(side, steps) for side, steps in schedule], None)
