"""Many children at the cost of a few: drawn as sets of edges, ranked by a guess, made into graphs best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topo_search.graph import GraphConstraints, ModuleGraph
from topo_search.search.history import History, Proposal, Trial
from topo_search.search.settings import EvolutionConfig
from topo_search.search.strategies.surrogate import EdgeSurrogate

__all__ = ["GuidedBreeding"]

CHANGES = ("rewire_edge", "add_edge", "remove_edge")


@dataclass(frozen=True)
class _Child:
    edges: NDArray[np.bool_]
    operator: str
    parents: tuple[Trial, ...]


class GuidedBreeding:
    """Proposes the most promising of many children.

    A child is crossover of two parents, or one parent, with a geometric number of edges added, removed or replaced, as
    in plain breeding; the operators that keep degrees or move hubs have no part in it. Children are ranked by
    :class:`~topo_search.search.strategies.surrogate.EdgeSurrogate`; the first that is valid and not known is proposed.
    Making a graph and checking it costs far more than drawing and ranking a set of edges, so only the best are made.

    Args:
        constraints: of the space.
        config: of evolution; ``candidates`` children are drawn.
        strategy: name that proposals carry.
    """

    def __init__(self, constraints: GraphConstraints, config: EvolutionConfig, strategy: str) -> None:
        self.constraints, self.config, self.strategy = constraints, config, strategy
        self.surrogate = EdgeSurrogate(constraints, window=config.guide_window, ridge=config.guide_ridge)
        weights = np.array([config.operators.get(name, 1.0) for name in CHANGES])
        # The last bound is 1 exactly, whatever the sum rounds to: a draw lies below it.
        self._upto = np.append(np.cumsum(weights / weights.sum())[:-1], 1.0) if weights.sum() > 0 else None

    def propose(self, ranked: Sequence[Trial], history: History, rng: np.random.Generator) -> Proposal | None:
        """The most promising child; ``None`` where no child is valid and unknown.

        Args:
            ranked: trials that may become parents, best first.
            history: what is known.
            rng: source of randomness.
        """
        if self._upto is None:
            return None
        children = [self._child(ranked, rng) for _ in range(self.config.candidates)]
        rows = np.array([child.edges for child in children])
        sizes = [child.parents[0].graph.sizes for child in children]
        for place in np.argsort(-self.surrogate.appeal(rows, sizes, history), kind="stable"):
            child = children[int(place)]
            allowed = self.constraints.allowed_edges
            edges = [allowed[index] for index in np.flatnonzero(child.edges)]
            if not self.constraints.connects(edges):
                continue
            graph = ModuleGraph(child.parents[0].graph.areas, edges)
            if graph.key not in history.known:
                parents = tuple(trial.number for trial in child.parents)
                return Proposal(graph, self.strategy, child.operator, parents)
        return None

    def _child(self, ranked: Sequence[Trial], rng: np.random.Generator) -> _Child:
        # The best of some drawn with replacement: the ranks are those of a tournament.
        picks = rng.integers(len(ranked), size=(2, self.config.tournament)).min(axis=1)
        parents: tuple[Trial, ...] = (ranked[picks[0]],)
        edges, operator = self.surrogate.row(parents[0]).copy(), ""
        if picks[1] != picks[0] and rng.random() < self.config.crossover:
            parents, operator = (*parents, ranked[picks[1]]), "crossover"
            from_second = rng.random(len(edges)) < 0.5
            edges[from_second] = self.surrogate.row(parents[1])[from_second]
            self._trim(edges, rng)
        for _ in range(int(rng.geometric(1 / (1 + self.config.mutations))) - bool(operator)):
            changed_by = self._change(edges, rng)
            operator = operator or changed_by
        return _Child(edges, operator or "rewire_edge", parents)

    def _change(self, edges: NDArray[np.bool_], rng: np.random.Generator) -> str:
        """Add, remove or replace an edge in place; the operator's name, or nothing where it does not apply."""
        present, absent = edges.nonzero()[0], (~edges).nonzero()[0]
        assert self._upto is not None, "children are drawn only where an operator has weight"
        name = CHANGES[int(np.searchsorted(self._upto, rng.random(), side="right"))]
        if name == "add_edge" and len(present) >= self.constraints.edge_budget:
            # An operator that is switched off stays off.
            if self._upto[0] == 0:
                return ""
            name = "rewire_edge"
        if (name != "add_edge" and not len(present)) or (name != "remove_edge" and not len(absent)):
            return ""
        if name != "add_edge":
            edges[present[rng.integers(len(present))]] = False
        if name != "remove_edge":
            edges[absent[rng.integers(len(absent))]] = True
        return name

    def _trim(self, edges: NDArray[np.bool_], rng: np.random.Generator) -> None:
        present = np.flatnonzero(edges)
        over = len(present) - self.constraints.edge_budget
        if over > 0:
            edges[rng.choice(present, over, replace=False)] = False
