"""The Engine: the functions' bytes, from sessions that are opened once, in any order of use."""

from __future__ import annotations

import gc
import inspect
import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.engine import Engine
from ortist.errors import ModelError, OptionError
from ortist.network.bundle import Model
from ortist.objective.sweeper import Sweeper
from ortist.options.fields import Options, Provider
from ortist.run.setup import Asked
from ortist.run.trail import Trail
from ortist_models import MANIFEST

from tests.conftest import small_pictures

CONTENT, STYLE = small_pictures()
LEFT = np.zeros(CONTENT.shape[:2], np.uint8)
LEFT[:, :32] = 255
QUICK: dict[str, Any] = {"size": 40, "iterations": 3}
METHODS = ("extract_style", "invert", "iterate", "texture", "transfer")

WAYS: list[dict[str, Any]] = [
    {},
    {"smallest_size": 24, "iterations": 6, "snapshots": (1, 4)},
    {"masks": [(LEFT, None), (255 - LEFT, LEFT)]},
    {"style_loss": "w2", "optimizer": "lbfgs"},
    {"tile": 24, "style_layers": (1, 2), "normalize_gradients": True},
    {"tv_loss": "nine-point", "init": STYLE, "size": 30},
]
"""Six kinds of runs, in each of which the objective does something else."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Provider, int | None]]:
    """The provider and the threads of every sweeper that is made."""
    made: list[tuple[Provider, int | None]] = []

    def counted(model: Model, provider: Provider, threads: int | None) -> Sweeper:
        made.append((provider, threads))
        return Sweeper(model, provider, threads)

    monkeypatch.setattr("ortist.run.setup.Sweeper", counted)
    return made


def same(found: ortist.Result, expected: ortist.Result) -> None:
    np.testing.assert_array_equal(found.painting.values, expected.painting.values)
    assert found.history == expected.history
    assert (found.initial, found.final) == (expected.initial, expected.final)
    assert found.settings_json() == expected.settings_json()
    assert list(found.snapshots) == list(expected.snapshots)


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
def test_an_engine_paints_what_the_functions_do(engine: Engine, way: dict[str, Any]) -> None:
    """Whatever it painted before: all these tests share it, and each picture comes twice."""
    expected = ortist.transfer(CONTENT, STYLE, **{**QUICK, **way})
    for _ in range(2):
        same(engine.transfer(CONTENT, STYLE, **{**QUICK, **way}), expected)


def test_the_other_methods_too(engine: Engine) -> None:
    same(engine.invert(CONTENT, **QUICK), ortist.invert(CONTENT, **QUICK))
    seamless: dict[str, Any] = {"size": 48, "iterations": 3, "seamless": True}
    same(engine.texture(STYLE, **seamless), ortist.texture(STYLE, **seamless))
    style = engine.extract_style(STYLE, size=40)
    np.testing.assert_array_equal(style.values, ortist.extract_style(STYLE, size=40).values)
    same(engine.transfer(CONTENT, style, **QUICK), ortist.transfer(CONTENT, STYLE, **QUICK))
    stopped = engine.transfer(
        CONTENT, STYLE, Options(**QUICK), on_progress=lambda progress: progress.iteration < 1
    )
    assert (stopped.iterations, stopped.stopped) == (1, "cancelled")


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_what_functions_take(name: str) -> None:
    method = inspect.signature(getattr(Engine, name)).parameters
    function = inspect.signature(getattr(ortist, name)).parameters
    assert [*method.values()][1:] == [*function.values()]
    assert getattr(Engine, name).__doc__


def test_what_was_opened_stays_open(opened: list[tuple[Provider, int | None]]) -> None:
    """One sweeper serves all kinds of runs."""
    with Engine(provider="cpu") as engine:
        for size in (40, 24, 40):
            engine.transfer(CONTENT, STYLE, size=size, iterations=2)
            engine.texture(STYLE, size=size, iterations=2)
            engine.extract_style(STYLE, size=size)
        for way in WAYS:
            engine.transfer(CONTENT, STYLE, **{**QUICK, **way})
    assert opened == [("cpu", None)]


@pytest.mark.long
def test_threads_take_turns(engine: Engine) -> None:
    """Each thread has its picture, with the bytes that it has alone."""
    expected = [ortist.transfer(CONTENT, STYLE, **{**QUICK, **way}) for way in WAYS]
    with ThreadPoolExecutor(len(WAYS)) as executor:
        for _ in range(2):
            futures = [
                executor.submit(engine.transfer, CONTENT, STYLE, **{**QUICK, **way}) for way in WAYS
            ]
            for future, alone in zip(futures, expected, strict=True):
                same(future.result(120), alone)


FIRST: dict[str, Any] = {"size": 40, "smallest_size": 24, "iterations": 7}
SECOND: dict[str, Any] = {"size": 32, "iterations": 5, "style_weights": (1, 3), "init": "noise"}


@pytest.fixture(scope="module")
def alone() -> list[ortist.Result]:
    return [
        ortist.transfer(CONTENT, STYLE, **FIRST),
        ortist.transfer(CONTENT, [STYLE, CONTENT], **SECOND),
    ]


def pair(engine: Engine) -> list[ortist.Run]:
    return [
        engine.iterate(CONTENT, STYLE, **FIRST),
        engine.iterate(CONTENT, [STYLE, CONTENT], **SECOND),
    ]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 1), max_size=14), st.booleans())
def test_runs_may_be_stepped_in_any_order(
    engine: Engine, alone: list[ortist.Result], order: list[int], looked_at: bool
) -> None:
    """They share one objective, aimed at this one and at that one."""
    runs = pair(engine)
    for index in order:
        next(runs[index], None)
        if looked_at and runs[1 - index].state is not None:
            runs[1 - index].result()
    for run, expected in zip(runs, alone, strict=True):
        list(run)
        same(run.result(), expected)


def test_runs_may_be_stepped_by_two_threads(engine: Engine, alone: list[ortist.Result]) -> None:
    runs = pair(engine)
    with ThreadPoolExecutor(2) as executor:
        painters = [executor.submit(list, run) for run in runs]
        for painter, run, expected in zip(painters, runs, alone, strict=True):
            painter.result(120)
            same(run.result(), expected)


def test_a_start_stands_in_for_the_first_picture(engine: Engine) -> None:
    """In normalised values, as a film's next frame begins with what the one before came to."""
    options = Options(**QUICK)
    plain = engine.set_up(Asked(CONTENT, STYLE), options)
    list(plain)
    for apart in (0, 0.1):
        trail = Trail()
        first = engine.set_up(Asked(CONTENT, STYLE, trail=trail), options)
        list(first)
        same(first.result(), plain.result())
        trail.keep(engine_start(engine, options) + apart)
        run = engine.set_up(Asked(CONTENT, STYLE, trail=trail), options)
        list(run)
        assert (run.result().history == plain.result().history) == (apart == 0)


def engine_start(engine: Engine, options: Options) -> Any:
    run = engine.set_up(Asked(CONTENT, STYLE), options)
    next(run)
    assert run.state is not None
    return run.state.point.values


def test_a_closed_engine_says_so_and_its_runs_go_on(alone: list[ortist.Result]) -> None:
    engine = Engine()
    runs = pair(engine)
    next(runs[0])
    assert not engine.closed
    engine.close()
    engine.close()
    assert engine.closed
    for run, expected in zip(runs, alone, strict=True):
        list(run)
        same(run.result(), expected)
    calls: list[Callable[[], object]] = [
        lambda: engine.transfer(CONTENT, STYLE, **QUICK),
        lambda: engine.iterate(CONTENT, STYLE, **QUICK),
        lambda: engine.invert(CONTENT, **QUICK),
        lambda: engine.texture(STYLE, **QUICK),
        lambda: engine.extract_style(STYLE),
        lambda: engine.plan(Asked(CONTENT, STYLE), Options()),
        engine.__enter__,
    ]
    for call in calls:
        with pytest.raises(OptionError, match=r"engine is closed; make another ortist\.Engine"):
            call()


def test_it_is_closed_while_others_paint(alone: list[ortist.Result]) -> None:
    with ThreadPoolExecutor(1) as executor:
        with Engine() as engine:
            run = pair(engine)[0]
            painter = executor.submit(list, run)
        painter.result(120)
    same(run.result(), alone[0])


@pytest.mark.parametrize(
    ("fixed", "asked", "said"),
    [
        (
            {"provider": "cpu"},
            {"provider": "cuda"},
            "provider is 'cuda', and this engine has 'cpu'",
        ),
        (
            {"threads": 1},
            {"threads": 2},
            r"threads is 2, and this engine has 1; .* with threads=2\.",
        ),
        ({}, {"threads": 2}, "threads is 2, and this engine has all that there are;"),
        ({}, {"options": Options(provider="cpu")}, "provider is 'cpu', and this engine has 'auto'"),
    ],
)
def test_what_an_engine_fixes_cannot_be_another(
    fixed: dict[str, Any], asked: dict[str, Any], said: str
) -> None:
    with Engine(**fixed) as engine:
        for call in (engine.texture, engine.extract_style):
            with pytest.raises(OptionError, match=said):
                call(STYLE, **asked)


def test_the_model_too(procedural: Model, tmp_path: Path) -> None:
    """Under any of its names it is the same one."""
    folder = str(procedural.folder)
    copy = tmp_path / "other"
    shutil.copytree(folder, copy)
    changed = json.loads((copy / MANIFEST).read_text())
    changed["normalization"]["mean"][0] = 0.5
    (copy / MANIFEST).write_text(json.dumps(changed))
    with Engine("squeezenet1_1-procedural", "cpu", 1) as engine:
        expected = engine.transfer(CONTENT, STYLE, **QUICK)
        asked: dict[str, Any] = {**QUICK, "provider": "cpu", "threads": 1, "model": folder}
        same(engine.transfer(CONTENT, STYLE, **asked), expected)
        assert engine.model.name == expected.model.name == "squeezenet1_1-procedural"
        with pytest.raises(OptionError, match="and this engine has 'squeezenet1_1-procedural'"):
            engine.transfer(CONTENT, STYLE, model=copy)


def test_an_engine_that_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        Engine("nowhere")
    with pytest.raises(OptionError, match="no provider 'tpu'"):
        Engine(provider="tpu")  # type: ignore[arg-type]
    for threads in (0, "two", True):
        with pytest.raises(OptionError, match="threads"):
            Engine(threads=threads)  # type: ignore[arg-type]
    engine = Engine()
    with pytest.raises(OptionError, match="but not both"):
        engine.transfer(CONTENT, STYLE, Options(), size=48)
    with pytest.raises(OptionError, match="neither a content image nor a style image"):
        engine.iterate(None, None)


def test_what_is_known_of_shapes_does_not_grow_for_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ortist.objective.sweeper._SHAPES", 2)
    with Engine() as own:
        run = own.iterate(CONTENT, None, size=30, iterations=0)
        sweeper: Any = run._scene.objective.sweeper
        for size in (30, 31, 32, 33):
            own.invert(CONTENT, size=size, iterations=1)
        assert len(sweeper._layouts) == 2


def test_an_executor_is_let_go_with_its_run() -> None:
    with Engine() as own:
        executor = ThreadPoolExecutor(1)
        own.transfer(CONTENT, STYLE, **QUICK, **WAYS[4], executor=executor, quality="paper")
        executor.shutdown()
        gone = weakref.ref(executor)
        del executor
        gc.collect()
        assert gone() is None


def test_a_call_that_tells_nobody_is_refused_at_once(opened: list[Any]) -> None:
    wrong: Any = 3
    with Engine() as own:
        for call in (own.transfer, own.texture, own.invert):
            pictures = (CONTENT, STYLE) if call == own.transfer else (CONTENT,)
            with pytest.raises(OptionError, match="on_progress should be a function, not 3"):
                call(*pictures, on_progress=wrong)
    assert not opened
