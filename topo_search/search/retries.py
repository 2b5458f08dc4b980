"""What follows when an evaluation is lost: our own policy, by class of failure.

| class | what follows |
|---|---|
| a node left the cluster | again: the evaluation is not to blame |
| a worker process died | again, three times in all; then FAIL, ``worker lost`` |
| out of memory | again with twice the memory; then FAIL, ``out of memory`` |
| it took longer than it may | FAIL, ``timed out`` |

What an evaluation returns is final: one that diverged, met bad input or a bug (with its traceback) is a function of
graph, epochs and seed, and would do so again.
"""

from __future__ import annotations

from collections import Counter

from topo_search.search.executor import Loss

__all__ = ["Retries"]

# How often an evaluation is begun in one session before its trial fails.
TRIES: dict[Loss, int] = {
    "worker lost": 3,
    # Not without end: a cluster whose nodes always die under one evaluation is telling something.
    "node lost": 20,
    "out of memory": 2,
    "timed out": 1,
}
MEMORY_GROWTH = 2.0


class Retries:
    """The losses of one evaluation in this session."""

    def __init__(self) -> None:
        self._losses: Counter[Loss] = Counter()

    def again(self, loss: Loss) -> bool:
        """Count a loss; whether the evaluation is to be begun again."""
        self._losses[loss] += 1
        return self._losses[loss] < TRIES[loss]

    @property
    def memory_factor(self) -> float:
        """How many times the memory of the first try the next one is given."""
        return MEMORY_GROWTH ** self._losses["out of memory"]
