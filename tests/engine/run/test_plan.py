"""Plans: what fits is taken in order of cost, what does not is refused with what would."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import ortist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortist.errors import OptionError, ResourceError
from ortist.network.bundle import Model, load_model
from ortist.network.machine import available_memory
from ortist.options.fields import Options
from ortist.options.parsing import parse_size
from ortist.pictures.raster import Header, Raster
from ortist.pictures.reading import read_header
from ortist.run.memory import MemoryModel
from ortist.run.plan import Plan, plan_run
from PIL import Image

from tests.conftest import SAMPLES, small_pictures

STYLE = Header("style image", (640, 480), 2 * 10**6, 10**6)
GB = 10**9


def photo(width: int, height: int) -> Header:
    return Header("content image", (width, height), 0, 0)


def planned(model: Model, size: int, budget: int, **given: Any) -> Plan:
    options = Options(size=size, max_memory=budget, max_pixels=10**10, **given).settled(False)
    return plan_run(MemoryModel(model, options, photo(600, 450), [STYLE]))


def test_the_least_costly_way_that_fits(procedural: Model, tmp_path: Path) -> None:
    where: dict[str, Any] = {"scratch": str(tmp_path)}
    assert planned(procedural, 512, 4 * GB).tile is None
    where["threads"] = 2
    tiled = planned(procedural, 2048, 22 * GB // 10, **where)
    assert (tiled.tile, tiled.folder) == (1024, None)
    alone = planned(procedural, 2048, 2 * GB, **{**where, "threads": 1})
    assert alone.peak < tiled.peak  # one band at a time
    filed = planned(procedural, 4096, 15 * GB // 10, **where)
    assert (filed.tile, filed.folder) == (1024, tmp_path)
    # Tiles of a state in memory grow with the budget, until there are none.
    budgets = (13 * GB // 10, 2 * GB, 10 * GB)
    small, large, none = (planned(procedural, 2048, b, **where).tile for b in budgets)
    assert small is not None
    assert large is not None
    assert small < large
    assert none is None
    assert filed.disk > 10 * 12 * 4096 * 5461
    for plan in (tiled, filed):
        assert plan.peak <= plan.budget
    assert planned(procedural, 2048, 4 * GB, tile=100).tile == 100
    assert planned(procedural, 512, 4 * GB, tile="off").tile is None
    assert tiled.applied(Options()).tile == 1024
    assert "in tiles of 1024 pixels\nstate    in files of 2." in str(filed)


@settings(max_examples=30, deadline=None)
@given(size=st.integers(16, 6000), budget=st.integers(10**8, 8 * GB))
def test_a_plan_keeps_its_budget_or_names_a_size_that_does(size: int, budget: int) -> None:
    model = ortist_model()
    try:
        plan = planned(model, size, budget)
        assert plan.peak <= budget
    except ResourceError as error:
        text = str(error)
    else:
        return
    found = re.search(r"give --size (\d+)", text)
    if found is None:
        assert "give more by --max-memory" in text
        return
    smaller = int(found[1])
    assert smaller < size
    assert planned(model, smaller, budget).peak <= budget
    with pytest.raises(ResourceError):
        planned(model, smaller + 1, budget)


def ortist_model() -> Model:
    from ortist_models import SHIPPED, SHIPPED_MODEL

    return load_model(SHIPPED / SHIPPED_MODEL)


def test_more_memory_is_never_a_dearer_way(procedural: Model) -> None:
    plans = [planned(procedural, 3000, budget * GB // 4) for budget in range(2, 60, 3)]
    ranks = [(plan.folder is None, plan.tile or 10**6) for plan in plans]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) >= 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "lbfgs"}, "lbfgs keeps 20 arrays"),
        ({"colors": "content-histogram"}, "content-histogram needs all of it"),
        ({"tile": "off"}, "the largest that fits, or more by --max-memory"),
    ],
)
def test_what_cannot_be_in_files_is_refused(
    given: dict[str, Any], said: str, procedural: Model
) -> None:
    with pytest.raises(ResourceError, match=said) as caught:
        planned(procedural, 8192, GB, **given)
    assert caught.value.exit_code == 4


def test_a_budget_below_the_smallest_tile(procedural: Model) -> None:
    said = r"90 MB of memory are less than the \d\d\d MB that \d+ x 500 pixels take at least; give"
    with pytest.raises(ResourceError, match=said):
        planned(procedural, 500, 9 * 10**7)


def test_a_disk_without_room(
    procedural: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**8)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(ResourceError, match=r"takes 2\.\d+ GB on the disk and '.*' has 100 MB"):
        planned(procedural, 4096, GB, scratch=str(tmp_path))
    monkeypatch.undo()
    with pytest.raises(OptionError, match=r"in '/nowhere' .*name another folder by --scratch"):
        planned(procedural, 4096, GB, scratch="/nowhere")


def test_from_python_the_budget_decides_too(tmp_path: Path) -> None:
    content, style = small_pictures()
    plain: dict[str, Any] = {"size": 192, "smallest_size": None, "iterations": 2, "provider": "cpu"}
    plain |= {"scratch": tmp_path}
    whole = ortist.transfer(content, style, **plain)
    assert whole.options.tile == "auto"
    tiled = ortist.transfer(content, style, tile=64, max_memory="1GB", **plain)
    off = np.abs(whole.pixels.astype(int) - tiled.pixels)
    assert off.max() <= 2  # of 255: rounding decides which of two features is larger
    assert off.mean() < 0.01
    with pytest.raises(ResourceError, match="give more by --max-memory"):
        ortist.transfer(content, style, max_memory="50MB", **plain)


def test_headers_are_read_without_decoding(tmp_path: Path) -> None:
    turned = Image.new("RGB", (60, 40))
    turned.getexif()[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=turned.getexif())
    header = read_header(tmp_path / "turned.jpg", 10**6)
    assert header.size == (40, 60)
    assert header.resident == 3 * 2400
    assert read_header(np.zeros((4, 5, 3), np.uint8), 100).size == (5, 4)
    assert read_header(Raster(np.zeros((4, 5, 3), np.uint8)), 100).decoding == 0
    sixteen = np.zeros((4, 5), np.uint16)
    Image.fromarray(sixteen).save(tmp_path / "deep.png")
    assert read_header(tmp_path / "deep.png", 100).resident == 6 * 20
    assert read_header(SAMPLES / "harbour.jpg", 10**6).size == (640, 480)
    Image.new("RGB", (50, 60)).save(tmp_path / "plain.png")
    data = (tmp_path / "plain.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: data.index(b"IDAT") + 4])
    assert read_header(tmp_path / "cut.png", 10**6).size == (50, 60)


def test_sizes_in_words() -> None:
    words = {"2GB": 2 * GB, "1.5 GiB": 3 * 2**29, "800m": 8 * 10**8, "123456789": 123456789}
    assert {word: parse_size(word) for word in words} == words
    for word in ("", "GB", "-1GB", "1e9", "2 gigs"):
        with pytest.raises(OptionError, match="cannot read the memory"):
            parse_size(word)
    with pytest.raises(OptionError, match="max_memory 5 is out of range"):
        Options(max_memory=5)
    assert Options(max_memory="auto").max_memory is None  # type: ignore[arg-type]


def test_the_machine_has_memory() -> None:
    assert available_memory() > 10**7


def memory_model(model: Model, size: int, content: bool = True, **given: Any) -> MemoryModel:
    options = Options(size=size, max_pixels=10**10, **given).settled(content)
    return MemoryModel(model, options, photo(600, 450) if content else None, [STYLE])


def test_every_thread_has_sessions_and_a_pool_of_memory(procedural: Model) -> None:
    few, more = (memory_model(procedural, 512, quality="paper", threads=n) for n in (1, 2))
    files = [procedural.folder / segment.file for segment in procedural.program.segments]
    weights = sum(file.stat().st_size for file in files)
    sessions = 500_000 * len(files) + 2 * weights
    # A band of some 45 000 pixels, and for each kind of sessions a pool of ``working`` bytes.
    pool = 45_000 * procedural.program.working
    whole = more.peak(None, False) - few.peak(None, False)
    assert whole == pytest.approx(2 * (sessions + pool), rel=0.1)
    # In tiles there are the content's and those that observe as well.
    tiles = more.peak(384, False) - few.peak(384, False)
    assert tiles > 1.5 * whole
    texture = [
        memory_model(procedural, 512, False, quality="paper", threads=n).peak(384, False)
        for n in (1, 2)
    ]
    assert texture[1] - texture[0] < tiles
    assert more.peak(384, True) < more.peak(384, False)


def test_masks_and_a_larger_style_are_counted(procedural: Model) -> None:
    plain = memory_model(procedural, 512, quality="paper", threads=2)
    masked = dataclasses.replace(plain, masks=[Header("content mask", (600, 450), 0, 0)] * 2)
    for way in ((None, False), (384, False), (384, True)):
        assert masked.peak(*way) > plain.peak(*way) + 10**7
    wide = dataclasses.replace(plain, styles=[Header("style image", (6000, 6000), 10**8, 10**8)])
    assert wide.peak(None, False) >= plain.peak(None, False) + 9 * 10**7


def test_a_draft_keeps_no_features_and_lays_at_full_size(procedural: Model) -> None:
    draft = memory_model(procedural, 512, quality="draft", threads=2)
    assert draft.features == 0
    assert memory_model(procedural, 512, quality="paper").features > 10**7
    larger = memory_model(procedural, 2048, quality="draft", threads=2)
    # What is looked at is bounded by the tile, what is laid is as large as the picture.
    laid = 12 * larger.canvas[0] * larger.canvas[1]
    assert laid < larger.peak(384, False) < larger.peak(None, False)
    assert larger.peak(384, True) < 0.6 * larger.peak(384, False)


def test_snapshots_are_kept_to_the_end_and_counted(procedural: Model) -> None:
    none = memory_model(procedural, 1024, quality="paper")
    ten = memory_model(procedural, 1024, quality="paper", snapshots=tuple(range(10)))
    painted = 10 * 12 * 1365 * 1024
    assert ten.peak(None, False) - none.peak(None, False) == pytest.approx(painted, rel=0.01)
    assert ten.disk - none.disk == pytest.approx(painted, rel=0.01)
    assert ten.peak(384, True) == none.peak(384, True)
