"""How many evaluations go into one task of Ray."""

from __future__ import annotations

import math
import statistics
from collections import deque

from topo_search.search.evaluate import Request

__all__ = ["Pace"]

# A task costs driver, Ray and worker some milliseconds whatever is in it: a few percent of this.
TASK_SECONDS = 0.2
MOST = 16
REMEMBERED = 16


class Pace:
    """How long evaluations take lately.

    Those of milliseconds share a task; those that take longer than a tenth of a second have one each, so that a worker
    that is free takes what another would come to later. Medians, because the first evaluation of a worker takes many
    times as long as those after it.
    """

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=REMEMBERED)
        self._seconds_per_epoch: deque[float] = deque(maxlen=REMEMBERED)

    def note(self, request: Request, seconds: float) -> None:
        """An evaluation took so long on its worker, in s."""
        self._seconds.append(seconds)
        self._seconds_per_epoch.append(seconds / request.epochs)

    @property
    def evaluations(self) -> int:
        """How many make up a task, of those that are asked for lately; 1 to 16."""
        if not self._seconds:
            return 1
        return max(1, min(MOST, int(TASK_SECONDS / statistics.median(self._seconds))))

    def fit(self, requests: list[Request]) -> bool:
        """Whether requests make up no more than a task."""
        if not self._seconds:
            return False
        epochs = math.fsum(request.epochs for request in requests)
        return len(requests) <= MOST and epochs * statistics.median(self._seconds_per_epoch) <= TASK_SECONDS
