"""The commands, and how errors become exit codes.

0 ok, 1 some of a batch failed, 2 usage, 3 bad input or model, 4 provider or memory, 5 diverged,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from .._version import __version__
from ..errors import OrtistError, ResourceError
from .commands import Command, Commands
from .streams import drop_stdout
from .telling import shortened, told_of_interruption
from .workshop import HANDED_ON

__all__ = ["app", "main"]

_APP: dict[str, Any] = {
    "rich_markup_mode": None,
    "add_completion": False,
    "pretty_exceptions_enable": False,
}
_HEADED = "arguments:HeadedCommand"
_COMMANDS = {
    "transfer": Command("paint:transfer", "paint:TransferCommand"),
    "invert": Command("paint:invert", _HEADED),
    "texture": Command("paint:texture", _HEADED),
    "batch": Command("batch:batch", _HEADED),
    "video": Command("video:video", _HEADED),
    "serve": Command("serve:serve", _HEADED),
    "worker-check": Command("cluster:worker_check"),
    "doctor": Command("system:doctor"),
    "export": Command("workshop:export", settings=HANDED_ON),
    "style": Command("style:app"),
    "models": Command("system:models"),
}
app = typer.Typer(
    cls=Commands(_COMMANDS, _APP).group(),
    help="Paint photos in the style of paintings, on ONNX Runtime and NumPy.",
    no_args_is_help=True,
    **_APP,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ortist {__version__}")
        raise typer.Exit


_Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]


@app.callback()
def _root(version: _Version = False) -> None:
    pass


def main() -> int:
    """The exit code. No traceback reaches the user for what the user can mend."""
    # NumPy's BLAS would start a thread for every CPU, whatever --threads says, and get in the way
    # of ONNX Runtime's: on busy cores its small products take ten times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A process may be started with closed streams; printing must not fail for that.
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - open to the end
    return _run()


def _run() -> int:
    try:
        code = app(prog_name="ortist", standalone_mode=False)
        sys.stdout.flush()
        if code == 130 and not told_of_interruption():
            return _fail("interrupted.", 130)
        return code if isinstance(code, int) else 0
    except OrtistError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted.", 130)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        from ..network.sessions import no_more_threads

        return _fail(str(no_more_threads()), ResourceError.exit_code)
    except ImportError as error:
        if "failed to map" not in str(error):
            raise
        return _fail("there is not enough memory to load NumPy; raise the limit (ulimit -v).", 4)
    except MemoryError:
        return _fail("there is not enough memory; give a smaller --size.", 4)
    except SystemExit as error:  # typer's own way out when the reader of stdout is gone
        drop_stdout()
        return 0 if error.code == 1 else int(error.code or 0)
    except OSError as error:
        drop_stdout()
        if isinstance(error, BrokenPipeError):
            return 0
        if error.filename is not None:
            return _fail(f"cannot use {error.filename!r} ({error.strerror}).", 2)
        return _fail(f"cannot write to standard output ({error.strerror}).", 2)
    except Exception as error:
        # click's usage errors, whose home differs between the versions of typer.
        show = getattr(error, "format_message", None)
        if show is None:
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "ortist"
        return _fail(f"{show().rstrip('.')}; see {path} --help.", getattr(error, "exit_code", 2))


def _fail(message: str, code: int) -> int:
    print(f"ortist: {shortened(message)}", file=sys.stderr)
    return code
