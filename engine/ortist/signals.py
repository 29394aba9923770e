"""Signals that end the command: Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends.

While nothing is there to be kept each ends the process at once, with one line: an exception could
be lost within an import. Once pictures are painted they raise KeyboardInterrupt, and what was
reached is written.
"""

import _thread
import os
import signal
import sys
from types import FrameType

__all__ = ["ENDING", "end_at_once", "end_in_order", "end_no_more"]

ENDING = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_taken: list[int] = []
_SOON = 0.02
"""Seconds in which a callback is over."""


def end_at_once() -> None:
    """For the command's first line. What its parent had ignored, as by nohup, stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
            _taken.append(number)


def end_in_order() -> None:
    """For when there is something to be kept: KeyboardInterrupt from now on."""
    sys.unraisablehook = _once_more
    for number in _taken:
        signal.signal(number, signal.default_int_handler)


def end_no_more() -> None:
    """For when all is done and said: the process is about to end anyway."""
    for number in _taken:
        signal.signal(number, signal.SIG_IGN)


def _once_more(unraisable: "sys.UnraisableHookArgs") -> None:
    """Interrupts again where the exception came up in a callback or a finalizer, and was lost."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    import threading  # not before the first line

    timer = threading.Timer(_SOON, _thread.interrupt_main, _taken[:1])
    timer.daemon = True
    timer.start()


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"ortist: interrupted.\n")
    os._exit(130)
