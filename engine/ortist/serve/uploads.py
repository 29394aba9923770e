"""Reading the form of a request: bounded while it streams, its pictures put into a job's folder."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

import anyio.to_thread
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from .folders import JobFolder
from .order import Sent
from .problems import Problem

__all__ = ["Form", "clean_name", "receive_form"]

_PATIENCE = 120.0
"""Seconds in which a body must have come."""
_FILES, _FIELDS, _FIELD_BYTES = 24, 80, 8192
_HELD, _FILES_HELD = 2**18, 4
"""Bytes of a file that are held in memory while it comes, and of how many files of a form."""
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f"<>|:*?;\\/\u2028\u2029\ud800-\udfff]')


@dataclass
class Form:
    """What a form holds: texts and pictures with their fields' names, in their order; its bytes."""

    parts: list[tuple[str, str | Sent]] = field(default_factory=list)
    size: int = 0

    @property
    def sent(self) -> list[Sent]:
        """The pictures."""
        return [part for _, part in self.parts if isinstance(part, Sent)]


class _Parser(MultiPartParser):
    """Starlette's parser, which holds little of a form in memory: many may come at once.

    A photo and a painting of usual size do not take the way over the disk, many files do.
    """

    def on_headers_finished(self) -> None:
        """At the beginning of a part: where it is to be kept."""
        self.spool_max_size = _HELD if self._current_files < _FILES_HELD else _HELD // 16
        super().on_headers_finished()


async def receive_form(
    request: Request, folder: JobFolder, max_upload: int, durable: bool = True
) -> Form:
    """The form of the request, its pictures in ``folder``, on the disk already if ``durable``.

    The folder is made once all of the form is there.

    Raises Problem: 400 for a damaged body, 408 for one that does not come to its end in two
    minutes, 413 for more than ``max_upload`` bytes, 415 for anything but multipart/form-data, 507
    for a full disk.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise Problem(
            415,
            "the request has to be a form of the type multipart/form-data, as curl -F sends it.",
            {"Accept-Post": "multipart/form-data"},
        )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_upload:
        raise _too_large(max_upload)
    form = Form()
    parser = _Parser(
        request.headers,
        _counted(request.stream(), form, max_upload),
        max_files=_FILES,
        max_fields=_FIELDS,
        max_part_size=_FIELD_BYTES,
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            data = await parser.parse()
    except TimeoutError:
        raise Problem(408, "the request did not come to its end in two minutes.") from None
    except MultiPartException as error:
        raise Problem(400, f"the form cannot be read ({error.message.rstrip('.')}).") from error
    except ClientDisconnect:
        raise Problem(400, "the request broke off.") from None
    except OSError as error:
        raise _no_room() from error
    try:
        await anyio.to_thread.run_sync(_take, data.multi_items(), form, folder, durable)
    except OSError as error:
        raise _no_room() from error
    finally:
        await data.close()
    return form


async def _counted(
    stream: AsyncIterator[bytes], form: Form, max_upload: int
) -> AsyncGenerator[bytes, None]:
    """The chunks of the body; raises Problem where there are too many bytes of them."""
    async for chunk in stream:
        form.size += len(chunk)
        if form.size > max_upload:
            raise _too_large(max_upload)
        yield chunk


def _no_room() -> Problem:
    return Problem(507, "the service has no room on its disk now; try again later.")


def _too_large(max_upload: int) -> Problem:
    return Problem(
        413,
        f"the request is larger than {max_upload} bytes, which is the limit here; send smaller "
        "pictures.",
    )


def _take(
    items: list[tuple[str, UploadFile | str]], form: Form, folder: JobFolder, durable: bool
) -> None:
    """Puts a form's items into ``form``, and files into the folder; raises OSError."""
    folder.make()
    for name, item in items:
        if isinstance(item, str):
            form.parts.append((name, item))
            continue
        number = len(form.sent) + 1
        sent = Sent(f"sent-{number}", clean_name(item.filename, f"picture-{number}"))
        with (folder.path / sent.file).open("wb") as stream:
            shutil.copyfileobj(item.file, stream, 2**20)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        form.parts.append((name, sent))


def clean_name(name: str | None, otherwise: str) -> str:
    """A caller's file name without folders and without what a header or a page could stumble on."""
    last = re.split(r"[\\/]", name or "")[-1]
    kept = "".join(c for c in _UNSAFE.sub("_", last) if c.isprintable()).strip(" .")
    return kept[-100:] or otherwise
