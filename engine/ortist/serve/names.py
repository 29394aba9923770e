"""The library's errors as callers are told them: the status, and sentences in their own names.

The sentences are those of the command. Paths of this machine never leave it: ``Names`` puts the
caller's names of pictures into the place of the files that the service keeps them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from ..errors import ModelError, OrtistError, OutputError, ResourceError

__all__ = ["Names", "status_of"]


def status_of(error: OrtistError) -> int:
    """The HTTP status for what the library refuses.

    What a caller can mend is 422; a disk without room is 507; the rest is the service's own, 503.
    """
    if isinstance(error, OutputError):
        return HTTPStatus.INSUFFICIENT_STORAGE
    if isinstance(error, (ModelError, ResourceError)):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.UNPROCESSABLE_ENTITY


class Names:
    """The caller's names of the files that stand for what it sent, by their paths here."""

    def __init__(self, names: Mapping[str, str], folder: str) -> None:
        self._names, self._folder = dict(names), folder

    def sentence(self, text: str) -> str:
        """``text`` with the caller's names in it, and without the folder of the service."""
        for path, name in sorted(self._names.items(), key=lambda pair: -len(pair[0])):
            text = text.replace(path, name)
        return text.replace(self._folder + "/", "").replace(self._folder, "the service")
