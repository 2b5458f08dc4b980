"""Optuna's NSGA-II, as a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import optuna
from optuna.samplers import NSGAIISampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from topo_search.graph import GraphConstraints
from topo_search.search.history import History
from topo_search.search.settings import SearchConfig
from topo_search.search.strategies.optuna_sampler import OptunaStrategy

__all__ = ["OptunaNsga2Strategy"]


class OptunaNsga2Strategy(OptunaStrategy):
    """Optuna's NSGA-II over one parameter an edge; ``nsga2.population`` is the size of a generation.

    Parents are the best of the last full generation and of its own parents, by non-dominated rank and crowding over the
    search's objectives. A child takes each edge from one of two parents and draws about one edge anew.

    Source: Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II" (2002),
    as implemented in Optuna (its own settings). Departs from Optuna in what a generation is: the trials in view in
    their order, so many at a time. Trials that were in flight when a generation became full count in the next one.
    The parents of a child are not known outside of the sampler, so its proposals name none.
    """

    name: ClassVar[str] = "nsga2_optuna"

    def __init__(self, constraints: GraphConstraints, config: SearchConfig) -> None:
        super().__init__(constraints, config)
        # Optuna's crossover takes two parents.
        self._population = max(2, config.nsga2.population)

    @property
    def startup(self) -> int:
        """The first generation."""
        return self._population

    def samples(self, study: Study, history: History, seed: int) -> Iterator[Mapping[str, int]]:  # noqa: ARG002
        """Children of one sampler."""
        sampler = _Generations(population_size=self._population, seed=seed)
        trial = optuna.create_trial(state=optuna.trial.TrialState.WAITING)
        while True:
            child = sampler.sample_relative(study, trial, self.distributions)
            yield {
                # What the sampler leaves out mutates.
                name: child[name] if name in child else sampler.sample_independent(study, trial, name, distribution)
                for name, distribution in self.distributions.items()
            }


class _Generations(NSGAIISampler):
    """Finds the generation of a trial by its place: a copied study has no record of who was bred when."""

    def get_trial_generation(self, study: Study, trial: FrozenTrial) -> int:  # noqa: ARG002
        return len(study.get_trials(deepcopy=False)) // self._size

    def get_population(self, study: Study, generation: int) -> list[FrozenTrial]:
        return study.get_trials(deepcopy=False)[generation * self._size : (generation + 1) * self._size]

    def select_parent(self, study: Study, generation: int) -> list[FrozenTrial]:
        # Optuna reads a selection that it made before in order of number: the first reading must not differ.
        return sorted(super().select_parent(study, generation), key=lambda trial: trial.number)

    @property
    def _size(self) -> int:
        assert self.population_size is not None
        return self.population_size
