"""Programs in sessions: wired as the manifest says, and refused where the segments are others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ortist.errors import ModelError, OptionError
from ortist.network.bundle import Model, load_model
from ortist.network.sessions import available_cpus
from ortist.objective.opened import OpenProgram
from ortist.objective.sweeper import Sweeper

from tests.conftest import edit, rehashed

from .aims import noise


def test_the_wiring_of_the_shipped_program(procedural: Model) -> None:
    program = OpenProgram(procedural, "cpu", 1)
    wiring = program.wiring
    assert program.in_bands
    segments = procedural.program.segments
    assert len(wiring.inputs) == len(wiring.outputs) == len(segments)
    assert wiring.sums.keys() == procedural.program.taps.keys()
    for made, needed in wiring.sums.values():
        assert 0 <= made < wiring.forward <= needed < len(segments)
    # Nothing that is thrown away is read later, or by a neighbour.
    kept = {name for e in procedural.program.exchanges for name in (e.row, e.gradient)}
    for index, names in enumerate(wiring.last_read):
        assert not kept & {*names}
        assert not {*names} & {n for later in wiring.inputs[index + 1 :] for n in later}
    assert wiring.waits[0] == {}
    for index, waits in enumerate(wiring.waits):
        assert all(needed < index for needed in waits.values())


def test_sessions_are_opened_once_for_the_switches_that_they_have(procedural: Model) -> None:
    program = OpenProgram(procedural, "cpu", 1)
    plain, shifted = (
        program.sessions(frozenset({"with_moments_1", *more})) for more in ((), ("with_shifts",))
    )
    again = program.sessions(frozenset({"with_moments_1", "with_moments_99"}))
    assert [[id(s) for s in own] for own in again] == [[id(s) for s in own] for own in plain]
    same = [one[0] is other[0] for one, other in zip(plain, shifted, strict=True)]
    assert same == ["with_shifts" not in s.switches for s in procedural.program.segments]


@pytest.mark.parametrize("first", [0, 4])
def test_segments_of_another_kind_are_refused(copy: Path, procedural: Model, first: int) -> None:
    """A good ONNX file with the right hash that stands in another's place."""
    files = [segment.file for segment in procedural.program.segments]
    rehashed(copy, files[first], (copy / files[first + 1]).read_bytes())
    switches = procedural.program.segments[first + 1].switches

    def switched(manifest: dict[str, Any]) -> None:
        manifest["program"]["segments"][first]["switches"] = list(switches)

    edit(copy, switched)
    with pytest.raises(ModelError, match="its program's inputs or outputs differ in"):
        Sweeper(load_model(copy), "cpu", 1).maps(noise(48, 48), [3])


def test_a_program_that_would_wait_for_ever_is_refused(copy: Path, procedural: Model) -> None:
    """A band that needs a row of its neighbour which that makes later than it is read."""
    last = procedural.program.exchanges[-1]

    def late(manifest: dict[str, Any]) -> None:
        manifest["program"]["exchanges"][0]["row"] = last.gradient

    edit(copy, late)
    with pytest.raises(ModelError, match="segment 2 comes before what it needs"):
        Sweeper(load_model(copy), "cpu", 1).maps(noise(48, 48), [3])


def test_other_files_are_refused(copy: Path, procedural: Model) -> None:
    file = procedural.program.segments[3].file
    rehashed(copy, file, b"no graph")
    with pytest.raises(ModelError, match="is not one that Ortist exports"):
        Sweeper(load_model(copy), "cpu", 1).maps(noise(48, 48), [3])
    (copy / file).unlink()
    with pytest.raises(ModelError, match=r"the model file .* does not exist; export"):
        Sweeper(load_model(copy), "cpu", 1).maps(noise(48, 48), [3])


def _exchange(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda program: program["exchanges"][0].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        _exchange(row="nowhere"),
        _exchange(gradient="nowhere"),
        _exchange(into="nowhere"),
        _exchange(halo="nowhere"),
        lambda program: program["exchanges"].clear(),
        lambda program: program["exchanges"].pop(),
        lambda program: program["segments"].pop(),
        lambda program: program["segments"].pop(0),
        lambda program: program["segments"].reverse(),
        lambda program: program["taps"]["3"][0].update(value="nowhere"),
    ],
)
def test_a_program_that_its_segments_do_not_fit_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(copy, lambda m: change(m["program"]))
    with pytest.raises(ModelError, match="not one that Ortist can run"):
        Sweeper(load_model(copy), "cpu", 1).maps(noise(48, 48), [3])


@pytest.mark.parametrize(
    "change",
    [
        lambda program: program["taps"].update({"3": program["taps"]["7"]}),
        lambda program: program["taps"].update({"1": program["taps"]["1"][:2]}),
        lambda program: program.update(unit=3),
        lambda program: program["segments"][2]["switches"].clear(),
        lambda program: program["segments"][2]["switches"].append("with_nothing"),
    ],
)
def test_a_program_that_tells_wrong_sizes_is_no_crash(
    copy: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    """What no name gives away is refused by ONNX Runtime, or gives what it gives."""
    edit(copy, lambda m: change(m["program"]))
    try:
        found = Sweeper(load_model(copy), "cpu", 1).maps(noise(48, 48), [3, 7])
    except ModelError:
        return
    assert all(np.isfinite(features).all() for features in found.values())


def test_more_threads_than_there_are_are_refused(procedural: Model) -> None:
    cpus = available_cpus()
    with pytest.raises(OptionError, match=f"{cpus + 1} threads are more than the {cpus} CPUs"):
        Sweeper(procedural, "cpu", cpus + 1)
