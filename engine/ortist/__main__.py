"""The command: what the script ``ortist`` calls, and ``python -m ortist`` where that is missing."""

import gc
import os
import sys

from .signals import end_at_once, end_no_more


def main() -> None:
    """Sees to signals, before anything heavy is imported, then loads the rest and runs it."""
    if getattr(sys, "frozen", False):  # one program for all processes, as PyInstaller makes it
        import multiprocessing

        multiprocessing.freeze_support()
    end_at_once()
    # What is imported and built at a start is kept: to look through it for cycles after each 700
    # objects, as Python does, takes a twentieth of a draft.
    gc.set_threshold(50_000, 20, 50)
    from .cli import main as command

    code = command()
    end_no_more()
    _leave(code)


def _leave(code: int) -> None:
    """Ends the process once what was registered for its end is done.

    To take down every module and all that ONNX Runtime holds, as an interpreter does, takes 0.1 s
    of a draft's 1.4, and the system has it back either way.
    """
    import atexit  # not before the signals are seen to

    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it, or it is closed
            code = code or 1
    os._exit(code)


if __name__ == "__main__":
    main()
