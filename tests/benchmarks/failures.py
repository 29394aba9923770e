"""What can go wrong with a benchmark that its user can mend."""

from __future__ import annotations

from ortist.errors import OrtistError
from ortist_export.errors import ExportError

__all__ = ["FAILURES", "exit_code"]

FAILURES = (OrtistError, ExportError)


def exit_code(error: BaseException) -> int:
    """The engine's and the workshop's errors have one each."""
    return int(getattr(error, "exit_code", 1))
