"""The two exceptions that every command understands: the input was bad, or the run failed."""

from __future__ import annotations

__all__ = ["InputError", "RunFailedError"]


class InputError(ValueError):
    """Bad input from a user: a file, a flag, a graph, a configuration entry.

    The message is one line that says what was wrong, what was expected and where. Commands print it and exit with
    status 2; the Python interface lets it through as a ``ValueError``.
    """


class RunFailedError(RuntimeError):
    """A run that was asked for rightly and could not be brought to an end.

    Commands print the message, one line, and exit with status 1.
    """
