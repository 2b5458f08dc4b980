"""One evaluation after another, in this process."""

from __future__ import annotations

from collections import deque

from topo_search.search.evaluate import Evaluator, Request
from topo_search.search.executor import Finished

__all__ = ["SerialExecutor"]


class SerialExecutor:
    """Runs each evaluation when it is waited for."""

    slots = 1

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._queue: deque[tuple[int, Request]] = deque()

    def submit(self, ticket: int, request: Request) -> None:
        """Queue an evaluation."""
        self._queue.append((ticket, request))

    def wait(self, timeout: float | None = None) -> list[Finished]:  # noqa: ARG002
        """Run the first of the queue; an error in it passes through."""
        ticket, request = self._queue.popleft()
        return [Finished(ticket, self._evaluator.evaluate(request))]

    def close(self) -> None:
        """Drop what is queued."""
        self._queue.clear()
