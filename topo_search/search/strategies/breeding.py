"""How a child is made of its parents, for every strategy that breeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from topo_search.graph import OPERATORS, GraphConstraints, ModuleGraph, crossover, mutate
from topo_search.graph.alignment import align_areas, interchangeable_areas
from topo_search.search.history import History, Proposal
from topo_search.search.settings import SearchConfig
from topo_search.search.settings.evolution import BreedingConfig

__all__ = ["Breeding", "Parent", "from_starts", "start_numbers"]

Parent = tuple[int, ModuleGraph]
"""Number of a proposal, and its graph."""


class Breeding:
    """Crossover and mutation under the rules of a space.

    Args:
        constraints: of the space.
        config: shares and weights.
        strategy: name that proposals carry.
    """

    def __init__(self, constraints: GraphConstraints, config: BreedingConfig, strategy: str) -> None:
        self.constraints, self.config, self.strategy = constraints, config, strategy
        self.weights = {**dict.fromkeys(OPERATORS, 1.0), **config.operators}
        self._groups = interchangeable_areas(constraints) if config.alignment == "roles" else ()

    def mutant(
        self,
        parent: Parent,
        rng: np.random.Generator,
        *,
        weights: Mapping[str, float] | None = None,
        changes: int | None = None,
    ) -> Proposal:
        """A graph changed by a geometric number of operators, or by so many; it is named by the first.

        Raises:
            GraphError: if no operator applies: the space holds the parent alone, or nearly so.
        """
        number, graph = parent
        return self._changed(Proposal(graph, self.strategy, "", (number,)), changes or self._draw(rng), rng, weights)

    def child(
        self, first: Parent, second: Parent, rng: np.random.Generator, *, weights: Mapping[str, float] | None = None
    ) -> Proposal:
        """Two graphs mixed, then changed by the further mutations.

        Raises:
            GraphError: as :meth:`mutant`.
        """
        other = align_areas(first[1], second[1], self._groups) if self._groups else second[1]
        graph = crossover(first[1], other, self.constraints, rng)
        proposal = Proposal(graph, self.strategy, "crossover", (first[0], second[0]))
        return self._changed(proposal, self._draw(rng) - 1, rng, weights)

    def unknown(
        self,
        make: Callable[[], Proposal],
        history: History,
        rng: np.random.Generator,
        accept: Callable[[ModuleGraph], bool] | None = None,
    ) -> Proposal:
        """The first of some proposals whose graph is not known; else the last of them, mutated on until it is not.

        Args:
            make: makes a proposal.
            history: what is known.
            rng: source of randomness.
            accept: a graph that is not known must also pass this, as long as there are tries.

        Raises:
            GraphError: as :meth:`mutant`.
        """
        for _ in range(self.config.tries):
            proposal = make()
            if proposal.key not in history.known and (accept is None or accept(proposal.graph)):
                return proposal
        for _ in range(self.config.tries):
            if proposal.key not in history.known:
                break
            proposal = self._changed(proposal, 1, rng, None)
        return proposal

    def _draw(self, rng: np.random.Generator) -> int:
        return int(rng.geometric(1 / (1 + self.config.mutations)))

    def _changed(
        self, proposal: Proposal, changes: int, rng: np.random.Generator, weights: Mapping[str, float] | None
    ) -> Proposal:
        graph, operator = proposal.graph, proposal.operator
        for _ in range(changes):
            mutation = mutate(graph, self.constraints, rng, weights=weights or self.weights)
            graph, operator = mutation.graph, operator or mutation.operator
        return replace(proposal, graph=graph, operator=operator)


def start_numbers(history: History, config: SearchConfig) -> list[int]:
    """Numbers of the proposals that are graphs which the user starts from."""
    first = history.proposals[: len(config.start)]
    wanted = {tuple(sorted((min(edge), max(edge)) for edge in edges)) for edges in config.start}
    return [number for number, proposal in enumerate(first) if proposal.graph.edges in wanted]


def from_starts(
    history: History, config: SearchConfig, breeding: Breeding, rng: np.random.Generator
) -> Proposal | None:
    """A mutant of a graph that the user starts from; ``None`` where there is none.

    Raises:
        GraphError: as :meth:`Breeding.mutant`.
    """
    numbers = start_numbers(history, config)
    if not numbers:
        return None

    def make() -> Proposal:
        number = numbers[int(rng.integers(len(numbers)))]
        return breeding.mutant((number, history.proposals[number].graph), rng)

    return breeding.unknown(make, history, rng)
