"""The command ``ortist``. Imports nothing heavy: ``ortist --help`` answers at once."""

from .main import main

__all__ = ["main"]
