"""The fidelity ladder: who begins where, and who trains on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from topo_search.graph import ModuleGraph
from topo_search.search.history import Evaluation
from topo_search.search.learning_curve import upper_bound
from topo_search.search.objectives import objective_values, pareto_order
from topo_search.search.settings import LadderConfig, Objective

__all__ = ["Ladder", "bracket_epochs", "bracket_shares"]


def bracket_epochs(config: LadderConfig) -> list[float]:
    """Epochs that a trial of each bracket is expected to cost: its first rung, then one in ``keep`` goes on."""
    rungs, costs = config.rungs, []
    for bracket in range(config.brackets):
        going, cost = 1.0, float(rungs[bracket])
        for before, after in zip(rungs[bracket:], rungs[bracket + 1 :], strict=False):
            going /= config.keep
            cost += going * (after - before)
        costs.append(cost)
    return costs


def bracket_shares(config: LadderConfig) -> list[float]:
    """Share of trials of each bracket, such that all brackets cost the same number of epochs."""
    weights = [1 / cost for cost in bracket_epochs(config)]
    return [weight / sum(weights) for weight in weights]


class Ladder:
    """Successive halving, decided trial by trial in the order of evaluations; with brackets, Hyperband.

    When the result of a trial at a rung comes in view, it is compared with the latest ``window`` results at that rung
    and goes on if fewer than one in ``keep`` of them (itself included) are better. The verdict is final. Deciding at
    once and in order, not when a bracket is full, is what lets any number of workers reach the same decisions.

    With two objectives "better" is a lower non-dominated rank, then a larger crowding distance, both within the window.

    Sources: Jamieson and Talwalkar (2016) and, for the asynchronous form, Li et al., "A system for massively parallel
    hyperparameter tuning" (2020). Departs from it in order (theirs follows arrival), in the window, and in that a trial
    passed over is not promoted later. Brackets: Li et al., "Hyperband: a novel bandit-based approach to hyperparameter
    optimization" (2018). Departs from it: brackets run side by side, trial by trial, not one after the other; and they
    share what is known of a rung, since all trials there are compared after the same epochs. A trial that begins on
    rung 1 so competes with survivors of rung 0.

    Args:
        config: settings.
        objectives: of the search.
    """

    def __init__(self, config: LadderConfig, objectives: Sequence[Objective] = ("accuracy",)) -> None:
        self.config, self.objectives = config, tuple(objectives)
        self._values: list[list[tuple[float, ...]]] = [[] for _ in config.rungs]
        # The last bound is rounded: no number may fall beyond it.
        self._bounds = list(accumulate(bracket_shares(config)))[:-1]

    @property
    def top(self) -> int:
        """Index of the last rung."""
        return len(self.config.rungs) - 1

    def epochs(self, rung: int) -> int:
        """Epochs of a rung, counted from the start of training."""
        return self.config.rungs[rung]

    def first_rung(self, number: int) -> int:
        """The rung that a proposal begins on: its bracket, a function of its number alone.

        Numbers are spread by the base-2 radical inverse, so that any stretch of them has the brackets in their shares.
        """
        return bisect_right(self._bounds, _radical_inverse(number))

    def take(self, rung: int, evaluation: Evaluation, graph: ModuleGraph) -> None:
        """Take a result into view."""
        self._values[rung].append(objective_values(evaluation, graph.n_edges, self.objectives))

    def promotes(self, rung: int, evaluation: Evaluation, graph: ModuleGraph) -> bool:
        """Take a result into view; whether its trial goes to the next rung."""
        self.take(rung, evaluation, graph)
        if rung >= self.top:
            return False
        values = self._values[rung]
        return self._among_best(values[-self.config.window :]) and not self._stops(evaluation, values[-1])

    def _among_best(self, latest: Sequence[tuple[float, ...]]) -> bool:
        """Whether the last of these values is among the best of them."""
        # Of equal values the earlier counts as better: a tie at the edge must not let a crowd through.
        if len(self.objectives) == 1:
            ahead = sum(other >= latest[-1] for other in latest[:-1])
        else:
            ahead = int((pareto_order(latest) == len(latest) - 1).argmax())
        return ahead * self.config.keep < len(latest)

    def _stops(self, evaluation: Evaluation, value: tuple[float, ...]) -> bool:
        """Whether the curve stays below a score at the top rung that cost no more."""
        if self.config.curve_stop is None:
            return False
        rivals = [
            other[0]
            for other in self._values[self.top]
            if all(theirs >= mine for theirs, mine in zip(other[1:], value[1:], strict=True))
        ]
        if not rivals:
            return False
        return upper_bound(evaluation.curve, self.epochs(self.top), deviations=self.config.curve_stop) < max(rivals)


def _radical_inverse(number: int) -> float:
    """The binary digits of a number mirrored at the point: 0, 1/2, 1/4, 3/4, ..."""
    if number == 0:
        return 0.0
    digits = f"{number:b}"
    # Whole bits, so that the result is exact for every number of trials that fits a machine.
    return float(int(digits[::-1], 2) / (1 << len(digits)))
