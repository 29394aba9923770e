"""Arrays in files: what NumPy's own give, and whole runs with their state in them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.arrays import Arrays, Derived, Rows, Stored, chunks, row_slices
from ortist.errors import OutputError
from ortist.options.fields import Options
from ortist.pictures.reading import load_picture
from ortist.run.plan import Plan
from ortist.run.setup import Asked
from PIL import Image

from tests.conftest import open_engine, small_pictures

ALL = slice(None)


def put(folder: Path, values: Any) -> Stored:
    stored = Stored(folder, values.shape, values.dtype)
    stored[..., ALL, ALL] = values
    return stored


@st.composite
def cuts(draw: st.DrawFn, length: int) -> slice:
    begin = draw(st.integers(0, length - 1))
    return slice(begin, draw(st.integers(begin + 1, length)))


@settings(max_examples=50, deadline=None)
@given(st.data(), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["f4", "u1", "u2"]))
def test_slices_are_numpys(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    height: int,
    width: int,
    kind: str,
) -> None:
    folder = tmp_path_factory.getbasetemp()
    values = np.arange(3 * height * width).astype(kind).reshape(1, 3, height, width)
    stored = put(folder, values)
    assert list(folder.glob(".ortist-*")) == []  # it has no name
    for _ in range(3):
        rows, columns = data.draw(cuts(height)), data.draw(cuts(width))
        np.testing.assert_array_equal(stored[..., rows, columns], values[..., rows, columns])
        np.testing.assert_array_equal(
            stored.plane(2)[..., rows, columns], values[0, 2][rows, columns]
        )
        stored[..., rows, columns] = values[..., rows, columns] + 1
        values[..., rows, columns] += 1
        np.testing.assert_array_equal(stored[..., ALL, ALL], values)
    assert b"".join(chunks(stored)) == values.tobytes()
    assert b"".join(chunks(Rows(stored))) == values[0].transpose(1, 2, 0).tobytes()
    doubled = Derived(lambda part: part.astype("f4") * 2, stored)
    assert b"".join(chunks(doubled)) == (values.astype("f4") * 2).tobytes()
    np.testing.assert_array_equal(
        doubled[..., rows, columns], 2 * values[..., rows, columns].astype("f4")
    )


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.sampled_from([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]),
    st.booleans(),
)
def test_resizing_in_parts_is_resizing_the_whole(
    tmp_path_factory: pytest.TempPathFactory,
    old: tuple[int, int],
    new: tuple[int, int],
    how: Image.Resampling,
    eight: bool,
) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((1, 3, *old), dtype=np.float32)
    if eight:
        values = (values * 255).astype(np.uint8)
    arrays = Arrays(tmp_path_factory.getbasetemp())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ortist.arrays._SLICE_BYTES", 1000)
        patch.setattr("ortist.arrays._COLUMNS_BYTES", 1000)
        resized = arrays.resized(values, new, how)
        np.testing.assert_array_equal(resized[..., ALL, ALL], Arrays().resized(values, new, how))


def test_functions_slice_by_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ortist.arrays._SLICE_BYTES", 200)
    a, b = np.random.default_rng(0).random((2, 1, 3, 17, 5), dtype=np.float32)
    assert len(list(row_slices(a))) > 3
    for arrays in (Arrays(), Arrays(tmp_path)):
        sums, products = arrays.each(lambda x, y: (x + y, x * y), a, put(tmp_path, b))
        assert isinstance(sums, Stored) == arrays.on_disk
        np.testing.assert_array_equal(sums[..., ALL, ALL], a + b)
        np.testing.assert_array_equal(products[..., ALL, ALL], a * b)
        noise = arrays.filled(
            (1, 3, 17, 5), lambda s: np.random.default_rng(1).random(s, np.float32)
        )
        assert noise.shape == (1, 3, 17, 5)
    generators = [np.random.default_rng(5) for _ in range(2)]
    made = [
        place.filled((1, 3, 17, 5), lambda s, g=g: g.random(s, np.float32))  # type: ignore[misc]
        for place, g in zip((Arrays(), Arrays(tmp_path)), generators, strict=True)
    ]
    np.testing.assert_array_equal(made[0], made[1][..., ALL, ALL])


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(tmp_path, (1, 3, 8, 8))

    class Full:
        def write(self, place: int, data: memoryview) -> None:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(stored, "_file", Full())
    with pytest.raises(OutputError, match=r"keep the run's state in .*No space left.*--scratch"):
        stored[..., ALL, ALL] = 1
    with pytest.raises(OutputError, match="state in '/nowhere'"):
        Stored(Path("/nowhere"), (1, 3, 8, 8))


def test_a_key_of_another_form_is_refused(tmp_path: Path) -> None:
    """Rows must not be taken for columns."""
    stored: Any = Stored(tmp_path, (1, 3, 8, 8))
    for key in ((ALL, ALL, slice(0, 2)), (ALL, slice(0, 2)), (ALL, ALL, ALL, ALL)):
        with pytest.raises(TypeError, match=r"asked for as \[\.\.\., rows, columns\], not \("):
            stored[key]
        with pytest.raises(TypeError, match=r"rows, columns"):
            stored[key] = 0


@pytest.mark.parametrize("positioned", [True, False])
def test_slices_side_by_side(
    positioned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One array is made by several threads, with calls that name the place and without."""
    if not positioned:
        for name in ("preadv", "pwrite"):
            monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr("ortist.arrays._SLICE_BYTES", 1000)
    values = np.random.default_rng(0).random((1, 3, 97, 50), np.float32)
    arrays = Arrays(tmp_path, 4)
    (stored,) = arrays.each(lambda part: (part + 1,), values)
    (twice,) = arrays.each(lambda a, b: (a * b,), stored, stored)
    np.testing.assert_array_equal(twice[..., ALL, ALL], (values + 1) * (values + 1))
    with pytest.raises(FloatingPointError), np.errstate(over="raise"):
        arrays.each(lambda part: (part * np.float32(1e38),), twice)


@pytest.mark.parametrize("threads", [1, 4])
def test_slices_in_memory_are_made_by_as_many_threads_as_there_are(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one shows which arrays to make; an error in any is the caller's."""
    monkeypatch.setattr("ortist.arrays._SLICE_BYTES", 1000)
    values = np.arange(3 * 97 * 50, dtype=np.float32).reshape(1, 3, 97, 50)
    rendezvous = threading.Barrier(threads)
    working: set[int] = set()

    def plus_one(part: Any) -> tuple[Any]:
        if part[0, 0, 0, 0] > 0 and threading.get_ident() not in working:
            working.add(threading.get_ident())
            rendezvous.wait(10)
        return (part + 1,)

    (more,) = Arrays(threads=threads).each(plus_one, values)
    np.testing.assert_array_equal(more, values + 1)
    assert len(working) == threads
    with pytest.raises(FloatingPointError), np.errstate(over="raise"):
        Arrays(threads=threads).each(lambda part: (part * np.float32(1e38),), values)


CONTENT, STYLE = small_pictures()
MASK = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))

SHALLOW: dict[str, Any] = {"style_layers": (1, 2)}
"""Layers that see little, so that there are several tiles; else one sees all of it."""


@pytest.mark.long
@pytest.mark.parametrize(
    "given",
    [
        {"size": 96, "iterations": 7, "snapshots": (0, 3), "smallest_size": 32, **SHALLOW},
        {"size": 70, "iterations": 4, "averaging": 0, "colors": "content-luminance"},
        {"size": 48, "iterations": 3, "jitter": 1, "rescale": True, "init": "noise"},
        {"size": 61, "iterations": 3, "colors": "style-matched", "style_loss": "meanstd"},
        {"size": 64, "iterations": 3, "masks": True, "init": "gray", "normalize_gradients": True},
        {"size": 64, "iterations": 3, "masks": True, "init": "gray", **SHALLOW},
        {"size": 80, "iterations": 3, "tv_loss": "nine-point", "style_loss": "w2", **SHALLOW},
        {"size": 64, "iterations": 3, "alpha": True, "free_iterations": 1, "final_iterations": 1},
    ],
)
def test_a_run_in_files_paints_what_one_in_memory_does(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the same bytes, its checkpoint too."""
    monkeypatch.setattr("ortist.arrays._SLICE_BYTES", 5000)
    monkeypatch.setattr("ortist.arrays._COLUMNS_BYTES", 5000)
    masks = [(MASK, None), (255 - MASK, None)] if given.pop("masks", False) else []
    content: Any = np.dstack([CONTENT, MASK]) if given.pop("alpha", False) else CONTENT
    options = Options(provider="cpu", tile=32, **given)
    engine = open_engine()
    outcomes = []
    for name, place in (("memory", None), ("files", tmp_path)):
        style = [STYLE, STYLE[::-1]] if masks else STYLE
        asked = Asked(content, style, masks)
        run = engine.set_up(asked, options, plan=Plan(32, place))
        for progress in run:
            if progress.iteration == 2:
                break
        checkpoint = tmp_path / name
        run.save_checkpoint(checkpoint)
        again = engine.set_up(asked, options, plan=Plan(32, place))
        again.resume(checkpoint)
        for _ in again:
            pass
        result = again.result()
        outcomes.append((checkpoint.stat().st_size, result))
        for suffix in (".tif", ".png", ".jpg"):
            result.save(tmp_path / f"{name}{suffix}")
    (a, memory), (b, files) = outcomes
    assert abs(a - b) < 100  # the numbers of seconds
    np.testing.assert_array_equal(memory.pixels, files.pixels)
    assert memory.history == files.history
    assert (memory.initial, memory.final) == (files.initial, files.final)
    assert len(memory.snapshots) == len(options.snapshots)
    for iteration, painting in memory.snapshots.items():
        np.testing.assert_array_equal(painting.pixels, files.snapshots[iteration].pixels)
    for suffix in (".tif", ".jpg"):
        written = [(tmp_path / f"{name}{suffix}").read_bytes() for name in ("memory", "files")]
        assert written[0] == written[1]
    # PNG of 8 bits is Pillow's from memory and our own from files.
    pictures = [load_picture(tmp_path / f"{name}.png", 10**6) for name in ("memory", "files")]
    np.testing.assert_array_equal(pictures[0].pixels, pictures[1].pixels)
