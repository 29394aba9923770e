"""Memory that arrays leave to later ones."""

from __future__ import annotations

import threading

import numpy as np
from ortist.arrays import Arrays
from ortist.recycling import Recycler


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_what_nothing_refers_to_is_handed_out_again() -> None:
    recycler = Recycler()
    first = recycler.empty((2, 300))
    assert first.shape == (2, 300)
    assert first.dtype == np.float32
    place = address(first)
    del first
    assert address(recycler.empty((3, 200))) == place


def test_no_view_of_a_view_is_written_over() -> None:
    recycler = Recycler()
    first = recycler.empty((4, 100))
    first[...] = 7
    part = first[1:].T[::2].reshape(-1)[:5]
    view = first.view(np.int32)[2:3]
    del first
    for _ in range(4):
        recycler.empty((4, 100))[...] = 1
    assert (part == 7).all()
    assert (view.view(np.float32) == 7).all()
    place = address(view) - 2 * 400
    del part, view
    assert address(recycler.empty((4, 100))) == place


def test_only_memory_of_the_last_size_is_kept() -> None:
    recycler = Recycler()
    small, large = recycler.empty((10,)), recycler.empty((1000,))
    large[...] = 1
    del small
    assert len(recycler.empty((1000,))) == 1000
    assert recycler.empty((0, 3)).shape == (0, 3)
    assert recycler.empty((), np.float64).shape == ()


def test_threads_get_different_memory() -> None:
    recycler, kept = Recycler(), list[np.ndarray]()

    def take(number: int) -> None:
        for step in range(200):
            array = recycler.empty((64,))
            array[...] = number
            if step % 50 == 0:
                kept.append(array)
            assert (array == number).all()

    threads = [threading.Thread(target=take, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) == 16
    assert len({address(array) for array in kept}) == 16
    assert all(len({*array.tolist()}) == 1 for array in kept)


def test_a_result_outlives_the_run_that_made_it() -> None:
    arrays = Arrays()
    source = np.arange(12, dtype=np.float32).reshape(3, 4)
    (kept,) = arrays.each(lambda part: (part * 2,), source)
    for _ in range(3):
        arrays.each(lambda part: (part * 3,), source)
    del arrays
    assert (kept == source * 2).all()
