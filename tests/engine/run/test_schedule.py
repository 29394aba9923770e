"""Ending in time, on a clock of the test's own."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st
from ortist.run.lbfgs import LbfgsState
from ortist.run.optimizers import Point, RunningAverage
from ortist.run.schedule import CLOSING, ENLARGING, ENTRY, Schedule
from ortist.run.stepping import State
from ortist.run.tuning import Scale

SIDES = [128, 181, 256, 362, 512]
PIXELS = [side * side * 4 // 3 for side in SIDES]
COUNTS = [100, 50, 50, 50, 50]


def simulated(limit: float, speed: float, noise: list[float]) -> tuple[list[int], float, float]:
    """Steps at each scale, the time until the result is there, and the longest step.

    ``speed`` is in seconds a pixel; each step takes that, times one of ``noise``.
    """
    schedule = Schedule(list(map(Scale, SIDES, COUNTS)), limit)
    done, elapsed = [0] * 5, PIXELS[0] * speed
    schedule.took(0, elapsed, False)
    state = State(0, 0, 0, Point(0, 0, 0), LbfgsState(), RunningAverage(0), {})
    now, longest = 0, 0.0
    while (found := schedule.in_time(state, elapsed)) is not None:
        evaluations = 1 + (ENTRY if found > now else 0)
        seconds = evaluations * PIXELS[found] * speed * noise[sum(done) % len(noise)]
        schedule.took(found, seconds, found > now)
        elapsed, longest = elapsed + seconds, max(longest, seconds)
        began = state.iteration if found > now else state.began
        now, iteration = found, state.iteration + 1
        state = dataclasses.replace(state, scale=found, iteration=iteration, began=began)
        done[now] += 1
    closing = CLOSING * PIXELS[now] + (ENLARGING * PIXELS[-1] if now < 4 else 0)
    return done, elapsed + closing * speed, longest


STEP = PIXELS[-1] * 1e-6
WHOLE = sum(p * (n + ENTRY) for p, n in zip(PIXELS, COUNTS, strict=True)) * 1e-6


@given(st.floats(0.01, 500))
def test_steady_steps_end_in_time_and_reach_the_last_scale(limit: float) -> None:
    done, seconds, _ = simulated(limit, 1e-6, [1.0])
    if limit > PIXELS[0] * 4e-6 + ENLARGING * STEP:  # there is time for the start at all
        assert seconds <= limit
    if limit > 9 * STEP:
        assert done[-1] > 0
        # What is cut off is cut off everywhere: no scale gets more than twice another's share.
        shares = [d / n for d, n in zip(done, COUNTS, strict=True)]
        if limit > 40 * STEP:
            assert max(shares) <= 2 * min(shares)
            assert seconds > 0.9 * min(limit, WHOLE)


def test_enough_time_changes_nothing() -> None:
    assert simulated(1.2 * WHOLE, 1e-6, [1.0])[0] == COUNTS
    assert simulated(2 * WHOLE, 1e-6, [1.0, 0.7, 1.4])[0] == COUNTS


@given(st.floats(2, 100), st.lists(st.floats(0.5, 3), min_size=1, max_size=40))
def test_the_overrun_is_at_most_a_step(limit: float, noise: list[float]) -> None:
    _, seconds, longest = simulated(limit, 1e-6, noise)
    assert seconds - limit <= longest + CLOSING * STEP


def test_without_time_for_the_last_scale_the_small_one_goes_on() -> None:
    done, seconds, _ = simulated(5 * STEP, 1e-6, [1.0])
    assert done[1:] == [0] * 4
    assert 0.5 * 5 * STEP < seconds <= 5 * STEP
