"""libtiff, which Pillow decodes TIFFs with, kept from writing lines of its own to stderr.

What it finds wrong is raised by Pillow as well. Its handlers of messages are the process's, and
there are no others; so they are taken out for as long as Ortist decodes a picture, and put back.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
from collections.abc import Iterator
from typing import Any

__all__ = ["silent_libtiff"]

_HANDLERS = ("TIFFSetErrorHandler", "TIFFSetWarningHandler")


@contextlib.contextmanager
def silent_libtiff() -> Iterator[None]:
    """A block in which libtiff says nothing; one at a time.

    Where Pillow has libtiff within itself, as on Windows, its handlers are out of reach.
    """
    setters = _setters()
    before = [setter(None) for setter in setters]
    try:
        yield
    finally:
        for setter, handler in zip(setters, before, strict=True):
            setter(handler)


@functools.cache
def _setters() -> tuple[Any, ...]:
    """The functions that set a handler and return the one before."""
    try:
        library = ctypes.CDLL(importlib.import_module("PIL._imaging").__file__)
        setters = tuple(getattr(library, name) for name in _HANDLERS)
    except (OSError, AttributeError):
        return ()
    for setter in setters:
        setter.argtypes, setter.restype = (ctypes.c_void_p,), ctypes.c_void_p
    return setters
