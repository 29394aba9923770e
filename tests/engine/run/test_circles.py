"""Sessions go when the last reference goes: what a run leaves does not refer to itself.

Else their memory would wait for the garbage collector, which counts objects and not bytes: 17 MB a
call, up to some 500.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import ortist
import pytest

from tests.conftest import small_pictures

CONTENT, STYLE = small_pictures()
SMALL: dict[str, Any] = {"size": 32, "iterations": 2}


def cancelled() -> None:
    run = ortist.iterate(CONTENT, STYLE, quality="paper", **SMALL)
    next(run)
    run.cancel()
    run.result()


def left_half_way() -> None:
    for _ in ortist.iterate(CONTENT, STYLE, **SMALL):
        break


def shared() -> None:
    with ortist.Engine() as engine:
        engine.transfer(CONTENT, STYLE, **SMALL)
        engine.texture(STYLE, size=32, iterations=1)
        engine.invert(CONTENT, **SMALL)
        engine.extract_style(STYLE, size=32)


CALLS: dict[str, Callable[[], Any]] = {
    **{
        quality: partial(ortist.transfer, CONTENT, STYLE, quality=quality, **SMALL)
        for quality in ("draft", "standard", "paper")
    },
    "lbfgs": lambda: ortist.transfer(CONTENT, STYLE, optimizer="lbfgs", **SMALL),
    "scales": lambda: ortist.transfer(CONTENT, STYLE, size=48, smallest_size=32, iterations=3),
    "tiles": lambda: ortist.transfer(CONTENT, STYLE, size=136, tile=96, iterations=1),
    "seamless": lambda: ortist.texture(STYLE, size=32, seamless=True, iterations=1),
    **{call.__name__: call for call in (cancelled, left_half_way, shared)},
}


@pytest.fixture
def kept_garbage() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.usefixtures("kept_garbage")
@pytest.mark.parametrize("call", CALLS)
def test_no_session_waits_for_the_collector(call: str) -> None:
    CALLS[call]()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    left = {type(thing).__name__ for thing in gc.garbage}
    assert not left & {"InferenceSession", "Sweep", "Band", "Run", "OrtValue"}
