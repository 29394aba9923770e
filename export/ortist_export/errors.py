"""What can go wrong in the workshop.

ExportError            exit code 3: a bad input, said in one sentence
└── ExportUsageError   exit code 2: the command's words are off
"""

from __future__ import annotations

__all__ = ["ExportError", "ExportUsageError"]


class ExportError(Exception):
    """The message is one sentence that names the value and the remedy."""

    exit_code = 3


class ExportUsageError(ExportError):
    """The command's words are off, not the files that they name."""

    exit_code = 2
