"""What ``ortist serve`` is told: where it listens, what it keeps where, what it refuses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import OptionError
from ..files import check_writable

__all__ = ["Configuration", "default_state", "read_token"]

_SHORTEST_TOKEN = 16
"""Characters: a shorter token could be guessed."""


@dataclass(frozen=True)
class Configuration:
    """All settings of one service.

    ``jobs`` worker processes share ``threads`` (None: all that this process may use). Sizes are in
    bytes, ``keep`` is in seconds. ``max_pixels`` bounds what pictures that are sent may have,
    ``max_size`` the shorter side of what is painted. ``max_disk`` bounds the files under ``state``:
    beyond it the oldest results go before their time. ``token`` is what a caller must show, None
    where anybody may call. ``scheduler`` is the address of a Dask scheduler whose workers paint in
    the place of processes here. ``names`` are further ones that callers without a token may call it
    by; ``max_each`` bounds the jobs of one caller's address that have not ended.
    """

    state: Path
    host: str = "127.0.0.1"
    port: int = 8000
    jobs: int = 1
    threads: int | None = None
    max_upload: int = 32_000_000
    max_pixels: int = 50_000_000
    max_size: int = 2048
    max_queue: int = 64
    max_disk: int = 4_000_000_000
    keep: float = 86_400.0
    token: str | None = None
    styles: Path | None = None
    log: Literal["text", "json"] = "text"
    scheduler: str | None = None
    names: tuple[str, ...] = ()
    max_each: int | None = None

    def __post_init__(self) -> None:
        if self.styles is not None and not self.styles.is_dir():
            raise OptionError(
                f"there is no folder of styles {str(self.styles)!r}; name one that exists by "
                "--styles, or leave it out."
            )
        if self.max_disk < 4 * self.max_upload:
            raise OptionError(
                f"--max-disk {self.max_disk} has no room for four uploads of {self.max_upload} "
                "bytes (--max-upload); raise it, or lower that."
            )

    def prepare_state(self) -> None:
        """Makes the state folder, for this user alone; raises OptionError where it cannot be.

        Pictures that strangers sent are in it.
        """
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(
                f"cannot make the state folder {str(self.state)!r} ({error.strerror}); name "
                "another by --state."
            ) from error
        check_writable(self.state / "state")


def default_state() -> Path:
    """The folder for what the service keeps where none is named: the user's own, by XDG's rules.

    Raises OptionError where the user has no home.
    """
    base = os.environ.get("XDG_STATE_HOME")
    if base:
        return Path(base) / "ortist" / "serve"
    try:
        return Path.home() / ".local" / "state" / "ortist" / "serve"
    except RuntimeError as error:
        raise OptionError(
            "there is no home folder to keep the service's state in; name one by --state."
        ) from error


def read_token(path: Path) -> str:
    """The first line of the file; raises OptionError for one that is unreadable or too short."""
    try:
        with path.open(encoding="ascii") as stream:
            token = stream.readline(4096).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not ASCII"
        raise OptionError(f"cannot read the token file {str(path)!r} ({reason}).") from error
    if len(token) < _SHORTEST_TOKEN or not token.isprintable() or " " in token:
        raise OptionError(
            f"the first line of {str(path)!r} is no token; write at least {_SHORTEST_TOKEN} "
            "characters without spaces, such as openssl rand -hex 32 prints."
        )
    return token
