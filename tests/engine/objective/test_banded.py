"""The objective in bands of rows: what the whole picture's graph gives, however it is cut."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.arrays import Array
from ortist.errors import ModelError
from ortist.network.bundle import Model, find_model, load_model
from ortist.network.sessions import available_cpus
from ortist.objective import band_work, banded
from ortist.objective.banded import BANDED_FROM, BandedObjective, plan_bands
from ortist.objective.objective import Objective
from ortist.objective.targets import Losses, Room, Targets
from ortist.objective.weights import Weights
from ortist.objective.whole import WholeObjective
from ortist_models import MANIFEST

TOLERANCE = 1e-6
"""Of the largest component, or of a loss: sums of float32 in another order."""


@functools.cache
def whole() -> WholeObjective:
    return WholeObjective(find_model("squeezenet1_1-procedural"), "cpu", None, None)


@functools.cache
def in_bands(threads: int = 2) -> BandedObjective:
    model = find_model("squeezenet1_1-procedural")
    assert model.bands is not None
    return BandedObjective(model, model.bands, threads, None)


@functools.cache
def noise(height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((1, 3, height, width), np.float32)


def targets(
    image: Array, style: tuple[int, ...], content: tuple[int, ...]
) -> tuple[Targets, Weights]:
    """Gram matrices and features that are not the image's, and weights of about one loss each."""
    model = find_model("squeezenet1_1-procedural")
    maps = Objective(model, "cpu").features(image[..., ::-1].copy(), {*style, *content})
    grams = {}
    for tap in style:
        matrix = maps[tap].reshape(maps[tap].shape[1], -1)
        grams[tap] = np.float32(0.7) * (matrix @ matrix.T) / np.float32(matrix.size)
    found = Targets(content={tap: maps[tap] for tap in content}, style=grams)
    weights = Weights(
        {tap: 1 / float(np.square(maps[tap]).sum()) for tap in content},
        {tap: 1 / float(np.square(gram).sum()) for tap, gram in grams.items()},
        1e-3 / image.size,
    )
    return found, weights


def compare(found: tuple[Losses, Array], expected: tuple[Losses, Array]) -> None:
    scale = np.abs(expected[1]).max()
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=TOLERANCE * scale)
    for term in ("content_by_layer", "style_by_layer"):
        ours, theirs = getattr(found[0], term), getattr(expected[0], term)
        assert ours.keys() == theirs.keys()
        for tap, loss in theirs.items():
            assert ours[tap] == pytest.approx(loss, rel=2e-5), (term, tap)
    assert found[0].tv == pytest.approx(expected[0].tv, rel=2e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(40, 150),
    st.integers(24, 90),
    st.integers(1, 9),
    st.integers(1, available_cpus()),
    st.sampled_from([((1, 4, 6, 7), (3,)), ((2, 5), (1, 4, 7)), ((), (3,)), ((3, 7), ())]),
)
def test_any_bands_give_what_the_whole_gives(
    height: int,
    width: int,
    count: int,
    threads: int,
    taps: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    image = noise(height, width)
    aims = targets(image, *taps)
    whole().aim(*aims)
    own = in_bands(threads)
    own.release()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "BAND_PIXELS", max(1, height * width // count))
        own.aim(*aims)
        for moved in (image, image + np.float32(0.1)):  # the second with the arrays of the first
            compare(own(moved), whole()(moved))
    own.release()


@pytest.mark.parametrize("value", [0.0, 2.2, -1.5])
def test_ties_go_to_the_first_maximum_across_bands(value: float) -> None:
    """Of a flat image every window is a tie."""
    image = np.full((1, 3, 96, 64), value, np.float32)
    aims = targets(noise(96, 64), (1, 4, 6, 7), (3,))
    whole().aim(*aims)
    own = in_bands()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "BAND_PIXELS", 16 * 64)
        own.aim(*aims)
        compare(own(image), whole()(image))
    own.release()


@given(
    st.integers(17, 4000),
    st.integers(17, 4000),
    st.integers(1, 64),
    st.sampled_from([8, 16]),
    st.integers(1, 40),
)
def test_bands_cover_the_picture(
    height: int, width: int, threads: int, unit: int, least: int
) -> None:
    found = plan_bands(height, width, threads, unit, least)
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


def test_a_large_picture_goes_in_bands_and_a_small_one_whole(
    procedural: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, ...]] = []
    run = BandedObjective.__call__

    def called(self: BandedObjective, image: Array, into: Array | None = None) -> Any:
        calls.append(image.shape)
        return run(self, image, into)

    monkeypatch.setattr(BandedObjective, "__call__", called)
    objective = Objective(procedural, "cpu")
    side = int(np.ceil(np.sqrt(BANDED_FROM)))
    for size in (side // 2, side):
        image = noise(size, size)
        aims, weights = targets(image, (1, 4), (3,))
        seen = objective.seeing(Targets(style=aims.style), image, (3,), Room(2**28))
        assert isinstance(seen.content[3], tuple) == (size == side)
        objective.aim(seen, weights)
        losses, _ = objective(image)
        assert losses.content == pytest.approx(0, abs=1e-9)
    assert calls == [(1, 3, side, side)]


def test_windows_of_larger_arrays_are_read_and_written() -> None:
    """As the loop has it with jitter: neither array lies in memory as a picture of its own."""
    large = noise(110, 90)
    image, aims = large[:, :, 3:103, 5:85], targets(noise(100, 80), (1, 4, 6, 7), (3,))
    own = in_bands()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "BAND_PIXELS", 2000)
        own.aim(*aims)
        _, expected = own(image.copy())
        gradient = np.full(large.shape, 7, np.float32)
        own(image, gradient[:, :, 3:103, 5:85])
    np.testing.assert_array_equal(gradient[:, :, 3:103, 5:85], expected)
    gradient[:, :, 3:103, 5:85] = 7
    assert (gradient == 7).all()
    own.release()


def test_new_targets_and_sizes_take_effect() -> None:
    own = in_bands()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "BAND_PIXELS", 1500)
        for height, taps in itertools.product((80, 96), (((1, 4), (3,)), ((7,), ()), ((), (3,)))):
            image = noise(height, 60)
            for factor in (1.0, 0.5):
                aims, weights = targets(image * np.float32(factor), *taps)
                own.aim(aims, weights)
                whole().aim(aims, weights)
                compare(own(image), whole()(image))
    own.release()


def test_a_failure_stops_all_threads_and_the_next_step_works() -> None:
    image, own = noise(96, 64), in_bands(2)
    aims = targets(image, (1, 4), (3,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "BAND_PIXELS", 16 * 64)
        own.aim(*aims)
        expected = own(image)
        run, count = band_work.BandedPicture._run, itertools.count()

        def failing(self: Any, index: int, band: Any, thread: int) -> None:
            if next(count) == 40:
                raise MemoryError
            time.sleep(0.001)  # so that the other one has something to do
            run(self, index, band, thread)

        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(band_work.BandedPicture, "_run", failing)
            with pytest.raises(Exception, match="not enough memory for a picture of 64 x 96"):
                own(image)
        again = own(image)
    assert again[0] == expected[0]
    np.testing.assert_array_equal(again[1], expected[1])
    own.release()


def test_an_interrupt_ends_the_step_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches the first thread alone; the others must not wait for it for ever."""
    image, own = noise(96, 64), in_bands(2)
    monkeypatch.setattr(banded, "BAND_PIXELS", 16 * 64)
    own.aim(*targets(image, (1, 4), (3,)))
    own(image)
    run, main = band_work.BandedPicture._run, threading.current_thread()

    def interrupted(self: Any, index: int, band: Any, thread: int) -> None:
        if threading.current_thread() is main and index > 4:
            raise KeyboardInterrupt
        run(self, index, band, thread)

    monkeypatch.setattr(band_work.BandedPicture, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        own(image)
    own.release()


def test_the_same_bytes_whatever_the_threads() -> None:
    """The bands are the same for these, and sums over bands are in the bands' order."""
    image = noise(160, 64)
    aims = targets(image, (1, 4, 6, 7), (3,))
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "BAND_PIXELS", 16 * 64)
        for threads in range(1, available_cpus() + 1):
            own = in_bands(threads)
            own.aim(*aims)
            found += [own(image), own(image)]
            own.release()
    for losses, gradient in found[1:]:
        assert losses == found[0][0]
        np.testing.assert_array_equal(gradient, found[0][1])


def test_threads_that_share_sessions_do_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    image, model = noise(160, 64), find_model("squeezenet1_1-procedural")
    monkeypatch.setattr(banded, "BAND_PIXELS", 16 * 64)
    monkeypatch.setattr(banded, "_POOLS", 1)
    assert model.bands is not None
    sharing, own = BandedObjective(model, model.bands, 2, None), in_bands(2)
    aims = targets(image, (1, 4, 6, 7), (3,))
    for objective in (sharing, own):
        objective.aim(*aims)
    for _ in range(2):
        found, expected = sharing(image), own(image)
        assert found[0] == expected[0]
        np.testing.assert_array_equal(found[1], expected[1])
    own.release()


def test_a_model_without_bands_is_used_whole(procedural: Model, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(procedural.folder, tmp_path / "older"))
    manifest = json.loads((folder / MANIFEST).read_text())
    for file in manifest.pop("bands")["segments"]:
        del manifest["files"][file]
        (folder / file).unlink()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    model = load_model(folder)
    assert model.bands is None
    side = int(np.ceil(np.sqrt(BANDED_FROM)))
    image = noise(side, side)
    found = []
    for objective in (Objective(model, "cpu"), Objective(procedural, "cpu")):
        objective.aim(*targets(image, (1, 4), (3,)))
        found.append(objective(image))
    compare(found[1], found[0])


def test_segments_of_another_kind_are_refused(procedural: Model, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(procedural.folder, tmp_path / "spoilt"))
    manifest = json.loads((folder / MANIFEST).read_text())
    segments = manifest["bands"]["segments"]
    first, second, *_ = segments
    data = (folder / second).read_bytes()
    (folder / first).write_bytes(data)
    manifest["files"][first]["sha256"] = hashlib.sha256(data).hexdigest()
    segments[first] = segments[second]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    model = load_model(folder)
    assert model.bands is not None
    objective = BandedObjective(model, model.bands, 1, None)
    with pytest.raises(ModelError, match="its bands' inputs or outputs differ in"):
        objective(noise(96, 64))
    objective.release()  # there is nothing to give back


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ({"segments": {}}, "files of its bands"),
        ({"segments": {"band-99.onnx": []}}, "files of its bands"),
        ({"segments": ["band-00.onnx"]}, "AttributeError"),
        ({"unit": 0}, "bands of"),
        ({"kept": 10**9}, "bands of"),
        ({"reach": "many"}, "invalid literal"),
    ],
)
def test_a_manifest_with_odd_bands_is_refused(
    bands: dict[str, Any], message: str, procedural: Model, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(procedural.folder, tmp_path / "odd"))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["bands"] |= bands
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=message):
        load_model(folder)
