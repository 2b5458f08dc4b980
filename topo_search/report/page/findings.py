"""What a page says in numbers: derived from the record of a run, apart from how it looks."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from topo_search.analysis import Interval
from topo_search.report.page.record import Agreement, RunRecord, Training, WinnerRecord
from topo_search.report.tables import KINDS, accuracy_interval
from topo_search.search import History, Trial

__all__ = [
    "EdgeUse",
    "Origin",
    "Rung",
    "TrainedGroup",
    "edge_use",
    "failures",
    "leaders",
    "lineage",
    "origins",
    "rungs",
    "trained_groups",
]

# Share of the candidates that counts as the best, and how many they are at least.
BEST_SHARE = 0.1
BEST_AT_LEAST = 5
# Ancestors that are shown of a winner.
MAX_LINEAGE = 40


@dataclass(frozen=True)
class TrainedGroup:
    """Graphs of one kind in full training; a winner is a group of its own.

    Attributes:
        label: for people.
        kind: of the graphs.
        edges: fewest and most edges.
        parameters: fewest and most trainable parameters, or ``None`` where all trainings diverged.
        test: test accuracy of each graph, one a seed; without those that diverged.
        validation: the same on validation data.
        seeds: trainings of each graph.
        diverged: trainings that diverged.
        interval: 95 %, of the mean test accuracy; ``None`` where values are too few or a training diverged.
    """

    label: str
    kind: str
    edges: tuple[int, int]
    parameters: tuple[int, int] | None
    test: tuple[tuple[float, ...], ...]
    validation: tuple[tuple[float, ...], ...]
    seeds: int
    diverged: int
    interval: Interval | None

    @property
    def test_mean(self) -> float:
        """Mean of the graphs' means; nan where all trainings diverged."""
        return _mean_of_means(self.test)

    @property
    def validation_mean(self) -> float:
        """The same on validation data."""
        return _mean_of_means(self.validation)

    @property
    def test_sd(self) -> float:
        """Standard deviation, of one graph over seeds, of several over the graphs' means; nan for a single value."""
        values = self.test[0] if len(self.test) == 1 else [statistics.fmean(row) for row in self.test if row]
        return statistics.stdev(values) if len(values) > 1 else math.nan


def _mean_of_means(table: Sequence[Sequence[float]]) -> float:
    means = [statistics.fmean(row) for row in table if row]
    return statistics.fmean(means) if means else math.nan


def trained_groups(record: RunRecord) -> list[TrainedGroup]:
    """Winners by rank, then controls by kind."""
    groups = []
    ranks = {winner.graph.key: winner.rank for winner in record.winners}
    winners = dict.fromkeys(row.graph_key for row in record.trainings if row.kind == "winner")
    for key in sorted(winners, key=lambda key: ranks.get(key, math.inf)):
        label = f"winner {ranks[key]}" if key in ranks else "winner, diverged"
        groups.append(_group(label, [r for r in record.trainings if r.kind == "winner" and r.graph_key == key]))
    for kind, label in KINDS.items():
        rows = [row for row in record.trainings if row.kind == kind]
        if rows:
            groups.append(_group(label, rows))
    return groups


def _group(label: str, rows: Sequence[Training]) -> TrainedGroup:
    kind, seeds = rows[0].kind, len({row.seed for row in rows})
    # By place: the same graph may be drawn twice in its kind (a star has no rewire but itself).
    graphs: list[list[Training]] = []
    for row in rows:
        if not graphs or row.graph_key != graphs[-1][0].graph_key or row.seed in {r.seed for r in graphs[-1]}:
            graphs.append([])
        graphs[-1].append(row)
    test = tuple(tuple(r.test_accuracy for r in graph if r.test_accuracy is not None) for graph in graphs)
    validation = tuple(
        tuple(r.validation_accuracy for r in graph if r.validation_accuracy is not None) for graph in graphs
    )
    diverged = sum(row.test_accuracy is None for row in rows)
    edges = [row.edges for row in rows]
    parameters = [row.parameters for row in rows if row.parameters is not None]
    return TrainedGroup(
        label=label,
        kind=kind,
        edges=(min(edges), max(edges)),
        parameters=(min(parameters), max(parameters)) if parameters else None,
        test=test,
        validation=validation,
        seeds=seeds,
        diverged=diverged,
        interval=None if diverged or len({len(row) for row in test}) > 1 else accuracy_interval(kind, test),
    )


def leaders(record: RunRecord) -> list[Trial]:
    """The best tenth of the candidates with a score, five at least, best first."""
    candidates = record.candidates
    return candidates[: max(BEST_AT_LEAST, math.ceil(BEST_SHARE * len(candidates)))]


@dataclass(frozen=True)
class EdgeUse:
    """How often the candidates use each edge.

    Attributes:
        best: ``(areas, areas)``, share of the best candidates that have the edge; nan on the diagonal.
        every: the same of all candidates with a score.
        n_best: number of the best.
        n_every: number of all.
    """

    best: NDArray[np.float64]
    every: NDArray[np.float64]
    n_best: int
    n_every: int


def edge_use(record: RunRecord) -> EdgeUse | None:
    """Use of edges among the best tenth of the candidates (five at least) and among all; ``None`` with too few."""
    candidates, best = record.candidates, leaders(record)
    if len(candidates) < 2 * len(best) or not best:
        return None
    return EdgeUse(_shares(best), _shares(candidates), len(best), len(candidates))


def _shares(trials: Sequence[Trial]) -> NDArray[np.float64]:
    n_areas = trials[0].graph.n_areas
    counts = np.zeros((n_areas, n_areas))
    for trial in trials:
        for i, j in trial.graph.edges:
            counts[i, j] += 1
            counts[j, i] += 1
    np.fill_diagonal(counts, np.nan)
    return counts / len(trials)


@dataclass(frozen=True)
class Rung:
    """A rung of the ladder.

    Attributes:
        epochs: of training.
        trained: candidates with a score at it.
        best: highest score at it; nan where none has one.
        median: of the scores.
        agreement: how well it ranks the candidates, where that was measured.
    """

    epochs: int
    trained: int
    best: float
    median: float
    agreement: Agreement | None


def rungs(record: RunRecord) -> list[Rung]:
    """The rungs of the ladder, from the shortest."""
    measured = {} if record.summary is None else {entry.epochs: entry for entry in record.summary.rank_agreement}
    found = []
    for index, epochs in enumerate(record.space.ladder.rungs):
        scores = [trial.results[index].score for trial in record.candidates if trial.rung >= index]
        best, median = (max(scores), statistics.median(scores)) if scores else (math.nan, math.nan)
        found.append(Rung(epochs, len(scores), best, median, measured.get(epochs)))
    return found


@dataclass(frozen=True)
class Origin:
    """Where graphs came from.

    Attributes:
        strategy: that proposed them.
        operator: that made them.
        proposed: trials that ended.
        failed: of these.
        median: score at the first rung; nan where none has one.
        best: how many are among the best, as :func:`leaders` counts them.
    """

    strategy: str
    operator: str
    proposed: int
    failed: int
    median: float
    best: int


def origins(record: RunRecord) -> list[Origin]:
    """Strategies and operators, the most used first."""
    best = {trial.number for trial in leaders(record)}
    groups: dict[tuple[str, str], list[Trial]] = {}
    for trial in record.trials:
        groups.setdefault((trial.proposal.strategy, trial.proposal.operator), []).append(trial)
    found = []
    for (strategy, operator), trials in groups.items():
        scores = [trial.results[0].score for trial in trials if trial.is_candidate and trial.rung >= 0]
        found.append(
            Origin(
                strategy,
                operator,
                len(trials),
                sum(trial.failed for trial in trials),
                statistics.median(scores) if scores else math.nan,
                sum(trial.number in best for trial in trials),
            )
        )
    return sorted(found, key=lambda origin: (-origin.proposed, origin.strategy, origin.operator))


def failures(record: RunRecord) -> list[tuple[str, int]]:
    """Reasons of failure and how often each was met, the most frequent first."""
    reasons = Counter(
        next(result.reason for result in trial.results if result.failed) for trial in record.trials if trial.failed
    )
    return reasons.most_common()


def lineage(record: RunRecord, winner: WinnerRecord) -> list[Trial]:
    """A winner's trial and its ancestors, along the better parent of each at their highest common rung.

    The winner first; it ends at a graph without parents, at a parent that has not ended, or after 40.
    """
    trials = {trial.number: trial for trial in record.trials}
    line: list[Trial] = []
    trial = trials.get(winner.metrics.trial)
    while trial is not None and len(line) < MAX_LINEAGE:
        line.append(trial)
        # Parents come before their children: a line that went on forwards would be no lineage.
        parents = [trials[n] for n in trial.proposal.parents if n in trials and n < trial.number]
        trial = History.best_of(parents) if parents else None
    return line
