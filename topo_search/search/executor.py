"""Where evaluations run, as the search sees it. The executors themselves live in ``topo_search.executors``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from topo_search.search.evaluate import Request
from topo_search.search.history import Evaluation

__all__ = ["Executor", "Finished"]


@dataclass(frozen=True)
class Finished:
    """An evaluation that ended, or was lost with its worker.

    Attributes:
        ticket: given by :meth:`Executor.submit`'s caller.
        evaluation: the result; ``None`` when the worker was lost and the evaluation may be tried again.
        detail: why it was lost.
    """

    ticket: int
    evaluation: Evaluation | None
    detail: str = ""


class Executor(Protocol):
    """Runs evaluations in any order; the search decides by proposal order, so the order never changes a result."""

    slots: int
    """How many evaluations may be submitted and not yet finished without one waiting for long."""

    def submit(self, ticket: int, request: Request) -> None:
        """Take an evaluation."""
        ...

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """Block until at least one submitted evaluation ended, at most ``timeout`` seconds; then all that ended."""
        ...

    def close(self) -> None:
        """Stop at once; unfinished evaluations are dropped."""
        ...
