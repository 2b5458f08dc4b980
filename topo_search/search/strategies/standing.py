"""Scored trials in order of merit, kept up while a history grows."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable

from topo_search.search.history import History, Trial
from topo_search.search.strategies.following import Follower

__all__ = ["Standing"]

_Key = tuple[int, float, int]


class Standing:
    """The candidates of a history by rung, within a rung by score, then by number, as the leaderboard has them.

    Args:
        counts: which trials have a place; all where not given.
    """

    def __init__(self, counts: Callable[[Trial], bool] | None = None) -> None:
        self._counts = counts
        self._follower = Follower()
        self._keys: list[_Key] = []

    def best(self, history: History, count: int) -> list[Trial]:
        """The first so many."""
        changes = self._follower.changes(history)
        if changes.anew:
            self._keys = []
        for before, now in changes.trials:
            if self._counts is not None and not self._counts(now):
                continue
            if before is not None:
                del self._keys[bisect_left(self._keys, _key(before))]
            insort(self._keys, _key(now))
        return [history.trials[number] for *_, number in self._keys[:count]]


def _key(trial: Trial) -> _Key:
    return -trial.rung, -(trial.score or 0.0), trial.number
