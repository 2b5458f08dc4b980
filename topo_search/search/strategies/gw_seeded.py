"""Search outward from the global workspace."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, zip_longest
from typing import Any, ClassVar

import numpy as np

from topo_search.graph import GraphConstraints, GraphError, ModuleGraph, make_family
from topo_search.graph.descriptors import workspace_distance
from topo_search.search.history import History, Proposal, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.breeding import Breeding, Parent
from topo_search.search.strategies.standing import Standing
from topo_search.seeds import generator

__all__ = ["WorkspaceStrategy"]

_FAMILY = "global_workspace"


class WorkspaceStrategy:
    """Begins at the global workspace and mutates outward from the best so far.

    The first ``initial`` graphs are workspaces: one hub, each area in turn, hidden areas first; then in turn one hub of
    each further size, small assemblies of hubs that share the other areas among them, and several hubs that are each
    joined to all others, up to ``hubs`` of them. What the edge budget does not hold is trimmed at random, in the same
    way in every search.

    Then children: a parent is the best of ``tournament`` from the strategy's ``population`` best trials, and its child
    may lie at most as far from a workspace of one hub as the parent does or, if that is more, as the radius. The
    radius begins at ``radius`` and grows by one every ``patience`` proposals of the search, so that near graphs come
    first. Where no such child is found within the tries, one farther away is taken. Distance is
    :func:`~topo_search.graph.descriptors.workspace_distance` under the rules of the space.
    """

    name: ClassVar[str] = "gw_seeded"
    operators: ClassVar[tuple[str, ...]] = ()

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.config = constraints, config.gw_seeded
        self.breeding = Breeding(constraints, self.config, self.name)
        self._standing = Standing(lambda trial: trial.proposal.strategy == self.name)
        self._starts: list[ModuleGraph] | None = None

    @property
    def starts(self) -> list[ModuleGraph]:
        """The workspaces that the search begins with, in order, each once."""
        if self._starts is None:
            graphs = {graph.key: graph for graph in islice(self._distinct(), self.config.initial)}
            self._starts = list(graphs.values())
        return self._starts

    def radius(self, history: History) -> int:
        """Distance from the workspace that children may have now."""
        beyond = max(0, len(history.proposals) - len(self.starts))
        return self.config.radius + beyond // self.config.patience

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """The first workspace that is not known, then a child."""
        for graph in self.starts:
            if graph.key not in history.known:
                return Proposal(graph, self.name, _FAMILY)
        best = self._standing.best(history, self.config.population)
        try:
            return self._offspring(best, history, rng)
        except GraphError:
            # No operator applies: the space holds this graph alone, or nearly so.
            return Proposal(self.starts[0], self.name, _FAMILY)

    def _offspring(self, best: list[Trial], history: History, rng: np.random.Generator) -> Proposal:
        radius = self.radius(history)
        limit = radius

        def make() -> Proposal:
            nonlocal limit
            parent = self._parent(best, history, rng)
            limit = max(radius, workspace_distance(parent[1], self.constraints))
            if rng.random() < self.config.crossover:
                other = self._parent(best, history, rng)
                if other[0] != parent[0]:
                    return self.breeding.child(parent, other, rng)
            return self.breeding.mutant(parent, rng)

        def near(graph: ModuleGraph) -> bool:
            return workspace_distance(graph, self.constraints) <= limit

        return self.breeding.unknown(make, history, rng, near)

    def _parent(self, best: list[Trial], history: History, rng: np.random.Generator) -> Parent:
        if not best:
            # Nothing of the strategy has a score yet: the workspaces themselves, which are all known by now.
            graph = self.starts[int(rng.integers(len(self.starts)))]
            number = next(n for n, proposal in enumerate(history.proposals) if proposal.graph.key == graph.key)
            return number, graph
        drawn = rng.choice(len(best), min(self.config.tournament, len(best)), replace=False)
        trial = History.best_of([best[index] for index in sorted(drawn)])
        return trial.number, trial.graph

    def _distinct(self) -> Iterator[ModuleGraph]:
        seen: set[str] = set()
        for number, parameters in enumerate(self._plans()):
            rng = generator(_FAMILY, number)
            graph = make_family(_FAMILY, self.constraints, rng, **parameters)
            if graph.key not in seen:
                seen.add(graph.key)
                yield graph

    def _plans(self) -> Iterator[dict[str, Any]]:
        """Parameters of the family: one hub everywhere, then the other kinds in turn, each over all first hubs."""
        areas = self.constraints.areas
        hubs = sorted(range(len(areas)), key=lambda area: areas[area].role != "hidden")
        counts = range(2, min(self.config.hubs, len(areas)) + 1)
        sized = [[{"hub": hub, "hub_size": size} for hub in hubs] for size in self.constraints.hub_sizes]
        several = [
            [{"hub": hub, "hubs": count, "spread": spread} for hub in hubs]
            for count in counts
            for spread in (True, False)
        ]
        turns = zip_longest(*sized, *several)
        yield from ({"hub": hub} for hub in hubs)
        yield from (plan for plan in chain.from_iterable(turns) if plan is not None)
