"""The two exceptions that every command understands: the input was bad, or the run failed."""

from __future__ import annotations

__all__ = ["InputError", "RunFailedError", "one_line"]

LONGEST = 900


def one_line(text: str) -> str:
    """Text as one printable line of bounded length, whatever a file has put into it.

    White space becomes single spaces; what a terminal would obey, turn around or not show is written as an escape; of a
    long text the beginning and the end are kept.
    """
    head, tail = LONGEST - 200, 150
    short = text if len(text) <= LONGEST else f"{text[:head]} ... {text[-tail:]}"
    words = " ".join(short.split())
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)
    return shown if len(shown) <= LONGEST else f"{shown[:head]} ... {shown[-tail:]}"


class InputError(ValueError):
    """Bad input from a user: a file, a flag, a graph, a configuration entry.

    The message is one line that says what was wrong, what was expected and where. Commands print it and exit with
    status 2; the Python interface lets it through as a ``ValueError``.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class RunFailedError(RuntimeError):
    """A run that was asked for rightly and could not be brought to an end.

    Commands print the message, one line, and exit with status 1.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))
