"""Sweeps in bands of rows: what one band gives, however it is cut and by whatever threads."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.arrays import Array
from ortist.network.bundle import Model
from ortist.network.sessions import available_cpus
from ortist.objective import opened
from ortist.objective.bands import BAND_PIXELS, Bound, Buffers, plan_bands
from ortist.objective.objective import Manner, Objective
from ortist.objective.pieces import Piece
from ortist.objective.sweeper import Sweeper
from ortist.style.losses import STYLE_LOSSES

from .aims import Aimed, aimed, noise, pictures, same, soft_masks, sweeper

TOLERANCE = 1e-6
"""Of the largest component, or of a loss: sums of float32 in another order."""
WHOLE = 10**9
"""Pixels of a band that any picture here fits in."""
SMALL = 16 * 64
"""Pixels of a band of 16 rows, of a picture 64 wide."""


def in_bands(
    band_pixels: int, threads: int = 2, normalize: bool = False, wraps: bool = False
) -> Objective:
    return Objective(sweeper(threads, band_pixels), Manner(normalize=normalize, wraps=wraps))


def image_and_content(height: int, width: int) -> tuple[Array, Array]:
    return noise(height, width), noise(height, width, 1)


@pytest.mark.long
@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(40, 150),
    width=st.integers(24, 90),
    count=st.integers(1, 9),
    threads=st.integers(1, available_cpus()),
    taps=st.sampled_from([((1, 4, 6, 7), (3,)), ((2, 5), (1, 4, 7)), ((), (3,)), ((3, 7), ())]),
    loss=st.sampled_from(sorted(STYLE_LOSSES)),
    masked=st.booleans(),
    normalize=st.booleans(),
)
def test_any_bands_give_what_one_band_gives(
    height: int,
    width: int,
    count: int,
    threads: int,
    taps: tuple[tuple[int, ...], tuple[int, ...]],
    loss: str,
    masked: bool,
    normalize: bool,
) -> None:
    image, content = image_and_content(height, width)
    style, content_taps = taps
    masks = soft_masks(height, width) if masked else None
    args = (content, style, loss, masks, content_taps)
    whole = aimed(in_bands(WHOLE, 1, normalize), *args)
    expected = [whole(moved) for moved in (image, image + np.float32(0.1))]
    own = aimed(in_bands(max(1, height * width // count), threads, normalize), *args)
    # Means and roots of few positions blow the rounding of sums up.
    tolerance = {"gram": TOLERANCE, "meanstd": 1e-5, "w2": 1e-3}[loss]
    same(own(image), expected[0], tolerance)
    same(own(image + np.float32(0.1)), expected[1], tolerance)  # with the arrays of the first


@pytest.mark.parametrize("value", [0.0, 2.2, -1.5])
@pytest.mark.parametrize("loss", ["gram", "meanstd"])
def test_ties_go_to_the_first_maximum_across_bands(value: float, loss: str) -> None:
    """Of a flat image every window is a tie."""
    image = np.full((1, 3, 96, 64), value, np.float32)
    args = (noise(96, 64), (1, 4, 6, 7), loss)
    expected = aimed(in_bands(WHOLE, 1), *args)(image)
    # A variance that should be 0 is a difference of float32 sums.
    same(aimed(in_bands(SMALL), *args)(image), expected, TOLERANCE if loss == "gram" else 1e-4)


@settings(deadline=None)
@given(
    st.integers(17, 4000),
    st.integers(17, 4000),
    st.integers(1, 64),
    st.sampled_from([8, 16]),
    st.integers(1, 40),
    st.sampled_from([BAND_PIXELS, 5000]),
)
def test_bands_cover_the_picture(
    height: int, width: int, threads: int, unit: int, least: int, band_pixels: int
) -> None:
    found = plan_bands(height, width, threads, unit, least, band_pixels)
    assert found[0][0] == 0
    assert found[-1][1] == height
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    assert all(begin % unit == 0 and begin < end for begin, end in found)
    assert len(found) == 1 or found[-1][1] - found[-1][0] >= least
    if height >= 2 * (unit * threads + least):  # some for each thread, and none much larger
        assert len(found) >= threads - 1 - least // unit
        assert (
            max(end - begin for begin, end in found) <= 2 * height / len(found) + 2 * unit + least
        )


def test_windows_of_larger_arrays_are_read_and_written() -> None:
    """As the loop has it with jitter: neither array lies in memory as a picture of its own."""
    large = noise(150, 140)
    image = large[:, :, 3:143, 5:135]
    for tile in (None, 48):
        objective = Objective(sweeper(2, 2000), Manner(tile))
        own = aimed(objective, noise(140, 130), (1, 4, 6, 7))
        _, expected = own(image.copy())
        gradient = np.full(large.shape, 7, np.float32)
        own(image, gradient[:, :, 3:143, 5:135])
        np.testing.assert_array_equal(gradient[:, :, 3:143, 5:135], expected)
        gradient[:, :, 3:143, 5:135] = 7
        assert (gradient == 7).all()


@pytest.mark.long
def test_new_targets_and_sizes_take_effect() -> None:
    """Content, regions, losses and switches of one step must not be seen by the next."""
    kinds = (((1, 4), (3,)), ((7,), ()), ((), (3,)))
    for height, taps in itertools.product((80, 96), kinds):
        image = noise(height, 60)
        masks = (None, soft_masks(height, 60), soft_masks(height, 60)[::-1].copy())
        for factor, own, loss in itertools.product((1.0, 0.5), masks, ("gram", "meanstd")):
            style, content_taps = taps
            args = (noise(height, 60, 1) * np.float32(factor), style, loss, own, content_taps)
            expected = aimed(in_bands(WHOLE, 1), *args)(image)
            same(aimed(in_bands(1500), *args)(image), expected, 1e-5)


def test_offsets_of_one_content_take_turns() -> None:
    """As with jitter: a target for each window, its content kept, all of one size."""
    large, masks = noise(104, 72, 1), soft_masks(104, 72)
    image, places = noise(96, 64), [(0, 0), (3, 5), (8, 8)]

    def at(objective: Objective, place: tuple[int, int]) -> Aimed:
        window = (slice(place[0], place[0] + 96), slice(place[1], place[1] + 64))
        own = np.ascontiguousarray(masks[(..., *window)])
        return aimed(objective, large[(..., *window)], (1, 4), "gram", own)

    whole = [at(in_bands(WHOLE, 1), place)(image) for place in places]
    own = [at(in_bands(SMALL), place) for place in places]
    for index in (0, 1, 2, 1, 0, 0):
        same(own[index](image), whole[index], 1e-5)


def test_a_failure_stops_all_threads_and_the_next_step_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, content = image_and_content(96, 64)
    own = aimed(in_bands(SMALL), content, (1, 4))
    expected = own(image)
    run, count = Bound.run, itertools.count()

    def failing(self: Bound, *options: Any) -> None:
        if next(count) == 40:
            raise MemoryError
        time.sleep(0.001)  # so that the other one has something to do
        run(self, *options)

    with monkeypatch.context() as broken:
        broken.setattr(Bound, "run", failing)
        with pytest.raises(Exception, match="not enough memory for a picture of 64 x 96"):
            own(image)
    again = own(image)
    assert again[0] == expected[0]
    np.testing.assert_array_equal(again[1], expected[1])


def test_a_decision_that_fails_stops_all_threads() -> None:
    """Whichever thread it is that decides."""
    image, content = image_and_content(96, 64)
    own = aimed(in_bands(SMALL), content, (1, 4))
    expected = own(image)
    with pytest.raises(KeyError):
        own.weighing(style={})(image)
    again = own(image)
    np.testing.assert_array_equal(again[1], expected[1])


def test_an_interrupt_ends_the_step_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches the first thread alone; the others must not wait for it for ever."""
    image, content = image_and_content(96, 64)
    own = aimed(in_bands(SMALL), content, (1, 4))
    expected = own(image)
    run, main, count = Bound.run, threading.current_thread(), itertools.count()

    def interrupted(self: Bound, *options: Any) -> None:
        if threading.current_thread() is main and next(count) == 12:
            raise KeyboardInterrupt
        run(self, *options)

    with monkeypatch.context() as patch:
        patch.setattr(Bound, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            own(image)
    np.testing.assert_array_equal(own(image)[1], expected[1])


@pytest.mark.parametrize("loss", ["gram", "w2"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_same_bytes_whatever_the_threads(loss: str, masked: bool) -> None:
    """The bands are the same for these, and sums over bands are in the bands' order."""
    image, content = image_and_content(160, 64)
    masks = soft_masks(160, 64) if masked else None
    found = []
    for threads in range(1, available_cpus() + 1):
        objective = in_bands(SMALL, threads)
        own = aimed(objective, content, (1, 4, 6, 7), loss, masks)
        found += [own(image), own(image)]
        objective.sweeper.release()
    bands = [
        len(plan_bands(160, 64, threads, 8, 9, SMALL)) for threads in range(1, available_cpus() + 1)
    ]
    for count, (losses, gradient) in zip(np.repeat(bands, 2), found, strict=True):
        if count == bands[0]:
            assert losses == found[0][0]
            np.testing.assert_array_equal(gradient, found[0][1])
    assert bands.count(bands[0]) >= min(2, available_cpus())


def test_threads_that_share_sessions_do_the_same(
    procedural: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are eight sessions of a segment at most; here one for two threads."""
    image, content = image_and_content(160, 64)
    threads = min(2, available_cpus())
    monkeypatch.setattr(opened, "_ARENAS", 1)
    one = Sweeper(procedural, "cpu", threads)
    one.band_pixels = SMALL
    sharing = aimed(Objective(one), content, (1, 4, 6, 7))
    own = aimed(in_bands(SMALL, threads), content, (1, 4, 6, 7))
    for _ in range(2):
        found, expected = sharing(image), own(image)
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])


def test_several_threads_may_ask_one_sweeper() -> None:
    """Their calls wait for each other."""
    shared = in_bands(SMALL)
    sizes = [(96, 64), (80, 72), (96, 64)]
    asked = [(aimed(shared, noise(*s, 1), (1, 4)), noise(*s)) for s in sizes]
    expected = [own(image) for own, image in asked]
    found: list[Any] = [None] * len(sizes)

    def ask(index: int) -> None:
        for _ in range(3):
            own, image = asked[index]
            found[index] = own(image)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(len(sizes))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one, other in zip(found, expected, strict=True):
        same(one, other, 0)


def test_features_are_the_same_alone_and_with_others() -> None:
    """Of the first layers by the first segments, and within a sweep that does more."""
    content, image = pictures(77, 91)
    one = sweeper(2, 1500)
    whole = sweeper(1, WHOLE).maps(content, range(1, 8))
    alone = {tap: one.maps(content, [tap])[tap] for tap in range(1, 8)}
    aimed(in_bands(1500), image, (1, 4))(image)
    after = one.maps(content, range(1, 8))
    for tap, expected in whole.items():
        np.testing.assert_allclose(alone[tap], expected, atol=1e-5)
        np.testing.assert_array_equal(after[tap], alone[tap])


def test_one_sweep_keeps_no_features_of_another() -> None:
    """What is returned is a copy: memory is used again."""
    one = sweeper(2, 1500)
    first = one.features(noise(77, 91), [3])
    before = [[part.copy() for part in parts] for parts in first[3]]
    one.features(noise(77, 91, 1), [3])
    one.pull(Piece(noise(77, 91)), {}, 1.0)
    for parts, kept in zip(first[3], before, strict=True):
        for part, other in zip(parts, kept, strict=True):
            np.testing.assert_array_equal(part, other)


def test_memory_is_handed_out_again_where_it_fits() -> None:
    stock = Buffers()
    own = Buffers(stock)
    first = own.take(100_000)
    own.give_back([first])
    assert own.take(30_000) is not first
    assert own.take(90_000) is first
    own.give_back([first])
    own.leave()
    assert Buffers(stock).take(100_000) is first
    small = own.take(100)
    own.give_back([small])
    assert own.nbytes == 0


def test_a_sweeper_says_how_it_works(procedural: Model) -> None:
    one = Sweeper(procedural, "cpu", 1)
    assert one.program.in_bands
    assert one.provider == "CPUExecutionProvider"
