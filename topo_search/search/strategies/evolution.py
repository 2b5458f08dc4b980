"""Evolution over graphs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cmp_to_key
from typing import ClassVar

import numpy as np

from topo_search.graph import GraphConstraints, GraphError
from topo_search.search.history import History, Proposal, Trial, better
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.breeding import Breeding, from_starts
from topo_search.search.strategies.guided import GuidedBreeding
from topo_search.search.strategies.novelty import novelty
from topo_search.search.strategies.operator_rates import operator_rates
from topo_search.search.strategies.random import draw_family
from topo_search.search.strategies.standing import Standing

__all__ = ["EvolutionStrategy"]


class EvolutionStrategy:
    """Evolution with tournament selection, mutation and crossover.

    With ``survival: aging`` the population is the latest ``population`` trials with a score: the oldest leave, the
    best do not stay by merit, so that a lucky score cannot rule for long. With ``elitist`` it is the best
    ``population`` of all, (mu + lambda), those at higher rungs first. A parent is the best of ``tournament`` of them,
    compared pair by pair at their highest common rung, or for a share of the tournaments the most novel. Until the
    population is full, graphs are drawn from the families under ``start``, or are mutants of the graphs that the user
    starts from.

    Source: Real, Aggarwal, Huang and Le, "Regularized evolution for image classifier architecture search" (2019), for
    aging; Beyer and Schwefel, "Evolution strategies" (2002), for (mu + lambda). Departs from them in crossover and in
    the number of mutations, which is geometric; a child is named by the first of its operators. For the rates of the
    operators see :func:`~topo_search.search.strategies.operator_rates.operator_rates`, for novelty
    :func:`~topo_search.search.strategies.novelty.novelty`, for the choice among many children
    :class:`~topo_search.search.strategies.guided.GuidedBreeding`.
    """

    name: ClassVar[str] = "evolution"
    operators: ClassVar[tuple[str, ...]] = ()

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.search, self.config = constraints, config, config.evolution
        self.breeding = Breeding(constraints, self.config, self.name)
        self._standing = Standing()
        self.guided = GuidedBreeding(constraints, self.config, self.name)

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A starting graph while the population fills, then a child; one that is not known where one is found."""
        initial = self.config.population if self.config.initial is None else self.config.initial
        try:
            if len(history.proposals) < initial or not history.n_scored:
                return from_starts(history, self.search, self.breeding, rng) or self._start(history, rng)
            return self._offspring(history, rng)
        except GraphError:
            # No operator applies: the space holds this graph alone, or nearly so.
            return self._start(history, rng)

    def _start(self, history: History, rng: np.random.Generator) -> Proposal:
        for _ in range(self.config.tries):
            graph, family = draw_family(self.config.start, self.constraints, rng)
            if graph.key not in history.known:
                break
        return Proposal(graph, self.name, family)

    def _offspring(self, history: History, rng: np.random.Generator) -> Proposal:
        weights = self._weights(history)
        if self.config.greedy and rng.random() < self.config.greedy:
            proposal = self._next_to_the_leader(history, rng, weights)
            if proposal is not None:
                return proposal
        population = self._population(history)

        def child() -> Proposal:
            return self._child(population, rng, weights)

        if self.config.guided and rng.random() < self.config.guided:
            ranked = sorted(population, key=cmp_to_key(_order))
            proposal = self.guided.propose(ranked, history, rng)
            if proposal is not None:
                return proposal
        return self.breeding.unknown(child, history, rng)

    def _population(self, history: History) -> list[Trial]:
        if self.config.survival == "elitist":
            return self._standing.best(history, self.config.population)
        return history.scored(self.config.population)

    def _child(self, population: list[Trial], rng: np.random.Generator, weights: Mapping[str, float]) -> Proposal:
        parent = self._tournament(population, rng)
        if rng.random() < self.config.crossover:
            other = self._tournament(population, rng)
            if other.number != parent.number:
                pair = (parent.number, parent.graph), (other.number, other.graph)
                return self.breeding.child(*pair, rng, weights=weights)
        return self.breeding.mutant((parent.number, parent.graph), rng, weights=weights)

    def _next_to_the_leader(
        self, history: History, rng: np.random.Generator, weights: Mapping[str, float]
    ) -> Proposal | None:
        """The leader changed by one operator; ``None`` if no unknown neighbour is found."""
        leader = history.leader
        assert leader is not None, "there is a trial with a score"
        for _ in range(self.config.tries):
            proposal = self.breeding.mutant((leader.number, leader.graph), rng, weights=weights, changes=1)
            if proposal.key not in history.known:
                return proposal
        return None

    def _weights(self, history: History) -> Mapping[str, float]:
        """Weights of the operators; where they adapt, partly by what each achieved."""
        base, adaptive = self.breeding.weights, self.config.adaptive
        names = [name for name, weight in base.items() if weight > 0]
        if not adaptive or len(names) < 2:
            return base
        rates = operator_rates(history, names, window=self.config.adaptation_window)
        return {name: base[name] * (1 - adaptive + adaptive * len(names) * rates[name]) for name in names}

    def _tournament(self, population: list[Trial], rng: np.random.Generator) -> Trial:
        count = min(self.config.tournament, len(population))
        drawn = [population[int(index)] for index in sorted(rng.choice(len(population), count, replace=False))]
        if self.config.novelty and rng.random() < self.config.novelty:
            graphs, others = ([trial.graph for trial in trials] for trials in (drawn, population))
            far = novelty(graphs, others, neighbours=self.config.novelty_neighbours)
            most: Trial = drawn[int(np.argmax(far))]
            return most
        return History.best_of(drawn)


def _order(one: Trial, other: Trial) -> int:
    return -1 if better(one, other) else 1
