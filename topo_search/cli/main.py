"""Runs a command and turns what it raises into one line and an exit status."""

from __future__ import annotations

import sys
from typing import NoReturn

import typer

from topo_search.cli.app import app
from topo_search.cli.output import INTERRUPTED, say
from topo_search.errors import InputError, RunFailedError

__all__ = ["main"]


def _fail(message: str) -> NoReturn:
    say("error: " + " ".join(message.split()))
    sys.exit(2)


def main() -> None:
    """Run a command; bad input is one line on standard error and exit status 2, a failed run 1."""
    try:
        # Not standalone: the usage errors of the parser shall be one line too.
        status = app(standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except RunFailedError as error:
        say(f"failed: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Typer has its own copy of its parser, whose exceptions have no public name: all of them format themselves.
        if not hasattr(error, "format_message"):
            raise
        _fail(error.format_message())
    sys.exit(status if isinstance(status, int) else 0)
