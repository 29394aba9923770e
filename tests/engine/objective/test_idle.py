"""Segments beyond the deepest tap that a run asks for are not run, and nothing else changes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest
from ortist.objective.bands import Bound, Buffers
from ortist.objective.idle import find_idle
from ortist.objective.inputs import Shape
from ortist.objective.objective import Objective
from ortist.objective.opened import OpenProgram
from ortist.objective.pieces import Piece, Pull, Sums
from ortist.objective.sweep import Sweep
from ortist.objective.targets import ByteBudget, ContentFeatures, Targets
from ortist.objective.weights import Weights
from ortist.style.losses import STYLE_LOSSES

from .aims import Aimed, noise, pictures, same, shipped, style_weight, sweeper


def aimed(
    style: Collection[int],
    content: int,
    zero: Collection[int] = (),
    size: tuple[int, int] = (104, 131),
) -> Aimed:
    """With losses at the ``style`` taps, and some that pull with no weight at all."""
    objective = Objective(sweeper())
    content_image, _ = pictures(*size)
    parts = objective.moments(noise(90, 80, 3), [*style, *zero])
    found = {tap: regions[0].statistics() for tap, regions in parts.items()}
    losses = {tap: [STYLE_LOSSES["gram"](own)] for tap, own in found.items()}
    weights = {tap: style_weight("gram", own) for tap, own in found.items()}
    weights |= dict.fromkeys(zero, 0.0)
    known = ContentFeatures(content_image, (content,), ByteBudget(2**30))
    return Aimed(objective, Targets(losses, known), Weights({content: 1e-3}, weights, 1e-5))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many segments of bands were run, added up in its one place."""
    count, run = [0], Bound.run

    def counted(bound: Bound, giving_back: bool = False) -> None:
        count[0] += 1
        run(bound, giving_back)

    monkeypatch.setattr(Bound, "run", counted)  # the first one goes by it too
    return count


@pytest.mark.parametrize(("style", "content"), [((1, 2), 1), ((1, 3), 3), ((4,), 2)])
def test_a_run_ends_at_its_deepest_tap(
    style: Collection[int], content: int, runs: list[int]
) -> None:
    """What a loss of no weight at the deepest tap has run changes no other loss and no gradient."""
    _, image = pictures(104, 131)
    program = sweeper().program
    counts, found = [], []
    for one in (aimed(style, content), aimed(style, content, zero=(7,))):
        one(image)  # the first time all are run
        runs[0] = 0
        losses, gradient = one(image)
        by_style = {tap: losses.style_by_layer[tap] for tap in style}
        found.append((replace(losses, style_by_layer=by_style), gradient))
        counts.append(runs[0])
    on = {f"with_style_{tap}" for tap in style} | {f"with_content_{content}"}
    idle, segments = find_idle(program.wiring, on).segments, len(program.wiring.inputs)
    assert idle
    assert counts == [segments - len(idle), segments]
    same(found[0], found[1])


def test_the_first_way_back_of_a_shape_that_was_seen_before_rests() -> None:
    """A sweep is dropped for one of another size; what it found of its arrays is kept."""
    _, image = pictures(104, 131)
    shallow = aimed((1, 2), 1)
    expected = shallow(image)
    sweeper().release()
    again = shallow(image)
    np.testing.assert_array_equal(again[1], expected[1])


@pytest.mark.parametrize("band_pixels", [45_000, 6_000])
def test_zeros_share_no_memory_with_what_every_step_writes(band_pixels: int) -> None:
    """The first run of a shape makes them, in a program that has seen none."""
    program = OpenProgram(shipped(), "cpu", 1)
    on = frozenset({"with_moments_1", "with_style_1", "with_moments_2", "with_style_2"})
    sweep = Sweep(program, Shape(160, 213, False, band_pixels, on), Buffers(), {})
    sweep.set_piece(Piece(noise(160, 213)), 1e-5)
    gradient = np.empty((1, 3, 160, 213), np.float32)

    def pull(tap: int, sums: Sums) -> Pull:
        return Pull(mixing=np.stack([m.second for m in sums.moments[tap]]).astype(np.float32))

    for seed in range(2):
        sweep.run(noise(160, 213, seed), gradient, (1, 2), pull)
    zeros = find_idle(program.wiring, on).zeros
    assert zeros
    for band in sweep.bands:
        for name in zeros:
            own = band.array(name)
            assert not own.any()
            others = (value.array for key, value in band.values.items() if key != name)
            assert not any(np.shares_memory(own, other) for other in others)


def test_nothing_rests_that_the_deepest_tap_needs() -> None:
    program = OpenProgram(shipped(), "cpu", 1)
    wiring = program.wiring
    deepest = max(wiring.sums)
    assert find_idle(wiring, {f"with_style_{deepest}"}).segments == frozenset()
    assert find_idle(wiring, {f"with_content_{deepest}"}).segments == frozenset()
    for tap, (made, needed) in wiring.sums.items():
        idle = find_idle(wiring, {f"with_moments_{tap}", f"with_style_{tap}"})
        assert not idle.segments & {*range(made + 1), *range(needed, len(wiring.inputs))}
        assert idle.segments <= {*range(made + 1, needed)}
        assert {wiring.made[name] for name in idle.zeros} <= idle.segments


def test_features_are_made_of_all_taps() -> None:
    """Of whichever sweep is there, and its switches say nothing of them."""
    _, image = pictures(104, 131)
    shallow = aimed((1,), 1)
    shallow(image)
    shallow(image)
    found = sweeper().maps(image, (1, 7))
    sweeper().release()
    for tap, features in sweeper().maps(image, (1, 7)).items():
        np.testing.assert_array_equal(found[tap], features)
