"""Runs a command and turns what it raises into one line and an exit status."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import typer

from topo_search.cli.app import app
from topo_search.cli.output import INTERRUPTED, StoppedError, say
from topo_search.errors import InputError, RunFailedError, one_line

__all__ = ["main"]


def _fail(message: str) -> NoReturn:
    say(f"error: {one_line(message)}")
    sys.exit(2)


def _usage(error: Any) -> str:
    """What the parser says of a command line, and the value that it could not read."""
    from pydantic import ValidationError

    message = str(error.format_message())
    if not isinstance(error.__cause__, ValidationError):
        return message
    return f"{message}, got {error.__cause__.errors()[0]['input']!r}"


def _output_failure() -> OSError | None:
    """Why standard output cannot be written to, if so; what waits to be written is dropped then."""
    try:
        # An unbuffered stream has nothing left to flush.
        print(flush=True)
    except OSError as error:
        # The interpreter would try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error
    return None


def main() -> None:
    """Run a command; bad input is one line on standard error and exit status 2, a failed run 1."""
    try:
        # Not standalone: the usage errors of the parser shall be one line too.
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except InputError as error:
        _fail(str(error))
    except RunFailedError as error:
        say(f"failed: {one_line(str(error))}")
        sys.exit(1)
    except StoppedError as error:
        sys.exit(error.status)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except OSError as error:
        failure = _output_failure()
        if failure is None:
            raise
        if not isinstance(error, BrokenPipeError):
            say(f"failed: standard output cannot be written to: {failure.strerror}")
        sys.exit(1)
    except Exception as error:
        # Typer has its own copy of its parser, whose exceptions have no public name: all of them format themselves.
        if not hasattr(error, "format_message"):
            raise
        _fail(_usage(error))
    if status == INTERRUPTED:
        # By Ctrl-C outside of a run, which the parser turns into a status.
        say("interrupted")
    sys.exit(status if isinstance(status, int) else 0)
