"""The outcome of one check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

__all__ = ["Check", "Level", "Outcome", "one_line", "outcome_of"]

Level = Literal["ok", "warn", "FAIL"]
"""``warn``: a search runs, but not as well or as safely as it could; ``FAIL``: it does not, or cannot be trusted."""

Outcome = tuple[Level, str]
"""What a check found: how it is, and in words."""


@dataclass(frozen=True)
class Check:
    """A check that ran.

    Attributes:
        name: what was checked.
        level: how it is.
        detail: what was found, in one line.
    """

    name: str
    level: Level
    detail: str

    @property
    def ok(self) -> bool:
        """Whether a search can run in spite of it."""
        return self.level != "FAIL"


def one_line(error: BaseException) -> str:
    """What an exception says, in one line; its name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def outcome_of(name: str, check: Callable[[], Outcome]) -> Check:
    """Run one check; one that raises has failed, with the error as its detail."""
    try:
        level, detail = check()
    # Whatever a broken installation raises: the other checks are still wanted.
    except Exception as error:
        level, detail = "FAIL", one_line(error)
    return Check(name, level, " ".join(detail.split()))
