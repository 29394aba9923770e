"""The graphs of products that the package ships."""

from __future__ import annotations

from pathlib import Path

from ortist_export.arithmetic import write_arithmetic
from ortist_models import ARITHMETIC, BEST, LOAD, PRODUCT, SHIPPED


def test_the_shipped_graphs_are_what_the_workshop_makes(tmp_path: Path) -> None:
    write_arithmetic(tmp_path)
    for name in (PRODUCT, BEST, LOAD):
        made = (tmp_path / ARITHMETIC / name).read_bytes()
        assert made == (SHIPPED / ARITHMETIC / name).read_bytes()
