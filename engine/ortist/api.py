"""The functions of the package: each call has an Engine of its own, whose methods they are."""

from __future__ import annotations

from .engine import Calls, Engine
from .options.fields import Options

__all__ = ["extract_style", "invert", "iterate", "texture", "transfer"]


class _Package(Calls):
    """Every call makes an engine; the run that it sets up goes on when that is closed."""

    def _engine_for(self, options: Options) -> Engine:
        return Engine(options.model, options.provider, options.threads)


_package = _Package()
transfer, invert, texture = _package.transfer, _package.invert, _package.texture
iterate, extract_style = _package.iterate, _package.extract_style
