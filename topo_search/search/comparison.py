"""Winners and controls in full training: what came out, seed by seed."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from topo_search.graph import ModuleGraph
from topo_search.search.history import Evaluation, Trial

__all__ = ["Comparison", "GraphScores", "Rescored"]


@dataclass(frozen=True)
class Rescored:
    """A trial scored again on validation data with fresh seeds.

    Attributes:
        trial: of the search.
        scores: validation accuracy after full training, one a seed; without those that diverged.
    """

    trial: Trial
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean score; minus infinity if every training diverged."""
        return statistics.fmean(self.scores) if self.scores else -math.inf


@dataclass(frozen=True)
class GraphScores:
    """A graph trained in full with several seeds.

    Attributes:
        kind: ``winner``, ``random``, ``random_parameters``, ``rewired``, ``global_workspace`` or ``all_edges``.
        graph: the graph.
        seeds: of the trainings.
        evaluations: one a seed.
        rank: of a winner, from 1; 0 for a control.
    """

    kind: str
    graph: ModuleGraph
    seeds: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]
    rank: int = 0

    @property
    def test(self) -> tuple[float, ...]:
        """Test accuracy of each seed that did not diverge."""
        return tuple(e.test_accuracy for e in self.evaluations if e.test_accuracy is not None)

    @property
    def validation(self) -> tuple[float, ...]:
        """Validation accuracy of the best epoch, of each seed that did not diverge."""
        return tuple(e.best_score for e in self.evaluations if not e.failed)

    @property
    def test_mean(self) -> float:
        """Mean test accuracy over seeds; nan if every training diverged."""
        return statistics.fmean(self.test) if self.test else math.nan


@dataclass(frozen=True)
class Comparison:
    """Winners and controls, trained in full on seeds that the search never saw.

    Attributes:
        graphs: winners first, by rank.
        rescored: the candidates that the winners were chosen from, best first.
    """

    graphs: tuple[GraphScores, ...]
    rescored: tuple[Rescored, ...]

    def of_kind(self, kind: str) -> list[GraphScores]:
        """Graphs of one kind."""
        return [entry for entry in self.graphs if entry.kind == kind]

    def by_seed(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Test accuracy of the best winner, ``(seeds,)``, and of all graphs of a kind, ``(graphs, seeds)``.

        ``None`` where a training diverged or the kind is empty.
        """
        others, winners = self.of_kind(kind), self.of_kind("winner")
        if not others or not winners or any(len(g.test) < len(g.seeds) for g in (*others, winners[0])):
            return None
        return np.array(winners[0].test), np.array([other.test for other in others])

    def paired_gain(self, kind: str) -> tuple[float, float, int] | None:
        """Test accuracy of the best winner less the mean of a kind, seed by seed: mean, standard deviation, n seeds.

        ``None`` where a training diverged or the kind is empty.
        """
        scores = self.by_seed(kind)
        if scores is None:
            return None
        gains = (scores[0] - scores[1].mean(axis=0)).tolist()
        return statistics.fmean(gains), statistics.stdev(gains) if len(gains) > 1 else math.nan, len(gains)

    def rows(self) -> list[list[Any]]:
        """Rows of ``comparison.csv``, one a graph and seed."""
        return [
            [
                entry.graph.key,
                entry.kind,
                seed,
                entry.graph.n_edges,
                evaluation.parameters if not evaluation.failed else "",
                repr(evaluation.best_score) if not evaluation.failed else "",
                repr(evaluation.test_accuracy) if not evaluation.failed else "",
            ]
            for entry in self.graphs
            for seed, evaluation in zip(entry.seeds, entry.evaluations, strict=True)
        ]
