"""Atomic writes: what a killed writer leaves is known by its name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ortist.files import atomic_writer, is_temporary


@pytest.mark.parametrize("name", ["picture.png", "picture", "a.tar.gz"])
def test_unfinished_files_are_known_by_their_names(name: str, tmp_path: Path) -> None:
    with atomic_writer(tmp_path / name):
        (unfinished,) = os.listdir(tmp_path)
        assert is_temporary(unfinished)
    assert os.listdir(tmp_path) == [name]
    assert not is_temporary(name)
    assert not is_temporary(".ortist-batch.jsonl")
