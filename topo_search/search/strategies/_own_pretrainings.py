"""Pretrainings of a search and what was made of them, looked up without reading the whole history each time."""

from __future__ import annotations

from collections.abc import Callable

from topo_search.search.history import History, Proposal, Trial

__all__ = ["OwnPretrainings"]


class OwnPretrainings:
    """Numbers of the pretrainings that a strategy can use, and how many candidates it made of each.

    All of it follows from ``history.proposals``, which only grows: what was read once is kept, so that a proposal costs
    what came since the last one. With another history it is read from the beginning.

    Args:
        strategy: name of the strategy whose candidates count.
        usable: which pretrainings it can use.
    """

    def __init__(self, strategy: str, usable: Callable[[Proposal], bool]) -> None:
        self._strategy, self._usable = strategy, usable
        self._source: list[Proposal] | None = None
        self._read = 0
        self._open: list[int] = []
        self.children: dict[int, int] = {}
        """Candidates of the strategy by the number of their pretraining."""
        self.own = 0
        """Usable pretrainings that the strategy proposed itself, beginnings and not steps between."""

    def read(self, history: History) -> None:
        """Take in the proposals that came since the last time."""
        if self._source is not history.proposals or self._read > len(history.proposals):
            self._source, self._read = history.proposals, 0
            self._open, self.children, self.own = [], {}, 0
        for number in range(self._read, len(history.proposals)):
            proposal = history.proposals[number]
            if proposal.pretraining is not None:
                if self._usable(proposal):
                    self._open.append(number)
                    self.own += proposal.strategy == self._strategy and not proposal.parents
            elif proposal.strategy == self._strategy and proposal.parents:
                parent = proposal.parents[0]
                self.children[parent] = self.children.get(parent, 0) + 1
        self._read = len(history.proposals)

    def open(self, history: History) -> tuple[list[Trial], int]:
        """Pretrainings in view that are not closed, in order, and how many are in flight."""
        found = [history.trials.get(number) for number in self._open]
        return [trial for trial in found if trial is not None], sum(trial is None for trial in found)

    def close(self, number: int) -> None:
        """Look no more at a pretraining: only where nothing in view later could make it useful again."""
        self._open.remove(number)
