"""The command: what the script ``ortist`` calls, and ``python -m ortist`` where that is missing."""

import sys


def main() -> None:
    """Imports the rest here, for Ctrl-C to leave no traceback meanwhile either."""
    try:
        from .cli import main as command
    except KeyboardInterrupt:
        print("ortist: interrupted.", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
