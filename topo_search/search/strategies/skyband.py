"""The trials that few others dominate, kept up while trials come in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topo_search.search.objectives import pareto_order

__all__ = ["Skyband"]


class Skyband:
    """Of many rows of values the ones that fewer than ``depth`` others dominate.

    A feasible row dominates every other that is not (Deb's constrained domination). Of two alike in that, one dominates
    if it is nowhere smaller and somewhere larger; of equal rows the one of lower number does.

    A row outside can never be among the first ``depth`` of a non-dominated sorting, and the ranks of those inside do
    not depend on those outside. So a sorting of the band gives the same first ``depth`` as one of all rows, whatever
    the order they came in, at a cost that hardly grows with their number.

    Source: Papadias, Tao, Fu and Seeger, "Progressive skyline computation in database systems" (2005), for the
    k-skyband; Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II"
    (2002), for domination.

    Args:
        depth: see above, at least 1.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self._numbers = np.zeros(0, dtype=np.int64)
        self._feasible = np.zeros(0, dtype=bool)
        self._values = np.zeros((0, 0))
        self._above = np.zeros(0, dtype=np.int64)
        self._best: list[int] | None = None

    def add(self, number: int, values: Sequence[float], *, feasible: bool) -> None:
        """Take in a row of a number that is not there yet; larger values are better."""
        row = np.asarray(values, dtype=np.float64)
        if not len(self._numbers):
            self._values = np.zeros((0, len(row)))
        alike = self._feasible == feasible
        at_least, at_most = (self._values >= row).all(axis=1), (self._values <= row).all(axis=1)
        equal, earlier = at_least & at_most, self._numbers < number
        over = np.where(alike, at_least & (~equal | earlier), self._feasible)
        above = int(over.sum())
        if above >= self.depth:
            return
        under = np.where(alike, at_most & (~equal | ~earlier), feasible)
        self._above[under] += 1
        keep = self._above < self.depth
        self._numbers = np.append(self._numbers[keep], number)
        self._feasible = np.append(self._feasible[keep], feasible)
        self._values = np.vstack([self._values[keep], row])
        self._above = np.append(self._above[keep], above)
        self._best = None

    def best(self) -> list[int]:
        """Numbers of the first ``depth`` rows: feasible ones first, then by rank, then the least crowded first."""
        if self._best is None:
            found: list[int] = []
            for feasible in (True, False):
                part = np.flatnonzero(self._feasible == feasible)
                if len(part) and len(found) < self.depth:
                    # By number, so that the order in which rows came in decides nothing.
                    part = part[np.argsort(self._numbers[part])]
                    found += self._numbers[part[pareto_order(self._values[part])]].tolist()
            self._best = found[: self.depth]
        return self._best

    def __len__(self) -> int:
        return len(self._numbers)
