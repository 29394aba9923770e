"""Damaged JSON: every field of a value in turn left out, or something else in its place."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

__all__ = ["ODD", "damaged_json"]

ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 10**9, 2**63, 10**30, 0.5, float("nan"), float("inf")),
    *("", "x", "\0", [], {}, [[]], {"a": {}}),
)
"""What stands where something else should."""


def damaged_json(value: Any) -> Iterator[tuple[str, Any]]:
    """(what was done, the damaged copy) for every field of ``value``, JSON, at any depth."""
    for path in _paths(value):
        for odd in ODD:
            yield f"{'/'.join(map(str, path))} = {odd!r}", _with(value, path, odd)
        yield f"{'/'.join(map(str, path))} is missing", _with(value, path)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list)):
            yield from _paths(item, (*path, key))


def _with(value: Any, path: tuple[Any, ...], *odd: Any) -> Any:
    """A copy with ``odd`` at ``path``, or nothing there."""
    changed = copy.deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    if odd:
        place[path[-1]] = odd[0]
    else:
        del place[path[-1]]
    return changed
