"""The command: what the script ``ortist`` calls, and ``python -m ortist`` where that is missing."""

import sys

from .signals import end_at_once, end_no_more


def main() -> None:
    """Sees to signals, before anything heavy is imported, then loads the rest and runs it."""
    if getattr(sys, "frozen", False):  # one program for all processes, as PyInstaller makes it
        import multiprocessing

        multiprocessing.freeze_support()
    end_at_once()
    from .cli import main as command

    code = command()
    end_no_more()
    sys.exit(code)


if __name__ == "__main__":
    main()
