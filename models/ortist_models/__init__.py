"""Where models are: those shipped in this package, and the model home that users export into.

A model is a folder, ``<name>/manifest.json`` with the ``.onnx`` files that it lists. This package
holds data; its only code answers where the folders are and what they are made of, for the workshop
that writes them and the engine that reads them. It imports nothing but the standard library.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = [
    "ARITHMETIC",
    "BEST",
    "EVERYTHING",
    "FEATURES",
    "FORMAT",
    "LARGEST_FILE",
    "LOAD",
    "MANIFEST",
    "PRODUCT",
    "SEGMENT",
    "SHIPPED",
    "SHIPPED_MODEL",
    "model_home",
]

FORMAT = 2
"""Version of the manifest's layout. A reader refuses versions that it does not know."""

EVERYTHING = 2**20
"""The receptive field, in pixels, of a feature that sees the whole picture, however large."""

LARGEST_FILE = 64 * 2**20
"""Bytes of one file of a model, at most; SqueezeNet's are 1 to 6 MB."""

MANIFEST = "manifest.json"
SEGMENT = "segment-{:02}.onnx"
"""A part of the program that gives losses' sums and pixel gradient, run one after the other."""

FEATURES = "features.onnx"
"""From the image to the taps in one graph, for features alone of a picture that is not cut."""

ARITHMETIC = "arithmetic"
PRODUCT, BEST, LOAD = "product.onnx", "best.onnx", "load.onnx"
"""Graphs that belong to no model, in the folder of that name in this package."""

SHIPPED = Path(__file__).resolve().parent
SHIPPED_MODEL = "squeezenet1_1-procedural"
"""The model that every installation has."""


def model_home() -> Path:
    """The folder of the user's own models: ``ORTIST_HOME``, else the platform's data directory."""
    given = os.environ.get("ORTIST_HOME")
    if given:
        return Path(given)
    try:
        home = Path.home()
    except RuntimeError:  # no HOME and no entry for this user: nothing can be there
        home = Path(os.devnull)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "ortist" / "models"
