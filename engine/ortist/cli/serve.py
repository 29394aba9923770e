"""``ortist serve``: the HTTP service and its page; it needs the extra ``serve``."""

from __future__ import annotations

import enum
import importlib.util
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import OptionError, ResourceError
from ..options.declaring import Heading
from ..options.parsing import parse_duration, parse_size

__all__ = ["serve"]

_NEEDED = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
"""Modules of the extra, with the names of their packages."""


class _Log(enum.StrEnum):
    """The forms of the log."""

    TEXT = "text"
    JSON = "json"


def _told(heading: Heading, help: str, name: str, metavar: str | None, **more: Any) -> Any:
    """An option that is also read from the environment, for containers."""
    variable = "ORTIST_SERVE_" + name.removeprefix("--").replace("-", "_").upper()
    return typer.Option(
        name, help=help, metavar=metavar, envvar=variable, rich_help_panel=heading, **more
    )


_FIRST, _MEMORY, _OUTPUT = Heading.FIRST, Heading.MEMORY, Heading.OUTPUT


def serve(
    host: Annotated[
        str, _told(_FIRST, "Address to listen at; 0.0.0.0 for every one.", "--host", "ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        _told(_FIRST, "Port to listen at; 0 for any free one.", "--port", "N", min=0, max=65535),
    ] = 8000,
    jobs: Annotated[
        int,
        _told(
            _MEMORY,
            "Processes that paint, among which --threads are divided.",
            "--jobs",
            "N",
            min=1,
            max=256,
        ),
    ] = 1,
    threads: Annotated[
        int | None,
        _told(
            _MEMORY,
            "CPU threads in all. Without it, as many as this process may use.",
            "--threads",
            "N",
            min=1,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        _told(
            _FIRST,
            "Folder for the queue and the results. Without it, ~/.local/state/ortist/serve.",
            "--state",
            "FOLDER",
        ),
    ] = None,
    max_upload: Annotated[
        str, _told(_MEMORY, "Bytes that one request may send.", "--max-upload", "SIZE")
    ] = "32MB",
    max_pixels: Annotated[
        int,
        _told(_MEMORY, "Refuse pictures with more pixels than this.", "--max-pixels", "N", min=256),
    ] = 50_000_000,
    max_size: Annotated[
        int, _told(_MEMORY, "The largest size that may be asked for.", "--max-size", "N", min=16)
    ] = 2048,
    max_queue: Annotated[
        int, _told(_MEMORY, "Jobs that may wait; more are refused.", "--max-queue", "N", min=1)
    ] = 64,
    max_each: Annotated[
        int | None,
        _told(
            _MEMORY,
            "Of these, jobs that one address may have. Without it, all.",
            "--max-each",
            "N",
            min=1,
        ),
    ] = None,
    max_disk: Annotated[
        str,
        _told(
            _OUTPUT,
            "Bytes that results may take; beyond them the oldest go.",
            "--max-disk",
            "SIZE",
        ),
    ] = "4GB",
    keep: Annotated[
        str, _told(_OUTPUT, "How long results are kept, as in 90m or 24h.", "--keep", "TIME")
    ] = "24h",
    token_file: Annotated[
        Path | None,
        _told(
            _FIRST,
            "File whose first line every caller must show as a bearer token.",
            "--token-file",
            "FILE",
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        _told(
            _FIRST,
            "A host name that callers without a token may use, besides addresses, localhost and "
            "this machine's name; repeatable.",
            "--name",
            "HOST",
        ),
    ] = None,
    styles: Annotated[
        Path | None,
        _told(
            _FIRST,
            "Folder of paintings and style files that callers may name.",
            "--styles",
            "FOLDER",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        _told(
            _MEMORY,
            "Address of a Dask scheduler, as in tcp://host:8786, whose workers paint: --jobs of "
            "them at a time, with --threads each, without it 1. Needs the extra cluster.",
            "--scheduler",
            "ADDRESS",
        ),
    ] = None,
    log: Annotated[
        _Log, _told(_OUTPUT, "Form of the log's lines on stderr.", "--log", None)
    ] = _Log.TEXT,
    open_page: Annotated[
        bool, _told(_FIRST, "Open the page in a browser when it is ready.", "--open", None)
    ] = False,
) -> None:
    """Paint for whoever asks by HTTP, and show a page to drop a photo on.

    Needs the extra: pip install 'ortist[serve]'. Prints one line when it is ready. Ctrl-C or
    SIGTERM ends it within 10 seconds; jobs that were accepted go on when it is started again.
    """
    missing = [name for module, name in _NEEDED.items() if not _is_there(module)]
    if missing:
        raise ResourceError(
            f"ortist serve needs {', '.join(missing)}; install the extra that brings it: pip "
            "install 'ortist[serve]'"
        )
    from ..serve.configuration import Configuration, default_state, read_token

    configuration = Configuration(
        state=default_state() if state is None else Path(os.path.abspath(state)),
        host=host,
        port=port,
        jobs=jobs,
        threads=threads,
        max_upload=_at_least(1000, "--max-upload", parse_size(max_upload)),
        max_pixels=max_pixels,
        max_size=max_size,
        max_queue=max_queue,
        max_disk=parse_size(max_disk),
        keep=_at_least(1, "--keep", parse_duration(keep)),
        token=None if token_file is None else read_token(token_file),
        styles=styles,
        log=log.value,
        scheduler=scheduler,
        names=tuple(name or ()),
        max_each=max_each,
    )
    # Here, not above: it takes a third of a second that the checks before need not wait for.
    from ..serve.server import serve as run

    run(configuration, open_page=open_page)


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _at_least(least: int, name: str, value: Any) -> Any:
    if value < least:
        raise OptionError(f"{name} {value} is out of range; it should be at least {least}.")
    return value
