"""Words that stand for options: durations, sizes of memory, layers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

from ..errors import OptionError

__all__ = [
    "HEAVIEST",
    "Layer",
    "LayerWeights",
    "parse_duration",
    "parse_layers",
    "parse_size",
    "size_in_words",
]

Layer = int | str
"""A tap: torchvision's index into ``features`` or its name (``fire2``)."""
LayerWeights = tuple[tuple[Layer, float | None], ...]
"""(layer, weight) pairs; None stands for a balanced weight (balance.py)."""
HEAVIEST = 10**12
"""The largest weight: beyond it the gradient's square leaves float32."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGTkmgt]?)(i?)[Bb]?", re.ASCII)
_DURATION = re.compile(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s)?|([\d.]+)", re.ASCII)


def parse_duration(text: str) -> float:
    """``"20s"``, ``"2m"``, ``"1h30m"``, ``"90"`` -> seconds.

    Raises OptionError for anything else.
    """
    found = _DURATION.fullmatch(text.strip())
    try:
        if found is None or not any(found.groups()):
            raise ValueError(text)
        hours, minutes, seconds, plain = (float(part or 0) for part in found.groups())
    except ValueError:
        raise OptionError(
            f"cannot read the time {text!r}; write seconds, or as in 20s, 2m or 1h30m."
        ) from None
    return 3600 * hours + 60 * minutes + seconds + plain


def parse_size(text: str) -> int:
    """``"2GB"``, ``"1.5GiB"``, ``"800M"``, ``"800000000"`` -> bytes.

    Raises OptionError for anything else.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"cannot read the memory {text!r}; write bytes, or as in 2GB or 800MB.")
    number, prefix, binary = found.groups()
    power = " KMGT".index((prefix or " ").upper())
    return int(float(number) * (1024 if binary else 1000) ** power)


def size_in_words(size: float) -> str:
    """1.25 GB for 1250000000 bytes."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def parse_layers(value: Any) -> LayerWeights:
    """``"1:300000,fire3"``, ``[1, 4]`` or ``{1: 300000, "fire3": 1000}`` -> (layer, weight) pairs.

    Raises OptionError for what is no layer or no weight, and for layers named twice.
    """
    if isinstance(value, str):
        items: Iterable[Any] = [word.split(":", 1) for word in value.split(",") if word.strip()]
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, Iterable):
        items = value
    else:
        items = [value]
    pairs: list[tuple[Layer, float | None]] = []
    for item in items:
        parts = list(item) if isinstance(item, (tuple, list)) else [item]
        parts = parts or [""]
        layer = parts[0].strip() if isinstance(parts[0], str) else parts[0]
        if (
            isinstance(layer, str)
            and layer.removeprefix("-").isascii()
            and layer.removeprefix("-").isdigit()
        ):
            layer = int(layer)
        weight = parts[1] if len(parts) == 2 else None
        try:
            weight = None if weight is None else float(weight)
        except (TypeError, ValueError):
            weight = math.nan
        if isinstance(layer, Integral) and not isinstance(layer, bool):
            layer = int(layer)
        fine = isinstance(layer, (int, str)) and not isinstance(layer, bool) and len(parts) <= 2
        if not fine or layer == "" or (weight is not None and not 0 <= weight <= HEAVIEST):
            raise OptionError(
                f"cannot read the layer {item!r}; write an index or name, or one with a weight "
                f"from 0 to {HEAVIEST:g}, as in 1:300000,fire3:1000."
            )
        if layer in [known for known, _ in pairs]:
            raise OptionError(f"the layer {layer!r} is named twice; name it once.")
        pairs.append((layer, weight))
    weighted = {weight is None for _, weight in pairs}
    if len(weighted) > 1:
        raise OptionError(
            f"in {value!r} some layers have a weight and some do not; give all a weight, or none."
        )
    return tuple(pairs)
