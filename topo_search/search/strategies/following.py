"""What changed in a history since it was last looked at, so that caches over long searches are kept up cheaply."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from topo_search.search.history import History, Proposal, Trial

__all__ = ["Changes", "Follower"]


@dataclass(frozen=True)
class Changes:
    """What is new.

    Attributes:
        anew: whether what was kept must be forgotten first: another history, or one that did not only grow.
        proposals: proposals since the last look, in order; the first has the number ``first``.
        first: see there.
        trials: candidates with a score that are new or have a further result: how each was before, or ``None``, and
            how it is.
    """

    anew: bool
    proposals: list[Proposal]
    first: int
    trials: list[tuple[Trial | None, Trial]]


class Follower:
    """Follows one history at a time.

    A strategy's caches must be functions of the history alone. So what is built from the changes has to be the same
    in whatever portions they come: kept in an order of its own, or summed up.
    """

    def __init__(self) -> None:
        self._history: weakref.ref[History] | None = None
        self._forget()

    def _forget(self) -> None:
        self._n_proposals, self._n_scored, self._next = 0, 0, 0
        # Only a trial that is not final can still change.
        self._open: dict[int, Trial] = {}

    def changes(self, history: History) -> Changes:
        """Since the last call, in order of proposal within the old and within the new."""
        new = history.scored_since(self._next)
        anew = (
            self._history is None
            or self._history() is not history
            or self._n_proposals > len(history.proposals)
            or self._n_scored + len(new) != history.n_scored
        )
        if anew:
            self._history = weakref.ref(history)
            self._forget()
            new = history.scored()
        trials: list[tuple[Trial | None, Trial]] = []
        for number, before in list(self._open.items()):
            now = history.trials[number]
            if now is not before:
                trials.append((before, now))
                self._note(now)
        for trial in new:
            trials.append((None, trial))
            self._note(trial)
        first = self._n_proposals
        proposals = history.proposals[first:]
        self._n_proposals, self._n_scored = len(history.proposals), history.n_scored
        self._next = new[-1].number + 1 if new else self._next
        return Changes(anew, proposals, first, trials)

    def _note(self, trial: Trial) -> None:
        if trial.final:
            self._open.pop(trial.number, None)
        else:
            self._open[trial.number] = trial
