"""One evaluation after another, in this process."""

from __future__ import annotations

from collections import deque

from topo_search.executors.guard import guarded, to_finished
from topo_search.search.evaluate import Evaluator, Request
from topo_search.search.executor import Finished

__all__ = ["SerialExecutor"]


class SerialExecutor:
    """Runs each evaluation when it is waited for; it knows no limits of time and memory."""

    slots = 1

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._queue: deque[tuple[int, Request]] = deque()

    def submit(self, ticket: int, request: Request, *, memory_factor: float = 1.0) -> None:  # noqa: ARG002
        """Queue an evaluation."""
        self._queue.append((ticket, request))

    def wait(self, timeout: float | None = None) -> list[Finished]:  # noqa: ARG002
        """Run the first of the queue; nothing where it is empty."""
        if not self._queue:
            return []
        ticket, request = self._queue.popleft()
        return [to_finished(ticket, guarded(self._evaluator.evaluate, request))]

    def close(self) -> None:
        """Drop what is queued."""
        self._queue.clear()
