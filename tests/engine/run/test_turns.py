"""Taking turns: one at a time, in order, and nobody waits for who has gone."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ortist.run.turns import Turns


def until_waiting(turns: Turns, count: int) -> None:
    deadline = time.monotonic() + 60
    while turns.waiting < count and time.monotonic() < deadline:
        time.sleep(0.001)
    assert turns.waiting == count


def test_one_at_a_time() -> None:
    turns, inside, most = Turns(), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns, turns:
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    with ThreadPoolExecutor(4) as executor:
        for future in [executor.submit(work) for _ in range(4)]:
            future.result(60)
    assert (most, inside, turns.waiting) == (1, 0, 0)


def test_who_asks_first_is_first() -> None:
    """Also before a thread that gives its turn up and asks for it again at once."""
    turns, order = Turns(), []

    def wait(name: int) -> None:
        with turns:
            order.append(name)

    with ThreadPoolExecutor(3) as executor:
        with turns:
            waiting = []
            for name in range(3):
                waiting.append(executor.submit(wait, name))
                until_waiting(turns, name + 1)
        with turns:
            assert order == [0, 1, 2]
        for future in waiting:
            future.result(60)


def test_an_exception_gives_the_turn_up() -> None:
    turns = Turns()
    with pytest.raises(KeyError), turns:
        raise KeyError
    with ThreadPoolExecutor(1) as executor:
        executor.submit(turns.__enter__).result(60)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs signals to threads")
def test_who_is_interrupted_in_the_queue_leaves_it() -> None:
    turns, holds, go = Turns(), threading.Event(), threading.Event()

    def hold() -> None:
        with turns:
            holds.set()
            go.wait(60)

    def interrupt() -> None:
        until_waiting(turns, 1)
        signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    with ThreadPoolExecutor(2) as executor:
        holding = executor.submit(hold)
        holds.wait(60)
        executor.submit(interrupt)
        with pytest.raises(KeyboardInterrupt), turns:
            pass
        go.set()
        holding.result(60)
    assert turns.waiting == 0
    with ThreadPoolExecutor(1) as executor:
        executor.submit(turns.__enter__).result(60)
