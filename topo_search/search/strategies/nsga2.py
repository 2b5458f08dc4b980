"""NSGA-II: breeds the trials that no other beats in every objective."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from topo_search.graph import GraphConstraints, GraphError
from topo_search.search.history import History, Proposal, Trial
from topo_search.search.objectives import trial_values
from topo_search.search.settings import FamilyDraw, Objective, SearchConfig
from topo_search.search.strategies.breeding import Breeding, Parent, from_starts
from topo_search.search.strategies.following import Follower
from topo_search.search.strategies.random import draw_family
from topo_search.search.strategies.skyband import Skyband

__all__ = ["Nsga2Strategy"]


class Nsga2Strategy:
    """NSGA-II, one child at a time, over the objectives of the search.

    The population is the first ``population`` of all scored trials by non-dominated rank, within a rank the least
    crowded first. A parent is the better of two that are drawn from it; a child has two parents in a share
    ``crossover`` of cases and is mutated. A trial whose certificate failed after training is infeasible and loses to
    every other.

    Trials are compared at one rung: the highest that at least ``population`` trials have a score at, the first rung
    before that. A search for accuracy alone takes accuracy and parameters here, since with one objective nothing of
    the method is left.

    Source: Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002).
    Departs from it in that children come one by one, not in generations; in that the crowding of the last front is
    not measured again after it was cut; and in that of equal trials the earlier goes first.
    """

    name: ClassVar[str] = "nsga2"
    operators: ClassVar[tuple[str, ...]] = ()

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.search, self.config = constraints, config, config.nsga2
        several = len(config.objectives) > 1
        self.objectives: tuple[Objective, ...] = config.objectives if several else ("accuracy", "parameters")
        self.breeding = Breeding(constraints, self.config, self.name)
        self._follower = Follower()
        self._reached: list[int] = []
        self._rung = 0
        self._band = Skyband(self.config.population)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A starting graph while there are few, then a child; one that is not known where one is found."""
        try:
            if len(history.proposals) < self.config.population or not history.n_scored:
                return from_starts(history, self.search, self.breeding, rng) or self._start(history, rng)
            population = self.population(history)
            return self.breeding.unknown(lambda: self._child(population, rng), history, rng)
        except GraphError:
            # No operator applies: the space holds this graph alone, or nearly so.
            return self._start(history, rng)

    def population(self, history: History) -> list[Trial]:
        """Trials that may become parents, the best first."""
        changes = self._follower.changes(history)
        if changes.anew:
            self._reached = []
        rebuild = changes.anew
        for before, now in changes.trials:
            known = -1 if before is None else before.rung
            self._reached += [0] * (now.rung + 1 - len(self._reached))
            for rung in range(known + 1, now.rung + 1):
                self._reached[rung] += 1
            rebuild |= before is not None and _feasible(before) != _feasible(now)
        rung = max((r for r, count in enumerate(self._reached) if count >= self.config.population), default=0)
        if rebuild or rung != self._rung:
            self._rung, self._band = rung, Skyband(self.config.population)
            for trial in history.scored():
                self._add(trial)
        else:
            for before, now in changes.trials:
                if before is None or before.rung < rung:
                    self._add(now)
        return [history.trials[number] for number in self._band.best()]

    def _add(self, trial: Trial) -> None:
        if trial.rung >= self._rung:
            values = trial_values(trial, self.objectives, rung=self._rung)
            self._band.add(trial.number, values, feasible=_feasible(trial))

    def _start(self, history: History, rng: np.random.Generator) -> Proposal:
        for _ in range(self.config.tries):
            graph, family = draw_family(self.config.start or self._any_number_of_edges(rng), self.constraints, rng)
            if graph.key not in history.known:
                break
        return Proposal(graph, self.name, family)

    def _any_number_of_edges(self, rng: np.random.Generator) -> tuple[FamilyDraw]:
        edges = int(rng.integers(self.constraints.min_edges, self.constraints.edge_budget + 1))
        return (FamilyDraw(family="random_density", parameters={"edges": edges}),)

    def _child(self, population: list[Trial], rng: np.random.Generator) -> Proposal:
        parent = self._tournament(population, rng)
        if rng.random() < self.config.crossover:
            other = self._tournament(population, rng)
            if other[0] != parent[0]:
                return self.breeding.child(parent, other, rng)
        return self.breeding.mutant(parent, rng)

    @staticmethod
    def _tournament(population: list[Trial], rng: np.random.Generator) -> Parent:
        # The population is in order, so the better of two is the one that comes first.
        trial = population[int(rng.integers(len(population), size=2).min())]
        return trial.number, trial.graph


def _feasible(trial: Trial) -> bool:
    return not any(result.certified is False for result in trial.results)
