"""Aging evolution over graphs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from topo_search.graph import OPERATORS, GraphConstraints, GraphError, crossover, mutate
from topo_search.search.history import History, Proposal, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.random import draw_family

__all__ = ["EvolutionStrategy"]


class EvolutionStrategy:
    """Aging evolution with tournament selection, mutation and crossover.

    The population is the latest ``population`` trials with a score: the oldest leave, the best do not stay by merit, so
    that a lucky score cannot rule for long. A parent is the best of ``tournament`` of them, compared pair by pair at
    their highest common rung. Until the population is full, graphs are drawn from the families under ``start``.

    Source: Real, Aggarwal, Huang and Le, "Regularized evolution for image classifier architecture search" (2019).
        Departs
    from it in crossover and in the number of mutations, which is geometric; a child is named by the first
    of its operators.
    """

    name: ClassVar[str] = "evolution"
    operators: ClassVar[tuple[str, ...]] = ()

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.config = constraints, config.evolution
        self.weights = {**dict.fromkeys(OPERATORS, 1.0), **self.config.operators}

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A starting graph while the population fills, then a child."""
        if len(history.proposals) < self.config.population:
            return self._start(rng)
        population = history.scored(self.config.population)
        if not population:
            return self._start(rng)
        parent = self._tournament(population, rng)
        graph, operator = parent.graph, ""
        parents: tuple[int, ...] = (parent.number,)
        if rng.random() < self.config.crossover:
            other = self._tournament(population, rng)
            if other.number != parent.number:
                graph = crossover(graph, other.graph, self.constraints, rng)
                operator, parents = "crossover", (parent.number, other.number)
        changes = int(rng.geometric(1 / (1 + self.config.mutations))) - (1 if operator else 0)
        try:
            for _ in range(changes):
                mutation = mutate(graph, self.constraints, rng, weights=self.weights)
                graph, operator = mutation.graph, operator or mutation.operator
        except GraphError:
            # No operator applies: the space holds this graph alone, or nearly so.
            return self._start(rng)
        return Proposal(graph, self.name, operator, parents)

    def _start(self, rng: np.random.Generator) -> Proposal:
        graph, family = draw_family(self.config.start, self.constraints, rng)
        return Proposal(graph, self.name, family)

    def _tournament(self, population: list[Trial], rng: np.random.Generator) -> Trial:
        count = min(self.config.tournament, len(population))
        drawn = rng.choice(len(population), count, replace=False)
        return History.best_of([population[index] for index in sorted(drawn)])
