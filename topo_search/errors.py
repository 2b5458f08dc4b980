"""The one exception that means "the input was bad", understood by every command."""

from __future__ import annotations

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad input from a user: a file, a flag, a graph, a configuration entry.

    The message is one line that says what was wrong, what was expected and where. Commands print it and exit with
    status 2; the Python interface lets it through as a ``ValueError``.
    """
