"""Search by training: edges move while a network trains, and where they end is the next candidate."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from topo_search.graph import GraphConstraints, ModuleGraph, random_density
from topo_search.search.history import History, Pretraining, Proposal, Trial
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies._own_pretrainings import OwnPretrainings
from topo_search.search.strategies.random import draw_family

__all__ = ["SparseTraining"]


class SparseTraining:
    """Train a graph whose edges move, then propose the graph that it ended with, to be trained from the beginning.

    A training with moves begins from random edges of the full budget (of half the allowed edges where all may be had:
    else nothing could grow), or from the best candidate so far. It is no candidate itself: what it scores, it scores
    with weights of several graphs.
    """

    name: ClassVar[str]
    moves: ClassVar[Literal["rigl", "set"]]
    operators: ClassVar[tuple[str, ...]] = ("move_edges", "sparse_training")

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.config, self.draws = constraints, config.sparse_training, config.random
        plan = Pretraining(epochs=config.sparse_training.epochs, moves=self.moves)
        self._plan = plan
        self._pretrainings = OwnPretrainings(self.name, lambda proposal: proposal.pretraining == plan)
        allowed = len(constraints.allowed_edges)
        whole = constraints.edge_budget == allowed
        self._edges = max(constraints.min_edges, allowed // 2) if whole else constraints.edge_budget

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """The graph that a training with moves ended with, the next such training, or a random graph meanwhile."""
        self._pretrainings.read(history)
        ready, in_flight = self._pretrainings.open(history)
        for trial in ready:
            graph = self._ended(trial)
            if graph is not None and graph.key not in history.known:
                return Proposal(graph, self.name, "sparse_training", (trial.number,))
            # What is known stays known.
            self._pretrainings.close(trial.number)
        if in_flight < self.config.ahead:
            graph, parents = self._start(history, rng)
            proposal = Proposal(graph, self.name, "move_edges", parents, self._plan)
            if proposal.key not in history.known:
                return proposal
        graph, family = draw_family(self.draws, self.constraints, rng)
        return Proposal(graph, self.name, family)

    def _start(self, history: History, rng: np.random.Generator) -> tuple[ModuleGraph, tuple[int, ...]]:
        from_best = rng.random() < self.config.from_best
        best = history.leader
        if from_best and best is not None:
            known = Proposal(best.graph, self.name, "move_edges", pretraining=self._plan).key in history.known
            if not known:
                return best.graph, (best.number,)
        return random_density(self.constraints, rng, edges=self._edges), ()

    @staticmethod
    def _ended(trial: Trial) -> ModuleGraph | None:
        edges = None if trial.failed else trial.results[0].final_edges
        return None if edges is None else trial.graph.with_edges(edges)
