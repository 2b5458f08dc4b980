"""How well each mutation operator did lately."""

from __future__ import annotations

from collections.abc import Sequence

from topo_search.search.history import History, better

__all__ = ["EQUAL_SHARE", "PRIOR_TRIALS", "operator_rates"]

EQUAL_SHARE = 0.2
"""Share of the rates that all operators have alike, so that none is forgotten and each can be judged again."""

PRIOR_TRIALS = 4.0
"""An operator counts as if it had been tried so often more, at the mean success of all."""


def operator_rates(history: History, names: Sequence[str], *, window: int) -> dict[str, float]:
    """Rates of the operators in proportion to their success: probability matching with a lower bound.

    A child is a success if it beats its first parent at their highest common rung. It is credited to the operator
    that its proposal names, the first of those that made it. Only the latest trials count, since what helps early in
    a search need not help late.

    Source: Thierens, "An adaptive pursuit strategy for allocating operator probabilities" (2005), section 2, for
    probability matching; Fialho, "Adaptive operator selection for optimization" (2010), for the sliding window.
    Departs from them in the reward, which is 0 or 1: scores of different stages of a search have no common scale.

    Args:
        history: trials in view.
        names: operators to compare, at least one.
        window: how many of the latest trials with a score count.

    Returns:
        A rate for each name; they sum to 1.
    """
    wins, counts = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for trial in history.scored(window):
        proposal = trial.proposal
        if proposal.operator not in counts or not proposal.parents:
            continue
        parent = history.trials.get(proposal.parents[0])
        if parent is not None and parent.rung >= 0:
            counts[proposal.operator] += 1
            wins[proposal.operator] += better(trial, parent)
    total = sum(wins.values())
    if not total:
        return dict.fromkeys(names, 1 / len(names))
    mean = total / sum(counts.values())
    quality = {name: (wins[name] + PRIOR_TRIALS * mean) / (counts[name] + PRIOR_TRIALS) for name in names}
    whole = sum(quality.values())
    return {name: EQUAL_SHARE / len(names) + (1 - EQUAL_SHARE) * quality[name] / whole for name in names}
