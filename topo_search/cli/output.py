"""What commands print, and where: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

__all__ = ["INTERRUPTED", "interruptible", "notices", "print_json", "progress", "say"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def print_json(value: Any) -> None:
    """One object on standard output, for scripts."""
    print(json.dumps(value, allow_nan=False))


@contextmanager
def interruptible(folder: list[Path]) -> Iterator[None]:
    """Say how to go on after Ctrl-C, once the run's folder is known."""
    try:
        yield
    except KeyboardInterrupt:
        if folder:
            say(f"interrupted: what was finished is kept; go on with: python -m topo_search resume {folder[0]}")
            raise typer.Exit(INTERRUPTED) from None
        raise


@contextmanager
def progress(quiet: bool) -> Iterator[Any]:
    """A callback that shows progress, or ``None``."""
    if quiet:
        yield None
        return
    from topo_search.report.progress import show_progress

    with show_progress() as callback:
        yield callback


def say(text: str, *, quiet: bool = False) -> None:
    """A line for people; it goes to standard error so that ``--json`` output stays clean."""
    if not quiet:
        print(text, file=sys.stderr)


def notices(quiet: bool) -> Callable[[str], None] | None:
    """Where notices go."""
    return None if quiet else say
