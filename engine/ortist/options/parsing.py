"""Words that stand for values of options: durations, sizes of memory, layers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from ..errors import OptionError

__all__ = [
    "HEAVIEST",
    "LARGEST",
    "Layer",
    "LayerWeights",
    "as_items",
    "as_weight",
    "parse_duration",
    "parse_layers",
    "parse_size",
    "shown",
    "size_in_words",
]

Layer = int | str
"""A tap: torchvision's index into ``features`` or its name (``fire2``)."""
LayerWeights = tuple[tuple[Layer, float | None], ...]
"""(layer, weight) pairs; None stands for a balanced weight (objective/weights.py)."""
LARGEST = 2**63 - 1
"""The largest whole number of TOML."""
HEAVIEST = 10**12
"""The largest weight: beyond it the gradient's square leaves float32."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGTkmgt]?)(i?)[Bb]?", re.ASCII)
_DURATION = re.compile(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?|([\d.]+)", re.ASCII)


def shown(value: Any, most: int = 80) -> str:
    """``value`` as messages echo it: its repr on one line, cut at ``most``; without, its type."""
    try:
        text = re.sub(r"\s*\n\s*", " ", repr(value))
    except Exception:  # whatever the value's own class raises
        text = f"<{type(value).__name__}>"
    return text if len(text) <= most else f"{text[: most - 1]}…"


def size_in_words(size: float) -> str:
    """1.25 GB for 1250000000 bytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def parse_duration(text: str) -> float:
    """``"20s"``, ``"2m"``, ``"1h30m"``, ``"90"`` -> seconds; OptionError for anything else."""
    match = _DURATION.fullmatch(text.strip())
    try:
        if match is None or not any(match.groups()):
            raise ValueError(text)
        hours, minutes, seconds, plain = (float(part or 0) for part in match.groups())
    except ValueError:
        raise OptionError(
            f"cannot read the time {shown(text)}; write seconds, or as in 20s, 2m or 1h30m."
        ) from None
    return 3600 * hours + 60 * minutes + seconds + plain


def parse_size(text: str) -> int:
    """``"2GB"``, ``"1.5GiB"``, ``"800M"``, ``"800000000"`` -> bytes; OptionError for others."""
    match = _SIZE.fullmatch(text.strip())
    try:
        if match is None:
            raise ValueError(text)
        number, prefix, binary = match.groups()
        power = " KMGT".index((prefix or " ").upper())
        return int(float(number) * (1024 if binary else 1000) ** power)
    except (ValueError, OverflowError):
        raise OptionError(
            f"cannot read the memory {shown(text)}; write bytes, or as in 2GB or 800MB."
        ) from None


def parse_layers(value: Any) -> LayerWeights:
    """``"1:300000,fire3"``, ``[1, 4]`` or ``{1: 300000, "fire3": 1000}`` -> (layer, weight) pairs.

    Raises OptionError for what is no layer or no weight, and for layers named twice.
    """
    if isinstance(value, str):
        items: list[Any] = [word.split(":", 1) for word in value.split(",") if word.strip()]
    elif isinstance(value, Mapping):
        items = list(value.items())
    else:
        try:
            items = as_items(value)
        except TypeError:
            items = [value]
    pairs: list[tuple[Layer, float | None]] = []
    for item in items:
        try:
            layer, weight = _layer(item)
        except (TypeError, ValueError, OverflowError):
            raise OptionError(
                f"cannot read the layer {shown(item)}; write an index or name, or one with a "
                f"weight from 0 to {HEAVIEST:g}, as in 1:300000,fire3:1000."
            ) from None
        if layer in [known for known, _ in pairs]:
            raise OptionError(f"the layer {shown(layer)} is named twice; name it once.")
        pairs.append((layer, weight))
    if len({weight is None for _, weight in pairs}) > 1:
        raise OptionError(
            f"in {shown(value)} some layers have a weight and some do not; give all a weight, or "
            "none."
        )
    return tuple(pairs)


def _layer(item: Any) -> tuple[Layer, float | None]:
    """A layer, or a layer and its weight; raises TypeError, ValueError or OverflowError."""
    layer, *rest = item if isinstance(item, (tuple, list)) else [item]
    if len(rest) > 1:
        raise ValueError
    weight = None if not rest or rest[0] is None else as_weight(rest[0])
    if isinstance(layer, str):
        layer = layer.strip()
        digits = layer.removeprefix("-")
        if layer and not (digits.isascii() and digits.isdigit()):
            return layer, weight
    elif isinstance(layer, bool) or not isinstance(layer, Integral):
        raise TypeError
    index = int(layer)
    if abs(index) > LARGEST:
        raise ValueError
    return index, weight


def as_items(value: Any) -> list[Any]:
    """The words between the commas of a text, or what is in a list, array or other iterable.

    Raises TypeError for bytes, for mappings, and for what cannot be iterated over.
    """
    if isinstance(value, str):
        return value.split(",")
    whole = isinstance(value, (bytes, bytearray, memoryview, Mapping))
    if whole or not isinstance(value, Iterable):
        raise TypeError
    return list(value)


def as_weight(word: Any) -> float:
    """The weight that a number or a text is, from 0 to HEAVIEST.

    Raises TypeError, ValueError or OverflowError for anything else.
    """
    if not isinstance(word, (str, Real)):
        raise TypeError
    weight = float(word)
    if 0 <= weight <= HEAVIEST:
        return weight
    raise ValueError
