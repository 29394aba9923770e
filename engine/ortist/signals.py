"""Signals that end the command: Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends.

While nothing is there to be kept each ends the process at once, with one line: an exception could
be lost within an import. Once pictures are painted they raise KeyboardInterrupt, and what was
reached is written.
"""

import os
import signal
from types import FrameType

__all__ = ["ENDING", "end_at_once", "end_in_order", "end_no_more"]

ENDING = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_taken: list[int] = []


def end_at_once() -> None:
    """For the command's first line. What its parent had ignored, as by nohup, stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
            _taken.append(number)


def end_in_order() -> None:
    """For when there is something to be kept: KeyboardInterrupt from now on."""
    for number in _taken:
        signal.signal(number, signal.default_int_handler)


def end_no_more() -> None:
    """For when all is done and said: the process is about to end anyway."""
    for number in _taken:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"ortist: interrupted.\n")
    os._exit(130)
