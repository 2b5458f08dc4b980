"""What a search makes large or small: objective values of trials, and their order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from topo_search.search.history import Evaluation, Trial
from topo_search.search.settings import Objective

__all__ = [
    "crowding_distance",
    "leading_trials",
    "non_dominated_ranks",
    "objective_values",
    "pareto_order",
    "trial_values",
]


def objective_values(evaluation: Evaluation, n_edges: int, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """Values of an evaluation that ended well, one an objective, each so that larger is better."""
    values = {"accuracy": evaluation.score, "parameters": -float(evaluation.parameters), "edges": -float(n_edges)}
    return tuple(values[objective] for objective in objectives)


def trial_values(trial: Trial, objectives: Sequence[Objective], *, rung: int | None = None) -> tuple[float, ...]:
    """Values of a trial at a rung, its highest where not given; larger is better.

    Raises:
        IndexError: if the trial has no score there.
    """
    return objective_values(trial.results[trial.rung if rung is None else rung], trial.graph.n_edges, objectives)


def non_dominated_ranks(values: ArrayLike) -> NDArray[np.int64]:
    """Rank of each row, 0 for those that no other dominates, 1 for those that only rank 0 dominates, and so on.

    A row dominates another if it is nowhere smaller and somewhere larger. Equal rows have equal ranks.

    Args:
        values: ``(n, objectives)``, larger is better.

    Returns:
        ``(n,)``.

    Source: Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002).
    """
    rows = np.asarray(values, dtype=np.float64)
    count = len(rows)
    ranks = np.full(count, -1, dtype=np.int64)
    at_least = np.ones((count, count), dtype=bool)
    above = np.zeros((count, count), dtype=bool)
    for column in rows.T:
        at_least &= column[:, None] >= column[None, :]
        above |= column[:, None] > column[None, :]
    dominates = at_least & above
    left = np.ones(count, dtype=bool)
    rank = 0
    while left.any():
        front = left & ~dominates[left].any(axis=0)
        ranks[front] = rank
        left &= ~front
        rank += 1
    return ranks


def crowding_distance(values: ArrayLike) -> NDArray[np.float64]:
    """How far apart each row of a front lies from its neighbours; infinite at the ends of each objective.

    Args:
        values: ``(n, objectives)`` of one front.

    Returns:
        ``(n,)``.

    Source: as :func:`non_dominated_ranks`.
    """
    rows = np.asarray(values, dtype=np.float64)
    distance = np.zeros(len(rows))
    for column in rows.T:
        order = np.argsort(column, kind="stable")
        sorted_column = column[order]
        spread = sorted_column[-1] - sorted_column[0]
        distance[order[[0, -1]]] = np.inf
        if spread > 0 and len(rows) > 2:
            distance[order[1:-1]] += (sorted_column[2:] - sorted_column[:-2]) / spread
    return distance


def pareto_order(values: ArrayLike) -> NDArray[np.int64]:
    """Rows from best to worst: by non-dominated rank, then the least crowded first, then the earlier row.

    Of equal rows the first stands for all in the crowding distance; the others follow at the end of their front.

    Args:
        values: ``(n, objectives)``, larger is better.

    Returns:
        Indices of rows, ``(n,)``.

    Source: as :func:`non_dominated_ranks`; theirs leaves equal rows at the ends of a front uncrowded.
    """
    rows = np.asarray(values, dtype=np.float64)
    ranks = non_dominated_ranks(rows)
    crowding = np.full(len(rows), -1.0)
    _, first = np.unique(rows, axis=0, return_index=True)
    for rank in np.unique(ranks[first]):
        front = np.sort(first[ranks[first] == rank])
        crowding[front] = crowding_distance(rows[front])
    return np.lexsort((np.arange(len(rows)), -crowding, ranks)).astype(np.int64)


def leading_trials(trials: Sequence[Trial], objectives: Sequence[Objective], *, count: int) -> list[Trial]:
    """The best trials: those at higher rungs first, within a rung by the objectives, then by number.

    With accuracy alone that is by score; with a cost beside it as :func:`pareto_order` has it.

    Args:
        trials: with a score each.
        objectives: of the search.
        count: how many at most.
    """
    leading: list[Trial] = []
    for rung in sorted({trial.rung for trial in trials}, reverse=True):
        if len(leading) >= count:
            break
        here = sorted((trial for trial in trials if trial.rung == rung), key=lambda trial: trial.number)
        values = [trial_values(trial, objectives) for trial in here]
        if len(objectives) == 1:
            order = sorted(range(len(here)), key=lambda index: (-values[index][0], index))
        else:
            order = [int(index) for index in pareto_order(values)]
        leading += [here[index] for index in order]
    return leading[:count]
