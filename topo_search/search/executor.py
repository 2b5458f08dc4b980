"""Where evaluations run, as the search sees it. The executors themselves live in ``topo_search.executors``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from topo_search.search.evaluate import Request
from topo_search.search.history import Evaluation

__all__ = ["Executor", "Finished", "Loss"]

Loss = Literal["worker lost", "node lost", "out of memory", "timed out"]
"""Why an evaluation ended without a result; :mod:`topo_search.search.retries` says what follows from each."""


@dataclass(frozen=True)
class Finished:
    """An evaluation that ended, or was lost.

    Attributes:
        ticket: given by :meth:`Executor.submit`'s caller.
        evaluation: the result, also of one that failed for a reason of its own; ``None`` when it was lost.
        loss: how it was lost; ``None`` where there is a result.
        detail: more on that, for people.
    """

    ticket: int
    evaluation: Evaluation | None
    loss: Loss | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        if (self.evaluation is None) == (self.loss is None):
            raise ValueError("expected either a result or how it was lost")


class Executor(Protocol):
    """Runs evaluations in any order; the search decides by proposal order, so the order never changes a result."""

    @property
    def slots(self) -> int:
        """How many evaluations may be submitted and not yet finished without one waiting for long.

        It may change while nodes of a cluster come and go.
        """
        ...

    def submit(self, ticket: int, request: Request, *, memory_factor: float = 1.0) -> None:
        """Take an evaluation, with so many times the memory that one is given at first."""
        ...

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """Block until at least one submitted evaluation ended, at most ``timeout`` seconds; then all that ended."""
        ...

    def close(self) -> None:
        """Stop at once; unfinished evaluations are dropped."""
        ...
