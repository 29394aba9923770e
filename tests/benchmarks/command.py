"""Runs a benchmark's ``main``: what a user can mend ends in one sentence, as in the command."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from .failures import FAILURES, exit_code

__all__ = ["run"]


def run(main: Callable[..., None]) -> None:
    """Exits with the error's own code (errors.py)."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app()
    except FAILURES as error:
        print(error, file=sys.stderr)
        sys.exit(exit_code(error))
