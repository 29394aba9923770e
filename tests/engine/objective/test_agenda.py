"""What threads of a step take on: everything once, after what it needs, and their own first."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.objective.agenda import Agenda, Mix, StoppedError, Task

PATIENCE = 30
"""Seconds after which a step that still goes on hangs."""


def waits_of(neighbours: list[str]) -> list[dict[int, int]]:
    """By segment: the bands above, below, both or none must have done the segment before it."""
    sides = {"above": (-1,), "below": (1,), "both": (-1, 1), "none": ()}
    return [
        {} if index == 0 else dict.fromkeys(sides[name], index - 1)
        for index, name in enumerate(neighbours)
    ]


@settings(max_examples=60)
@given(
    bands=st.integers(1, 7),
    threads=st.integers(1, 4),
    neighbours=st.lists(st.sampled_from(["above", "below", "both", "none"]), min_size=2),
    sums=st.dictionaries(
        st.integers(0, 20), st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=3
    ),
    wraps=st.booleans(),
)
def test_all_is_done_once_and_in_order(
    bands: int,
    threads: int,
    neighbours: list[str],
    sums: dict[int, tuple[float, float]],
    wraps: bool,
) -> None:
    """Where the picture wraps, the first band lies below the last; one alone is its own side."""
    segments, waits = len(neighbours), waits_of(neighbours)
    pairs = {}
    for tap, (place, distance) in sums.items():
        made = round(place * (segments - 2))
        pairs[tap] = made, made + 1 + round(distance * (segments - 2 - made))
    agenda = Agenda(bands, segments, min(threads, bands), waits, pairs, wraps)
    done: list[Task | Mix] = []

    def work(thread: int) -> None:
        while (found := agenda.take(thread)) is not None:
            before = [*done]
            needed: set[Task | Mix]
            if isinstance(found, Mix):
                needed = {Task(pairs[found.tap][0], band) for band in range(bands)}
            else:
                index, band = found
                needed = {Task(i, band) for i in range(index)}
                sides = ((band + offset, last) for offset, last in waits[index].items())
                needed |= {
                    Task(last, side % bands) for side, last in sides if wraps or 0 <= side < bands
                }
                needed |= {Mix(tap) for tap, (_, first) in pairs.items() if first <= index}
            assert needed <= {*before}
            done.append(found)
            agenda.finish(found)

    with ThreadPoolExecutor(threads) as pool:
        for found in [pool.submit(work, thread) for thread in range(min(threads, bands))]:
            found.result(PATIENCE)
    runs = [Task(*pair) for pair in itertools.product(range(segments), range(bands))]
    assert sorted(done, key=repr) == sorted([*runs, *map(Mix, pairs)], key=repr)


def test_a_thread_takes_its_own_bands_first() -> None:
    agenda = Agenda(4, 2, 2, [{}, {}], {})
    assert agenda.take(0) == Task(0, 0)
    assert agenda.take(1) == Task(0, 2)
    agenda.finish(Task(0, 0))
    assert agenda.take(0) == Task(0, 1)
    assert agenda.take(0) == Task(1, 0)
    assert agenda.take(0) == Task(0, 3)  # none of its own is ready
    agenda.finish(Task(0, 1))
    assert agenda.take(0) == Task(1, 1)
    agenda.finish(Task(0, 2))
    assert agenda.take(1) == Task(1, 2)
    agenda.finish(Task(0, 3))
    assert agenda.take(1) == Task(1, 3)
    assert agenda.take(0) is None


def test_two_bands_stay_with_their_threads() -> None:
    """The one that is faster waits for the other rather than taking its band."""
    agenda = Agenda(2, 2, 2, [{}, {-1: 0, 1: 0}], {})
    assert [agenda.take(1), agenda.take(0)] == [Task(0, 1), Task(0, 0)]
    agenda.finish(Task(0, 1))
    taken: list[Task | Mix | None] = []
    waiting = threading.Thread(target=lambda: taken.append(agenda.take(1)))
    waiting.start()
    agenda.finish(Task(0, 0))
    waiting.join(PATIENCE)
    assert taken == [Task(1, 1)]
    assert agenda.take(0) == Task(1, 0)


def test_a_failure_ends_the_waiting() -> None:
    agenda = Agenda(2, 2, 2, [{}, {-1: 0, 1: 0}], {})
    agenda.take(0)
    agenda.take(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(agenda.take, 0)
        agenda.fail()
        with pytest.raises(StoppedError):
            waiting.result(PATIENCE)


def test_sums_are_made_while_a_thread_would_wait() -> None:
    agenda = Agenda(2, 3, 2, [{}, {-1: 0, 1: 0}, {}], {4: (0, 2)})
    assert [agenda.take(0), agenda.take(1)] == [Task(0, 0), Task(0, 1)]
    agenda.finish(Task(0, 0))
    agenda.finish(Task(0, 1))
    assert [agenda.take(0), agenda.take(1)] == [Task(1, 0), Task(1, 1)]
    agenda.finish(Task(1, 1))
    assert agenda.take(1) == Mix(4)  # its band's last segment needs it
    agenda.finish(Mix(4))
    assert agenda.take(1) == Task(2, 1)
