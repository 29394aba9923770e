"""The version of Ortist, which pyproject.toml repeats."""

__all__ = ["__version__"]

__version__ = "0.1.0"
