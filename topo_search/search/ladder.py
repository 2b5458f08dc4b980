"""The fidelity ladder: who trains on."""

from __future__ import annotations

from collections.abc import Sequence

from topo_search.graph import ModuleGraph
from topo_search.search.history import Evaluation
from topo_search.search.objectives import objective_values
from topo_search.search.settings import LadderConfig, Objective

__all__ = ["Ladder"]


class Ladder:
    """Successive halving, decided trial by trial in the order of evaluations.

    When the result of a trial at a rung comes in view, it is compared with the latest ``window`` results at that rung
    and goes on if fewer than one in ``keep`` of them (itself included) are better. The verdict is final. Deciding at
    once and in order, not when a bracket is full, is what lets any number of workers reach the same decisions.

    Source: Jamieson and Talwalkar (2016) and, for the asynchronous form, Li et al., "A system for massively parallel
    hyperparameter tuning" (2020). Departs from it in order (theirs follows arrival), in the window, and in that a trial
    passed over is not promoted later.

    Args:
        config: settings.
        objectives: of the search.
    """

    def __init__(self, config: LadderConfig, objectives: Sequence[Objective] = ("accuracy",)) -> None:
        self.config, self.objectives = config, tuple(objectives)
        self._values: list[list[tuple[float, ...]]] = [[] for _ in config.rungs]

    @property
    def top(self) -> int:
        """Index of the last rung."""
        return len(self.config.rungs) - 1

    def epochs(self, rung: int) -> int:
        """Epochs of a rung, counted from the start of training."""
        return self.config.rungs[rung]

    def first_rung(self, number: int) -> int:
        """The rung that a proposal begins on."""
        del number
        return 0

    def take(self, rung: int, evaluation: Evaluation, graph: ModuleGraph) -> None:
        """Take a result into view."""
        self._values[rung].append(objective_values(evaluation, graph.n_edges, self.objectives))

    def promotes(self, rung: int, evaluation: Evaluation, graph: ModuleGraph) -> bool:
        """Take a result into view; whether its trial goes to the next rung."""
        self.take(rung, evaluation, graph)
        values = self._values[rung]
        return rung < self.top and self._among_best(values[-self.config.window :], values[-1])

    def _among_best(self, latest: Sequence[tuple[float, ...]], value: tuple[float, ...]) -> bool:
        # Of equal scores the earlier counts as better: a tie at the edge must not let a crowd through.
        ahead = sum(other >= value for other in latest[:-1])
        return ahead * self.config.keep < len(latest)
