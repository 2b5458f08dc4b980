"""Hill climbing with restarts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from topo_search.graph import Edge, GraphConstraints, ModuleGraph
from topo_search.search.history import History, Proposal, Trial, better
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.breeding import start_numbers
from topo_search.search.strategies.following import Follower
from topo_search.search.strategies.random import draw_family

__all__ = ["LocalSearchStrategy"]

_TRIES = 50


class LocalSearchStrategy:
    """Proposes the neighbours of the best graph of a climb, and begins another climb when all are known.

    Neighbours differ in one edge: added, removed, or replaced by any other that is allowed. They come in random order,
    and the climb goes on from the first that turns out better, compared at the highest common rung. A climb is a
    graph that the strategy drew, which has no parents, and all that it proposed since; the first one also holds the
    graphs that the user starts from. Until something of it has a score its first graph counts as the best. Sizes of
    areas do not change.

    Source: White, Nolen and Savani, "Exploring the loss landscape in neural architecture search" (2021), who find local
    search strong where scores are little noisy. Departs from it in that it moves at the first improvement instead of
    the best of all neighbours.
    """

    name: ClassVar[str] = "local_search"
    operators: ClassVar[tuple[str, ...]] = ()

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.search, self.config = constraints, config, config.local_search
        self._follower = Follower()
        self._members: set[int] = set()
        self._first: int | None = None
        self._best: Trial | None = None

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A neighbour that is not known, or a graph to begin a climb with."""
        self._follow(history)
        if self._first is None or self._lost(history):
            return self._restart(history, rng)
        number = self._first if self._best is None else self._best.number
        graph = history.proposals[number].graph
        for operator, edges in self._neighbours(graph, rng):
            neighbour = graph.with_edges(edges)
            if neighbour.key not in history.known:
                return Proposal(neighbour, self.name, operator, (number,))
        return self._restart(history, rng)

    def _follow(self, history: History) -> None:
        """Bring the current climb up to date: its members, its first graph and its best."""
        changes = self._follower.changes(history)
        proposals, first, restarted = changes.proposals, changes.first, False
        if changes.anew or first < len(self.search.start):
            proposals, first, restarted = history.proposals, 0, True
            self._members = set(start_numbers(history, self.search))
            self._first = min(self._members, default=None)
        for number, proposal in enumerate(proposals, first):
            if proposal.strategy != self.name:
                continue
            if not proposal.parents:
                self._members, self._first, restarted = set(), number, True
            self._members.add(number)
        again = restarted or any(before is not None and before.number in self._members for before, _ in changes.trials)
        if again:
            # Comparing along the climb depends on its order, so a trial that trained on is compared again in its place.
            trials = [history.trials[number] for number in sorted(self._members) if number in history.trials]
            scored = [trial for trial in trials if trial.rung >= 0]
            self._best = History.best_of(scored) if scored else None
            return
        for _, now in changes.trials:
            if now.number in self._members and (self._best is None or better(now, self._best)):
                self._best = now

    def _lost(self, history: History) -> bool:
        """Whether the climb's first graph failed and nothing of it has a score."""
        first = None if self._first is None else history.trials.get(self._first)
        return self._best is None and first is not None and first.failed

    def _restart(self, history: History, rng: np.random.Generator) -> Proposal:
        for _ in range(_TRIES):
            graph, family = draw_family(self.config.start, self.constraints, rng)
            if graph.key not in history.known:
                break
        return Proposal(graph, self.name, family)

    def _neighbours(self, graph: ModuleGraph, rng: np.random.Generator) -> Iterator[tuple[str, set[Edge]]]:
        """Operator and edges of every valid neighbour, in random order."""
        present = set(graph.edges)
        missing = [edge for edge in self.constraints.allowed_edges if edge not in present]
        moves: list[tuple[Edge | None, Edge | None]] = [(old, new) for old in graph.edges for new in missing]
        moves += [(old, None) for old in graph.edges]
        if graph.n_edges < self.constraints.edge_budget:
            moves += [(None, new) for new in missing]
        for index in rng.permutation(len(moves)):
            old, new = moves[index]
            edges = (present - {old} if old else present) | ({new} if new else set())
            if self.constraints.connects(edges):
                yield ("rewire_edge" if old and new else "remove_edge" if old else "add_edge"), edges
