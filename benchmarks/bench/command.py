"""What the commands of this folder share: how they read arguments, and their exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from topo_search.errors import InputError, RunFailedError

__all__ = ["command_parser", "cores", "exit_status", "positive", "say"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Bad input is one line, as everywhere in this project."""
        raise InputError(message)


def command_parser(prog: str, description: str | None, examples: str) -> argparse.ArgumentParser:
    """A parser that raises InputError on bad arguments and shows its description as it stands."""
    return _Parser(
        prog=prog,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def positive(text: str) -> int:
    """An integer of at least 1."""
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return value


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def say(text: str) -> None:
    """A line for people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def exit_status(
    run: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    arguments: Sequence[str] | None,
    *,
    interrupted: str = "interrupted",
) -> int:
    """Run a command; 0, or 1 for a run that failed, 2 for bad input, 130 after Ctrl-C, each with one line."""
    try:
        run(parser.parse_args(arguments))
    except InputError as error:
        say(f"error: {error}")
        return 2
    except RunFailedError as error:
        say(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        say(interrupted)
        return 130
    return 0
