"""Graphs from a sampler of Optuna: one parameter of two choices for each edge that is allowed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import InMemoryStorage

from topo_search.graph import Edge, GraphConstraints, ModuleGraph, repair
from topo_search.search.history import History, Proposal
from topo_search.search.objectives import trial_values
from topo_search.search.settings import FamilyDraw, SearchConfig
from topo_search.search.strategies.random import draw_family

__all__ = ["OptunaStrategy", "quiet_optuna"]

_STUDY = "trials in view"
_UNIFORM = (FamilyDraw(family="random_density"),)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna says nothing below a warning inside; the user's verbosity comes back after."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


class OptunaStrategy(ABC):
    """What the samplers of Optuna share: a baseline that knows nothing of graphs.

    Each allowed edge (i, j) is a categorical parameter ``edge_i_j`` with the choices 0 and 1. The sampler sees every
    trial with a score, of whichever strategy, with its values at the first rung: the one scale that all trials have.
    Its study lies in memory and is a copy of the history, extended as trials come in view; a new object makes the same
    copy and the same proposals.

    Until ``startup`` trials have a score, graphs are drawn uniformly at the full edge budget: of all vectors over many
    edges hardly any keeps within the budget. Afterwards the sampler is asked up to ``tries`` times, at no cost, for a
    graph that is valid and new; if none is, its last one is made valid by :func:`topo_search.graph.repair`. Only edges
    vary: areas have their base sizes.
    """

    name: ClassVar[str]
    operators: ClassVar[tuple[str, ...]] = ("sample", "repaired_sample")
    tries: ClassVar[int] = 50
    """How often the sampler is asked for a proposal."""

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        self.constraints, self.objectives = constraints, config.objectives
        self.edges = {f"edge_{i}_{j}": (i, j) for i, j in constraints.allowed_edges}
        self.distributions: dict[str, BaseDistribution] = {
            parameter: CategoricalDistribution((0, 1)) for parameter in self.edges
        }
        self._entries: list[tuple[int, str, tuple[float, ...]]] = []
        self._storage: InMemoryStorage | None = None

    @property
    @abstractmethod
    def startup(self) -> int:
        """Trials with a score before the sampler is asked."""

    @abstractmethod
    def samples(self, study: optuna.Study, history: History, seed: int) -> Iterator[Mapping[str, int]]:
        """Values of all parameters, as often as asked."""

    def propose(self, history: History, rng: np.random.Generator) -> Proposal:
        """A graph of the sampler, or a random one while there are few trials."""
        if history.n_scored < self.startup or not self.edges:
            graph, family = draw_family(_UNIFORM, self.constraints, rng)
            return Proposal(graph, self.name, family)
        study = self._study(history)
        chosen: tuple[Edge, ...] = ()
        samples = self.samples(study, history, int(rng.integers(2**32)))
        for _ in range(self.tries):
            chosen = self.chosen(next(samples))
            if self.is_new(chosen, history):
                return self._proposal(chosen, "sample")
        return self._proposal(repair(chosen, self.constraints, rng), "repaired_sample")

    def chosen(self, values: Mapping[str, int]) -> tuple[Edge, ...]:
        """Edges whose parameter is 1, ascending."""
        return tuple(edge for parameter, edge in self.edges.items() if values[parameter])

    def is_new(self, edges: tuple[Edge, ...], history: History) -> bool:
        """Whether edges make a valid graph that was not proposed yet."""
        if len(edges) > self.constraints.edge_budget or not self.constraints.connects(edges):
            return False
        return ModuleGraph(self.constraints.areas, edges).key not in history.known

    def _proposal(self, edges: tuple[Edge, ...], operator: str) -> Proposal:
        return Proposal(ModuleGraph(self.constraints.areas, edges), self.name, operator)

    def _study(self, history: History) -> optuna.Study:
        """The study over the trials in view."""
        entries = [
            (trial.number, trial.graph.key, trial_values(trial, self.objectives, rung=0)) for trial in history.scored()
        ]
        with quiet_optuna():
            if self._storage is None or entries[: len(self._entries)] != self._entries:
                self._storage, self._entries = InMemoryStorage(), []
                directions = [optuna.study.StudyDirection.MAXIMIZE] * len(self.objectives)
                optuna.create_study(storage=self._storage, study_name=_STUDY, directions=directions)
            # A study keeps what it has read of its trials: one that is opened anew sees those that are added.
            study = optuna.load_study(study_name=_STUDY, storage=self._storage)
            for number, _, values in entries[len(self._entries) :]:
                present = set(history.trials[number].graph.edges)
                parameters: dict[str, Any] = {name: int(edge in present) for name, edge in self.edges.items()}
                study.add_trial(
                    optuna.create_trial(params=parameters, distributions=self.distributions, values=list(values))
                )
        self._entries = entries
        return study
