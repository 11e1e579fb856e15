"""The command line: `tradewarden`, one module a group of commands.

Always true here: nothing heavy is imported before a command needs it, no secret is taken from an argument (other users
of the machine see those), untrusted text is cleaned before it reaches a terminal, and no failure shows a traceback.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path


def main() -> None:
    """Run the command line and exit with a documented code (`tradewarden.cli.exit_codes`)."""
    _open_standard_streams()
    from tradewarden.cli.exit_codes import ExitCode, exit_code
    from tradewarden.cli.root import app
    from tradewarden.errors import TradewardenError

    try:
        app()
    except TradewardenError as error:
        _fail(error.detail, exit_code(error))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or type(error).__name__}", ExitCode.FAILED)
    except Exception as error:  # noqa: BLE001 - a traceback helps nobody at a prompt, and may quote a secret
        what = f"this should not have happened: {type(error).__name__} in {_place(error)}; please report it"
        _fail(what, ExitCode.FAILED)


def _open_standard_streams() -> None:
    """Lead those that were closed into nothing, so that no file of ours gets their number and their text."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # each gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a letter that the terminal's encoding lacks stops nothing


def _fail(message: str, code: int) -> None:
    from tradewarden.cli.terminal import clean

    sys.stderr.write(f"tradewarden: {clean(message, lines=True)}\n")
    sys.exit(code)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "an unknown place" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
