"""Signals that end the command: Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends.

While nothing is there to be kept each ends the process at once, with one line: an exception could
be lost within an import. Once pictures are painted they raise KeyboardInterrupt, and what was
reached is written.
"""

import _thread
import os
import signal
import sys
import time
from types import FrameType

__all__ = ["ENDING", "end_at_once", "end_in_order", "end_no_more"]

ENDING = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_taken: list[int] = []
_SOON = 0.02
"""Seconds in which a callback is over, or a lock given back."""
_WAITING = ("join", "_wait_for_tstate_lock")
"""Functions of ``threading`` in which a thread may stay for long, and which hold nothing."""


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
        signal.signal(number, _interrupt)


def end_no_more() -> None:
    """For when all is done and said: the process is about to end anyway."""
    for number in _taken:
        signal.signal(number, signal.SIG_IGN)


def _once_more(unraisable: "sys.UnraisableHookArgs") -> None:
    """Interrupts again where the exception came up in a callback or a finalizer, and was lost."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    _interrupt_soon(_taken[0])


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raises KeyboardInterrupt, as soon as that leaves no lock behind.

    Python's conditions, and all that is made of them (futures, queues, events), are taken and given
    back by lines of Python. An exception between two of them leaves the lock taken, and whoever
    waits for it waits for ever.
    """
    if frame is None or not _takes_a_lock(frame):
        raise KeyboardInterrupt
    _interrupt_soon(number)


def _takes_a_lock(frame: FrameType) -> bool:
    """Whether the line that runs is one of the library's own that take or give back a lock."""
    if os.path.basename(frame.f_code.co_filename) != "threading.py":
        return False
    if frame.f_code.co_name == "wait":  # within what gives the lock back whatever comes?
        return "gotit" not in frame.f_locals
    return frame.f_code.co_name not in _WAITING


def _interrupt_soon(number: int) -> None:
    def interrupt() -> None:
        time.sleep(_SOON)
        _thread.interrupt_main(signal.Signals(number))

    _thread.start_new_thread(interrupt, ())  # a Thread would take a lock that may be taken


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"ortist: interrupted.\n")
    os._exit(130)
