"""Tiles by the processes and threads of an executor: the same to the last bit, whoever works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from ortist.errors import ResourceError
from ortist.objective.objective import Manner, Objective
from ortist.objective.sweeper import Sweeper
from ortist.objective.workers import Workers
from ortist.style.guides import Guides

from .aims import aimed, pictures, same, sweeper


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        yield executor


def by(executor: Executor, manner: Manner) -> Objective:
    own = sweeper(1)
    return Objective(own, manner, executor)


@pytest.mark.long
@pytest.mark.parametrize("normalize", [False, True])
def test_tiles_by_the_processes_of_an_executor(processes: Executor, normalize: bool) -> None:
    content, image = pictures(101, 131)
    masks = np.random.default_rng(0).random((2, 101, 131), np.float32)
    manner = Manner(48, normalize=normalize)
    own = aimed(Objective(sweeper(1), manner), content, (1, 4, 7), "w2", masks)
    expected = own(image)
    with ThreadPoolExecutor(3) as threads:
        for executor in (processes, threads):
            for budget in (2**30, 0):
                shared = by(executor, manner)
                at = aimed(shared, content, (1, 4, 7), "w2", masks, budget=budget)
                same(at(image), expected, 0)
                same(at(image), expected, 0)
                shared.sweeper.release()


def test_one_tile_and_moments_by_an_executor(processes: Executor) -> None:
    """Pictures that are one piece, a seamless one, and those of styles."""
    content, image = pictures(64, 80)
    here, there = Objective(sweeper(1)), by(processes, Manner())
    # In one sweep here, in two there.
    same(aimed(there, content, (1, 4))(image), aimed(here, content, (1, 4))(image), 1e-6)
    guides = Guides(np.random.default_rng(0).random((2, 64, 80), np.float32))
    here, there = Objective(sweeper(1), Manner(32)), by(processes, Manner(32))
    for own in (None, guides):
        found, expected = (one.moments(image, (1, 6), own) for one in (there, here))
        for tap, regions in found.items():
            for a, b in zip(regions, expected[tap], strict=True):
                np.testing.assert_array_equal(a.second, b.second)
                np.testing.assert_array_equal(a.first, b.first)
    assert here.energies(aimed(here, content, (1,)).targets) == pytest.approx(
        there.energies(aimed(there, content, (1,)).targets)
    )


def test_a_lost_worker_is_said() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        one = by(executor, Manner(32))
        content, image = pictures(60, 71)
        at = aimed(one, content, (1,))
        executor.submit(os._exit, 1)
        with pytest.raises(ResourceError, match="was ended from outside"):
            at(image)


def test_what_a_worker_raises_is_raised_and_the_next_call_works() -> None:
    content, image = pictures(60, 71)
    at = aimed(Objective(sweeper(1), Manner(32)), content, (1,))
    expected = at(image)
    with pytest.raises(KeyError):
        at.weighing(content={})(image)
    same(at(image), expected, 0)


def test_tasks_are_made_as_they_are_taken() -> None:
    """One ahead of the one that is being done, in their order."""
    workers, made = Workers(sweeper(1)), []

    def tasks() -> Iterator[tuple[int]]:
        for number in range(6):
            made.append(number)
            yield (number,)

    def work(_: Sweeper, number: int) -> int:
        return number

    for count, found in enumerate(workers.each(work, tasks())):
        assert found == count
        assert len(made) <= count + 2
    assert made == [*range(6)]
