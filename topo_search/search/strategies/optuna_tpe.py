"""Optuna's tree-structured Parzen estimator, as a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import optuna
from optuna.samplers import TPESampler

from topo_search.search.history import History
from topo_search.search.strategies.optuna_sampler import OptunaStrategy

__all__ = ["TpeStrategy"]

STARTUP = 10
"""Optuna's own number of random trials before the estimator."""

BATCH = 128
BATCHES = 8


class TpeStrategy(OptunaStrategy):
    """Optuna's tree-structured Parzen estimator over one parameter an edge.

    The sampler draws candidates from a density over the best trials and keeps the one whose ratio to the density over
    the others is largest. Here its candidates are those draws that are valid and new graphs, where there are some:
    of all draws most are over the edge budget or copies of a good trial.

    Source: Bergstra, Bardenet, Bengio and Kegl, "Algorithms for hyper-parameter optimization" (2011), as implemented in
    Optuna (multivariate, its own settings). Departs from Optuna in the draws that are passed over.
    """

    name: ClassVar[str] = "tpe"
    # A sample that passes over what is no new graph fails only where a thousand draws hold none.
    tries: ClassVar[int] = 2

    @property
    def startup(self) -> int:
        """Ten, as in Optuna."""
        return STARTUP

    def samples(self, study: optuna.Study, history: History, seed: int) -> Iterator[Mapping[str, int]]:
        """Samples of one sampler; the estimator passes over draws that are no new graph."""
        sampler = TPESampler(n_startup_trials=1, seed=seed, multivariate=True, constant_liar=False)
        estimator = sampler._parzen_estimator_cls

        def passing_over(*arguments: Any) -> Any:
            made = estimator(*arguments)
            made.sample = _Draws(made.sample, self, history)  # type: ignore[method-assign]
            return made

        sampler._parzen_estimator_cls = passing_over  # type: ignore[assignment]
        trial = optuna.create_trial(state=optuna.trial.TrialState.WAITING)
        while True:
            yield sampler.sample_relative(study, trial, self.distributions)


class _Draws:
    """Draws from a density, less those that are no new graph; all of them where that leaves none."""

    def __init__(self, draw: Any, strategy: TpeStrategy, history: History) -> None:
        self._draw, self._strategy, self._history = draw, strategy, history
        self._verdicts: dict[bytes, bool] = {}

    def __call__(self, rng: np.random.RandomState, size: int) -> dict[str, np.ndarray]:
        names = list(self._strategy.edges)
        found: list[np.ndarray] = []
        for _ in range(BATCHES):
            drawn = self._draw(rng, BATCH)
            rows = np.stack([drawn[name] for name in names], axis=1)
            found += islice((row for row in rows if self._passes(row)), size - len(found))
            if len(found) == size:
                break
        kept = np.stack(found or list(rows[:size]))
        return {name: kept[:, column] for column, name in enumerate(names)}

    def _passes(self, row: np.ndarray) -> bool:
        key = row.tobytes()
        if key not in self._verdicts:
            edges = tuple(edge for edge, value in zip(self._strategy.edges.values(), row, strict=True) if value)
            self._verdicts[key] = self._strategy.is_new(edges, self._history)
        return self._verdicts[key]
