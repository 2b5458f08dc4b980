"""The fidelity ladder: who trains on."""

from __future__ import annotations

from collections.abc import Sequence

from topo_search.search.space import LadderConfig

__all__ = ["Ladder"]


class Ladder:
    """Successive halving, decided trial by trial in the order of evaluations.

    When the result of a trial at a rung comes in view, it is compared with the latest ``window`` results at that rung
    and goes on if fewer than one in ``keep`` of them (itself included) are better. The verdict is final. Deciding at
    once and in order, not when a bracket is full, is what lets any number of workers reach the same decisions.

    Source: Jamieson and Talwalkar (2016) and, for the asynchronous form, Li et al., "A system for massively parallel
    hyperparameter tuning" (2020). Departs from it in order (theirs follows arrival), in the window, and in that a trial
    passed over is not promoted later.
    """

    def __init__(self, config: LadderConfig) -> None:
        self.config = config
        self._scores: list[list[float]] = [[] for _ in config.rungs]

    @property
    def top(self) -> int:
        """Index of the last rung."""
        return len(self.config.rungs) - 1

    def epochs(self, rung: int) -> int:
        """Epochs of a rung, counted from the start of training."""
        return self.config.rungs[rung]

    def promotes(self, rung: int, score: float) -> bool:
        """Take a result into view; whether its trial goes to the next rung."""
        scores = self._scores[rung]
        scores.append(score)
        return rung < self.top and self._among_best(scores[-self.config.window :], score)

    def _among_best(self, latest: Sequence[float], score: float) -> bool:
        # Of equal scores the earlier counts as better: a tie at the edge must not let a crowd through.
        ahead = sum(other >= score for other in latest[:-1])
        return ahead * self.config.keep < len(latest)
