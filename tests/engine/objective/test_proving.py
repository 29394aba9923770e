"""A provider is proved before it is used, refused if it differs, and passed over by auto."""

from __future__ import annotations

from typing import Any

import numpy as np
import ortist
import pytest
from ortist.errors import ProviderError
from ortist.network.bundle import Model
from ortist.network.providers import CPU
from ortist.network.sessions import open_session
from ortist.objective import opened, proving
from ortist.objective.opened import OpenProgram
from ortist.objective.proving import open_proved

from tests.conftest import small_pictures


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> str:
    """A provider that is the CPU under another name, in the place of a graphics card."""

    def opening(data: bytes, provider: str, *given: Any, **named: Any) -> Any:
        return open_session(data, CPU, *given, **named)

    names = {"auto": ["webgpu", "cpu"], "webgpu": ["webgpu"], "cpu": ["cpu"]}
    monkeypatch.setattr(opened, "open_session", opening)
    monkeypatch.setattr(proving, "candidates", names.__getitem__)
    monkeypatch.setattr(proving, "_proved", set())
    return "webgpu"


@pytest.fixture
def wrong(other: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """One whose gradient is a tenth off."""
    right = proving._one_step

    def one_step(program: OpenProgram) -> Any:
        *moments, gradient = right(program)
        return [*moments, gradient * np.float32(1.0 if program.provider == CPU else 1.1)]

    monkeypatch.setattr(proving, "_one_step", one_step)
    return other


def test_what_gives_the_cpus_numbers_is_used(procedural: Model, other: str) -> None:
    program = open_proved(procedural, "auto", 1)
    assert program.provider == "WebGpuExecutionProvider"
    assert not program.in_bands
    content, style = small_pictures()
    given: dict[str, Any] = {"size": 48, "iterations": 4, "smallest_size": None, "threads": 1}
    results = [ortist.transfer(content, style, provider=p, **given) for p in (other, "cpu")]
    assert [result.provider for result in results] == ["WebGpuExecutionProvider", CPU]
    assert results[0].final.total == pytest.approx(results[1].final.total, rel=1e-4)


def test_it_is_proved_once_for_each_model(
    procedural: Model, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_proved(procedural, "webgpu", 1)
    monkeypatch.setattr(proving, "_one_step", lambda program: pytest.fail("once is enough"))
    assert open_proved(procedural, "webgpu", 1).provider == "WebGpuExecutionProvider"


def test_what_differs_is_refused_and_auto_goes_on(procedural: Model, wrong: str) -> None:
    with pytest.raises(ProviderError, match=r"'webgpu' cannot be used here \(a step differs from"):
        open_proved(procedural, "webgpu", 1)
    assert open_proved(procedural, "auto", 1).provider == CPU


def test_what_fails_is_refused_with_its_reason(
    procedural: Model, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(program: OpenProgram) -> Any:
        if program.provider != CPU:
            raise RuntimeError("no kernel for Pad\nat line 3")
        return [np.ones(1)]

    monkeypatch.setattr(proving, "_one_step", failing)
    with pytest.raises(ProviderError, match=r"\(no kernel for Pad\); --provider cpu works"):
        open_proved(procedural, "webgpu", 1)
