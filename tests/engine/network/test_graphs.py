"""Bundles that are what their hashes say and still no model: refused before they are opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ortist.errors import ModelError
from ortist.network.bundle import load_model
from ortist.network.graphs import check_graph
from ortist_models import MANIFEST, SHIPPED

from tests.attacks.damage import damaged_json
from tests.attacks.graphs import hostile_graphs

GRAPHS = dict(hostile_graphs())
FOLDER = SHIPPED / "squeezenet1_1-procedural"


def test_the_shipped_models_graphs_pass() -> None:
    load_model(FOLDER).verify()


@pytest.mark.parametrize("what", GRAPHS)
def test_hostile_graphs_are_refused(what: str) -> None:
    with pytest.raises(ValueError, match="it"):
        check_graph(GRAPHS[what])


def test_damaged_manifests_are_refused_or_do_no_harm(tmp_path: Path) -> None:
    manifest = json.loads((FOLDER / MANIFEST).read_text())
    manifest["layers"], manifest["files"] = manifest["layers"][:2], {}
    manifest["program"]["segments"] = manifest["program"]["segments"][:1]
    manifest["program"]["exchanges"] = manifest["program"]["exchanges"][:1]
    manifest["taps"] = manifest["taps"][:2]
    path = tmp_path / MANIFEST
    for what, changed in damaged_json(manifest):
        path.write_text(json.dumps(changed))
        with pytest.raises(ModelError) as caught:
            load_model(tmp_path)
        assert len(str(caught.value)) < 1000, what


@pytest.mark.parametrize(
    ("field", "value"), [("channels", 0), ("channels", -1), ("channels", 10**9), ("stride", 0)]
)
def test_taps_out_of_range_are_refused(field: str, value: int, tmp_path: Path) -> None:
    manifest = json.loads((FOLDER / MANIFEST).read_text())
    manifest["taps"][0][field] = value
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="is not the manifest of an Ortist model"):
        load_model(tmp_path)


def test_shares_of_nothing_and_brackets_without_end_are_refused(tmp_path: Path) -> None:
    manifest = json.loads((FOLDER / MANIFEST).read_text())
    manifest["recipe"]["style_shares"] = dict.fromkeys(manifest["recipe"]["style_shares"], 0)
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="style shares are all 0"):
        load_model(tmp_path)
    (tmp_path / MANIFEST).write_text("[" * 60_000_000)
    with pytest.raises(ModelError, match="larger than one may be"):
        load_model(tmp_path)
    (tmp_path / MANIFEST).write_text("[" * 1_000_000)
    with pytest.raises(ModelError, match="RecursionError"):
        load_model(tmp_path)
