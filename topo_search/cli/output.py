"""What commands print, and where: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = [
    "INTERRUPTED",
    "TERMINATED",
    "StoppedError",
    "interruptible",
    "notices",
    "print_json",
    "progress",
    "resume_command",
    "say",
]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""
TERMINATED = 143
"""Exit status after SIGTERM, which is how schedulers take back a machine."""


class StoppedError(Exception):
    """A signal has ended a command, and the person was told.

    Attributes:
        status: of the exit.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"exit status {status}")
        self.status = status


def resume_command(folder: Path) -> str:
    """What goes on with a run, for a shell to read."""
    return f"python -m topo_search resume {shlex.quote(str(folder))}"


def print_json(value: Any) -> None:
    """One object on standard output, for scripts."""
    print(json.dumps(value, allow_nan=False))


@contextmanager
def interruptible(folder: list[Path]) -> Iterator[None]:
    """Say how to go on after Ctrl-C or SIGTERM, once the run's folder is known.

    Raises:
        StoppedError: then.
    """
    terminated: list[int] = []

    def terminate(number: int, _: FrameType | None) -> None:
        terminated.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt:
        word, status = ("terminated", TERMINATED) if terminated else ("interrupted", INTERRUPTED)
        if folder:
            say(f"{word}: what was finished is kept; go on with: {resume_command(folder[0])}")
        else:
            say(word)
        raise StoppedError(status) from None
    finally:
        signal.signal(signal.SIGTERM, before)


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
