"""Kinds of values that options have: how each is read, what stands for it in usage texts.

What Python, a file or the command line gives is brought into one form, or refused with a sentence
that names the option.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from ..errors import OptionError
from .parsing import (
    LARGEST,
    LayerWeights,
    as_items,
    as_weight,
    parse_duration,
    parse_layers,
    parse_size,
    shown,
)

__all__ = [
    "DURATION",
    "FLAG",
    "FOLDER",
    "INIT",
    "ITERATIONS",
    "LAYERS",
    "MODEL",
    "NUMBER",
    "PLAIN_LAYERS",
    "SIZE",
    "SMALLEST",
    "STYLE_WEIGHTS",
    "TILE",
    "WHOLE",
    "Kind",
    "one_of",
]


@dataclasses.dataclass(frozen=True)
class Kind:
    """How the values of an option are read.

    ``parse(value, name)`` gives the form in which a value of the option called ``name`` is kept,
    and a value in that form back unchanged; it raises OptionError for anything else. ``metavar``
    stands for it in usage texts, but for a flag. ``literal`` makes a number of the command line's
    text, for kinds that take no text. ``low`` and ``high`` bound a number.
    """

    parse: Callable[[Any, str], Any]
    metavar: str | None = None
    literal: type[int] | type[float] | None = None
    low: float = -math.inf
    high: float = math.inf

    def within(self, low: float, high: float = LARGEST) -> Kind:
        """The kind with a range."""
        return dataclasses.replace(self, low=low, high=high)

    def read(self, value: Any, name: str) -> Any:
        """``parse(value, name)``, if it is within the range; raises OptionError."""
        kept = self.parse(value, name)
        if isinstance(kept, (int, float)) and not self.low <= kept <= self.high:
            open_ended = self.high == LARGEST and kept < self.low
            span = f"at least {self.low}" if open_ended else f"from {self.low} to {self.high}"
            raise OptionError(f"{name} {shown(kept)} is out of range; it should be {span}.")
        return kept


def one_of(*choices: Any) -> Kind:
    """The kind of values that are one of ``choices``, all of them words or all whole numbers."""
    whole = isinstance(choices[0], int)
    words = [str(choice) for choice in choices]

    def parse(value: Any, name: str) -> Any:
        if isinstance(value, Integral if whole else str):  # arrays, for one, cannot be compared
            for choice in choices:
                if value == choice:
                    return choice
        known = ", ".join(words)
        raise OptionError(f"there is no {name} {shown(value)}; choose one of {known}.")

    return Kind(parse, "|".join(words), int if whole else None)


def _real(value: Any, name: str) -> Real:
    """A number of Python or NumPy; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise OptionError(f"{name} should be a number, not {shown(value)}.")
    return value


def _whole(value: Any, name: str) -> int:
    number = _real(value, name)
    if not isinstance(number, Integral):
        raise OptionError(f"{name} should be a whole number, not {shown(value)}.")
    return int(number)


def _number(value: Any, name: str) -> float:
    number = _real(value, name)
    try:
        return float(number)
    except OverflowError:  # a whole number beyond float64
        return math.inf if value > 0 else -math.inf


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise OptionError(f"{name} cannot be {shown(value)}; give bool.")
    return value


def _or_words(parse: Callable[[Any, str], Any], words: Callable[[str], Any], metavar: str) -> Kind:
    """The kind of numbers that ``parse`` reads, or of text that ``words`` does."""
    return Kind(lambda v, name: words(v) if isinstance(v, str) else parse(v, name), metavar)


def _path(value: Any, name: str) -> str:
    """A path, or a name that may stand in its place."""
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(path, str):
        return path
    raise OptionError(f"{name} cannot be {shown(value)}; give str or None.")


def _init(value: Any, name: str) -> str:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(path, str) and path:
        return path
    words = "content, noise, gray, style or a picture's path"
    raise OptionError(f"there is no {name} {shown(value)}; give {words}.")


def _plain_layers(value: Any, name: str) -> LayerWeights:
    """Layers that have no weights of their own."""
    pairs = parse_layers(value)
    if pairs and pairs[0][1] is not None:
        raise OptionError(f"{name} take no weights of their own; give one by content_weight.")
    return pairs


def _iterations(value: Any, name: str) -> tuple[int, ...]:
    """``"0,100"`` or whole numbers -> the numbers in order, each once."""
    try:
        words = as_items(value)
        if all(isinstance(word, (str, Integral)) for word in words):
            return tuple(sorted({int(word) for word in words}))
    except (TypeError, ValueError):
        pass
    raise OptionError(f"cannot read the {name} {shown(value)}; write iterations, as in 0,100,199.")


def _style_weights(value: Any, _: str) -> tuple[float, ...]:
    """``"2,1"`` or numbers."""
    try:
        weights = tuple(as_weight(word) for word in as_items(value))
        if weights and not any(weights):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise OptionError(
            f"cannot read the style weights {shown(value)}; write a number for each style, not all "
            "of them 0, as in 2,1."
        ) from None
    return weights


def _side_or(none: str, for_none: str | None = None) -> Kind:
    """``"auto"``, the word for none, or a side in pixels, as a number or a word.

    ``for_none`` is what None stands for, where it stands for anything.
    """

    def parse(value: Any, name: str) -> int | str:
        if value is None and for_none is not None:
            return for_none
        if isinstance(value, str) and value in ("auto", none):
            return value
        try:
            if isinstance(value, str):
                return int(value if value.isascii() and value.isdecimal() else "")
            return _whole(value, name)
        except ValueError:  # an OptionError too; also for thousands of digits
            raise OptionError(
                f"cannot read the {name} {shown(value)}; give its side in pixels, auto or {none}."
            ) from None

    return Kind(parse, f"N|auto|{none}")


DURATION = _or_words(_number, parse_duration, "TIME")
FLAG = Kind(_flag)
FOLDER = Kind(_path, "FOLDER")
INIT = Kind(_init, "content|noise|gray|style|FILE")
ITERATIONS = Kind(_iterations, "N,N,…")
LAYERS = Kind(lambda value, _: parse_layers(value), "LAYERS")
MODEL = Kind(_path, "MODEL")
NUMBER = Kind(_number, "X", float)
PLAIN_LAYERS = Kind(_plain_layers, "LAYERS")
SIZE = _or_words(_whole, parse_size, "SIZE")
STYLE_WEIGHTS = Kind(_style_weights, "W,W,…")
SMALLEST = _side_or("none", "none")
TILE = _side_or("off")
WHOLE = Kind(_whole, "N", int)
