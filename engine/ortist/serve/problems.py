"""What is answered where something is wrong: problem documents, RFC 9457."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from ..errors import OptionError, OrtistError
from .names import Names, status_of

__all__ = ["Problem", "refusal"]


class Problem(Exception):  # noqa: N818 - RFC 9457's word
    """An answer that is not what was asked for: status, sentence, headers."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = dict(headers or {})
        self.more = more

    @property
    def document(self) -> dict[str, Any]:
        """The members of the document; ``type`` is left at its default, about:blank."""
        title = HTTPStatus(self.status).phrase
        return {"title": title, "status": self.status, "detail": self.detail, **self.more}

    @property
    def response(self) -> Response:
        """The document as it is sent."""
        text = json.dumps(self.document).encode()
        return Response(text, self.status, self.headers, "application/problem+json")


def refusal(error: OrtistError, names: Names) -> Problem:
    """The problem that the library's error is to the caller."""
    if isinstance(error, OptionError) and isinstance(error.__cause__, OSError):
        return Problem(507, "the service has no room on its disk now; try again later.")
    return Problem(status_of(error), names.sentence(str(error)))
